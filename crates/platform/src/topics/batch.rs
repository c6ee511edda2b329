//! The entries of a batch: how many, and what they call themselves.

use std::collections::BTreeSet;

use super::{
    error::{Error, Result},
    limits,
};

pub fn check(ids: &[String]) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::EmptyBatch);
    }
    if ids.len() > limits::BATCH_ENTRIES_MAX {
        return Err(Error::TooManyEntries);
    }
    for id in ids {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let said = |what: &str| {
            let begins = "The Id of a batch entry in the batch request";
            Err(Error::BatchId(format!("{begins} {what}: {id}")))
        };
        if id.len() > limits::BATCH_ID_LENGTH_MAX {
            return said("is too long");
        }
        if id.is_empty() || !id.bytes().all(allowed) {
            return said("contains an impermissible character");
        }
    }
    match ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        true => Err(Error::IdsNotDistinct),
        false => Ok(()),
    }
}
