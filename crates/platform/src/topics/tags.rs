//! A topic's tags: their limits.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    error::{Error, Result},
    limits,
};

/// Puts tags beside those that are there, over those of the same key.
pub fn add(held: &mut BTreeMap<String, String>, given: Vec<(String, String)>) -> Result<()> {
    let keys: BTreeSet<&str> = given.iter().map(|(key, _)| key.as_str()).collect();
    if keys.len() < given.len() {
        return Err(Error::parameter("Duplicated keys are not allowed."));
    }
    let mut tags = held.clone();
    for (key, value) in given {
        check(&key, &value)?;
        tags.insert(key, value);
    }
    if tags.len() > limits::TAGS_MAX {
        return Err(Error::TooManyTags(
            "Could not complete request: tag quota of per resource exceeded",
        ));
    }
    *held = tags;
    Ok(())
}

fn check(key: &str, value: &str) -> Result<()> {
    let length = key.chars().count();
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    let reserved = key
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    let good = (1..=limits::TAG_KEY_LENGTH_MAX).contains(&length)
        && value.chars().count() <= limits::TAG_VALUE_LENGTH_MAX
        && key.chars().chain(value.chars()).all(allowed)
        && !reserved;
    match good {
        true => Ok(()),
        false => Err(Error::parameter("Tags")),
    }
}
