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
    /// The model's name in `SERVICES`, e.g. `lambda`.
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

    /// The errors, each with its shape's index.
    pub fn errors(&self) -> impl Iterator<Item = (usize, &str)> {
        let shapes = self.shapes.iter().enumerate();
        shapes.filter_map(|(index, (name, shape))| {
            (shape["exception"] == true).then_some((index, name.as_str()))
        })
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

    #[cfg(test)]
    pub fn of_shapes<const N: usize>(shapes: [(&str, Value); N]) -> Self {
        Self {
            service: String::new(),
            metadata: Map::new(),
            operations: BTreeMap::new(),
            shapes: shapes.map(|(name, shape)| (name.to_owned(), shape)).into(),
            typed: BTreeSet::new(),
        }
    }

    /// Whether an operation's answer is a stream of events.
    pub fn answers_with_events(&self, operation: &Value) -> Result<bool> {
        let Some(output) = operation["output"]["shape"].as_str() else {
            return Ok(false);
        };
        let output = self.shape(output)?;
        let Some(payload) = output["payload"].as_str() else {
            return Ok(false);
        };
        let stream = self.shape(target(&output["members"][payload])?)?;
        Ok(stream["eventstream"] == true)
    }

    /// Whether a structure holds `within`, other than through a list or a map.
    pub fn is_recursive(&self, name: &str, within: &str) -> Result<bool> {
        self.holds(name, within, &mut BTreeSet::new())
    }

    fn holds(&self, name: &str, within: &str, seen: &mut BTreeSet<String>) -> Result<bool> {
        let shape = self.shape(name)?;
        if shape["type"] != "structure" || !seen.insert(name.to_owned()) {
            return Ok(false);
        }
        let members = shape["members"].as_object();
        for member in members.into_iter().flat_map(Map::values) {
            let next = target(member)?;
            if next == within || self.holds(next, within, seen)? {
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

/// Lays what was observed over a model. Only an operation or shape that is there can be changed, so
/// that an observation of something that has gone is noticed.
fn overlay(model: &mut Value, observed: &Value) -> Result<()> {
    for (section, entries) in facts(observed)? {
        let section_of_model = model
            .get_mut(section)
            .with_context(|| format!("a model has no {section}"))?;
        if section == "metadata" {
            lay(section_of_model, entries);
            continue;
        }
        for (name, over) in facts(entries)? {
            let under = section_of_model
                .get_mut(name)
                .with_context(|| format!("observed {name} is gone"))?;
            lay(under, over);
        }
    }
    Ok(())
}

/// All that is no comment.
fn facts(object: &Value) -> Result<impl Iterator<Item = (&String, &Value)>> {
    let object = object.as_object().context("not an object")?;
    Ok(object.iter().filter(|(key, _)| !key.starts_with("//")))
}

/// Objects merge, `null` removes, all else replaces.
fn lay(under: &mut Value, over: &Value) {
    let (Value::Object(under), Value::Object(over)) = (&mut *under, over) else {
        *under = over.clone();
        return;
    };
    for (key, value) in over.iter().filter(|(key, _)| !key.starts_with("//")) {
        match value {
            Value::Null => {
                under.remove(key);
            }
            value => {
                let at = under.entry(key.clone());
                lay(at.or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn observations_change_what_is_there_and_nothing_else() {
        let model = || {
            json!({
                "metadata": {"protocols": ["json"]},
                "shapes": {"Gone": {"type": "structure", "members": {}, "enum": ["a"]}},
            })
        };
        let mut changed = model();
        let observed = json!({
            "//": "why",
            "metadata": {"protocols": ["json", "query"]},
            "shapes": {"Gone": {"//": "why", "error": {"code": "Service.Gone"}, "enum": null}},
        });
        overlay(&mut changed, &observed).unwrap();
        let expect = json!({
            "metadata": {"protocols": ["json", "query"]},
            "shapes": {"Gone": {"type": "structure", "members": {}, "error": {"code": "Service.Gone"}}},
        });
        assert_eq!(changed, expect);
        let unknown = json!({"shapes": {"Other": {"enum": null}}});
        assert!(overlay(&mut model(), &unknown).is_err());
    }

    #[test]
    fn structures_that_hold_each_other_are_told() {
        let part = |next: &str| json!({"type": "structure", "members": {"Next": {"shape": next}}});
        let shapes = [("A", "B"), ("B", "C"), ("C", "B"), ("D", "D")];
        let model = Model::of_shapes(shapes.map(|(name, next)| (name, part(next))));
        let check = |name, within, expect| {
            assert_eq!(
                model.is_recursive(name, within).unwrap(),
                expect,
                "{name} in {within}"
            );
        };
        check("B", "A", false);
        check("C", "B", true);
        check("B", "C", true);
        check("D", "D", true);
    }
}
