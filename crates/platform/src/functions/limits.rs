//! Lambda's own limits, and ours where Lambda names none.

use std::time::Duration;

/// A package in the request.
pub const ZIPPED_BYTES_MAX: usize = 52_428_800;
pub const UNZIPPED_BYTES_MAX: u64 = 262_144_000;
/// Entries of a package. Lambda names none; this is far above what fits in the unzipped size.
pub const ENTRIES_MAX: usize = 100_000;
/// What the file system takes, below `/var/task`.
pub const ENTRY_PATH_BYTES_MAX: usize = 3_800;
pub const ENTRY_NAME_BYTES_MAX: usize = 255;
/// Directories in each other; what makes and removes them goes through all of them each time.
pub const ENTRY_DEPTH_MAX: usize = 256;

/// Synchronous invocations.
pub const PAYLOAD_BYTES_MAX: usize = 6_291_456;
/// Asynchronous ones; 256 KiB until October 2025.
pub const EVENT_BYTES_MAX: usize = 1_048_576;
/// As deep as Lambda's own parser goes.
pub const PAYLOAD_DEPTH_MAX: usize = 1_000;
/// `X-Amz-Client-Context`, in base64.
pub const CLIENT_CONTEXT_BYTES_MAX: usize = 3_583;

/// The variables written as JSON.
pub const ENVIRONMENT_BYTES_MAX: usize = 4_096;
pub const TIMEOUT_S_MAX: i32 = 900;
pub const MEMORY_MB_MAX: i32 = 10_240;
pub const TMP_MB_MAX: i32 = 10_240;
pub const TAGS_MAX: usize = 50;
pub const TAG_KEY_LENGTH_MAX: usize = 128;
pub const TAG_VALUE_LENGTH_MAX: usize = 256;
pub const POLICY_BYTES_MAX: usize = 20_480;
pub const NETWORK_DESTINATIONS_MAX: usize = 64;

pub const ACCOUNT_CODE_BYTES_MAX: i64 = 80_530_636_800;
/// What reservations have to leave to functions that have none.
pub const UNRESERVED_CONCURRENCY_MIN: u32 = 100;

pub const LIST_FUNCTIONS_DEFAULT: usize = 50;
pub const LIST_URLS_DEFAULT: usize = 50;
pub const LIST_LAYERS_DEFAULT: usize = 50;
pub const LIST_SIGNING_DEFAULT: usize = 50;

/// Layers of a function.
pub const LAYERS_MAX: usize = 5;
pub const LIST_VERSIONS_DEFAULT: usize = 50;
pub const LIST_ALIASES_DEFAULT: usize = 50;

/// Published versions of a function, and its aliases. Lambda bounds the code of an account only.
pub const VERSIONS_MAX: usize = 10_000;
pub const ALIASES_MAX: usize = 10_000;

/// How long a link to a package is good.
pub const CODE_LINK_LIFE: Duration = Duration::from_secs(600);

/// An interpreter that takes longer to say its version is not used.
pub const PROBE_WITHIN: Duration = Duration::from_secs(5);
pub const PROBES_AT_ONCE: usize = 4;
pub const PROBE_CANDIDATES_MAX: usize = 64;

/// Snapshots made at once: each is a function's whole init.
pub const SNAPSHOTS_AT_ONCE: usize = 2;

/// Packages unpacked at once.
pub const UNPACKINGS_AT_ONCE: usize = 4;

/// Deployments at once.
pub const DEPLOYMENTS_AT_ONCE: usize = 4;
/// Where a process of the platform's was lost meanwhile. An interpreter that has died is not started
/// again for a few seconds.
pub const DEPLOYMENT_TRIED_AGAIN_AFTER: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(6),
    Duration::from_secs(20),
];

/// How often unused packages are looked for.
pub const COLLECT_EVERY: Duration = Duration::from_secs(60);
/// How long a package stays that nothing refers to; far more than it takes from putting one to
/// storing the function.
pub const COLLECT_GRACE: Duration = Duration::from_secs(300);

/// A function whose state could not be stored is settled again after this.
pub const SETTLE_AGAIN_AFTER: Duration = Duration::from_secs(1);
