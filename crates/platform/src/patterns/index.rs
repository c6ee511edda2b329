//! Many patterns over one kind of event: which of them match, without asking each.
//!
//! A pattern that says what text a field has to be is asked only about events in which the field is
//! that. Of several such fields a pattern goes by the one whose values the fewest others ask for.
//! Patterns without any are asked about each event.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Node, Pattern, Test, Text};

/// Patterns by the values that they ask for; each with something of the caller's.
#[derive(Debug, Default)]
pub struct Index<T> {
    entries: Vec<(Pattern, T)>,
    /// By path, then by value: places in `entries`.
    by_value: BTreeMap<Vec<String>, HashMap<String, Vec<usize>>>,
    others: Vec<usize>,
}

/// A field and the texts of which it has to be one.
type Anchor = (Vec<String>, Vec<String>);

impl<T> Index<T> {
    pub fn new(entries: Vec<(Pattern, T)>) -> Self {
        let anchors: Vec<Vec<Anchor>> = entries.iter().map(|(it, _)| it.anchors()).collect();
        let mut asked: HashMap<(&[String], &str), usize> = HashMap::new();
        for (path, values) in anchors.iter().flatten() {
            for value in values {
                *asked.entry((path, value)).or_default() += 1;
            }
        }
        let crowd = |(path, values): &&Anchor| -> usize {
            let each = values
                .iter()
                .map(|value| asked[&(path.as_slice(), value.as_str())]);
            each.sum()
        };
        let mut by_value: BTreeMap<Vec<String>, HashMap<String, Vec<usize>>> = BTreeMap::new();
        let mut others = Vec::new();
        for (place, anchors) in anchors.iter().enumerate() {
            let Some((path, values)) = anchors.iter().min_by_key(crowd) else {
                others.push(place);
                continue;
            };
            let at_path = by_value.entry(path.clone()).or_default();
            for value in values {
                let held = at_path.entry(value.clone()).or_default();
                if held.last() != Some(&place) {
                    held.push(place);
                }
            }
        }
        Self {
            entries,
            by_value,
            others,
        }
    }

    /// What goes with the patterns that match, in the order in which they were given.
    pub fn matching(&self, event: &Value) -> Vec<&T> {
        let mut places = self.others.clone();
        for (path, by_value) in &self.by_value {
            texts_at(event, path, &mut |text| {
                places.extend(by_value.get(text).into_iter().flatten());
            });
        }
        places.sort_unstable();
        places.dedup();
        let asked = places.into_iter().map(|place| &self.entries[place]);
        asked
            .filter(|(pattern, _)| pattern.matches(event))
            .map(|(_, with)| with)
            .collect()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Pattern {
    /// The fields that have to be one of some texts for it to match.
    fn anchors(&self) -> Vec<Anchor> {
        let mut found = Vec::new();
        self.node.anchors(&mut Vec::new(), &mut found);
        found
    }
}

impl Node {
    fn anchors(&self, path: &mut Vec<String>, found: &mut Vec<Anchor>) {
        for (name, field) in &self.fields {
            path.push(name.clone());
            if let Some(leaf) = field.leaf.as_ref().filter(|leaf| leaf.or_absent.is_none()) {
                let texts: Option<Vec<String>> = leaf.tests.iter().map(exact).collect();
                found.extend(texts.map(|texts| (path.clone(), texts)));
            }
            if let Some(below) = &field.below {
                below.anchors(path, found);
            }
            path.pop();
        }
    }
}

fn exact(test: &Test) -> Option<String> {
    match test {
        Test::Text(Text::Equal(text)) => Some(text.clone()),
        _ => None,
    }
}

/// The texts at a path, through arrays and through keys with dots in them.
fn texts_at<'a>(value: &'a Value, path: &[String], found: &mut impl FnMut(&'a str)) {
    match value {
        Value::Array(elements) => {
            for element in elements {
                texts_at(element, path, found);
            }
        }
        Value::String(text) if path.is_empty() => found(text),
        Value::Object(object) => {
            let Some((name, rest)) = path.split_first() else {
                return;
            };
            if let Some(below) = object.get(name) {
                texts_at(below, rest, found);
            }
            for (key, below) in object.iter().filter(|(key, _)| key.contains('.')) {
                let names = key.split('.').count();
                if path.len() >= names && key.split('.').eq(path[..names].iter().map(|n| &**n)) {
                    texts_at(below, &path[names..], found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patterns::Operators;

    fn index(patterns: &[Value]) -> Index<usize> {
        let compiled = patterns.iter().enumerate().map(|(place, pattern)| {
            let compiled = Pattern::compile(&pattern.to_string(), Operators::ALL);
            (compiled.unwrap(), place)
        });
        Index::new(compiled.collect())
    }

    #[test]
    fn who_is_found_is_who_matches() {
        let patterns = [
            json!({"source": ["a"], "detail": {"kind": ["x", "y"]}}),
            json!({"source": ["a"]}),
            json!({"source": [{"prefix": "a"}]}),
            json!({"source": ["a", {"exists": false}]}),
            json!({"detail": {"list": {"of": ["1"]}}}),
            json!({"$or": [{"source": ["a"]}, {"source": ["b"]}]}),
            json!({"source": ["a", "a"], "detail": {"kind": [1]}}),
            json!({"detail.kind": ["x"]}),
        ];
        let index = index(&patterns);
        let events = [
            json!({"source": "a", "detail": {"kind": "x"}}),
            json!({"source": ["b", "a"], "detail": {"kind": ["z", "y"]}}),
            json!({"detail": {"list": [{"of": "0"}, {"of": ["1"]}]}}),
            json!({"source": "a", "detail.kind": "x", "detail": {"list": {"of": "1"}}}),
            json!({"source": "b"}),
            json!({}),
        ];
        for event in events {
            let one_by_one = (0..patterns.len()).filter(|place| {
                let pattern = Pattern::compile(&patterns[*place].to_string(), Operators::ALL);
                pattern.unwrap().matches(&event)
            });
            let found: Vec<usize> = index.matching(&event).into_iter().copied().collect();
            assert_eq!(found, one_by_one.collect::<Vec<_>>(), "{event}");
        }
    }

    #[test]
    fn patterns_that_share_a_source_are_told_apart_by_what_they_do_not_share() {
        let patterns: Vec<Value> = (0..100)
            .map(|n| json!({"source": ["app"], "detail-type": [format!("kind-{n}")]}))
            .collect();
        let index = index(&patterns);
        assert!(index.others.is_empty());
        let by_type = &index.by_value[&vec!["detail-type".to_owned()]];
        assert!(by_type.values().all(|places| places.len() == 1));
        assert_eq!(index.by_value.len(), 1);
    }
}
