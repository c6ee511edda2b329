//! The platform's own key: it seals environment variables at rest and signs links to packages.
//!
//! The key file is made at the first start, readable by nobody else; whoever loses it loses the
//! variables. A file that is there but not a key is refused, never replaced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, RandomizedNonceKey},
    constant_time, hmac, rand,
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};

const KEY_BYTES: usize = 64;
const NONCE_BYTES: usize = 12;

pub struct Secrets {
    seal: RandomizedNonceKey,
    sign: hmac::Key,
}

#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("read or make the key file {path}")]
    File {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the key file {path} does not hold {KEY_BYTES} bytes")]
    NotAKey { path: String },
    #[error("no randomness")]
    Random,
    #[error("a sealed value does not open: it is damaged, or it was sealed with another key")]
    Unopenable,
}

impl Secrets {
    /// Reads the key file, or makes it.
    pub fn open(path: &Path) -> Result<Self, SecretsError> {
        let told = || path.display().to_string();
        let key = match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
            read => read,
        };
        let key = key.map_err(|source| SecretsError::File {
            path: told(),
            source,
        })?;
        let (seal, sign) = key
            .split_at_checked(KEY_BYTES / 2)
            .filter(|_| key.len() == KEY_BYTES)
            .ok_or_else(|| SecretsError::NotAKey { path: told() })?;
        Ok(Self {
            seal: RandomizedNonceKey::new(&AES_256_GCM, seal).map_err(|_| SecretsError::Random)?,
            sign: hmac::Key::new(hmac::HMAC_SHA256, sign),
        })
    }

    /// Encrypts; what comes out opens only for the same owner.
    pub fn seal(&self, owner: &str, plain: &[u8]) -> Result<String, SecretsError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .seal
            .seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut sealed)
            .map_err(|_| SecretsError::Random)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Ok(BASE64_STANDARD.encode(whole))
    }

    pub fn open_sealed(&self, owner: &str, sealed: &str) -> Result<Vec<u8>, SecretsError> {
        let unopenable = || SecretsError::Unopenable;
        let whole = BASE64_STANDARD.decode(sealed).map_err(|_| unopenable())?;
        let (nonce, sealed) = whole.split_at_checked(NONCE_BYTES).ok_or_else(unopenable)?;
        let nonce =
            aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| unopenable())?;
        let mut sealed = sealed.to_vec();
        let plain = self
            .seal
            .open_in_place(nonce, Aad::from(owner.as_bytes()), &mut sealed)
            .map_err(|_| unopenable())?;
        Ok(plain.to_vec())
    }

    /// A signature that can stand in a URL.
    pub fn sign(&self, text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.sign, text.as_bytes()))
    }

    /// A tag that shows that these bytes are the platform's own.
    pub fn tag(&self, bytes: &[u8]) -> [u8; 32] {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.sign, bytes).as_ref());
        tag
    }

    /// Whether a tag, or its first bytes, is of these bytes; in constant time.
    pub fn is_tagged(&self, bytes: &[u8], tag: &[u8]) -> bool {
        let whole = self.tag(bytes);
        let part = whole.get(..tag.len());
        part.is_some_and(|part| constant_time::verify_slices_are_equal(part, tag).is_ok())
    }

    /// In constant time.
    pub fn is_signed(&self, text: &str, signature: &str) -> bool {
        BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .is_ok_and(|signature| hmac::verify(&self.sign, text.as_bytes(), &signature).is_ok())
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = Vec::with_capacity(KEY_BYTES + 1);
    let most = KEY_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut key)?;
    Ok(key)
}

fn make(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| io::Error::other("no randomness"))?;
    // Written beside and linked into place: a crash leaves no half of a key, and of two processes
    // that start at once one wins.
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
        Ok(()) => {
            if let Some(parent) = path.parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("functions.key");
        let secrets = Secrets::open(&path).unwrap();
        let sealed = secrets.seal("arn:one", b"{\"A\":\"1\"}").unwrap();
        let again = Secrets::open(&path).unwrap();
        assert_eq!(
            again.open_sealed("arn:one", &sealed).unwrap(),
            b"{\"A\":\"1\"}"
        );
        assert!(again.open_sealed("arn:two", &sealed).is_err());
        assert!(again.open_sealed("arn:one", "AAAA").is_err());
        let other = Secrets::open(&dir.path().join("other.key")).unwrap();
        assert!(other.open_sealed("arn:one", &sealed).is_err());
    }

    #[test]
    fn the_key_is_the_owners_alone_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("functions.key");
        Secrets::open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert!(matches!(
            Secrets::open(&path),
            Err(SecretsError::NotAKey { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn signatures_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&dir.path().join("k")).unwrap();
        let signature = secrets.sign("this");
        assert!(secrets.is_signed("this", &signature));
        assert!(!secrets.is_signed("that", &signature));
        assert!(!secrets.is_signed("this", "?"));
    }
}
