//! What is stored: a record per function with everything that its API can tell, and one per
//! function URL that leads from its id to the function.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{BlobHash, Migration, Record, Table};

use super::{execution::FunctionKey, layers::LayerUse};

pub const FUNCTIONS: Table<FunctionRecord> = Table::new();
pub const FUNCTION_URLS: Table<UrlOwner> = Table::new();

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 2;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [
        Migration::new(first, "functions", store::records_table!("functions")),
        Migration::new(
            first + 1,
            "function_urls",
            store::records_table!("function_urls"),
        ),
    ]
}

/// A function. Keyed by account, region and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionRecord {
    pub account_id: String,
    pub region: String,
    pub name: String,
    /// What its owner last asked for.
    pub spec: Spec,
    /// What answers requests as long as the last update has not succeeded.
    pub serving: Option<Box<Spec>>,
    pub role: String,
    pub description: String,
    pub last_modified: Timestamp,
    pub revision_id: String,
    pub state: State,
    pub state_reason: Option<Reason>,
    pub last_update: Option<LastUpdate>,
    /// A VpcConfig was given, if only an empty one: Lambda then shows it.
    pub vpc_shown: bool,
    pub reserved_concurrency: Option<u32>,
    pub tags: BTreeMap<String, String>,
    /// At most one today; aliases will bring one each.
    pub urls: Vec<FunctionUrl>,
    /// The statements of the resource policy, as they are shown.
    pub policy: Vec<serde_json::Value>,
}

impl Record for FunctionRecord {
    const TABLE: &'static str = "functions";
    const VERSION: u32 = 1;
}

impl FunctionRecord {
    pub fn key(&self) -> FunctionKey {
        FunctionKey {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            name: self.name.clone(),
        }
    }

    pub fn arn(&self) -> String {
        wire::lambda::function_arn(&self.region, &self.account_id, &self.name, None)
    }

    /// What is to answer requests; nothing while the function is being created.
    pub fn answering(&self) -> Option<&Spec> {
        match self.state {
            State::Active => Some(self.serving.as_deref().unwrap_or(&self.spec)),
            State::Pending | State::Failed => None,
        }
    }

    pub fn update_in_progress(&self) -> bool {
        self.last_update
            .as_ref()
            .is_some_and(|update| update.status == UpdateStatus::InProgress)
    }

    /// Whether a deployment of its spec is still to come.
    pub fn is_unsettled(&self) -> bool {
        self.state == State::Pending || self.update_in_progress()
    }
}

/// Everything of a function that its environments can see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Begins at the time of creation in milliseconds, so that a function made again under its
    /// name never meets a generation of before.
    pub generation: i64,
    pub runtime: String,
    pub handler: String,
    pub architecture: String,
    pub code: Code,
    /// In merge order.
    #[serde(default)]
    pub layers: Vec<LayerUse>,
    /// Sealed; none where none were given, which Lambda tells apart from given but empty.
    pub environment: Option<String>,
    pub memory_mb: u32,
    pub tmp_mb: u32,
    pub timeout_s: u32,
    pub logging: Logging,
    pub tracing_active: bool,
    /// The value of the tag that says where connections may go.
    pub network: Option<String>,
}

impl Spec {
    /// Everything that has to stay as long as this can run.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> + '_ {
        let layers = self.layers.iter().map(|layer| layer.code.blob);
        std::iter::once(self.code.blob).chain(layers)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The package's SHA-256: its blob's name, and in base64 what Lambda shows.
    pub blob: BlobHash,
    pub size: u64,
}

impl Code {
    /// As Lambda shows it.
    pub fn sha256(&self) -> String {
        BASE64_STANDARD.encode(self.blob.as_bytes())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `Text` or `JSON`.
    pub format: String,
    pub group: String,
    pub application_level: Option<String>,
    pub system_level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Pending,
    Active,
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Failed => "Failed",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStatus {
    InProgress,
    Successful,
    Failed,
}

impl UpdateStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUpdate {
    pub status: UpdateStatus,
    pub reason: Option<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    pub text: String,
}

impl Reason {
    /// Lambda says the same of a function being made and of one being updated.
    pub fn creating() -> Self {
        Self {
            code: "Creating".to_owned(),
            text: "The function is being created.".to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionUrl {
    pub id: String,
    /// An alias, some day.
    pub qualifier: Option<String>,
    /// `NONE` or `AWS_IAM`.
    pub auth_type: String,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub invoke_mode: String,
    pub cors: Option<Cors>,
    pub created: Timestamp,
    pub modified: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    pub allow_credentials: Option<bool>,
    pub allow_headers: Option<Vec<String>>,
    pub allow_methods: Option<Vec<String>>,
    pub allow_origins: Option<Vec<String>>,
    pub expose_headers: Option<Vec<String>>,
    pub max_age: Option<i32>,
}

/// Whose URL an id is. Keyed by the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlOwner {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl Record for UrlOwner {
    const TABLE: &'static str = "function_urls";
    const VERSION: u32 = 1;
}
