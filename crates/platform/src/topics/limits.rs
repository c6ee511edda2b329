//! SNS's own quotas, and ours where SNS names none.

use std::time::Duration;

/// A message and its attributes, and all messages of a batch together.
pub const MESSAGE_BYTES_MAX: usize = 262_144;
pub const BATCH_ENTRIES_MAX: usize = 10;
pub const BATCH_ID_LENGTH_MAX: usize = 80;
pub const SUBJECT_LENGTH_MAX: usize = 100;
/// A message attribute's name has to be shorter.
pub const ATTRIBUTE_NAME_BYTES: usize = 256;
/// MessageGroupId and MessageDeduplicationId.
pub const ID_LENGTH_MAX: usize = 128;
/// How long a deduplication id is remembered.
pub const DEDUPLICATION_MS: i64 = 300_000;
/// How often those that are over are looked for.
pub const TIDY_EVERY: Duration = Duration::from_secs(60);

pub const NAME_LENGTH_MAX: usize = 256;
pub const DISPLAY_NAME_LENGTH_MAX: usize = 100;
pub const TOPICS_MAX: usize = 100_000;
/// SNS takes 12.5 million of a standard topic; here they are held in memory.
pub const SUBSCRIPTIONS_MAX: usize = 100_000;
/// SNS's of a FIFO topic.
pub const FIFO_SUBSCRIPTIONS_MAX: usize = 100;
pub const ENDPOINT_LENGTH_MAX: usize = 2_048;
/// How long a subscription waits to be confirmed.
pub const PENDING_MS_MAX: i64 = 172_800_000;

pub const TAGS_MAX: usize = 50;
pub const TAG_KEY_LENGTH_MAX: usize = 128;
pub const TAG_VALUE_LENGTH_MAX: usize = 256;
pub const POLICY_BYTES_MAX: usize = 30_720;
pub const POLICY_STATEMENTS_MAX: usize = 100;
pub const PERMISSION_ACTIONS_MAX: usize = 10;

/// What one page of a list has.
pub const LISTED: usize = 100;

/// A filter policy.
pub const FILTER_BYTES_MAX: usize = 262_144;
/// The keys of one.
pub const FILTER_KEYS_MAX: usize = 5;
/// The combinations of its values, its keys' nesting counted in.
pub const FILTER_COMBINATIONS_MAX: usize = 150;
pub const FILTER_DEPTH_MAX: usize = 32;

/// How long a message to a queue or a function is tried, and the longest a delivery policy may say.
pub const DELIVERY_AGE_MS: i64 = 1_987_200_000;
pub const POLICY_AGE_MS: i64 = 3_600_000;
