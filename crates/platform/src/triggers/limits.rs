//! Lambda's quotas of event source mappings, and what a poller may hold.

use std::time::Duration;

/// Messages of a batch of a FIFO queue, and of a standard one without a window.
pub const FIFO_BATCH_MAX: u32 = 10;
pub const WINDOWLESS_BATCH_MAX: u32 = 10;
/// Lambda's quota is 5, and 10 where it was raised.
pub const FILTERS_MAX: usize = 10;

/// Provisioned mode.
pub const POLLERS_MIN: u32 = 2;
pub const POLLERS_MINIMUM_MAX: u32 = 200;
pub const POLLERS_MAXIMUM_MAX: u32 = 2000;
pub const POLLERS_DEFAULT_MAX: u32 = 200;

/// The event of one invocation, in bytes.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Messages, and about how many bytes of them, that one receive takes.
pub const RECEIVE_MAX: usize = 200;
/// What the first receive takes at most, before the messages' size is known.
pub const RECEIVE_START: usize = 100;
pub const RECEIVE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of batches that wait for their turn; beyond it nothing more is fetched.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Receives of a FIFO queue that run at once: each gives one batch.
pub const FIFO_RECEIVES_MAX: usize = 32;
/// How long one receive waits for a message before it is made anew.
pub const RECEIVE_WAIT: Duration = Duration::from_secs(20);

/// A page of ListEventSourceMappings.
pub const LIST_MAX: usize = 100;

/// Mappings that changed or whose poller ended are looked at at once, and all from time to time.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(30);
/// A mapping whose queue or function is not there looks again so often.
pub const LOOK_AGAIN: Duration = Duration::from_secs(2);
