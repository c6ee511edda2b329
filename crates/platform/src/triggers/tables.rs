//! What is stored: a record per event source mapping.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};

use crate::{functions::execution::FunctionKey, queues::definition::QueueKey};

pub const MAPPINGS: Table<MappingRecord> = Table::new();

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 1;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [Migration::new(
        first,
        "event_source_mappings",
        store::records_table!("event_source_mappings"),
    )]
}

/// Which mapping: Lambda's UUID, within an account and region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MappingId {
    pub account_id: String,
    pub region: String,
    pub uuid: String,
}

impl MappingId {
    pub fn arn(&self) -> String {
        let resource = format!("event-source-mapping:{}", self.uuid);
        wire::arn::Arn::new("lambda", &self.region, &self.account_id, resource).to_string()
    }

    /// The key in the store.
    pub fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.uuid]
    }
}

/// A mapping of a queue to a function. Keyed by account, region and UUID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappingRecord {
    pub id: MappingId,
    pub queue: QueueKey,
    pub target: Target,
    pub enabled: bool,
    /// It goes when the batches that are under way are done.
    pub deleting: bool,
    pub settings: Settings,
    pub tags: BTreeMap<String, String>,
    pub last_modified: Timestamp,
}

impl Record for MappingRecord {
    const TABLE: &'static str = "event_source_mappings";
    const VERSION: u32 = 1;
}

/// The function, and the version that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub function: FunctionRef,
    pub qualifier: Option<String>,
}

/// A function's key, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRef {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl Target {
    pub fn key(&self) -> FunctionKey {
        FunctionKey {
            account_id: self.function.account_id.clone(),
            region: self.function.region.clone(),
            name: self.function.name.clone(),
        }
    }

    pub fn arn(&self) -> String {
        let FunctionRef {
            account_id,
            region,
            name,
        } = &self.function;
        wire::lambda::function_arn(region, account_id, name, self.qualifier.as_deref())
    }
}

/// How a queue is read: what of Lambda's parameters applies to queues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub batch_size: u32,
    pub window_s: u32,
    /// The patterns of the FilterCriteria as they were given; none if none were.
    pub filters: Option<Vec<String>>,
    /// `ReportBatchItemFailures`
    pub reports_item_failures: bool,
    pub maximum_concurrency: Option<u32>,
    pub provisioned: Option<Provisioned>,
    /// The MetricsConfig's list.
    pub metrics: Option<Vec<String>>,
}

/// Provisioned mode: event pollers that are there whether or not there is work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    pub minimum: u32,
    pub maximum: u32,
}
