//! EventBridge's quotas, and bounds of our own.

use std::time::Duration;

/// Buses that an account can make in a region.
pub const BUSES_MAX: usize = 100;
/// Rules on a bus. AWS's own figure is 300, which it raises for whoever asks.
pub const RULES_MAX: usize = 2_000;
pub const TARGETS_MAX: usize = 5;
/// All entries of a PutEvents together, in bytes.
pub const ENTRIES_BYTES_MAX: usize = 262_144;
/// A bus's policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 10_240;
pub const POLICY_STATEMENTS_MAX: usize = 100;
pub const TAGS_MAX: usize = 50;
/// Items of a page, and how many are given to who does not say.
pub const PAGE_MAX: usize = 100;

/// Archives, replays, connections and API destinations of an account in a region.
pub const ARCHIVES_MAX: usize = 100;
pub const REPLAYS_MAX: usize = 1_000;
pub const REPLAYS_RUNNING_MAX: usize = 10;
pub const CONNECTIONS_MAX: usize = 3_000;
pub const DESTINATIONS_MAX: usize = 3_000;

/// Tries with a target and how long it is tried, unless it says otherwise.
pub const RETRIES: u32 = 185;
pub const AGE_S: i32 = 86_400;

/// Events that a replay reads and sends in one transaction.
pub const REPLAY_PAGE: u32 = 100;
/// Events beyond their retention that go in one transaction.
pub const EXPIRE_PAGE: u32 = 1_000;
/// How often it is looked for them.
pub const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// A request to an API destination, from the connect to the last byte of the answer; AWS's figure.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// What is read of an answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
