//! Checksums as they are kept, and those of objects that were uploaded in parts.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::s3::checksum::{self, Hasher};

pub use wire::s3::checksum::Algorithm;

/// What S3 takes of an object for which none was asked.
pub const DEFAULT: Algorithm = Algorithm::Crc64Nvme;

/// A checksum that is known, in base64; of parts with `-N` behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    #[serde(serialize_with = "name", deserialize_with = "named")]
    pub algorithm: Algorithm,
    pub value: String,
    /// The checksum of the parts' checksums, not of the object.
    pub is_composite: bool,
}

pub fn name<S: Serializer>(algorithm: &Algorithm, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(algorithm.name())
}

pub fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Algorithm, D::Error> {
    let name = String::deserialize(from)?;
    Algorithm::named(&name).ok_or_else(|| de::Error::custom("no checksum algorithm"))
}

impl Checksum {
    pub fn of(algorithm: Algorithm, value: &[u8]) -> Self {
        Self {
            algorithm,
            value: checksum::text(value),
            is_composite: false,
        }
    }

    pub fn kind(&self) -> &'static str {
        kind(self.is_composite)
    }

    fn bytes(&self, algorithm: Algorithm) -> Option<Vec<u8>> {
        let is_it = self.algorithm == algorithm && !self.is_composite;
        is_it.then(|| algorithm.parse(&self.value)).flatten()
    }
}

pub fn kind(is_composite: bool) -> &'static str {
    match is_composite {
        true => "COMPOSITE",
        false => "FULL_OBJECT",
    }
}

/// Whether the parts' values give that of the whole.
pub fn is_linear(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Crc32 | Algorithm::Crc32C | Algorithm::Crc64Nvme
    )
}

/// The checksum of the parts' checksums. None where a part's is not known.
pub fn composite<'a>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = Option<&'a Checksum>>,
) -> Option<Checksum> {
    let mut hasher = Hasher::new(algorithm);
    let mut count = 0;
    for part in parts {
        hasher.update(&part?.bytes(algorithm)?);
        count += 1;
    }
    Some(Checksum {
        algorithm,
        value: format!("{}-{count}", checksum::text(&hasher.finish())),
        is_composite: true,
    })
}

/// The whole object's checksum of those of its parts, given with their lengths. None where a part's
/// is not known or the algorithm does not allow it.
pub fn whole<'a>(
    algorithm: Algorithm,
    parts: impl Iterator<Item = (Option<&'a Checksum>, u64)>,
) -> Option<Checksum> {
    let mut whole = checksum::of(algorithm, b"");
    for (part, len) in parts {
        whole = algorithm.combine(&whole, &part?.bytes(algorithm)?, len)?;
    }
    is_linear(algorithm).then(|| Checksum::of(algorithm, &whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        Checksum::of(algorithm, &checksum::of(algorithm, bytes))
    }

    #[test]
    fn parts_give_the_whole() {
        let (a, b) = (vec![7; 100_000], b"the end".to_vec());
        let whole_bytes = [a.clone(), b.clone()].concat();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32C, Algorithm::Crc64Nvme] {
            let (one, two) = (of(algorithm, &a), of(algorithm, &b));
            let parts = [(Some(&one), a.len() as u64), (Some(&two), b.len() as u64)];
            let found = whole(algorithm, parts.into_iter());
            assert_eq!(found, Some(of(algorithm, &whole_bytes)));
        }
        let one = of(Algorithm::Sha256, &a);
        assert_eq!(
            whole(Algorithm::Sha256, [(Some(&one), 1)].into_iter()),
            None
        );
        let both = composite(Algorithm::Sha256, [Some(&one), Some(&one)].into_iter());
        assert!(both.expect("they are known").value.ends_with("=-2"));
    }

    #[test]
    fn a_checksum_is_stored_by_its_name() {
        let one = of(Algorithm::Crc32C, b"x");
        let text = serde_json::to_string(&one).expect("it is written");
        assert!(text.contains("\"CRC32C\""), "{text}");
        assert_eq!(
            serde_json::from_str::<Checksum>(&text).expect("it is read"),
            one
        );
    }
}
