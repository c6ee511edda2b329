//! SQS's own limits, and ours where SQS names none. The engine's are its own.

/// Queues in all. SQS names no limit; every queue is held in memory.
pub const QUEUES_MAX: usize = 100_000;
pub const NAME_LENGTH_MAX: usize = 80;

pub const MESSAGE_BYTES_MIN: u32 = 1_024;
/// A message, and all messages of a batch together.
pub const MESSAGE_BYTES_MAX: usize = 1_048_576;
pub const MESSAGE_ATTRIBUTES_MAX: usize = 10;
/// A message attribute's name and its type have to be shorter.
pub const ATTRIBUTE_NAME_BYTES: usize = 256;
pub const DELAY_S_MAX: u32 = 900;
pub const VISIBILITY_S_MAX: u32 = 43_200;
pub const WAIT_S_MAX: u32 = 20;
pub const RETENTION_S_MIN: u32 = 60;
pub const RETENTION_S_MAX: u32 = 1_209_600;
pub const KMS_REUSE_S_MIN: u32 = 60;
pub const KMS_REUSE_S_MAX: u32 = 86_400;
/// MessageGroupId, MessageDeduplicationId and ReceiveRequestAttemptId.
pub const ID_LENGTH_MAX: usize = 128;
pub const RECEIVES_MAX: u32 = 1_000;

pub const BATCH_ENTRIES_MAX: usize = 10;
pub const BATCH_ID_LENGTH_MAX: usize = 80;
pub const RECEIVED_MAX: i32 = 10;

pub const TAGS_MAX: usize = 50;
pub const TAG_KEY_LENGTH_MAX: usize = 128;
pub const TAG_VALUE_LENGTH_MAX: usize = 256;

/// SQS takes 8 KiB of CreateQueue; a policy that is put together may be longer.
pub const POLICY_BYTES_MAX: usize = 20_480;
pub const POLICY_STATEMENTS_MAX: usize = 20;
pub const PERMISSION_ACTIONS_MAX: usize = 7;
pub const PERMISSION_ACCOUNTS_MAX: usize = 50;
pub const LABEL_LENGTH_MAX: usize = 80;
/// Source queues that a redrive allow policy names.
pub const SOURCE_QUEUES_MAX: usize = 10;
/// SQS has no limit; an id is a key's ARN at the longest.
pub const KMS_KEY_LENGTH_MAX: usize = 2_048;

pub const LISTED_MAX: usize = 1_000;

/// PurgeQueue is taken once in that time.
pub const PURGE_EVERY_MS: i64 = 60_000;

/// Message move tasks shown at once.
pub const MOVE_TASKS_LISTED_MAX: i32 = 10;
/// Message move tasks of a queue that are kept; the oldest ended ones go.
pub const MOVE_TASKS_KEPT: usize = 10;
/// Message move tasks of an account in one region that run at once.
pub const MOVE_TASKS_RUNNING_MAX: usize = 100;
/// Message move tasks on their way to their workers; whoever begins more waits.
pub const MOVE_TASKS_BEGUN_AT_ONCE: usize = 16;
pub const MOVED_PER_S_MAX: i32 = 500;
/// Messages moved in one transaction.
pub const MOVED_AT_ONCE: usize = 100;
