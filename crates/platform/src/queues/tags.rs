//! A queue's tags: their limits.

use std::collections::BTreeMap;

use super::{
    error::{Error, Result},
    limits,
};

/// Puts tags beside those that are there, over those of the same key.
pub fn add<'a>(
    held: &mut BTreeMap<String, String>,
    given: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let mut tags = held.clone();
    for (key, value) in given {
        check(key, value)?;
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > limits::TAGS_MAX {
        return Err(Error::parameter(format!(
            "Too many tags added for queue. The maximum number of tags is {}.",
            limits::TAGS_MAX
        )));
    }
    *held = tags;
    Ok(())
}

fn check(key: &str, value: &str) -> Result<()> {
    if key.is_empty() || key.chars().count() > limits::TAG_KEY_LENGTH_MAX {
        return Err(Error::parameter(
            "Tag keys must be between 1 and 128 characters in length.",
        ));
    }
    if value.chars().count() > limits::TAG_VALUE_LENGTH_MAX {
        return Err(Error::parameter(
            "Tag values must be between 0 and 256 characters in length.",
        ));
    }
    if key
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
    {
        return Err(Error::parameter(
            "Tag keys that start with \"aws:\" are reserved for system use.",
        ));
    }
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    if !key.chars().chain(value.chars()).all(allowed) {
        return Err(Error::parameter(
            "Tags can only contain letters, numbers, spaces and the characters _.:/=+-@",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_bounded_and_all_or_none_are_taken() {
        let mut held = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        add(&mut held, [("a", "2"), ("b", "")].into_iter()).expect("taken");
        assert_eq!(held["a"], "2");
        let long = "k".repeat(129);
        for (key, value) in [
            ("", "x"),
            (long.as_str(), "x"),
            ("aws:x", "x"),
            ("x", "\u{1}"),
        ] {
            assert!(
                add(&mut held, [("c", "1"), (key, value)].into_iter()).is_err(),
                "{key}"
            );
        }
        let many: Vec<String> = (0..49).map(|n| format!("k{n}")).collect();
        assert!(add(&mut held, many.iter().map(|key| (key.as_str(), ""))).is_err());
        assert_eq!(held.len(), 2);
    }
}
