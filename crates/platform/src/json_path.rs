//! The JSON paths of what rules and pipes send: `$.detail.items[0].id`, with `[*]` and `.*` for all of them.
//! Pure.

use serde_json::Value;

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no JSON path")]
pub struct NotAPath;

impl Path {
    pub fn parse(text: &str) -> Result<Self, NotAPath> {
        let mut rest = text.strip_prefix('$').ok_or(NotAPath)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let step;
            (step, rest) = match rest.strip_prefix('.') {
                Some(named) => name(named)?,
                None => bracket(rest.strip_prefix('[').ok_or(NotAPath)?)?,
            };
            steps.push(step);
        }
        Ok(Self(steps))
    }

    /// What stands there: one value, or of a path with wildcards the list of all. None if nothing
    /// does.
    pub fn find(&self, value: &Value) -> Option<Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| step.take(value))
                .collect();
        }
        match self.0.contains(&Step::All) {
            true => Some(Value::Array(found.into_iter().cloned().collect())),
            false => found.first().map(|value| (*value).clone()),
        }
    }
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(object)) => object.get(name).into_iter().collect(),
            (Self::Index(at), Value::Array(elements)) => elements.get(*at).into_iter().collect(),
            (Self::All, Value::Array(elements)) => elements.iter().collect(),
            (Self::All, Value::Object(object)) => object.values().collect(),
            _ => Vec::new(),
        }
    }
}

fn name(text: &str) -> Result<(Step, &str), NotAPath> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let allowed = |c: char| c.is_alphanumeric() || "-_/:@#".contains(c);
    match name {
        "" => Err(NotAPath),
        "*" => Ok((Step::All, rest)),
        name if name.chars().all(allowed) => Ok((Step::Name(name.to_owned()), rest)),
        _ => Err(NotAPath),
    }
}

fn bracket(text: &str) -> Result<(Step, &str), NotAPath> {
    let (inside, rest) = text.split_once(']').ok_or(NotAPath)?;
    let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote);
    let step = match (inside, quoted('\'').or_else(|| quoted('"'))) {
        ("*", _) => Step::All,
        (_, Some(name)) if !name.is_empty() => Step::Name(name.to_owned()),
        (index, _) => Step::Index(index.parse().map_err(|_| NotAPath)?),
    };
    Ok((step, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let event = json!({"a-b": {"list": [{"id": 1}, {"id": 2}]}, "x": null});
        for (path, found) in [
            ("$", Some(event.clone())),
            ("$.a-b.list[1].id", Some(json!(2))),
            ("$['a-b'].list[0]", Some(json!({"id": 1}))),
            ("$.a-b.list[*].id", Some(json!([1, 2]))),
            ("$.x", Some(json!(null))),
            ("$.y", None),
            ("$.a-b.list[2]", None),
            ("$.a-b.list.id", None),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&event), found, "{path}");
        }
        for path in ["", "a", "$a", "$.", "$..a", "$[", "$[x]", "$.a b", "$['']"] {
            assert_eq!(Path::parse(path), Err(NotAPath), "{path}");
        }
    }
}
