//! What is stored of topics: themselves, their subscriptions, the ids by which FIFO topics know
//! duplicates, and the key that messages are signed with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};

pub const TOPICS: Table<TopicRecord> = Table::new();
pub const SUBSCRIPTIONS: Table<SubscriptionRecord> = Table::new();
pub const SIGNERS: Table<SignerRecord> = Table::new();

/// The tables' definitions, numbered from `first`.
pub fn migrations(first: u32) -> [Migration; 4] {
    [
        Migration::new(first, "topics", store::records_table!("topics")),
        Migration::new(
            first + 1,
            "topic_subscriptions",
            store::records_table!("topic_subscriptions"),
        ),
        Migration::new(first + 2, "topic_deduplications", DEDUPLICATIONS),
        Migration::new(
            first + 3,
            "topic_signers",
            store::records_table!("topic_signers"),
        ),
    ]
}

const DEDUPLICATIONS: &str = "
CREATE TABLE topic_deduplications (
    topic {text} NOT NULL, key {text} NOT NULL, at {int} NOT NULL, message_id {text} NOT NULL,
    seq {int} NOT NULL, PRIMARY KEY (topic, key)
) {clustered};
";

/// A topic. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicRecord {
    pub account_id: String,
    pub region: String,
    pub name: String,
    pub is_fifo: bool,
    /// As they were set and checked; what was not set is not here.
    pub attributes: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub created_at_ms: i64,
    /// Which topic of this name it is.
    pub born: i64,
    /// Subscriptions that there were, for SubscriptionsDeleted.
    pub subscriptions_deleted: u64,
}

impl Record for TopicRecord {
    const TABLE: &'static str = "topics";
    const VERSION: u32 = 1;
}

/// A subscription. Keyed by account, region, topic's name and its own id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    /// The last part of its ARN.
    pub id: String,
    /// Of the account that subscribed.
    pub owner: String,
    /// Who subscribed, as an ARN.
    pub principal: String,
    pub protocol: String,
    pub endpoint: String,
    /// As they were set and checked.
    pub attributes: BTreeMap<String, String>,
    /// Until it is confirmed.
    pub pending: Option<Pending>,
    /// What it was confirmed with: whoever asks again is told the same.
    pub confirmed_by: Option<String>,
    /// By credentials that could have made it.
    pub was_authenticated: bool,
    /// Only its owner and the topic's end it, and no link does.
    pub guards_its_end: bool,
    pub created_at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    pub token: String,
    pub since_ms: i64,
}

impl Record for SubscriptionRecord {
    const TABLE: &'static str = "topic_subscriptions";
    const VERSION: u32 = 1;
}

/// The key that messages are signed with, and its certificate. There is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignerRecord {
    pub certificate_pem: String,
    /// PKCS #8, sealed with the platform's key.
    pub sealed_key: String,
}

impl Record for SignerRecord {
    const TABLE: &'static str = "topic_signers";
    const VERSION: u32 = 1;
}
