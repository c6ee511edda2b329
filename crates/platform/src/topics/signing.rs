//! The signatures of messages: SHA-1 and SHA-256 with RSA, by one key of the platform's, whose
//! certificate anybody may fetch. The key is made with the first message that needs it.

mod key;

use std::sync::Arc;

use aws_lc_rs::{digest, rand::SystemRandom, rsa::KeyPair, signature};
use base64::{Engine, prelude::BASE64_STANDARD};
use store::Store;
use tokio::sync::OnceCell;

use super::{
    error::{Error, Result},
    tables::{SIGNERS, SignerRecord},
};
use crate::secrets::{Secrets, SecretsError};
use key::LegacyKey;

/// Where the certificate is, without who serves it.
pub const CERTIFICATE_PATH: &str = "/_lambent/sns/";
/// What seals the key.
const OWNER: &str = "topics/signer";
const NAME: &str = "messages";

/// SignatureVersion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// SHA-1, SNS's default.
    One,
    Two,
}

/// Finds or makes the key.
pub struct Signers {
    store: Store,
    secrets: Arc<Secrets>,
    signer: OnceCell<Arc<Signer>>,
}

pub struct Signer {
    pair: KeyPair,
    legacy: LegacyKey,
    certificate_pem: String,
    /// The certificate's name, as the end of its URL.
    pub file: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error("make a key or its certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("the stored key is none")]
    Key,
    #[error("sign")]
    Sign,
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl Signers {
    pub fn new(store: Store, secrets: Arc<Secrets>) -> Self {
        Self {
            store,
            secrets,
            signer: OnceCell::new(),
        }
    }

    pub async fn signer(&self) -> Result<Arc<Signer>> {
        let signer = self.signer.get_or_try_init(|| self.find_or_make()).await?;
        Ok(signer.clone())
    }

    async fn find_or_make(&self) -> Result<Arc<Signer>> {
        let found = self.store.read(|tx| SIGNERS.get(tx, &[NAME])).await?;
        let record = match found {
            Some(stored) => stored.record,
            None => {
                let secrets = self.secrets.clone();
                // It takes a part of a second.
                let making = tokio::task::spawn_blocking(move || make(&secrets));
                let made = making.await.map_err(Error::platform)?;
                let made = made.map_err(Error::platform)?;
                let stored = made.clone();
                let write = move |tx: &mut store::Tx| SIGNERS.put(tx, &[NAME], &stored).map(drop);
                self.store.write(write).await?;
                made
            }
        };
        let signer = Signer::read(&record, &self.secrets).map_err(Error::platform)?;
        Ok(Arc::new(signer))
    }

    /// The certificate of that name, if it is this key's.
    pub async fn certificate(&self, file: &str) -> Option<String> {
        let signer = self.signer().await.ok()?;
        (signer.file == file).then(|| signer.certificate_pem.clone())
    }
}

fn make(secrets: &Secrets) -> Result<SignerRecord, SigningError> {
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?;
    let mut parameters = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()])?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Lambent SNS");
    let certificate = parameters.self_signed(&pair)?;
    Ok(SignerRecord {
        certificate_pem: certificate.pem(),
        sealed_key: secrets.seal(OWNER, pair.serialized_der())?,
    })
}

impl Signer {
    fn read(record: &SignerRecord, secrets: &Secrets) -> Result<Self, SigningError> {
        let pkcs8 = secrets.open_sealed(OWNER, &record.sealed_key)?;
        let digest = digest::digest(&digest::SHA256, record.certificate_pem.as_bytes());
        let name: String = digest.as_ref()[..16]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Ok(Self {
            pair: KeyPair::from_pkcs8(&pkcs8).map_err(|_| SigningError::Key)?,
            legacy: LegacyKey::from_pkcs8(&pkcs8).ok_or(SigningError::Key)?,
            certificate_pem: record.certificate_pem.clone(),
            file: format!("SimpleNotificationService-{name}.pem"),
        })
    }

    /// In Base64.
    pub fn sign(&self, text: &str, version: Version) -> Result<String, SigningError> {
        let signature = match version {
            Version::One => {
                let legacy = self.legacy.sign_sha1(text.as_bytes());
                legacy.ok_or(SigningError::Sign)?
            }
            Version::Two => {
                let mut signature = vec![0; self.pair.public_modulus_len()];
                let (padding, random) = (&signature::RSA_PKCS1_SHA256, SystemRandom::new());
                self.pair
                    .sign(padding, &random, text.as_bytes(), &mut signature)
                    .map_err(|_| SigningError::Sign)?;
                signature
            }
        };
        Ok(BASE64_STANDARD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY as SHA1,
        RSA_PKCS1_2048_8192_SHA256 as SHA256, UnparsedPublicKey,
    };

    use super::*;

    #[test]
    fn both_versions_verify_with_the_certificates_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let secrets = Secrets::open(&dir.path().join("key")).expect("a key file");
        let record = make(&secrets).expect("made");
        assert!(
            record
                .certificate_pem
                .starts_with("-----BEGIN CERTIFICATE-----")
        );
        let signer = Signer::read(&record, &secrets).expect("read");
        let public = signer.pair.public_key().as_ref().to_vec();
        for text in ["", "Message\nhello\n", &"x".repeat(5000)] {
            let signed = |version| {
                let text = signer.sign(text, version).expect("signed");
                BASE64_STANDARD.decode(text).expect("Base64")
            };
            let verify = |algorithm, signature: &[u8]| {
                UnparsedPublicKey::new(algorithm, &public).verify(text.as_bytes(), signature)
            };
            assert!(verify(&SHA1, &signed(Version::One)).is_ok());
            assert!(verify(&SHA256, &signed(Version::Two)).is_ok());
            assert!(verify(&SHA256, &signed(Version::One)).is_err());
        }
    }
}
