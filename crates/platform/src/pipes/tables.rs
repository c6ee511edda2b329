//! What is stored of pipes: a record each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};
use wire::arn::Arn;

use crate::queues::definition::QueueKey;

pub const PIPES: Table<PipeRecord> = Table::new();

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 1;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [Migration::new(
        first,
        "pipes",
        store::records_table!("pipes"),
    )]
}

/// Which pipe.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PipeKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl PipeKey {
    pub fn arn(&self) -> String {
        let resource = format!("pipe/{}", self.name);
        Arn::new("pipes", &self.region, &self.account_id, resource).to_string()
    }

    /// The pipe of an ARN.
    pub fn of(arn: &str) -> Option<Self> {
        let arn: Arn = arn.parse().ok()?;
        let name = arn.resource.strip_prefix("pipe/")?;
        (arn.service == "pipes").then(|| Self {
            account_id: arn.account_id.clone(),
            region: arn.region.clone(),
            name: name.to_owned(),
        })
    }

    /// The key in the store.
    pub fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.name]
    }
}

/// A pipe. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipeRecord {
    pub key: PipeKey,
    pub description: Option<String>,
    pub wanted: Wanted,
    pub queue: QueueKey,
    pub source: SourceRecord,
    pub enrichment: Option<String>,
    pub enriching: Option<EnrichingRecord>,
    pub target: String,
    pub targeting: TargetingRecord,
    pub role: String,
    pub tags: BTreeMap<String, String>,
    pub created: Timestamp,
    pub modified: Timestamp,
}

impl Record for PipeRecord {
    const TABLE: &'static str = "pipes";
    const VERSION: u32 = 1;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    Running,
    Stopped,
    /// It goes when what is under way is done.
    Deleted,
}

impl Wanted {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
            Self::Deleted => "DELETED",
        }
    }
}

/// SourceParameters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceRecord {
    pub batch_size: Option<i32>,
    pub window_s: Option<i32>,
    /// The patterns as they were given; none if none were.
    pub filters: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnrichingRecord {
    pub template: Option<String>,
    pub http: Option<HttpRecord>,
}

/// What is added to a request to an API destination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpRecord {
    pub path: Option<Vec<String>>,
    pub headers: Option<Vec<(String, String)>>,
    pub query: Option<Vec<(String, String)>>,
}

/// TargetParameters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetingRecord {
    pub template: Option<String>,
    /// Of a function.
    pub invocation: Option<String>,
    pub queue: Option<ToQueueRecord>,
    pub bus: Option<ToBusRecord>,
    pub logs: Option<ToLogsRecord>,
    pub http: Option<HttpRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToQueueRecord {
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToBusRecord {
    pub detail_type: Option<String>,
    pub source: Option<String>,
    pub resources: Option<Vec<String>>,
    pub time: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToLogsRecord {
    pub stream: Option<String>,
    pub timestamp: Option<String>,
}
