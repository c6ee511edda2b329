//! What is kept in memory of buses: their definitions, read to be used. An event never reads the
//! store.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use super::{
    error::{Error, Result},
    input::{Input, Template},
    limits,
    names::{BusKey, Named},
    tables::{ArchiveRecord, BusRecord, InputRecord, RuleRecord, RuleState, TargetRecord},
};
use crate::{
    identity::policy::{Bounds, Kind, Policy, PolicyError},
    json_path::Path,
    patterns::{Index, Operators, Pattern},
};

/// A bus with all that is on it. Never changed: what is different is another one.
pub struct Bus {
    pub record: BusRecord,
    pub rules: BTreeMap<String, Arc<Rule>>,
    pub archives: Vec<Arc<Archive>>,
    pub policy: Option<Policy>,
    /// Made when the first event asks for it: rules mostly come many at once.
    index: OnceLock<Index<Arc<Rule>>>,
}

pub struct Rule {
    pub record: RuleRecord,
    pub arn: String,
    pub pattern: Option<Pattern>,
    pub targets: Vec<Target>,
}

pub struct Target {
    pub record: TargetRecord,
    pub input: Input,
}

pub struct Archive {
    pub record: ArchiveRecord,
    pub pattern: Option<Pattern>,
}

impl Bus {
    pub fn new(record: BusRecord) -> Self {
        let policy = record.policy.as_deref().and_then(|text| {
            let read = read_policy(text);
            read.inspect_err(|error| tracing::error!("a bus's policy cannot be read: {error}"))
                .ok()
        });
        Self {
            record,
            policy,
            rules: BTreeMap::new(),
            archives: Vec::new(),
            index: OnceLock::new(),
        }
    }

    /// The same with another record.
    pub fn with(&self, record: BusRecord) -> Self {
        Self {
            rules: self.rules.clone(),
            archives: self.archives.clone(),
            ..Self::new(record)
        }
    }

    pub fn with_rule(&self, rule: Rule) -> Self {
        let mut changed = self.with(self.record.clone());
        changed
            .rules
            .insert(rule.record.name.clone(), Arc::new(rule));
        changed
    }

    pub fn without_rule(&self, name: &str) -> Self {
        let mut changed = self.with(self.record.clone());
        changed.rules.remove(name);
        changed
    }

    /// With an archive, over one of the same name.
    pub fn with_archive(&self, archive: Arc<Archive>) -> Self {
        let mut changed = self.without_archive(&archive.record.key);
        changed.archives.push(archive);
        changed
    }

    pub fn without_archive(&self, key: &Named) -> Self {
        let mut changed = self.with(self.record.clone());
        changed.archives.retain(|held| held.record.key != *key);
        changed
    }

    /// The rules that are to fire for an event.
    pub fn matching(&self, event: &serde_json::Value) -> Vec<&Arc<Rule>> {
        let index = self.index.get_or_init(|| {
            let rules = self.rules.values().filter(|rule| rule.is_enabled());
            let entries = rules.filter_map(|rule| Some((rule.pattern.clone()?, rule.clone())));
            Index::new(entries.collect())
        });
        index.matching(event)
    }

    pub fn rule(&self, name: &str) -> Result<&Arc<Rule>> {
        let key = &self.record.key;
        self.rules.get(name).ok_or_else(|| no_rule(key, name))
    }
}

pub fn no_rule(bus: &BusKey, name: &str) -> Error {
    Error::NoRule {
        rule: name.to_owned(),
        bus: bus.name.clone(),
    }
}

impl Rule {
    pub fn new(record: RuleRecord) -> Result<Self> {
        let pattern = record.pattern.as_deref().map(compile).transpose()?;
        let targets = record.targets.iter().cloned().map(Target::new);
        Ok(Self {
            arn: record.arn(),
            pattern,
            targets: targets.collect::<Result<_>>()?,
            record,
        })
    }

    pub fn is_enabled(&self) -> bool {
        self.record.state != RuleState::Disabled
    }
}

impl Target {
    pub fn new(record: TargetRecord) -> Result<Self> {
        let invalid = |name: &str, path: &str| {
            Error::parameter(name, &format!("Invalid JSON path '{path}'."))
        };
        let input = match &record.input {
            InputRecord::Event => Input::Event,
            InputRecord::Constant(text) => Input::Constant(text.clone()),
            InputRecord::Path(path) => {
                Input::Part(Path::parse(path).map_err(|_| invalid("InputPath", path))?)
            }
            InputRecord::Template { paths, template } => {
                let paths = paths.iter().flatten();
                let paths = paths.map(|(name, path)| (name.as_str(), path.as_str()));
                let read = Template::new(template, paths);
                Input::Template(
                    read.map_err(|bad| Error::parameter("InputTransformer", &format!("{bad}.")))?,
                )
            }
        };
        Ok(Self { record, input })
    }
}

impl Archive {
    pub fn new(record: ArchiveRecord) -> Result<Self> {
        let pattern = record.pattern.as_deref().map(compile).transpose()?;
        Ok(Self { record, pattern })
    }

    pub fn keeps(&self, event: &serde_json::Value) -> bool {
        let pattern = self.pattern.as_ref();
        pattern.is_none_or(|pattern| pattern.matches(event))
    }
}

pub fn compile(pattern: &str) -> Result<Pattern> {
    let compiled = Pattern::compile(pattern, Operators::ALL);
    compiled.map_err(|invalid| Error::Pattern(invalid.located(pattern)))
}

pub fn read_policy(text: &str) -> std::result::Result<Policy, PolicyError> {
    let bounds = Bounds {
        bytes_max: limits::POLICY_BYTES_MAX,
        statements_max: limits::POLICY_STATEMENTS_MAX,
    };
    Policy::parse(text, Kind::Resource, bounds)
}

/// Where something belongs.
pub trait Placed: Ord + Clone {
    /// Before all of an account and region.
    fn first(account_id: &str, region: &str) -> Self;
    fn is_of(&self, account_id: &str, region: &str) -> bool;
}

impl Placed for BusKey {
    fn first(account_id: &str, region: &str) -> Self {
        Self::new(account_id, region, "")
    }

    fn is_of(&self, account_id: &str, region: &str) -> bool {
        self.account_id == account_id && self.region == region
    }
}

impl Placed for Named {
    fn first(account_id: &str, region: &str) -> Self {
        Self::new(account_id, region, "")
    }

    fn is_of(&self, account_id: &str, region: &str) -> bool {
        self.account_id == account_id && self.region == region
    }
}

/// Things by their keys.
pub struct Shelf<K, V>(RwLock<BTreeMap<K, Arc<V>>>);

impl<K: Ord, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }
}

impl<K: Placed, V> Shelf<K, V> {
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.get(key).cloned()
    }

    pub fn put(&self, key: K, value: impl Into<Arc<V>>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.insert(key, value.into());
    }

    pub fn remove(&self, key: &K) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.remove(key);
    }

    /// All of an account and region, in the order of their names.
    pub fn under(&self, account_id: &str, region: &str) -> Vec<Arc<V>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = held.range(K::first(account_id, region)..);
        from.take_while(|(key, _)| key.is_of(account_id, region))
            .map(|(_, value)| value.clone())
            .collect()
    }

    pub fn all(&self) -> Vec<Arc<V>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.values().cloned().collect()
    }
}
