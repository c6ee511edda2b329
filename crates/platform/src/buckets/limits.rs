//! The bounds of buckets: S3's quotas, and what is kept in memory at once.

use std::time::Duration;

/// Bytes of an object that lie in the store's row; longer ones are files.
pub const ROW_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a body that are digested, encrypted and written at once.
pub const BATCH_BYTES: usize = 512 * 1024;

/// S3's quotas.
pub const KEY_BYTES_MAX: usize = 1024;
pub const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
pub const COPY_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
pub const PART_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
pub const PART_NUMBER_MAX: i64 = 10_000;
pub const METADATA_BYTES_MAX: usize = 2048;
pub const LIST_MAX: usize = 1000;
pub const DELETE_MAX: usize = 1000;
pub const BUCKETS_PER_ACCOUNT_MAX: usize = 10_000;
pub const OBJECT_TAGS_MAX: usize = 10;
pub const BUCKET_TAGS_MAX: usize = 50;
pub const POLICY_BYTES_MAX: usize = 20 * 1024;

/// Rows that a listing reads at once.
pub const SCAN_ROWS: usize = 1000;

/// How often lifecycle rules are looked at, and files that became garbage between two times that
/// the collection is woken.
pub const LIFECYCLE_EVERY: Duration = Duration::from_secs(3600);
pub const COLLECT_EVERY: Duration = Duration::from_secs(60);
/// Files, and rows of parts, that one step of the collection takes.
pub const COLLECT_AT_ONCE: u32 = 200;
/// How often files are looked for that nothing knows of, as a crash leaves them, and how old they
/// must be.
pub const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3600);
pub const SWEEP_GRACE: Duration = Duration::from_secs(3600);

/// Happenings that are handed to the deliveries at once, and how often they are looked for besides.
pub const TELL_AT_ONCE: u32 = 100;
pub const TELL_EVERY: Duration = Duration::from_secs(60);
