//! What is stored: a record per function with everything that its API can tell of it and of
//! `$LATEST`, one per published version, one per alias, and one per function URL that leads from
//! its id to the function.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{BlobHash, Cause, Migration, Record, Table};

use super::{
    durable::DurableConfig,
    execution::{FunctionKey, VersionId},
    images::ImageSpec,
    layers::LayerUse,
    runtime_management::RuntimeUpdates,
};

pub const FUNCTIONS: Table<FunctionRecord> = Table::new();
pub const VERSIONS: Table<VersionRecord> = Table::new();
pub const ALIASES: Table<AliasRecord> = Table::new();
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

/// How many migrations [`version_migrations`] gives.
pub const VERSION_MIGRATION_COUNT: u32 = 2;

/// The tables of versions and aliases, which came later, numbered from `first`.
pub const fn version_migrations(first: u32) -> [Migration; VERSION_MIGRATION_COUNT as usize] {
    [
        Migration::new(
            first,
            "function_versions",
            store::records_table!("function_versions"),
        ),
        Migration::new(
            first + 1,
            "function_aliases",
            store::records_table!("function_aliases"),
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
    /// At most one of the function and one of each alias.
    pub urls: Vec<FunctionUrl>,
    /// The resource policies by qualifier; that of the function itself is under [`UNQUALIFIED`].
    pub policies: BTreeMap<String, Policy>,
    /// The number of the version that was published last, if it is gone or not; 0 before the first.
    pub last_version: u64,
    /// Provisioned concurrency, by version or alias.
    pub provisioned: BTreeMap<String, Provisioned>,
    /// Its first generation: tells it from one that had its name before.
    #[serde(default)]
    pub born: i64,
    /// How it takes events that nobody waits for, by qualifier; `$LATEST` is one.
    #[serde(default)]
    pub event_invoke: BTreeMap<String, EventInvoke>,
    /// `RecursiveLoop` is `Allow`.
    #[serde(default)]
    pub recursive_loop_allowed: bool,
    /// The ARN of the configuration that its next code is checked by.
    #[serde(default)]
    pub code_signing: Option<String>,
}

/// What was asked for by PutProvisionedConcurrencyConfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    pub requested: u32,
    pub last_modified: Timestamp,
}

/// Where a function's own policy is among those of its versions and aliases.
pub const UNQUALIFIED: &str = "";

/// A resource policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// That of the function, version or alias at the last change of the policy.
    pub revision_id: String,
    /// As they are shown; never empty.
    pub statements: Vec<Value>,
}

/// A FunctionEventInvokeConfig, with what was not given left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventInvoke {
    pub retries_max: Option<u32>,
    pub age_max_s: Option<u32>,
    /// ARNs.
    pub on_success: Option<String>,
    pub on_failure: Option<String>,
    pub last_modified: Timestamp,
}

impl Record for FunctionRecord {
    const TABLE: &'static str = "functions";
    const VERSION: u32 = 2;

    /// Version 1 had one policy, `policy`, and no versions.
    fn upgrade(version: u32, body: Value) -> Result<Self, Cause> {
        let cause =
            |why: String| Cause::from(Box::<dyn std::error::Error + Send + Sync>::from(why));
        let mut body = match (version, body) {
            (1, Value::Object(body)) => body,
            (version, _) => return Err(cause(format!("there is no upgrade from {version}"))),
        };
        let statements = body.remove("policy").unwrap_or_default();
        let revision_id = body.get("revision_id").cloned().unwrap_or_default();
        let mut policies = serde_json::Map::new();
        if statements.as_array().is_some_and(|held| !held.is_empty()) {
            let policy = serde_json::json!({"revision_id": revision_id, "statements": statements});
            policies.insert(UNQUALIFIED.to_owned(), policy);
        }
        body.insert("policies".to_owned(), Value::Object(policies));
        body.insert("last_version".to_owned(), Value::from(0));
        body.insert("provisioned".to_owned(), serde_json::json!({}));
        serde_json::from_value(Value::Object(body)).map_err(|error| cause(error.to_string()))
    }
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

    /// The statements of a qualifier's policy: of the function itself, a version or an alias.
    pub fn policy(&self, qualifier: Option<&str>) -> &[Value] {
        let policy = self.policies.get(qualifier.unwrap_or(UNQUALIFIED));
        policy.map_or(&[], |policy| &policy.statements)
    }

    /// A version or an alias is gone, and with it what was said of it.
    pub fn forget_qualifier(&mut self, qualifier: &str) {
        self.policies.remove(qualifier);
        self.provisioned.remove(qualifier);
        self.event_invoke.remove(qualifier);
        self.urls
            .retain(|url| url.qualifier.as_deref() != Some(qualifier));
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

/// A published version: what `$LATEST` was. Nothing of it changes but its state and, with its
/// policy, its revision. Keyed by account, region, name and number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    pub number: u64,
    pub spec: Spec,
    pub role: String,
    pub description: String,
    /// That of `$LATEST`, where the version was given one of its own.
    pub latest_description: String,
    pub last_modified: Timestamp,
    pub revision_id: String,
    pub state: State,
    pub state_reason: Option<Reason>,
    pub last_update: Option<LastUpdate>,
    pub vpc_shown: bool,
}

impl Record for VersionRecord {
    const TABLE: &'static str = "function_versions";
    const VERSION: u32 = 1;
}

impl VersionRecord {
    pub fn id(&self) -> VersionId {
        VersionId::published(self.number)
    }

    /// The version as a function that was always so, to be shown and run like one.
    pub fn of_function(&self, function: &FunctionRecord) -> FunctionRecord {
        FunctionRecord {
            account_id: function.account_id.clone(),
            region: function.region.clone(),
            name: function.name.clone(),
            spec: self.spec.clone(),
            serving: None,
            role: self.role.clone(),
            description: self.description.clone(),
            last_modified: self.last_modified,
            revision_id: self.revision_id.clone(),
            state: self.state,
            state_reason: self.state_reason.clone(),
            last_update: self.last_update.clone(),
            vpc_shown: self.vpc_shown,
            reserved_concurrency: function.reserved_concurrency,
            tags: function.tags.clone(),
            urls: Vec::new(),
            policies: BTreeMap::new(),
            last_version: self.number,
            provisioned: BTreeMap::new(),
            born: function.born,
            event_invoke: BTreeMap::new(),
            recursive_loop_allowed: function.recursive_loop_allowed,
            code_signing: function.code_signing.clone(),
        }
    }
}

/// A name for a version, or for two between which requests are divided. Keyed by account, region,
/// function and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AliasRecord {
    pub name: String,
    /// None is `$LATEST`.
    pub version: Option<u64>,
    pub additional: Option<Additional>,
    pub description: String,
    pub revision_id: String,
}

impl Record for AliasRecord {
    const TABLE: &'static str = "function_aliases";
    const VERSION: u32 = 1;
}

/// The other version of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Additional {
    pub version: u64,
    /// Which part of the requests it gets, 0 to 1.
    pub weight: f64,
}

impl AliasRecord {
    pub fn version_id(&self) -> VersionId {
        self.version
            .map_or_else(VersionId::latest, VersionId::published)
    }

    pub fn names(&self, number: u64) -> bool {
        let additional = self.additional.map(|other| other.version);
        self.version == Some(number) || additional == Some(number)
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
    /// DeadLetterConfig's TargetArn.
    #[serde(default)]
    pub dead_letter: Option<String>,
    /// In place of a package; its manifest's digest is the code's then.
    #[serde(default)]
    pub image: Option<ImageSpec>,
    #[serde(default)]
    pub runtime_updates: RuntimeUpdates,
    /// That of a durable function.
    #[serde(default)]
    pub durable: Option<DurableConfig>,
    /// SnapStart for versions that are published of it.
    #[serde(default)]
    pub snap_start: bool,
}

impl Spec {
    /// What Lambda shows of the code: a package's hash in base64, an image's digest as it is.
    pub fn code_sha256(&self) -> String {
        match self.image {
            Some(_) => self.code.blob.to_string(),
            None => self.code.sha256(),
        }
    }

    /// Everything that has to stay as long as this can run.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> + '_ {
        let layers = self.layers.iter().map(|layer| layer.code.blob);
        let image = self.image.iter().flat_map(|image| &image.layers);
        std::iter::once(self.code.blob)
            .chain(layers)
            .chain(image.map(|layer| layer.blob))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The package's SHA-256: its blob's name, and in base64 what Lambda shows.
    pub blob: BlobHash,
    pub size: u64,
}

impl Code {
    /// As Lambda shows a package's.
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
    /// The alias, if it is one's.
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

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// As it was stored before there were versions.
    fn before_versions(policy: &Value) -> Value {
        json!({
            "account_id": "111111111111", "region": "us-east-1", "name": "f",
            "spec": {
                "generation": 7, "runtime": "python3.13", "handler": "index.handler",
                "architecture": "x86_64",
                "code": {"blob": BlobHash::of(b"zip").to_string(), "size": 3},
                "environment": null, "memory_mb": 128, "tmp_mb": 512, "timeout_s": 3,
                "logging": {
                    "format": "Text", "group": "/aws/lambda/f", "application_level": null,
                    "system_level": null,
                },
                "tracing_active": false, "network": null,
            },
            "serving": null, "role": "arn:aws:iam::111111111111:role/r", "description": "",
            "last_modified": "2026-01-01T00:00:00Z", "revision_id": "r1", "state": "Active",
            "state_reason": null, "last_update": null, "vpc_shown": false,
            "reserved_concurrency": 5, "tags": {"a": "1"}, "urls": [], "policy": policy,
        })
    }

    pub fn function() -> FunctionRecord {
        FunctionRecord::upgrade(1, before_versions(&json!([]))).unwrap()
    }

    #[test]
    fn a_function_of_before_has_its_policy_and_no_versions() {
        let statements = json!([{"Sid": "s", "Effect": "Allow"}]);
        let upgraded = FunctionRecord::upgrade(1, before_versions(&statements)).unwrap();
        assert_eq!(upgraded.last_version, 0);
        assert_eq!(upgraded.reserved_concurrency, Some(5));
        assert_eq!(json!(upgraded.policy(None)), statements);
        assert_eq!(upgraded.policies[UNQUALIFIED].revision_id, "r1");
        assert!(upgraded.policy(Some("1")).is_empty());
        assert!(function().policies.is_empty());
        assert!(FunctionRecord::upgrade(0, json!({})).is_err());
    }
}
