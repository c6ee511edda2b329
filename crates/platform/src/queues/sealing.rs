//! Messages at rest: sealed with AES-256-GCM unless their queue says otherwise (SSE-SQS is on by
//! default).
//!
//! Each process makes a data key of its own when it first needs one, seals that with the
//! platform's key and keeps it in the store; a nonce counts the messages sealed with it, so that
//! none is used twice.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand,
};
use store::Store;

use super::stored::{Damaged, Stored};
use crate::secrets::{Secrets, SecretsError};

const OWNER: &str = "sqs data key";
const KEY_BYTES: usize = 32;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
/// The form, the key's number, and what of the nonce is not zero.
const HEAD_BYTES: usize = 1 + 8 + 8;

pub struct Sealing {
    store: Store,
    secrets: Arc<Secrets>,
    keys: RwLock<HashMap<i64, Arc<DataKey>>>,
    current: tokio::sync::OnceCell<Arc<DataKey>>,
}

struct DataKey {
    id: i64,
    key: LessSafeKey,
    used: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error("read or write a data key")]
    Store(#[from] store::Error),
    #[error("open or seal a data key")]
    Secrets(#[from] SecretsError),
    #[error("no randomness")]
    Random,
    #[error("a message's data key is not there")]
    NoKey,
    #[error("a sealed message does not open")]
    Unopenable,
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Sealing {
    /// Reads the keys of all processes before this one.
    pub async fn open(store: Store, secrets: Arc<Secrets>) -> Result<Self, SealingError> {
        let rows = store
            .read(|tx| {
                let rows = tx.query("SELECT id, sealed FROM queue_keys", store::params![])?;
                rows.iter()
                    .map(|row| Ok((row.get::<i64>("id")?, row.get::<String>("sealed")?)))
                    .collect::<store::Result<Vec<_>>>()
            })
            .await?;
        let mut keys = HashMap::new();
        for (id, sealed) in rows {
            let plain = secrets.open_sealed(OWNER, &sealed)?;
            keys.insert(id, Arc::new(DataKey::new(id, &plain)?));
        }
        Ok(Self {
            store,
            secrets,
            keys: RwLock::new(keys),
            current: tokio::sync::OnceCell::new(),
        })
    }

    /// Makes this process's key durable, so that [`Sealing::seal`] has one.
    pub async fn prepare(&self) -> Result<(), SealingError> {
        self.current.get_or_try_init(|| self.make()).await?;
        Ok(())
    }

    async fn make(&self) -> Result<Arc<DataKey>, SealingError> {
        let mut plain = [0; KEY_BYTES];
        let mut id = [0; 8];
        rand::fill(&mut plain).map_err(|_| SealingError::Random)?;
        rand::fill(&mut id).map_err(|_| SealingError::Random)?;
        let id = i64::from_le_bytes(id) & i64::MAX;
        let sealed = self.secrets.seal(OWNER, &plain)?;
        self.store
            .write(move |tx| {
                let sql = "INSERT INTO queue_keys (id, sealed) VALUES ($1, $2)";
                tx.execute(sql, store::params![id, &sealed])
            })
            .await?;
        let key = Arc::new(DataKey::new(id, &plain)?);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(id, key.clone());
        Ok(key)
    }

    /// The bytes to store. Sealed ones need [`Sealing::prepare`] before.
    pub fn seal(&self, message: &Stored, sealed: bool) -> Result<Vec<u8>, SealingError> {
        let mut out = Vec::new();
        if !sealed {
            out.push(PLAIN);
            message.encode(&mut out);
            return Ok(out);
        }
        let key = self.current.get().ok_or(SealingError::NoKey)?;
        let count = key.used.fetch_add(1, Ordering::Relaxed);
        out.reserve(HEAD_BYTES + message.size() + AES_256_GCM.tag_len());
        out.push(SEALED);
        out.extend_from_slice(&key.id.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        message.encode(&mut out);
        let tag = key
            .key
            .seal_in_place_separate_tag(nonce(count), Aad::empty(), &mut out[HEAD_BYTES..])
            .map_err(|_| SealingError::Unopenable)?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    pub fn open_message(&self, mut bytes: Vec<u8>) -> Result<Stored, SealingError> {
        match bytes.first() {
            Some(&PLAIN) => Ok(Stored::decode(&bytes[1..])?),
            Some(&SEALED) if bytes.len() >= HEAD_BYTES => {
                let (head, sealed) = bytes.split_at_mut(HEAD_BYTES);
                let id = i64::from_le_bytes(head[1..9].try_into().map_err(|_| Damaged)?);
                let count = u64::from_le_bytes(head[9..].try_into().map_err(|_| Damaged)?);
                let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
                let key = keys.get(&id).cloned().ok_or(SealingError::NoKey)?;
                drop(keys);
                let opened = key.key.open_in_place(nonce(count), Aad::empty(), sealed);
                Ok(Stored::decode(
                    opened.map_err(|_| SealingError::Unopenable)?,
                )?)
            }
            _ => Err(Damaged.into()),
        }
    }
}

impl DataKey {
    fn new(id: i64, plain: &[u8]) -> Result<Self, SealingError> {
        let key = UnboundKey::new(&AES_256_GCM, plain).map_err(|_| SealingError::Unopenable)?;
        Ok(Self {
            id,
            key: LessSafeKey::new(key),
            used: AtomicU64::new(0),
        })
    }
}

fn nonce(count: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&count.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}
