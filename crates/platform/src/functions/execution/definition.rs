//! What execution has to know of a function: one immutable value per change of it.

use std::{
    fmt,
    ops::Deref,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use sandbox::{Launch, NetworkPolicy};

/// Which function: names are unique within an account and region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

/// Which version: `$LATEST`, or a number. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(Arc<str>);

impl VersionId {
    pub fn latest() -> Self {
        /// Each request to a function without a qualifier wants one.
        static SHARED: LazyLock<Arc<str>> = LazyLock::new(|| LATEST.into());
        Self(SHARED.clone())
    }

    pub fn published(number: u64) -> Self {
        Self(number.to_string().into())
    }

    pub fn is_latest(&self) -> bool {
        &*self.0 == LATEST
    }
}

const LATEST: &str = "$LATEST";

impl Deref for VersionId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for VersionId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a function: what environments are of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionKey {
    pub function: FunctionKey,
    pub version: VersionId,
}

/// A function's version as it is to run from now on. Never changed: an update deploys another one.
#[derive(Debug, Clone)]
pub struct Definition {
    pub key: FunctionKey,
    pub version: VersionId,
    /// Counts up with every change of code or configuration that environments can see. Two
    /// definitions of a version with the same generation are the same.
    pub generation: i64,
    /// E.g. `python3.13`; as Lambda's API names it.
    pub runtime: String,
    pub launch: Launch,
    /// `_HANDLER`; empty for custom runtimes that have none.
    pub handler: String,
    /// The ARN of the role that it acts in.
    pub role: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The unpacked code; of no meaning with a container image.
    pub code: Arc<CodeDirectory>,
    /// Unpacked layers in merge order, or those of a container image.
    pub layers: Vec<Arc<CodeDirectory>>,
    /// Of a container image; the user's own win over them.
    pub image_environment: Vec<(String, String)>,
    /// The user's own variables, decrypted.
    pub environment: Vec<(String, String)>,
    pub memory_mb: u32,
    pub tmp_mb: u32,
    pub timeout_s: u32,
    pub network: NetworkPolicy,
    /// E.g. `/aws/lambda/resize`.
    pub log_group: String,
    pub log_format: LogFormat,
    /// With the JSON format only.
    pub application_log_level: LogLevel,
    pub system_log_level: LogLevel,
    /// `TracingConfig.Mode` is `Active`.
    pub tracing_active: bool,
    /// Environments begin from a snapshot of the init.
    pub snap_start: bool,
}

impl Definition {
    /// The levels below which Lambda's own lines and the function's are left out of the log: the
    /// text format has all.
    pub fn lowest_levels(&self) -> LowestLevels {
        let json = self.log_format == LogFormat::Json;
        LowestLevels {
            system: json.then_some(self.system_log_level),
            application: json.then_some(self.application_log_level),
        }
    }
}

/// A directory that stays as long as this is held: environments may have it mounted.
#[derive(Debug, PartialEq, Eq)]
pub struct CodeDirectory(pub PathBuf);

/// None leaves nothing out.
#[derive(Debug, Clone, Copy)]
pub struct LowestLevels {
    pub system: Option<LogLevel>,
    pub application: Option<LogLevel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    Fatal,
}

impl LogLevel {
    /// As Lambda's API and `AWS_LAMBDA_LOG_LEVEL` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}
