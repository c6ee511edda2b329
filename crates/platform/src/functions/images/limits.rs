//! Lambda's limits of images, and ours where it names none.

use std::time::Duration;

/// Of all layers, unpacked: Lambda's.
pub const IMAGE_BYTES_MAX: u64 = 10 << 30;
/// Overlayfs takes more; registries' tools stop here.
pub const LAYERS_MAX: usize = 127;
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// A token and its wrapping.
pub const TOKEN_BYTES_MAX: usize = 1 << 20;
/// Environment, entry point and command of an image together. The kernel takes 128 KB.
pub const CONFIGURATION_WORDS_BYTES_MAX: usize = 32 * 1024;
/// Entries of all layers.
pub const ENTRIES_MAX: u64 = 2_000_000;
pub const PATH_BYTES_MAX: usize = 4_000;

pub const REDIRECTS_MAX: usize = 5;
/// Until a registry begins to answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Between two pieces of an answer.
pub const PIECE_WITHIN: Duration = Duration::from_secs(60);
/// Images pulled at once.
pub const PULLS_AT_ONCE: usize = 2;
