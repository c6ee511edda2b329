//! In whose account an operation is done: a function's policy can open it to other accounts.

use std::borrow::Cow;

use wire::{
    Context, Error as Refusal,
    arn::Arn,
    lambda::{self as api, FunctionName},
};

use super::Answer;
use crate::functions::{Functions, key_of, url_access::account_allowed};

impl Functions {
    /// The function that an operation is about, and in whose account: another's where the
    /// function's policy lets the caller's account do it.
    pub(super) fn shared<'a>(
        &self,
        cx: &'a Context,
        action: &str,
        name: &str,
        qualifier: Option<&str>,
    ) -> Answer<(Cow<'a, Context>, FunctionName)> {
        let (other, name) = FunctionName::resolve_anywhere(cx, name, qualifier)?;
        let Some(owner) = other else {
            return Ok((Cow::Borrowed(cx), name));
        };
        let owners = Context {
            account_id: owner,
            ..cx.clone()
        };
        let entry = self.0.definitions.get(&key_of(&owners, &name.name));
        // A policy is of the function as such or of one version or alias, and says nothing of others.
        let allowed = entry.is_some_and(|entry| {
            let policy = entry.record.policy(name.qualifier.as_deref());
            account_allowed(policy, action, &cx.account_id)
        });
        match allowed {
            true => Ok((Cow::Owned(owners), name)),
            false => Err(Refusal::access_denied(None)),
        }
    }

    /// The same for an operation on tags, which take ARNs only.
    pub(super) fn shared_resource<'a>(
        &self,
        cx: &'a Context,
        action: &str,
        resource: &str,
    ) -> Answer<Cow<'a, Context>> {
        let others = resource
            .parse::<Arn>()
            .is_ok_and(|arn| arn.account_id != cx.account_id && api::function_of(&arn).is_some());
        if !others {
            return Ok(Cow::Borrowed(cx));
        }
        Ok(self.shared(cx, action, resource, None)?.0)
    }
}
