//! What objects consist of: bytes on their way in and out, digested and encrypted as they go.
//!
//! Every content is encrypted with a key of its own, in segments, so that a range can be read
//! without the rest ([`cipher`]). Where it lies is [`Lies`]: small ones in the store's row, so that a
//! put is one commit; others in a file named by the SHA-256 of what is in it, encrypted as it is. Keys
//! are random, so no two files have one name, and a file that nothing refers to will never be
//! referred to again.

pub mod checksum;
pub mod cipher;
pub mod intake;
pub mod pins;
pub mod reading;

use serde::{Deserialize, Serialize};
use store::BlobHash;

pub use checksum::{Algorithm, Checksum};
pub use intake::{Intake, Taken};
pub use pins::Pins;
pub use reading::Reading;

/// Where a content lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lies {
    /// There is none: no bytes.
    Nowhere,
    /// In the table of bodies, under this number.
    Row(i64),
    File(BlobHash),
    /// In the parts of this manifest, one after the other.
    Parts(i64),
}

/// Who can open a content's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealedKey {
    /// The platform.
    Platform(String),
    /// Whoever has the customer's key.
    Customer(String),
}
