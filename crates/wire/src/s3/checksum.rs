//! The checksums that S3 takes of an object, keeps and gives back.

use aws_lc_rs::digest;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};
use xxhash_rust::{xxh3::Xxh3, xxh64::Xxh64};

use crate::protocol::{base64_decode, base64_encode};

/// One of them, in the order in which S3 looks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Crc32,
    Crc32C,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

impl Algorithm {
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32C,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// Its name in requests and answers, e.g. `CRC64NVME`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32C => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// The header, or the trailer, that has its value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32C => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// By its name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let is = |algorithm: &Self| algorithm.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is)
    }

    /// By the header that has its value.
    pub fn in_header(name: &str) -> Option<Self> {
        let is = |algorithm: &Self| algorithm.header().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is)
    }

    /// How long a value is, in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32C => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// A value as a client writes it, in base64. None if it is none of this algorithm's.
    pub fn parse(self, value: &str) -> Option<Vec<u8>> {
        let bytes = base64_decode(value)?;
        (bytes.len() == self.length()).then(|| bytes.to_vec())
    }

    /// The value of two pieces together, in their order. Only of the CRCs it follows from theirs.
    pub fn combine(self, first: &[u8], second: &[u8], second_length: u64) -> Option<Vec<u8>> {
        let crc = self.crc()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        let whole = crc_fast::checksum_combine(crc, number(first), number(second), second_length);
        Some(whole.to_be_bytes()[8 - self.length()..].to_vec())
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32C => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

/// A checksum's value, as it is written: in base64.
pub fn text(value: &[u8]) -> String {
    base64_encode(value)
}

/// Takes one, piece by piece.
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

enum State {
    // Some hundred bytes, as Xxh3's.
    Crc(Box<crc_fast::Digest>),
    Sha(digest::Context),
    Md5(Md5),
    XxHash64(Xxh64),
    XxHash3(Box<Xxh3>),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let sha = |which| State::Sha(digest::Context::new(which));
        let crc = |which| State::Crc(Box::new(crc_fast::Digest::new(which)));
        let state = match algorithm {
            Algorithm::Sha1 => sha(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::Sha256 => sha(&digest::SHA256),
            Algorithm::Sha512 => sha(&digest::SHA512),
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::XxHash64 => State::XxHash64(Xxh64::new(0)),
            Algorithm::XxHash3 | Algorithm::XxHash128 => State::XxHash3(Box::new(Xxh3::new())),
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32C => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
        };
        Self { algorithm, state }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(crc) => crc.update(bytes),
            State::Sha(sha) => sha.update(bytes),
            State::Md5(md5) => md5.update(bytes),
            State::XxHash64(xxh) => xxh.update(bytes),
            State::XxHash3(xxh) => xxh.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self.state {
            State::Crc(crc) => crc.finalize().to_be_bytes()[8 - self.algorithm.length()..].to_vec(),
            State::Sha(sha) => sha.finish().as_ref().to_vec(),
            State::Md5(md5) => md5.finalize().to_vec(),
            State::XxHash64(xxh) => xxh.digest().to_be_bytes().to_vec(),
            State::XxHash3(xxh) if self.algorithm == Algorithm::XxHash3 => {
                xxh.digest().to_be_bytes().to_vec()
            }
            State::XxHash3(xxh) => xxh.digest128().to_be_bytes().to_vec(),
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm).finish()
    }
}

/// The checksum of bytes that are all there.
pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_gives_the_check_value_of_its_definition() {
        let check = |algorithm, expect: &str| {
            let hex: String = of(algorithm, b"123456789")
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert_eq!(hex, expect, "{algorithm:?}");
            assert_eq!(hex.len(), 2 * algorithm.length());
        };
        check(Algorithm::Crc32, "cbf43926");
        check(Algorithm::Crc32C, "e3069283");
        check(Algorithm::Crc64Nvme, "ae8b14860a799888");
        check(Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        check(
            Algorithm::Sha256,
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        );
        check(Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b");
        check(Algorithm::XxHash64, "8cb841db40e6ae83");
    }

    #[test]
    fn names_and_headers_lead_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::in_header(algorithm.header()), Some(algorithm));
            let value = text(&of(algorithm, b"x"));
            assert_eq!(algorithm.parse(&value), Some(of(algorithm, b"x")));
            assert_eq!(algorithm.parse("AAA="), None, "{algorithm:?}");
        }
    }

    #[test]
    fn checksums_of_pieces_make_that_of_the_whole() {
        let (first, second) = (&b"a first piece"[..], &b"and a second"[..]);
        let whole = [first, second].concat();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32C, Algorithm::Crc64Nvme] {
            let combined = algorithm.combine(
                &of(algorithm, first),
                &of(algorithm, second),
                second.len() as u64,
            );
            assert_eq!(combined, Some(of(algorithm, &whole)), "{algorithm:?}");
        }
        assert_eq!(Algorithm::Sha1.combine(b"", b"", 0), None);
    }
}
