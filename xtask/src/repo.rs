//! Where things are: the repository's root, cargo's build directory, the scratch folders below it.

use std::path::{Path, PathBuf};

/// The repository's root. Compiled in, because `cargo xtask` may be called from any folder of it.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in a folder of the repository")
}

/// Cargo's build directory; what the commands install for themselves goes there too, so that
/// removing it removes all.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}
