//! Encryption at rest: AES-256-GCM in segments.
//!
//! A content has a key of its own, so a segment's number is a nonce that comes once; the last
//! segment is marked in it, so that none can be left out at the end. The key is kept sealed, by the
//! platform's key or the customer's (SSE-C).

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey},
    rand,
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::SealedKey;
use crate::secrets::Secrets;

/// The plain bytes of a segment.
pub const SEGMENT: u64 = 64 * 1024;
const TAG: u64 = 16;
const KEY_BYTES: usize = 32;
/// Whose keys these are, for the platform's seal.
const OWNER: &str = "objects";

#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    #[error("no randomness")]
    Random,
    #[error("the key of an object's content does not open")]
    Key,
    #[error("an object's content is damaged")]
    Damaged,
}

/// The key of one content.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey([u8; KEY_BYTES]);

/// A key that a customer sends with each request.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey {
    pub key: [u8; KEY_BYTES],
    /// Of the key, in base64: what S3 shows of it.
    pub md5: String,
}

impl DataKey {
    pub fn random() -> Result<Self, CipherError> {
        let mut key = [0; KEY_BYTES];
        rand::fill(&mut key).map_err(|_| CipherError::Random)?;
        Ok(Self(key))
    }

    pub fn seal(
        &self,
        secrets: &Secrets,
        customer: Option<&CustomerKey>,
    ) -> Result<SealedKey, CipherError> {
        let Some(customer) = customer else {
            let sealed = secrets.seal(OWNER, &self.0);
            return sealed
                .map(SealedKey::Platform)
                .map_err(|_| CipherError::Random);
        };
        let key = customer.sealer()?;
        let mut sealed = self.0.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(OWNER.as_bytes()), &mut sealed)
            .map_err(|_| CipherError::Random)?;
        let whole = [nonce.as_ref().as_slice(), &sealed].concat();
        Ok(SealedKey::Customer(BASE64_STANDARD.encode(whole)))
    }

    /// [`CipherError::Key`] if the customer's key is missing or another.
    pub fn open(
        sealed: &SealedKey,
        secrets: &Secrets,
        customer: Option<&CustomerKey>,
    ) -> Result<Self, CipherError> {
        let unopenable = || CipherError::Key;
        let plain = match (sealed, customer) {
            (SealedKey::Platform(sealed), _) => secrets
                .open_sealed(OWNER, sealed)
                .map_err(|_| CipherError::Key)?,
            (SealedKey::Customer(_), None) => return Err(CipherError::Key),
            (SealedKey::Customer(sealed), Some(customer)) => {
                let whole = BASE64_STANDARD.decode(sealed).map_err(|_| unopenable())?;
                let (nonce, sealed) = whole.split_at_checked(NONCE_LEN).ok_or_else(unopenable)?;
                let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| unopenable())?;
                let mut sealed = sealed.to_vec();
                let aad = Aad::from(OWNER.as_bytes());
                let opened = customer.sealer()?.open_in_place(nonce, aad, &mut sealed);
                opened.map_err(|_| unopenable())?.to_vec()
            }
        };
        let key = plain.try_into().map_err(|_| unopenable())?;
        Ok(Self(key))
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0).expect("a key of 32 bytes");
        LessSafeKey::new(key)
    }
}

impl CustomerKey {
    fn sealer(&self) -> Result<RandomizedNonceKey, CipherError> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.key).map_err(|_| CipherError::Key)
    }
}

fn nonce(segment: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[3] = u8::from(is_last);
    nonce[4..].copy_from_slice(&segment.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Encrypts what comes by.
pub struct Sealer {
    key: LessSafeKey,
    /// Plain bytes of a segment that is not known to be the last or not to be.
    held: Vec<u8>,
    next: u64,
}

impl Sealer {
    pub fn new(key: &DataKey) -> Self {
        Self {
            key: key.cipher(),
            held: Vec::new(),
            next: 0,
        }
    }

    /// Takes plain bytes; puts what can be sealed already behind `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        let segment = SEGMENT as usize;
        while !bytes.is_empty() {
            if self.held.len() == segment {
                self.seal(false, out)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(segment - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), CipherError> {
        self.seal(true, out)
    }

    fn seal(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<(), CipherError> {
        let nonce = nonce(self.next, is_last);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.held)
            .map_err(|_| CipherError::Random)?;
        out.extend_from_slice(&self.held);
        out.extend_from_slice(tag.as_ref());
        self.held.clear();
        self.next += 1;
        Ok(())
    }
}

/// Which sealed bytes hold a range of plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub first_segment: u64,
    /// Where it begins among the sealed bytes, and how many they are.
    pub offset: u64,
    pub len: u64,
    /// Plain bytes before those that are wanted.
    pub skip: u64,
}

/// `from` and `len` are plain; `whole` is how long the content is.
pub fn stretch(from: u64, len: u64, whole: u64) -> Stretch {
    let first_segment = from / SEGMENT;
    let end_segment = (from + len).div_ceil(SEGMENT);
    let sealed_whole = whole + whole.div_ceil(SEGMENT) * TAG;
    let offset = first_segment * (SEGMENT + TAG);
    Stretch {
        first_segment,
        offset,
        len: (end_segment * (SEGMENT + TAG)).min(sealed_whole) - offset,
        skip: from % SEGMENT,
    }
}

/// Opens whole segments of a content of `whole` plain bytes.
pub fn open(
    key: &DataKey,
    mut sealed: Vec<u8>,
    stretch: Stretch,
    whole: u64,
) -> Result<Vec<u8>, CipherError> {
    let last = whole.div_ceil(SEGMENT).saturating_sub(1);
    let cipher = key.cipher();
    let mut plain_len = 0;
    let step = (SEGMENT + TAG) as usize;
    let (mut at, mut segment) = (0, stretch.first_segment);
    while at < sealed.len() {
        let end = sealed.len().min(at + step);
        let nonce = nonce(segment, segment == last);
        let opened = cipher.open_in_place(nonce, Aad::empty(), &mut sealed[at..end]);
        let len = opened.map_err(|_| CipherError::Damaged)?.len();
        // Close up: the tags go.
        sealed.copy_within(at..at + len, plain_len);
        plain_len += len;
        at = end;
        segment += 1;
    }
    sealed.truncate(plain_len);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &DataKey, plain: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(key);
        let mut out = Vec::new();
        for piece in plain.chunks(10_007) {
            sealer.push(piece, &mut out).expect("it is sealed");
        }
        sealer.finish(&mut out).expect("it is sealed");
        out
    }

    #[test]
    fn any_range_of_any_length_is_read_alone() {
        let key = DataKey::random().expect("there is randomness");
        let segment = SEGMENT as usize;
        for len in [
            1,
            100,
            segment - 1,
            segment,
            segment + 1,
            3 * segment,
            3 * segment + 5,
        ] {
            let plain: Vec<u8> = (0..len).map(|n| (n * 7 % 251) as u8).collect();
            let whole = sealed(&key, &plain);
            for (from, to) in [(0, len), (len - 1, len), (len / 3, len / 2 + 1), (0, 1)] {
                let s = stretch(from as u64, (to - from) as u64, len as u64);
                let part = whole[s.offset as usize..(s.offset + s.len) as usize].to_vec();
                let opened = open(&key, part, s, len as u64).expect("it opens");
                let skip = s.skip as usize;
                assert_eq!(
                    opened[skip..skip + to - from],
                    plain[from..to],
                    "{len} {from} {to}"
                );
            }
        }
    }

    #[test]
    fn what_was_changed_cut_or_moved_does_not_open() {
        let key = DataKey::random().expect("there is randomness");
        let plain = vec![5; 2 * SEGMENT as usize];
        let whole = sealed(&key, &plain);
        let all = stretch(0, plain.len() as u64, plain.len() as u64);
        let mut changed = whole.clone();
        changed[70_000] ^= 1;
        assert!(open(&key, changed, all, plain.len() as u64).is_err());
        // The first segment alone is not the last one.
        let first = whole[..(SEGMENT + TAG) as usize].to_vec();
        assert!(open(&key, first.clone(), stretch(0, SEGMENT, SEGMENT), SEGMENT).is_err());
        let moved = Stretch {
            first_segment: 1,
            ..all
        };
        assert!(open(&key, first, moved, plain.len() as u64).is_err());
    }

    #[test]
    fn a_key_opens_for_who_sealed_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let secrets = Secrets::open(&dir.path().join("key")).expect("it opens");
        let key = DataKey::random().expect("there is randomness");
        let by_us = key.seal(&secrets, None).expect("it is sealed");
        assert!(DataKey::open(&by_us, &secrets, None).is_ok_and(|k| k == key));
        let customer = |byte| CustomerKey {
            key: [byte; 32],
            md5: String::new(),
        };
        let theirs = key
            .seal(&secrets, Some(&customer(1)))
            .expect("it is sealed");
        assert!(DataKey::open(&theirs, &secrets, Some(&customer(1))).is_ok_and(|k| k == key));
        assert!(DataKey::open(&theirs, &secrets, Some(&customer(2))).is_err());
        assert!(DataKey::open(&theirs, &secrets, None).is_err());
    }
}
