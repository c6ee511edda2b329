//! Lambda's limits of images, and ours where it names none.

use std::time::Duration;

/// Of all layers, unpacked: Lambda's.
pub const IMAGE_BYTES_MAX: u64 = 10 << 30;
/// Overlayfs takes more; registries' tools stop here.
pub const LAYERS_MAX: usize = 127;
/// Of one layer, decompressed, with the headers of as many files as there may be and what is not
/// unpacked.
pub const LAYER_READ_BYTES_MAX: u64 = IMAGE_BYTES_MAX + ENTRIES_MAX * 2048;
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
/// All of an image, however slowly its registry sends.
pub const PULL_WITHIN: Duration = Duration::from_secs(30 * 60);
/// Images pulled at once. Registries that are slow on purpose hold these places.
pub const PULLS_AT_ONCE: usize = 8;
/// Images unpacked at once; this is the disk's and the processor's work.
pub const UNPACKED_AT_ONCE: usize = 2;
