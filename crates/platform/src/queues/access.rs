//! Who may do what to a queue: the one place that every operation asks.
//!
//! The queue's own account may do everything that its policy does not deny. Another account may do
//! what the policy allows, as far as AWS lets that be given away at all.

use jiff::Timestamp;
use wire::{Context, arn};

use super::{
    Queue,
    definition::QueueKey,
    error::{Error, Result},
    permissions::AccessPolicy,
};
use crate::identity::{
    Principal, id_of,
    policy::{
        Asker, Request,
        resource::{self, Allowed, Refused},
    },
};

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

/// What a queue's account can do with its own credentials although the policy denies it: mend the
/// policy. In AWS the root user has a way of its own to unlock a queue.
const MENDING: [&str; 2] = ["RemovePermission", "SetQueueAttributes"];

/// Whether the caller may do this to the queue. `action` is without its service, e.g.
/// `SendMessage`; a batch asks for what its entries do.
pub fn check(
    cx: &Context,
    action: &str,
    queue: &QueueKey,
    policy: Option<&AccessPolicy>,
) -> Result<()> {
    let is_own = cx.account_id == queue.account_id;
    if is_own && policy.is_none() {
        return Ok(());
    }
    let principal = Principal::of(&cx.account_id, cx.role.as_deref());
    let (arn, full) = (queue.arn().to_string(), format!("sqs:{action}"));
    let request = Request {
        source_ip: cx.origin.ip,
        is_secure: cx.origin.is_secure,
        user_agent: cx.origin.user_agent.as_deref(),
        referer: cx.origin.referer.as_deref(),
        ..Request::new(
            &principal,
            &full,
            &arn,
            &queue.account_id,
            &queue.region,
            cx.now,
        )
    };
    let refused = match resource::decide(&request, policy.and_then(AccessPolicy::policy)) {
        Ok(Allowed::By(_)) if !is_own && OWNERS.contains(&action) => Refused::NotAllowed,
        Ok(_) => return Ok(()),
        Err(Refused::Denied(_)) if is_own && cx.role.is_none() && MENDING.contains(&action) => {
            return Ok(());
        }
        Err(refused) => refused,
    };
    tracing::debug!(cx.request_id, arn, action, "refused: {refused}");
    // SQS writes the action in small letters.
    let sentence = refused.sentence(&request, &full.to_ascii_lowercase());
    Err(Error::AccessDenied(sentence.unwrap_or_default()))
}

/// What Lambda does to a queue that it reads for a function.
const READING: [&str; 3] = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"];

impl Queue {
    /// What this principal may not do of what it takes to read the queue for a function; none if it
    /// may all of it.
    pub fn refuses_reader(&self, reader: &Principal, now: Timestamp) -> Option<&'static str> {
        self.refused(&READING, &Asker::from(reader), now)
    }

    /// Whether this principal may send to the queue, by what the platform does for it.
    pub fn admits_sender(&self, sender: &Principal, now: Timestamp) -> bool {
        self.admits_source(&Asker::from(sender), now)
    }

    /// The same for a service that asks on behalf of something.
    pub fn admits_source(&self, asker: &Asker<'_>, now: Timestamp) -> bool {
        self.refused(&["SendMessage"], asker, now).is_none()
    }

    fn refused(
        &self,
        actions: &[&'static str],
        asker: &Asker<'_>,
        now: Timestamp,
    ) -> Option<&'static str> {
        let reader = asker.principal.as_ref();
        let definition = self.definition();
        let policy = definition.attributes.policy.as_ref();
        let is_own = reader.account_id() == Some(&self.key.account_id);
        if is_own && policy.is_none() {
            return None;
        }
        let arn = self.key.arn().to_string();
        let (owner, region) = (&self.key.account_id, &self.key.region);
        actions.iter().copied().find(|action| {
            let action = format!("sqs:{action}");
            let request = Request {
                // It never leaves the platform.
                is_secure: true,
                source_arn: asker.source_arn,
                source_account: asker.source_account,
                ..Request::new(reader, &action, &arn, owner, region, now)
            };
            resource::decide(&request, policy.and_then(AccessPolicy::policy)).is_err()
        })
    }
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
            origin: wire::Origin::default(),
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
    fn a_policy_lets_others_in_but_not_to_what_is_the_owners() {
        let policy = AccessPolicy::from(
            r#"{"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sqs:*"},
                {"Effect": "Deny", "Principal": "*", "Action": "*", "Condition":
                    {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]}"#
                .to_owned(),
        );
        let check = |account: &str, ip: &str, action: &str| {
            let mut cx = context(account);
            cx.origin.ip = ip.parse().ok();
            check(&cx, action, &queue(), Some(&policy)).is_ok()
        };
        let (own, other) = ("123456789012", "111122223333");
        for (expect, account, ip, action) in [
            (true, other, "203.0.113.7", "SendMessage"),
            (false, other, "203.0.113.7", "DeleteQueue"),
            (false, other, "192.0.2.1", "SendMessage"),
            (false, "444455556666", "203.0.113.7", "SendMessage"),
            (true, own, "203.0.113.7", "DeleteQueue"),
            (false, own, "192.0.2.1", "DeleteQueue"),
            (true, own, "192.0.2.1", "SetQueueAttributes"),
        ] {
            assert_eq!(
                check(account, ip, action),
                expect,
                "{account} {ip} {action}"
            );
        }
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
