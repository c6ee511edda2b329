//! What a batch of entries has to be before any of them is looked at.

use std::collections::HashSet;

use super::{
    error::{Error, Result},
    limits,
};

/// Up to ten entries with ids that differ. `kind` is what an entry is called.
pub fn check<'a>(kind: &'static str, ids: impl ExactSizeIterator<Item = &'a str>) -> Result<()> {
    let count = ids.len();
    if count == 0 {
        return Err(Error::EmptyBatch(kind));
    }
    if count > limits::BATCH_ENTRIES_MAX {
        return Err(Error::TooManyEntries(count));
    }
    let mut seen = HashSet::with_capacity(count);
    for id in ids {
        if !is_id(id) {
            return Err(Error::BatchId);
        }
        if !seen.insert(id) {
            return Err(Error::IdRepeated(id.to_owned()));
        }
    }
    Ok(())
}

/// All messages of a batch together.
pub fn check_size(sent: usize) -> Result<()> {
    let max = limits::MESSAGE_BYTES_MAX;
    match sent > max {
        true => Err(Error::BatchTooLong { sent, max }),
        false => Ok(()),
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=limits::BATCH_ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_to_ten_entries_with_ids_that_differ() {
        let said = |ids: &[&str]| {
            let checked = check("SendMessageBatchRequestEntry", ids.iter().copied());
            checked.err().map(|error| error.to_string())
        };
        assert_eq!(said(&["a", "B-1_"]), None);
        let none = "There should be at least one SendMessageBatchRequestEntry in the request.";
        assert_eq!(said(&[]).as_deref(), Some(none));
        let many = "Maximum number of entries per request are 10. You have sent 11.";
        assert_eq!(said(&["a"; 11]).as_deref(), Some(many));
        assert_eq!(said(&["a", "b", "a"]).as_deref(), Some("Id a repeated."));
        for id in ["", "a:b", &"a".repeat(81)] {
            assert!(said(&[id]).is_some_and(|said| said.starts_with("A batch entry id can only")));
        }
        assert!(check_size(limits::MESSAGE_BYTES_MAX).is_ok());
        assert!(check_size(limits::MESSAGE_BYTES_MAX + 1).is_err());
    }
}
