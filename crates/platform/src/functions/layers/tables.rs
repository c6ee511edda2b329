//! What is stored of layers: a counter per name, which outlives all of its versions, and a record
//! per version.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Migration, Record, Table};

use super::{super::tables::Code, LayerKey};

pub const LAYERS: Table<LayerRecord> = Table::new();
pub const LAYER_VERSIONS: Table<LayerVersionRecord> = Table::new();

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 2;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [
        Migration::new(first, "layers", store::records_table!("layers")),
        Migration::new(
            first + 1,
            "layer_versions",
            store::records_table!("layer_versions"),
        ),
    ]
}

/// A layer's name. Keyed by account, region and name; never removed, so that no number of a
/// version comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    pub last_version: u64,
}

impl Record for LayerRecord {
    const TABLE: &'static str = "layers";
    const VERSION: u32 = 1;
}

/// Keyed by account, region, name and [`newest_first`] of the version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerVersionRecord {
    pub account_id: String,
    pub region: String,
    pub name: String,
    pub version: u64,
    pub description: String,
    pub license_info: Option<String>,
    pub compatible_architectures: Vec<String>,
    pub compatible_runtimes: Vec<String>,
    pub created: Timestamp,
    pub code: Code,
    /// The statements of its policy, as they are shown.
    pub policy: Vec<serde_json::Value>,
    /// Of the policy.
    pub revision_id: String,
}

impl Record for LayerVersionRecord {
    const TABLE: &'static str = "layer_versions";
    const VERSION: u32 = 1;
}

impl LayerVersionRecord {
    pub fn layer(&self) -> LayerKey {
        LayerKey {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            name: self.name.clone(),
        }
    }

    pub fn arn(&self) -> String {
        self.layer().version_arn(self.version)
    }

    /// Whether it says that it is for these.
    pub fn fits(&self, runtime: Option<&str>, architecture: Option<&str>) -> bool {
        let fits = |wanted: Option<&str>, known: &[String]| {
            wanted.is_none_or(|wanted| known.iter().any(|known| known == wanted))
        };
        fits(runtime, &self.compatible_runtimes)
            && fits(architecture, &self.compatible_architectures)
    }
}

/// A version's number as the part of a key: keys are read in ascending order, and Lambda lists the
/// newest version first.
pub fn newest_first(version: u64) -> String {
    format!("{:020}", u64::MAX - version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_sort_first() {
        assert!(newest_first(10) < newest_first(9));
        assert!(newest_first(1) < newest_first(0));
        assert_eq!(newest_first(u64::MAX), "0".repeat(20));
    }
}
