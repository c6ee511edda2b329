//! Who may do what to a topic: the one place that every operation asks.
//!
//! The topic's own account may do everything that its policy does not deny; others what the policy
//! allows.

use jiff::Timestamp;
use wire::Context;

use super::{
    error::{Error, Result},
    name::TopicKey,
    policy,
};
use crate::identity::{
    Principal, id_of,
    policy::{Asker, Policy, Request, resource},
};

/// A topic's policy, as text and read.
pub struct AccessPolicy {
    pub text: String,
    /// None if it cannot be read, and so allows nothing.
    policy: Option<Policy>,
}

impl AccessPolicy {
    pub fn new(text: String) -> Self {
        let policy = policy::parse(&text);
        if policy.is_none() {
            tracing::error!("a topic's policy that is stored cannot be read");
        }
        Self { text, policy }
    }
}

/// Alarms of the topic's own account are let in by the policy that a topic begins with.
const OWN_SERVICE: &str = "cloudwatch.amazonaws.com";

/// Whether the caller may do this to the topic. `action` is without its service.
pub fn check(cx: &Context, action: &str, key: &TopicKey, policy: &AccessPolicy) -> Result<()> {
    let principal = principal(cx);
    let (arn, full) = (key.arn(), format!("SNS:{action}"));
    let request = Request {
        source_ip: cx.origin.ip,
        is_secure: cx.origin.is_secure,
        user_agent: cx.origin.user_agent.as_deref(),
        referer: cx.origin.referer.as_deref(),
        ..Request::new(
            &principal,
            &full,
            &arn,
            &key.account_id,
            &key.region,
            cx.now,
        )
    };
    match resource::decide(&request, policy.policy.as_ref()) {
        Ok(_) => Ok(()),
        Err(refused) => {
            tracing::debug!(cx.request_id, arn, action, "refused: {refused}");
            let sentence = refused.sentence(&request, &full);
            Err(Error::NotAllowed(sentence.unwrap_or_default()))
        }
    }
}

/// Whether a service or a function may publish.
pub fn admits(key: &TopicKey, policy: &AccessPolicy, asker: &Asker<'_>, now: Timestamp) -> bool {
    let arn = key.arn();
    let principal = asker.principal.as_ref();
    let is_own = matches!(principal, Principal::Service(name) if name == OWN_SERVICE);
    let owner = asker.source_account.filter(|_| is_own).unwrap_or_default();
    let keys = [("aws:SourceOwner", owner)];
    let request = Request {
        // It never leaves the platform.
        is_secure: true,
        source_arn: asker.source_arn,
        source_account: asker.source_account,
        keys: if owner.is_empty() { &[] } else { &keys },
        ..Request::new(
            principal,
            "SNS:Publish",
            &arn,
            &key.account_id,
            &key.region,
            now,
        )
    };
    resource::decide(&request, policy.policy.as_ref()).is_ok()
}

pub fn principal(cx: &Context) -> Principal {
    match cx.account_id.is_empty() {
        true => Principal::Anonymous,
        false => Principal::of(&cx.account_id, cx.role.as_deref()),
    }
}

/// Who subscribed, for the attribute SubscriptionPrincipal: of a function its role in its session; of
/// others an id in the form of a user's, of its own for every access key and without saying which
/// that is.
pub fn principal_arn(cx: &Context) -> String {
    let partition = wire::arn::partition(&cx.region);
    match &cx.role {
        Some(_) => principal(cx).arn(partition).unwrap_or_default(),
        None => {
            let id = id_of("AIDA", &cx.access_key_id);
            format!("arn:{partition}:iam::{}:user/{id}", cx.account_id)
        }
    }
}

/// The same where a token that only the endpoint was sent is as good as a signature.
pub fn check_or_anonymous(
    cx: &Context,
    action: &str,
    key: &TopicKey,
    policy: &AccessPolicy,
) -> Result<()> {
    match cx.account_id.is_empty() {
        true => Ok(()),
        false => check(cx, action, key, policy),
    }
}
