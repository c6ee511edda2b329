//! Ids that nobody can guess: of versions and uploads.
//!
//! A version's id has its number in it, so that a listing can go on behind a version that was deleted
//! meanwhile. The number is not to be read by whoever has the id of one version only.

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// What is not the number of a version's id.
pub type Random = [u8; 16];

/// Bytes that nobody can guess; without randomness such as nobody else has.
fn fill(bytes: &mut [u8]) {
    if rand::fill(bytes).is_err() {
        let id = uuid::Uuid::new_v4();
        let id = id.as_bytes().iter().cycle();
        bytes.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    }
}

pub fn random() -> Random {
    let mut random = [0; 16];
    fill(&mut random);
    random
}

/// Letters and digits, dots and underscores: four for three bytes.
pub fn opaque(bytes: usize) -> String {
    let mut id = vec![0; bytes];
    fill(&mut id);
    text(&id)
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes).replace('-', ".")
}

/// The id of the version with this number: 32 characters.
pub fn version(random: &Random, seq: i64) -> String {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(random);
    let hidden = seq.to_be_bytes();
    for (at, byte) in hidden.iter().enumerate() {
        bytes[16 + at] = byte ^ random[at];
    }
    text(&bytes)
}

/// The number in a version's id; of a text that is none, anything or nothing.
pub fn seq_of(version_id: &str) -> Option<i64> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(version_id.replace('.', "-"));
    let bytes: [u8; 24] = bytes.ok()?.try_into().ok()?;
    let mut seq = [0; 8];
    for (at, byte) in seq.iter_mut().enumerate() {
        *byte = bytes[16 + at] ^ bytes[at];
    }
    Some(i64::from_be_bytes(seq)).filter(|seq| *seq > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_versions_number_is_in_its_id() {
        for seq in [1, 77, 1 << 40, i64::MAX] {
            let id = version(&random(), seq);
            assert_eq!((id.len(), seq_of(&id)), (32, Some(seq)));
        }
        assert_ne!(version(&random(), 5), version(&random(), 5));
        assert_eq!(seq_of("null"), None);
    }
}
