//! The packages: each a blob, and unpacked once into `code/<sha256>/` for all that run it.
//!
//! An unpacked package can be made again from its blob at any time, so it is not synced: what was
//! unpacked before the machine's last start is thrown away, since a power cut may have torn it.
//! What no function refers to is collected, but not while environments may have it mounted.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use jiff::Timestamp;
use store::{BlobHash, BlobStore};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::secrets::Secrets;

use super::{
    error::{Error, Result},
    execution::CodeDirectory,
    limits,
    package::{self, PackageError},
    tables::Code,
};

/// Where links to packages are answered.
pub const LINK_PATH: &str = "/_lambent/code/";

pub struct Packages {
    root: PathBuf,
    blobs: BlobStore,
    /// Each takes a thread and its package's memory.
    unpacking: Semaphore,
    /// What definitions that run refer to.
    held: Arc<Held>,
}

#[derive(Default)]
pub struct Held(Mutex<HashMap<String, Weak<CodeDirectory>>>);

impl Packages {
    pub async fn open(root: PathBuf, blobs: BlobStore) -> io::Result<Self> {
        let made = root.clone();
        blocking(move || prepare(&made)).await?;
        Ok(Self {
            root,
            blobs,
            unpacking: Semaphore::new(limits::UNPACKINGS_AT_ONCE),
            held: Arc::default(),
        })
    }

    /// Checks, unpacks and stores a package.
    pub async fn take(&self, zip: Bytes) -> Result<Code> {
        if zip.len() > limits::ZIPPED_BYTES_MAX {
            return Err(Error::ZipTooLarge {
                max: limits::ZIPPED_BYTES_MAX,
            });
        }
        let size = zip.len() as u64;
        let hash = self.unpack(zip.clone()).await?;
        let blob = self.blobs.put(zip).await?;
        debug_assert_eq!(blob.hash, hash);
        Ok(Code {
            blob: blob.hash,
            size,
        })
    }

    /// What of all packages and images is in use.
    pub fn held(&self) -> Arc<Held> {
        self.held.clone()
    }

    /// Keeps a package from being collected as long as what this gives is there.
    pub fn hold(&self, code: &Code) -> Arc<CodeDirectory> {
        self.held.hold(&self.root, code.blob)
    }

    /// The directory of a package's files, unpacked again if need be.
    pub async fn directory(&self, code: &Code) -> Result<Arc<CodeDirectory>> {
        // Held first, so that it is not collected between our look and its use.
        let directory = self.held.hold(&self.root, code.blob);
        let exists = tokio::fs::try_exists(&directory.0).await;
        if !exists.map_err(Error::platform)? {
            let zip = self.blobs.get(code.blob, limits::ZIPPED_BYTES_MAX as u64);
            self.unpack(Bytes::from(zip.await?)).await?;
        }
        Ok(directory)
    }

    /// Removes the blobs and directories that no function refers to, that nothing runs from, and
    /// that were not put within the grace period, in which a function may still come to refer to
    /// them.
    pub async fn collect(
        &self,
        used: BTreeSet<String>,
        now: SystemTime,
        grace: Duration,
    ) -> Result<()> {
        let (root, held) = (self.root.clone(), self.held.clone());
        let known = used.clone();
        blocking(move || collect_directories(&root, &held, &known, now, grace))
            .await
            .map_err(Error::disk)?;
        let (used, held) = (&used, &self.held);
        let referenced = |hash: BlobHash| async move {
            let name = hash.to_string();
            Ok(used.contains(&name) || held.is_held(&name))
        };
        let collected = self.blobs.collect(now, grace, referenced).await?;
        if collected.removed > 0 {
            let (removed, bytes) = (collected.removed, collected.removed_bytes);
            tracing::info!(removed, bytes, "packages collected");
        }
        Ok(())
    }

    async fn unpack(&self, zip: Bytes) -> Result<BlobHash> {
        let _turn = self.unpacking.acquire().await.map_err(Error::platform)?;
        let root = self.root.clone();
        let unpacked = spawn_blocking(move || unpack(&zip, &root)).await;
        match unpacked.map_err(Error::platform)? {
            Ok(hash) => Ok(hash),
            Err(PackageError::Io(error)) => Err(Error::disk(error)),
            Err(fault) => Err(Error::Invalid(fault.to_string())),
        }
    }
}

impl Held {
    pub fn hold(&self, root: &Path, blob: BlobHash) -> Arc<CodeDirectory> {
        let name = blob.to_string();
        let mut held = self.lock();
        held.retain(|_, directory| directory.strong_count() > 0);
        if let Some(directory) = held.get(&name).and_then(Weak::upgrade) {
            return directory;
        }
        let directory = Arc::new(CodeDirectory(root.join(&name)));
        held.insert(name, Arc::downgrade(&directory));
        directory
    }

    fn is_held(&self, name: &str) -> bool {
        self.lock()
            .get(name)
            .is_some_and(|directory| directory.strong_count() > 0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<CodeDirectory>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn collect_directories(
    root: &Path,
    held: &Held,
    used: &BTreeSet<String>,
    now: SystemTime,
    grace: Duration,
) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let put = entry.metadata()?.modified()?;
        // A clock that was set back makes it young, which is the safe side.
        let young = now.duration_since(put).is_ok_and(|age| age < grace) || now < put;
        if name == BOOT || used.contains(&*name) || young {
            continue;
        }
        let doomed = root.join(format!("draft-{}", uuid::Uuid::new_v4()));
        {
            // Renamed under the lock: whoever holds it from now on unpacks it anew.
            let held = held.lock();
            let runs = held
                .get(&*name)
                .is_some_and(|directory| directory.strong_count() > 0);
            if runs {
                continue;
            }
            fs::rename(entry.path(), &doomed)?;
        }
        remove(&doomed)?;
    }
    Ok(())
}

const BOOT: &str = "boot-id";

/// Makes the directory, and empties it after a start of the machine.
pub(super) fn prepare(root: &Path) -> io::Result<()> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let same = !boot.is_empty() && fs::read(root.join(BOOT)).is_ok_and(|seen| seen == boot);
    if !same && root.exists() {
        remove(root)?;
    }
    fs::create_dir_all(root)?;
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    fs::write(root.join(BOOT), boot)
}

fn unpack(zip: &[u8], root: &Path) -> Result<BlobHash, PackageError> {
    let hash = BlobHash::of(zip);
    let path = root.join(hash.to_string());
    if path.exists() {
        // Young again: a function is about to refer to it.
        File::open(&path)?.set_modified(SystemTime::now())?;
        return Ok(hash);
    }
    let draft = root.join(format!("draft-{}", uuid::Uuid::new_v4()));
    fs::create_dir(&draft)?;
    fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
    let done = package::unpack(zip, &draft).and_then(|()| match fs::rename(&draft, &path) {
        // Another request with the same package was faster.
        Err(_) if path.exists() => remove(&draft).map_err(PackageError::Io),
        renamed => renamed.map_err(PackageError::Io),
    });
    if done.is_err()
        && let Err(error) = remove(&draft)
    {
        tracing::warn!(%error, draft = %draft.display(), "an unpacking's rest is left");
    }
    done.map(|()| hash)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(act).await.map_err(io::Error::other)?
}

/// A link's token: the blob, until when, and our signature over both.
pub fn link_token(secrets: &Secrets, blob: BlobHash, now: Timestamp) -> String {
    let life = i64::try_from(limits::CODE_LINK_LIFE.as_secs()).unwrap_or(i64::MAX);
    let claim = format!("{blob}.{}", now.as_second().saturating_add(life));
    let signature = secrets.sign(&claim);
    format!("{claim}.{signature}")
}

/// The package that a token is a link to; none if it is forged or too old.
pub fn linked(secrets: &Secrets, token: &str, now: Timestamp) -> Option<BlobHash> {
    let (claim, signature) = token.rsplit_once('.')?;
    let (blob, until) = claim.split_once('.')?;
    let good = until
        .parse::<i64>()
        .is_ok_and(|until| now.as_second() <= until);
    if good && secrets.is_signed(claim, signature) {
        blob.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;
    use crate::functions::testing::zip_of;

    #[tokio::test]
    async fn a_package_is_unpacked_once_and_again_when_its_files_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(dir.path().join("blobs")).await.unwrap();
        let packages = Packages::open(dir.path().join("code"), blobs)
            .await
            .unwrap();
        let zip = zip_of(&[("index.py", b"x = 1")]);
        let (one, two) = tokio::join!(packages.take(zip.clone()), packages.take(zip));
        let code = one.unwrap();
        assert_eq!(code, two.unwrap());
        let directory = packages.directory(&code).await.unwrap();
        let index = directory.0.join("index.py");
        assert_eq!(fs::read(&index).unwrap(), b"x = 1");
        assert_eq!(fs::read_dir(dir.path().join("code")).unwrap().count(), 2);
        fs::remove_dir_all(&directory.0).unwrap();
        packages.directory(&code).await.unwrap();
        assert_eq!(fs::read(&index).unwrap(), b"x = 1");
    }

    #[tokio::test]
    async fn what_nothing_refers_to_is_collected() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(dir.path().join("blobs")).await.unwrap();
        let packages = Packages::open(dir.path().join("code"), blobs.clone())
            .await
            .unwrap();
        let code = packages.take(zip_of(&[("a.py", b"1")])).await.unwrap();
        let other = packages.take(zip_of(&[("b.py", b"2")])).await.unwrap();
        let grace = Duration::from_secs(300);
        let later = SystemTime::now() + grace * 2;
        let used = BTreeSet::from([other.blob.to_string()]);

        // Young, then still mounted somewhere, then neither.
        let path = dir.path().join("code").join(code.blob.to_string());
        let now = SystemTime::now();
        packages.collect(used.clone(), now, grace).await.unwrap();
        assert!(path.exists());
        let directory = packages.directory(&code).await.unwrap();
        packages.collect(used.clone(), later, grace).await.unwrap();
        assert!(path.exists());
        drop(directory);
        packages.collect(used, later, grace).await.unwrap();
        assert!(!path.exists());
        assert!(!blobs.contains(code.blob).await.unwrap());
        assert!(packages.directory(&other).await.unwrap().0.exists());
        assert!(blobs.contains(other.blob).await.unwrap());
    }

    #[tokio::test]
    async fn a_bad_package_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(dir.path().join("blobs")).await.unwrap();
        let packages = Packages::open(dir.path().join("code"), blobs)
            .await
            .unwrap();
        let zip = zip_of(&[("fine", b"x"), ("../../etc/passwd", b"x")]);
        assert!(matches!(packages.take(zip).await, Err(Error::Invalid(_))));
        let large = Bytes::from(vec![0; limits::ZIPPED_BYTES_MAX + 1]);
        assert!(matches!(
            packages.take(large).await,
            Err(Error::ZipTooLarge { .. })
        ));
        assert_eq!(fs::read_dir(dir.path().join("code")).unwrap().count(), 1);
    }

    #[test]
    fn links_last_ten_minutes_and_cannot_be_forged() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(&dir.path().join("k")).unwrap();
        let now = Timestamp::new(1_700_000_000, 0).unwrap();
        let blob = BlobHash::of(b"zip");
        let token = link_token(&secrets, blob, now);
        assert_eq!(linked(&secrets, &token, now + 600.seconds()), Some(blob));
        assert_eq!(linked(&secrets, &token, now + 601.seconds()), None);
        let other = token.replacen(&blob.to_string(), &BlobHash::of(b"x").to_string(), 1);
        assert_eq!(linked(&secrets, &other, now), None);
        assert_eq!(linked(&secrets, "..", now), None);
    }
}
