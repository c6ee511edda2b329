//! Receipt handles: which message was received when, in a form that nobody can make up.
//!
//! A handle names queue, message and receive count, and carries a signature by the platform's key.

use super::definition::QueueId;

/// What a receipt handle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub queue: QueueId,
    pub sequence: i64,
    /// Which of the message's receives it is of, from 1.
    pub receive: u32,
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
    #[error("the store could not")]
    Platform,
}
