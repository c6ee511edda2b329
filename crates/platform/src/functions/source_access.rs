//! Whether a service may invoke a function on behalf of something, such as a rule or a topic: what the
//! resource policy of the function, version or alias that is invoked says.

use jiff::Timestamp;

use super::{Functions, arn_of, execution::FunctionKey, limits, permissions::policy_text};
use crate::identity::policy::{Asker, Bounds, Kind, Policy, Request, resource};

const ACTION: &str = "lambda:InvokeFunction";

impl Functions {
    /// Also no where there is no such function.
    pub fn admits_source(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        asker: &Asker<'_>,
        now: Timestamp,
    ) -> bool {
        let Some(entry) = self.0.definitions.get(key) else {
            return false;
        };
        let statements = entry.record.policy(qualifier);
        let policy = (!statements.is_empty()).then(|| policy_text(statements));
        let bounds = Bounds {
            bytes_max: 2 * limits::POLICY_BYTES_MAX,
            statements_max: usize::MAX,
        };
        let read = |text: String| match Policy::parse(&text, Kind::Resource, bounds) {
            Ok(policy) => Some(policy),
            Err(error) => {
                tracing::error!(
                    function = key.name,
                    "a function's policy cannot be read: {error}"
                );
                None
            }
        };
        let policy = policy.and_then(read);
        let arn = arn_of(key, qualifier);
        let principal = asker.principal.as_ref();
        let request = Request {
            // It never leaves the platform.
            is_secure: true,
            source_arn: asker.source_arn,
            source_account: asker.source_account,
            ..Request::new(principal, ACTION, &arn, &key.account_id, &key.region, now)
        };
        resource::decide(&request, policy.as_ref()).is_ok()
    }
}
