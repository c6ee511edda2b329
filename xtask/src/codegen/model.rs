//! A service's model as vendored: botocore's JSON with the documentation left out, and over it what
//! was observed of the service itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

pub struct Model {
    /// As in `SERVICES`, e.g. `lambda`.
    pub service: String,
    pub metadata: Map<String, Value>,
    /// By name, in the order of the tables.
    pub operations: BTreeMap<String, Value>,
    pub shapes: BTreeMap<String, Value>,
    /// The operations that get typed structures.
    pub typed: BTreeSet<String>,
}

impl Model {
    pub fn load(models: &Path, service: &str) -> Result<Self> {
        let mut model = read(&models.join(format!("{service}.json")))?;
        let observed = models.join(format!("{service}.observed.json"));
        if observed.exists() {
            overlay(&mut model, &read(&observed)?)?;
        }
        let listed = read(&models.join("operations.json"))?;
        let typed = listed[service]
            .as_array()
            .context("no list of operations for the service")?;
        let model = Self {
            service: service.to_owned(),
            metadata: model["metadata"]
                .as_object()
                .cloned()
                .context("no metadata")?,
            operations: entries(&model["operations"])?,
            shapes: entries(&model["shapes"])?,
            typed: typed
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        };
        if let Some(unknown) = model
            .typed
            .iter()
            .find(|o| !model.operations.contains_key(*o))
        {
            bail!("{service} has no operation {unknown}");
        }
        Ok(model)
    }

    pub fn shape(&self, name: &str) -> Result<&Value> {
        self.shapes
            .get(name)
            .with_context(|| format!("no shape {name}"))
    }

    /// A shape's index in the table.
    pub fn id(&self, name: &str) -> Result<usize> {
        let found = self.shapes.keys().position(|key| key == name);
        found.with_context(|| format!("no shape {name}"))
    }

    /// The service's name in Rust and in messages, e.g. `Lambda`.
    pub fn name(&self) -> &str {
        self.metadata
            .get("serviceId")
            .and_then(Value::as_str)
            .unwrap_or(&self.service)
    }

    /// The structures that the typed operations reach, for input, output or both.
    pub fn typed_structures(&self) -> Result<BTreeSet<String>> {
        let mut reached = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for name in &self.typed {
            for side in ["input", "output"] {
                if let Some(shape) = self.operations[name][side]["shape"].as_str() {
                    self.reach(shape, &mut seen, &mut reached)?;
                }
            }
        }
        Ok(reached)
    }

    fn reach(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        structures: &mut BTreeSet<String>,
    ) -> Result<()> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let shape = self.shape(name)?;
        if shape["type"] == "structure" {
            structures.insert(name.to_owned());
        }
        let members = shape["members"]
            .as_object()
            .into_iter()
            .flat_map(Map::values);
        let parts = ["member", "key", "value"]
            .into_iter()
            .filter_map(|part| shape.get(part));
        for part in members.chain(parts) {
            self.reach(target(part)?, seen, structures)?;
        }
        Ok(())
    }

    /// Whether a structure holds itself, other than through a list or a map.
    pub fn is_recursive(&self, name: &str, within: &str) -> Result<bool> {
        let shape = self.shape(name)?;
        for member in shape["members"]
            .as_object()
            .into_iter()
            .flat_map(Map::values)
        {
            let next = target(member)?;
            if next == within {
                return Ok(true);
            }
            if next != name
                && self.shape(next)?["type"] == "structure"
                && self.is_recursive(next, within)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The shape that a member, element, key or value refers to.
pub fn target(part: &Value) -> Result<&str> {
    part["shape"]
        .as_str()
        .with_context(|| format!("no shape in {part}"))
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

fn entries(object: &Value) -> Result<BTreeMap<String, Value>> {
    let object = object.as_object().context("not an object")?;
    Ok(object.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// Lays `over` on `under`: objects merge, `null` removes, all else replaces. Only what is there can
/// be changed, so that an observation about something that has gone is noticed.
fn overlay(under: &mut Value, over: &Value) -> Result<()> {
    let Value::Object(over) = over else {
        *under = over.clone();
        return Ok(());
    };
    let Value::Object(under) = under else {
        bail!("an observation replaces no object")
    };
    for (key, value) in over.iter().filter(|(key, _)| !key.starts_with("//")) {
        match value {
            Value::Null => {
                under.remove(key);
            }
            Value::Object(_) => {
                let at = under
                    .get_mut(key)
                    .with_context(|| format!("observed {key} is gone"))?;
                overlay(at, value).with_context(|| format!("in {key}"))?;
            }
            value => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}
