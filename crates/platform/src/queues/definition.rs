//! What a queue is: its name, its attributes as they are in force, its tags.
//!
//! Attributes come here checked; how they are written on the wire is `attributes.rs`'s business.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use store::{Record, Table};
use wire::arn::{Arn, NotAnArn};

use super::permissions::AccessPolicy;

pub const QUEUES: Table<Definition> = Table::new();

/// Parts the names of internal queues; no account id has one.
const INTERNAL: char = ':';

/// Which queue: names are unique within an account and region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl QueueKey {
    pub fn arn(&self) -> Arn {
        Arn::new("sqs", &self.region, &self.account_id, self.name.clone())
    }

    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// The key of a queue that a service keeps for itself. No ARN and no client's account is like
    /// that, so that nobody else can name it.
    pub fn internal(service: &str, account_id: &str, region: &str, name: &str) -> Self {
        Self {
            account_id: format!("{service}{INTERNAL}{account_id}"),
            region: region.to_owned(),
            // A name may end as those of FIFO queues do.
            name: format!("{name}{INTERNAL}"),
        }
    }

    /// The same for one that keeps the order of its groups.
    pub fn internal_fifo(service: &str, account_id: &str, region: &str, name: &str) -> Self {
        let mut key = Self::internal(service, account_id, region, name);
        key.name.push_str(".fifo");
        key
    }

    pub fn is_internal(&self) -> bool {
        self.account_id.contains(INTERNAL)
    }
}

impl TryFrom<&Arn> for QueueKey {
    type Error = NotAnArn;

    fn try_from(arn: &Arn) -> Result<Self, NotAnArn> {
        let is_queue = arn.service == "sqs" && !arn.region.is_empty() && !arn.account_id.is_empty();
        if !is_queue || arn.resource.is_empty() {
            return Err(NotAnArn);
        }
        Ok(Self {
            account_id: arn.account_id.clone(),
            region: arn.region.clone(),
            name: arn.resource.clone(),
        })
    }
}

impl FromStr for QueueKey {
    type Err = NotAnArn;

    fn from_str(text: &str) -> Result<Self, NotAnArn> {
        Self::try_from(&text.parse::<Arn>()?)
    }
}

/// A queue's own number, never used again: a queue made anew under its name has none of the old
/// one's messages. Its upper bits are the queue's [`shard`](Self::shard).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueId(pub i64);

impl QueueId {
    const SHARD_AT: u32 = 48;

    /// `random` gives all bits but the shard's.
    pub fn new(key: &QueueKey, random: u64) -> Self {
        // FNV-1a: the shard of a name must be the same in every version of this program.
        let name = format!("{}/{}/{}", key.account_id, key.region, key.name);
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let shard = (hash >> 32) & 0xff;
        let random = random & ((1 << Self::SHARD_AT) - 1);
        Self((shard << Self::SHARD_AT | random).cast_signed())
    }

    /// The share of the work that the queue belongs to, below 256: what nodes will hold by lease.
    pub fn shard(self) -> u8 {
        (self.0 >> Self::SHARD_AT) as u8
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

/// A queue as it is stored. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub key: QueueKey,
    pub id: QueueId,
    /// In seconds since 1970, as SQS shows it.
    pub created_s: i64,
    pub modified_s: i64,
    pub attributes: Attributes,
    pub tags: BTreeMap<String, String>,
    /// Messages up to this sequence number are purged, whether or not they are deleted yet.
    pub purged_until: i64,
    pub purged_at_ms: Option<i64>,
}

impl Record for Definition {
    const TABLE: &'static str = "queues";
    const VERSION: u32 = 1;
}

/// A queue's attributes: all that can be set, with SQS's defaults in [`Attributes::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    pub visibility_timeout_s: u32,
    pub delay_s: u32,
    pub receive_wait_s: u32,
    pub retention_s: u32,
    pub message_bytes_max: u32,
    pub policy: Option<AccessPolicy>,
    pub redrive: Option<Redrive>,
    /// The RedriveAllowPolicy; none means allowAll, which SQS then does not show.
    pub redrive_allow: Option<RedriveAllow>,
    /// Messages are sealed at rest with the platform's key.
    pub managed_sse: bool,
    pub kms_key: Option<String>,
    pub kms_reuse_s: u32,
    /// None for a standard queue.
    pub fifo: Option<Fifo>,
}

impl Attributes {
    pub fn new(is_fifo: bool) -> Self {
        Self {
            visibility_timeout_s: 30,
            delay_s: 0,
            receive_wait_s: 0,
            retention_s: 345_600,
            message_bytes_max: 1_048_576,
            policy: None,
            redrive: None,
            redrive_allow: None,
            managed_sse: true,
            kms_key: None,
            kms_reuse_s: 300,
            fifo: is_fifo.then(Fifo::default),
        }
    }
}

/// Where messages go that were received too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    pub dead_letter_queue: QueueKey,
    pub receives_max: u32,
}

/// Which queues may name this one as their dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedriveAllow {
    All,
    None,
    ByQueue(Vec<QueueKey>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fifo {
    pub content_based_deduplication: bool,
    pub deduplication_scope: DeduplicationScope,
    pub throughput_limit: ThroughputLimit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DeduplicationScope {
    #[default]
    Queue,
    MessageGroup,
}

/// High throughput is per group. Nothing here is slowed down to SQS's limits; it is kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ThroughputLimit {
    #[default]
    PerQueue,
    PerMessageGroupId,
}
