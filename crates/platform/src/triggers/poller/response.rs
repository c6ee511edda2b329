//! What a function's answer says of its batch, where it reports failures of single messages. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;
use uuid::Uuid;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    /// These of its messages failed, by their places.
    Partial(Vec<usize>),
    Failed,
}

/// Lambda's rules: no list or an empty one is success; what cannot be read, or names a message that
/// was not in the batch, means that the whole batch failed.
pub fn verdict(answer: &[u8], messages: &[(Uuid, Option<Arc<str>>)]) -> Verdict {
    if answer.is_empty() {
        return Verdict::Succeeded;
    }
    let failures = match serde_json::from_slice(answer) {
        Ok(Value::Null) => return Verdict::Succeeded,
        Ok(Value::Object(mut answer)) => answer.remove("batchItemFailures"),
        Ok(_) | Err(_) => return Verdict::Failed,
    };
    match failures {
        None | Some(Value::Null) => Verdict::Succeeded,
        Some(Value::Array(failures)) if failures.is_empty() => Verdict::Succeeded,
        Some(Value::Array(failures)) => match places(&failures, messages) {
            Some(named) => Verdict::Partial(with_followers(named, messages)),
            None => Verdict::Failed,
        },
        Some(_) => Verdict::Failed,
    }
}

/// For each message whether it is named. None if something else is.
fn places(failures: &[Value], messages: &[(Uuid, Option<Arc<str>>)]) -> Option<Vec<bool>> {
    let ids = messages.iter().enumerate();
    let places: HashMap<String, usize> = ids.map(|(at, (id, _))| (id.to_string(), at)).collect();
    let mut named = vec![false; messages.len()];
    for failure in failures {
        let id = failure.as_object()?.get("itemIdentifier")?.as_str()?;
        named[*places.get(id)?] = true;
    }
    Some(named)
}

/// In a FIFO queue what follows a failed message in its group has failed too, or it would be
/// overtaken.
fn with_followers(named: Vec<bool>, messages: &[(Uuid, Option<Arc<str>>)]) -> Vec<usize> {
    let mut failed_groups = HashSet::new();
    let all = named.into_iter().zip(messages).enumerate();
    let failed = all.filter_map(|(at, (named, (_, group)))| {
        let follows = group
            .as_ref()
            .is_some_and(|group| failed_groups.contains(group));
        if named {
            failed_groups.extend(group.as_ref());
        }
        (named || follows).then_some(at)
    });
    failed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn standard(answer: &str) -> Verdict {
        let messages: Vec<_> = (0..3).map(|number| (id(number), None)).collect();
        verdict(answer.as_bytes(), &messages)
    }

    fn failures(ids: &[Uuid]) -> String {
        let items: Vec<_> = ids
            .iter()
            .map(|id| serde_json::json!({"itemIdentifier": id.to_string()}))
            .collect();
        serde_json::json!({"batchItemFailures": items}).to_string()
    }

    #[test]
    fn nothing_said_is_success() {
        for answer in [
            "",
            "null",
            "{}",
            r#"{"batchItemFailures": []}"#,
            r#"{"batchItemFailures": null}"#,
            r#"{"other": 1}"#,
        ] {
            assert_eq!(standard(answer), Verdict::Succeeded, "{answer}");
        }
    }

    #[test]
    fn what_cannot_be_meant_fails_the_whole_batch() {
        for answer in [
            "{",
            "1",
            "\"done\"",
            "[]",
            r#"{"batchItemFailures": "all"}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
            r#"{"batchItemFailures": [{"itemidentifier": "x"}]}"#,
            r#"{"batchItemFailures": [null]}"#,
        ] {
            assert_eq!(standard(answer), Verdict::Failed, "{answer}");
        }
        assert_eq!(standard(&failures(&[id(1), id(9)])), Verdict::Failed);
    }

    #[test]
    fn those_named_failed() {
        assert_eq!(
            standard(&failures(&[id(2), id(0), id(0)])),
            Verdict::Partial(vec![0, 2])
        );
    }

    #[test]
    fn what_follows_in_the_group_failed_too() {
        let groups = ["a", "b", "a", "b", "a"].map(|group| Some(Arc::from(group)));
        let messages: Vec<_> = groups
            .into_iter()
            .zip(0..)
            .map(|(group, at)| (id(at), group))
            .collect();
        let answer = failures(&[id(2)]);
        assert_eq!(
            verdict(answer.as_bytes(), &messages),
            Verdict::Partial(vec![2, 4])
        );
    }
}
