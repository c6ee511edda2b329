//! Receipt handles: which message was received when, in a form that nobody can make up.
//!
//! A handle names queue, message and receive count, and carries a signature by the platform's key.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{EngineError, definition::QueueId};
use crate::secrets::Secrets;

const TAG_BYTES: usize = 16;
const BYTES: usize = 1 + 8 + 8 + 4 + TAG_BYTES;
const VERSION: u8 = 1;

/// What a receipt handle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub queue: QueueId,
    pub sequence: i64,
    /// Which of the message's receives it is of, from 1.
    pub receive: u32,
}

impl Receipt {
    /// The handle that its holder is given.
    pub fn handle(&self, secrets: &Secrets) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.queue.0.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.receive.to_be_bytes());
        let tag = secrets.tag(&bytes);
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        BASE64_STANDARD.encode(bytes)
    }

    pub fn read(handle: &str, secrets: &Secrets) -> Result<Self, ReceiptError> {
        let invalid = ReceiptError::Invalid;
        // Longer ones are not even decoded.
        if handle.len() > BYTES * 2 {
            return Err(invalid);
        }
        let bytes = BASE64_STANDARD.decode(handle).map_err(|_| invalid)?;
        if bytes.len() != BYTES || bytes[0] != VERSION {
            return Err(invalid);
        }
        let (said, tag) = bytes.split_at(BYTES - TAG_BYTES);
        if !secrets.is_tagged(said, tag) {
            return Err(invalid);
        }
        let number = |at: usize| said[at..at + 8].try_into().map(i64::from_be_bytes);
        let receive = said[17..].try_into().map(u32::from_be_bytes);
        Ok(Self {
            queue: QueueId(number(1).map_err(|_| invalid)?),
            sequence: number(9).map_err(|_| invalid)?,
            receive: receive.map_err(|_| invalid)?,
        })
    }
}

impl From<EngineError> for ReceiptError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Gone => Self::Gone,
            EngineError::Store(store::Error::DiskFull { .. }) => Self::DiskFull,
            EngineError::Store(store::Error::Busy { .. } | store::Error::Unavailable { .. }) => {
                Self::Unavailable
            }
            _ => Self::Platform,
        }
    }
}

/// Why a handle cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is no handle, or another queue's.
    #[error("the receipt handle is invalid")]
    Invalid,
    /// FIFO: the message's visibility timeout is over, or it was received again since.
    #[error("the receipt handle has expired")]
    Expired,
    /// ChangeMessageVisibility of a message that is not in flight (any more).
    #[error("the message is not in flight")]
    NotInFlight,
    /// The visibility timeout would be longer than 12 hours in all.
    #[error("the total visibility timeout is beyond 43200 seconds")]
    TooLong,
    #[error("the queue is gone")]
    Gone,
    #[error("the store's disk is full")]
    DiskFull,
    #[error("the store is unavailable")]
    Unavailable,
    #[error("the store could not")]
    Platform,
}
