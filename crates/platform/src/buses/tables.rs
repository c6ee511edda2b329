//! What is stored of buses: a record each per bus, rule, archive, replay, connection and API
//! destination, and the events of archives.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};

use super::names::{BusKey, Named};

pub const BUSES: Table<BusRecord> = Table::new();
pub const RULES: Table<RuleRecord> = Table::new();
pub const ARCHIVES: Table<ArchiveRecord> = Table::new();
pub const REPLAYS: Table<ReplayRecord> = Table::new();
pub const CONNECTIONS: Table<ConnectionRecord> = Table::new();
pub const DESTINATIONS: Table<DestinationRecord> = Table::new();

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 7;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [
        Migration::new(first, "event_buses", store::records_table!("event_buses")),
        Migration::new(
            first + 1,
            "event_rules",
            store::records_table!("event_rules"),
        ),
        Migration::new(
            first + 2,
            "event_archives",
            store::records_table!("event_archives"),
        ),
        Migration::new(
            first + 3,
            "event_replays",
            store::records_table!("event_replays"),
        ),
        Migration::new(
            first + 4,
            "event_connections",
            store::records_table!("event_connections"),
        ),
        Migration::new(
            first + 5,
            "api_destinations",
            store::records_table!("api_destinations"),
        ),
        Migration::new(first + 6, "archived_events", ARCHIVED),
    ]
}

/// Events by their own time, as they are replayed; `seq` is when they came in, in microseconds, and
/// one of a kind. `events` and `bytes` are what each archive holds.
const ARCHIVED: &str = "
CREATE TABLE archived_events (
    archive {text} NOT NULL, at_ms {int} NOT NULL, seq {int} NOT NULL, bytes {int} NOT NULL,
    event {text} NOT NULL,
    PRIMARY KEY (archive, at_ms, seq)
) {clustered};
CREATE INDEX archived_events_by_age ON archived_events (archive, seq);
CREATE TABLE archive_totals (
    archive {text} PRIMARY KEY, events {int} NOT NULL, bytes {int} NOT NULL
) {clustered}
";

/// A bus. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusRecord {
    pub key: BusKey,
    pub description: Option<String>,
    /// As JSON.
    pub policy: Option<String>,
    pub dead_letter: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub created: Timestamp,
    pub modified: Timestamp,
}

impl Record for BusRecord {
    const TABLE: &'static str = "event_buses";
    const VERSION: u32 = 1;
}

/// A rule with its targets. Keyed by its bus's account, region and name, and its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleRecord {
    pub bus: BusKey,
    pub name: String,
    /// As it was given.
    pub pattern: Option<String>,
    pub schedule: Option<String>,
    pub state: RuleState,
    pub description: Option<String>,
    pub role: Option<String>,
    pub targets: Vec<TargetRecord>,
    pub tags: BTreeMap<String, String>,
    pub created_by: String,
    /// When its schedule began; it counts from there.
    pub scheduled_from: Timestamp,
    /// When it is to fire next, in milliseconds since 1970.
    pub next_fire_ms: Option<i64>,
}

impl Record for RuleRecord {
    const TABLE: &'static str = "event_rules";
    const VERSION: u32 = 1;
}

impl RuleRecord {
    pub fn arn(&self) -> String {
        self.bus.rule_arn(&self.name)
    }

    pub fn parts(&self) -> [&str; 4] {
        let [account, region, bus] = self.bus.parts();
        [account, region, bus, &self.name]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleState {
    Enabled,
    Disabled,
    /// Enabled, for events of CloudTrail too, of which there are none here.
    EnabledForManagement,
}

impl RuleState {
    pub fn read(given: Option<&str>) -> Self {
        match given {
            Some("DISABLED") => Self::Disabled,
            Some("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS") => Self::EnabledForManagement,
            // The model lets nothing else through.
            _ => Self::Enabled,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::EnabledForManagement => "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS",
        }
    }
}

/// A target of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    pub id: String,
    pub arn: String,
    pub role: Option<String>,
    pub input: InputRecord,
    /// SqsParameters' MessageGroupId.
    pub message_group: Option<String>,
    pub http: Option<HttpRecord>,
    pub dead_letter: Option<String>,
    pub retry: Option<RetryRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum InputRecord {
    Event,
    Constant(String),
    Path(String),
    Template {
        paths: Option<BTreeMap<String, String>>,
        template: String,
    },
}

/// HttpParameters, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HttpRecord {
    pub path: Option<Vec<String>>,
    pub headers: Option<Vec<(String, String)>>,
    pub query: Option<Vec<(String, String)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRecord {
    pub attempts: Option<i32>,
    pub age_s: Option<i32>,
}

/// An archive. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    pub key: Named,
    /// By which its events are kept: another archive of the same name has none of them.
    pub uid: String,
    pub bus: BusKey,
    pub description: Option<String>,
    pub pattern: Option<String>,
    /// 0 keeps events for good.
    pub retention_days: i32,
    pub created: Timestamp,
}

impl Record for ArchiveRecord {
    const TABLE: &'static str = "event_archives";
    const VERSION: u32 = 1;
}

/// A replay. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayRecord {
    pub key: Named,
    pub archive: Named,
    pub archive_uid: String,
    pub bus: BusKey,
    /// The ARNs of rules; none are all of the bus.
    pub filters: Option<Vec<String>>,
    pub description: Option<String>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub state: ReplayState,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// How far it has come: the time and the number of the last event that was sent.
    pub reached: Option<(i64, i64)>,
}

impl Record for ReplayRecord {
    const TABLE: &'static str = "event_replays";
    const VERSION: u32 = 1;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplayState {
    Starting,
    Running,
    Cancelling,
    Completed,
    Cancelled,
}

impl ReplayState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Cancelling => "CANCELLING",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// A connection: how requests to an API destination are authorized. Keyed by account, region, name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    pub key: Named,
    /// What its ARN ends with.
    pub uid: String,
    /// What the ARN of its secret ends with.
    pub secret_uid: String,
    pub description: Option<String>,
    pub kind: AuthKind,
    /// [`Auth`] as JSON, sealed.
    pub sealed: String,
    pub state: ConnectionState,
    pub reason: Option<String>,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub authorized: Option<Timestamp>,
}

impl Record for ConnectionRecord {
    const TABLE: &'static str = "event_connections";
    const VERSION: u32 = 1;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthKind {
    Basic,
    OAuth,
    ApiKey,
}

impl AuthKind {
    pub fn read(given: &str) -> Self {
        match given {
            "BASIC" => Self::Basic,
            "OAUTH_CLIENT_CREDENTIALS" => Self::OAuth,
            // The model lets nothing else through.
            _ => Self::ApiKey,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "BASIC",
            Self::OAuth => "OAUTH_CLIENT_CREDENTIALS",
            Self::ApiKey => "API_KEY",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionState {
    Authorizing,
    Authorized,
    Deauthorized,
}

impl ConnectionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorizing => "AUTHORIZING",
            Self::Authorized => "AUTHORIZED",
            Self::Deauthorized => "DEAUTHORIZED",
        }
    }
}

/// What a connection knows, secrets included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Auth {
    pub basic: Option<(String, String)>,
    pub api_key: Option<(String, String)>,
    pub oauth: Option<OAuth>,
    pub invocation: Option<HttpParts>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OAuth {
    pub client_id: String,
    pub client_secret: String,
    pub endpoint: String,
    pub method: String,
    pub parts: Option<HttpParts>,
}

/// What is added to requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HttpParts {
    pub headers: Option<Vec<Part>>,
    pub query: Option<Vec<Part>>,
    pub body: Option<Vec<Part>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub key: String,
    pub value: String,
    pub is_secret: bool,
}

/// An API destination. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationRecord {
    pub key: Named,
    pub uid: String,
    pub description: Option<String>,
    pub connection: Named,
    pub endpoint: String,
    pub method: String,
    pub rate_per_s: Option<i32>,
    pub created: Timestamp,
    pub modified: Timestamp,
}

impl Record for DestinationRecord {
    const TABLE: &'static str = "api_destinations";
    const VERSION: u32 = 1;
}
