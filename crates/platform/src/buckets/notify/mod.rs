//! What buckets tell of what happens to their objects.
//!
//! Whoever changes an object writes what is to be told of it in the same transaction
//! ([`Buckets::tell`]), as only there is known what it was; from there it is handed to the deliveries,
//! in the transaction in which it goes from here ([`outbox`]). So everything that happened is told, and
//! of what did not happen nothing.

mod event;
mod outbox;
mod record;

use serde::{Deserialize, Serialize};
use store::{Tx, params};

pub use event::{Event, is_name, overlap};
pub use record::test_event;

use super::{
    Buckets, access,
    registry::Bucket,
    rows::{self, Version},
};
use outbox::Outgoing;

/// What happened, and by whom.
#[derive(Debug, Clone)]
pub struct Happening {
    pub event: Event,
    /// The caller's id and address.
    pub principal_id: String,
    pub source_ip: String,
    pub request_id: String,
    /// The account, for EventBridge.
    pub requester: String,
    pub at: jiff::Timestamp,
}

/// Whom a bucket tells of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub to: Vec<Subscription>,
    pub to_event_bridge: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub id: String,
    /// Of a queue, topic or function.
    pub arn: String,
    /// As they were asked for, e.g. `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
}

impl Notification {
    pub fn is_silent(&self) -> bool {
        self.to.is_empty() && !self.to_event_bridge
    }
}

impl Subscription {
    fn asks_for(&self, event: Event, key: &str) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let suffix = self.suffix.as_deref().unwrap_or_default();
        self.events.iter().any(|name| event.is_asked_by(name))
            && key.starts_with(prefix)
            && key.ends_with(suffix)
    }

    /// Whether something could be told to both of these, which S3 does not allow.
    pub fn overlaps(&self, other: &Self) -> bool {
        fn text(part: &Option<String>) -> &str {
            part.as_deref().unwrap_or_default()
        }
        let (p, q) = (text(&self.prefix), text(&other.prefix));
        let (s, t) = (text(&self.suffix), text(&other.suffix));
        let shares = |one: &String| other.events.iter().any(|name| overlap(one, name));
        self.events.iter().any(shares)
            && (p.starts_with(q) || q.starts_with(p))
            && (s.ends_with(t) || t.ends_with(s))
    }
}

impl Happening {
    pub fn of_lifecycle(event: Event, bucket: &Bucket, now: jiff::Timestamp) -> Self {
        Self {
            event,
            principal_id: "s3.amazonaws.com".to_owned(),
            source_ip: "s3.amazonaws.com".to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            requester: bucket.record.account_id.clone(),
            at: now,
        }
    }

    /// Of a request.
    pub fn of(cx: &wire::Context, event: Event) -> Self {
        let partition = wire::arn::partition(&cx.region);
        let id = access::principal(cx).user_id(partition);
        Self {
            event,
            principal_id: format!("AWS:{}", id.unwrap_or_default()),
            source_ip: cx.origin.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            request_id: cx.request_id.clone(),
            requester: cx.account_id.clone(),
            at: cx.now,
        }
    }
}

impl Buckets {
    /// Writes what is to be told of a version that came, went or was changed.
    pub(super) fn tell(
        &self,
        tx: &mut Tx,
        bucket: &Bucket,
        version: &Version,
        happening: &Happening,
    ) -> store::Result<()> {
        let notification = &bucket.record.notification;
        if notification.is_silent() {
            return Ok(());
        }
        // What is removed has the number of its coming; it went later than that.
        let seq = self.next_seq();
        let told = record::Told {
            bucket,
            version,
            happening,
            seq,
        };
        let asking = notification.to.iter();
        let asking = asking.filter(|to| to.asks_for(happening.event, &version.key));
        for subscription in asking {
            let outgoing = Outgoing {
                body: told.record(&subscription.id),
                ..Outgoing::new(bucket, subscription.arn.clone(), happening.at)
            };
            self.keep_for_sending(tx, &outgoing)?;
        }
        if notification.to_event_bridge {
            let (detail_type, _) = happening.event.detail();
            let outgoing = Outgoing {
                body: told.detail(),
                detail_type: Some(detail_type.to_owned()),
                ..Outgoing::new(bucket, outbox::default_bus(bucket), happening.at)
            };
            self.keep_for_sending(tx, &outgoing)?;
        }
        Ok(())
    }

    fn keep_for_sending(&self, tx: &mut Tx, outgoing: &Outgoing) -> store::Result<()> {
        tx.execute(
            "INSERT INTO object_events (seq, version, body) VALUES ($1, $2, $3)",
            params![
                self.next_seq(),
                super::tables::RECORD_VERSION,
                rows::encode(outgoing)?
            ],
        )?;
        Ok(())
    }
}
