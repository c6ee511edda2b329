//! What is stored of CloudWatch Logs: groups with their filters, resource policies, and queries that
//! have a name. Streams and events are in the groups' files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};
use wire::Map;

use super::lines::Seq;

pub const GROUPS: Table<GroupRecord> = Table::new();
pub const CURSORS: Table<CursorRecord> = Table::new();
pub const POLICIES: Table<PolicyRecord> = Table::new();
pub const QUERY_DEFINITIONS: Table<QueryDefinitionRecord> = Table::new();

/// The tables' definitions.
pub const fn migration(number: u32) -> Migration {
    const SQL: &str = concat!(
        store::records_table!("log_groups"),
        store::records_table!("log_cursors"),
        store::records_table!("log_policies"),
        store::records_table!("log_query_definitions"),
    );
    Migration::new(number, "log_groups", SQL)
}

/// A log group. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub account_id: String,
    pub region: String,
    pub name: String,
    pub created_ms: i64,
    /// `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`.
    pub class: String,
    /// None: for ever.
    pub retention_days: Option<i32>,
    pub tags: Map<String>,
    /// None where it was never set.
    pub deletion_protection: Option<bool>,
    pub metric_filters: BTreeMap<String, MetricFilter>,
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Its files are being removed; then it goes itself.
    pub is_deleting: bool,
}

impl Record for GroupRecord {
    const TABLE: &'static str = "log_groups";
    const VERSION: u32 = 1;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricFilter {
    pub pattern: String,
    pub created_ms: i64,
    pub transformations: Vec<Transformation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transformation {
    pub namespace: String,
    pub name: String,
    /// A number, `$field` or `$.selector`.
    pub value: String,
    pub default: Option<f64>,
    pub dimensions: Map<String>,
    pub unit: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub pattern: String,
    pub destination_arn: String,
    pub role_arn: Option<String>,
    /// `ByLogStream` or `Random`.
    pub distribution: String,
    pub created_ms: i64,
}

/// How far a subscription has been served. Keyed by account, region, group and filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CursorRecord {
    pub read_to: Seq,
    /// The group's creation: another group of the name begins anew.
    pub group_created_ms: i64,
}

impl Record for CursorRecord {
    const TABLE: &'static str = "log_cursors";
    const VERSION: u32 = 1;
}

/// A resource policy of an account in a region. Keyed by those and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    pub account_id: String,
    pub region: String,
    pub name: String,
    pub document: String,
    pub updated_ms: i64,
}

impl Record for PolicyRecord {
    const TABLE: &'static str = "log_policies";
    const VERSION: u32 = 1;
}

/// A query with a name. Keyed by account, region and id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryDefinitionRecord {
    pub id: String,
    pub name: String,
    pub query: String,
    pub groups: Vec<String>,
    pub modified_ms: i64,
}

impl Record for QueryDefinitionRecord {
    const TABLE: &'static str = "log_query_definitions";
    const VERSION: u32 = 1;
}
