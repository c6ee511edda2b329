//! The unpacked layers, each once for all images that have it. Like unpacked packages they can be
//! made again at any time, so what was unpacked before the machine's last start is thrown away.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use store::BlobStore;
use tokio::task::spawn_blocking;

use super::{
    super::{
        code::{self, Held},
        execution::CodeDirectory,
    },
    ImageError, Layer,
    unpack::{self, Budget},
};

pub struct Unpacked {
    root: PathBuf,
    held: Arc<Held>,
}

impl Unpacked {
    pub async fn open(root: PathBuf, held: Arc<Held>) -> std::io::Result<Self> {
        let made = root.clone();
        code::blocking(move || code::prepare(&made)).await?;
        Ok(Self { root, held })
    }

    /// Where a layer's files are or will be; not collected as long as this is held.
    pub fn hold(&self, layer: &Layer) -> Arc<CodeDirectory> {
        self.held.hold(&self.root, layer.blob)
    }

    pub async fn is_there(&self, directory: &CodeDirectory) -> Result<bool, ImageError> {
        Ok(tokio::fs::try_exists(&directory.0).await?)
    }

    /// Unpacks a layer that is stored; gives what of the budget is left.
    pub async fn unpack(
        &self,
        blobs: &BlobStore,
        layer: &Layer,
        mut budget: Budget,
    ) -> Result<Budget, ImageError> {
        let Some(file) = blobs.path(layer.blob) else {
            let what = "layers are kept in files only".to_owned();
            return Err(ImageError::Invalid(what));
        };
        let path = self.root.join(layer.blob.to_string());
        let draft = self.root.join(format!("draft-{}", uuid::Uuid::new_v4()));
        let unpacked = spawn_blocking(move || {
            let mut done = || {
                fs::create_dir(&draft)?;
                fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
                unpack::unpack(File::open(&file)?, &draft, &mut budget)?;
                match fs::rename(&draft, &path) {
                    Err(_) if path.exists() => Ok(code::remove(&draft)?),
                    renamed => Ok(renamed?),
                }
            };
            let done: Result<(), ImageError> = done();
            if done.is_err()
                && let Err(error) = code::remove(&draft)
            {
                tracing::warn!(%error, draft = %draft.display(), "an unpacking's rest is left");
            }
            done.map(|()| budget)
        });
        unpacked.await.map_err(std::io::Error::other)?
    }

    /// Removes what nothing refers to and nothing runs from.
    pub async fn collect(
        &self,
        used: BTreeSet<String>,
        now: SystemTime,
        grace: Duration,
    ) -> std::io::Result<()> {
        let (root, held) = (self.root.clone(), self.held.clone());
        code::blocking(move || code::collect_directories(&root, &held, &used, now, grace)).await
    }
}
