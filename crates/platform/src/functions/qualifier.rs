//! What a qualifier names, and which version answers a request. Pure: randomness is an argument.
//!
//! No qualifier is `$LATEST`; a number is a published version; anything else is an alias, which
//! stands for a version or divides its requests between two.

use std::sync::Arc;

use super::{
    Functions,
    definitions::Entry,
    error::{Error, Result},
    execution::{FunctionKey, VersionId},
    is_alias, not_found,
    snapstart::is_pending,
    tables::{AliasRecord, FunctionRecord, Spec, State, VersionRecord},
};

pub const LATEST: &str = "$LATEST";

/// What a qualifier stands for.
#[derive(Debug)]
pub enum Named<'a> {
    Latest,
    Version(&'a Arc<VersionRecord>),
    Alias(&'a Arc<AliasRecord>),
}

/// What of a function a qualifier names, if there is such.
pub fn named<'a>(entry: &'a Entry, qualifier: Option<&str>) -> Option<Named<'a>> {
    let published = &entry.published;
    match qualifier {
        None | Some(LATEST) => Some(Named::Latest),
        Some(alias) if is_alias(alias) => published.aliases.get(alias).map(Named::Alias),
        Some(number) => published.version(number).map(Named::Version),
    }
}

/// The version that answers a request. `random` is from 0 up to 1 and not 1 itself; it is asked
/// for only where an alias divides its requests.
pub fn resolve(
    entry: &Entry,
    qualifier: Option<&str>,
    random: impl FnOnce() -> f64,
) -> Option<VersionId> {
    Some(match named(entry, qualifier)? {
        Named::Latest => VersionId::latest(),
        Named::Version(version) => version.id(),
        Named::Alias(alias) => match alias.additional {
            Some(other) if random() < other.weight => VersionId::published(other.version),
            _ => alias.version_id(),
        },
    })
}

/// A version's configuration: of the function itself, or of what was published.
pub enum Configured<'a> {
    Latest(&'a FunctionRecord),
    Published(&'a VersionRecord),
}

impl Configured<'_> {
    pub fn state(&self) -> State {
        match self {
            Self::Latest(record) => record.state,
            Self::Published(version) => version.state,
        }
    }

    pub fn waits_for_snapshot(&self) -> bool {
        matches!(self, Self::Published(version) if is_pending(version))
    }

    /// What answers requests, or would.
    pub fn spec(&self) -> &Spec {
        match self {
            Self::Latest(record) => record.answering().unwrap_or(&record.spec),
            Self::Published(version) => &version.spec,
        }
    }

    pub fn role(&self) -> &str {
        match self {
            Self::Latest(record) => &record.role,
            Self::Published(version) => &version.role,
        }
    }
}

/// The configuration behind a qualifier: for an alias that of its first version.
pub fn configured<'a>(entry: &'a Entry, qualifier: Option<&str>) -> Option<Configured<'a>> {
    let number = match named(entry, qualifier)? {
        Named::Latest => None,
        Named::Version(version) => return Some(Configured::Published(version)),
        Named::Alias(alias) => alias.version,
    };
    match number {
        None => Some(Configured::Latest(&entry.record)),
        Some(number) => {
            let version = entry.published.versions.get(&number)?;
            Some(Configured::Published(version))
        }
    }
}

impl Functions {
    /// Whether there is a function, and what a qualifier names of it.
    pub fn exists(&self, key: &FunctionKey, qualifier: Option<&str>) -> bool {
        let entry = self.0.definitions.get(key);
        entry.is_some_and(|entry| named(&entry, qualifier).is_some())
    }

    /// The function of a key, if it has what a qualifier names; otherwise Lambda's word that there
    /// is no such function.
    pub(super) fn find_qualified(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
    ) -> Result<Arc<Entry>> {
        let entry = self.0.definitions.get(key);
        let entry = entry.filter(|entry| named(entry, qualifier).is_some());
        entry.ok_or_else(|| not_found(key, qualifier))
    }

    /// The same where Lambda says of an alias that is not there that it is no alias.
    pub(super) fn find_resource(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
    ) -> Result<Arc<Entry>> {
        let entry = self.find(key)?;
        match (named(&entry, qualifier), qualifier) {
            (Some(_), _) => Ok(entry),
            (None, Some(alias)) if is_alias(alias) => Err(Error::AliasNotFound {
                arn: super::arn_of(key, Some(alias)),
            }),
            (None, _) => Err(not_found(key, qualifier)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{definitions::Published, tables::Additional};

    fn alias(version: Option<u64>, additional: Option<Additional>) -> AliasRecord {
        AliasRecord {
            name: "live".into(),
            version,
            additional,
            description: String::new(),
            revision_id: "r".into(),
        }
    }

    fn routed(alias: AliasRecord, random: f64) -> String {
        let mut published = Published::default();
        published.put_alias(alias);
        let entry = entry(published);
        resolve(&entry, Some("live"), || random)
            .unwrap()
            .to_string()
    }

    fn entry(published: Published) -> Entry {
        let record = crate::functions::tables::tests::function();
        Entry {
            key: record.key(),
            record,
            revision: 1,
            published,
        }
    }

    #[test]
    fn an_alias_divides_its_requests_by_weight() {
        let half = |weight| alias(Some(1), Some(Additional { version: 2, weight }));
        assert_eq!(routed(half(0.5), 0.49), "2");
        assert_eq!(routed(half(0.5), 0.5), "1");
        assert_eq!(routed(half(0.0), 0.0), "1");
        assert_eq!(routed(half(1.0), 0.999_999), "2");
        assert_eq!(routed(alias(None, None), 0.0), "$LATEST");
    }

    #[test]
    fn randomness_is_not_asked_for_where_nothing_is_divided() {
        let asked = || panic!("nothing is divided");
        let entry = entry(Published::default());
        let latest = resolve(&entry, None, asked).unwrap();
        assert!(latest.is_latest());
        assert_eq!(resolve(&entry, Some("$LATEST"), asked), Some(latest));
        assert_eq!(resolve(&entry, Some("1"), asked), None);
        assert_eq!(resolve(&entry, Some("live"), asked), None);
    }
}
