//! A deployment package: a zip, taken apart into a directory.
//!
//! Nothing in it is believed: sizes are counted while inflating, every name is taken apart by us,
//! links are made last, when no file can follow one any more, and only if they stay inside.
//! Refused are names that lead out, devices, encrypted entries and everything over the limits.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Cursor, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use zip::{CompressionMethod, ZipArchive};

use super::limits;

const CHUNK: usize = 64 * 1024;
/// How an entry of the archive's directory begins.
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const LINK_TARGET_BYTES_MAX: u64 = 4_095;
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("Could not unzip uploaded file. Please check your file, then try to upload again.")]
    NotAZip,
    #[error("Uploaded file must be a non-empty zip")]
    Empty,
    #[error(
        "Unzipped size must be smaller than {} bytes",
        limits::UNZIPPED_BYTES_MAX
    )]
    TooLarge,
    /// Lambda's sentence, and which entry it is about.
    #[error(
        "Could not unzip uploaded file. Please check your file, then try to upload again. \
         The entry '{entry}' {reason}."
    )]
    BadEntry { entry: String, reason: &'static str },
    #[error(
        "Could not unzip uploaded file. Please check your file, then try to upload again. \
         It has more than {} entries.",
        limits::ENTRIES_MAX
    )]
    TooManyEntries,
    /// Our disk, not the package.
    #[error("unpack a package")]
    Io(#[from] io::Error),
}

/// Unpacks into a directory that exists and is empty. Blocks; what it leaves behind after an error
/// is the caller's to remove.
pub fn unpack(zip: &[u8], root: &Path) -> Result<(), PackageError> {
    if zip.is_empty() {
        return Err(PackageError::Empty);
    }
    // Before the archive is read, which takes some hundred bytes of memory for each.
    if zip
        .windows(4)
        .filter(|four| *four == ENTRY_SIGNATURE)
        .count()
        > limits::ENTRIES_MAX
    {
        return Err(PackageError::TooManyEntries);
    }
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| PackageError::NotAZip)?;
    check_declared(&mut archive)?;
    let mut unpacking = Unpacking {
        root,
        bytes_left: limits::UNZIPPED_BYTES_MAX,
        directories_left: limits::ENTRIES_MAX,
        links: BTreeMap::new(),
        chunk: vec![0; CHUNK],
    };
    for index in 0..archive.len() {
        unpacking.entry(&mut archive, index)?;
    }
    unpacking.make_links()
}

/// What the directory of the archive says is enough to refuse, never enough to accept.
fn check_declared(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<(), PackageError> {
    match archive.len() {
        0 => return Err(PackageError::Empty),
        entries if entries > limits::ENTRIES_MAX => return Err(PackageError::TooManyEntries),
        _ => {}
    }
    let mut declared = 0_u64;
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|_| PackageError::NotAZip)?;
        declared = declared.saturating_add(entry.size());
    }
    if declared > limits::UNZIPPED_BYTES_MAX {
        return Err(PackageError::TooLarge);
    }
    Ok(())
}

struct Unpacking<'a> {
    root: &'a Path,
    bytes_left: u64,
    /// A long name alone can ask for a thousand of them.
    directories_left: usize,
    /// Where each link is to be and what it says.
    links: BTreeMap<PathBuf, PathBuf>,
    chunk: Vec<u8>,
}

impl Unpacking<'_> {
    fn entry(
        &mut self,
        archive: &mut ZipArchive<Cursor<&[u8]>>,
        index: usize,
    ) -> Result<(), PackageError> {
        let raw = archive.by_index_raw(index);
        let raw = raw.map_err(|_| PackageError::NotAZip)?;
        let told = String::from_utf8_lossy(raw.name_raw()).into_owned();
        let bad = |reason| PackageError::BadEntry {
            entry: told.chars().take(200).collect(),
            reason,
        };
        if raw.encrypted() {
            return Err(bad("is encrypted"));
        }
        if !matches!(
            raw.compression(),
            CompressionMethod::Stored | CompressionMethod::Deflated
        ) {
            return Err(bad("is compressed by another method than deflate"));
        }
        drop(raw);
        let mut entry = archive.by_index(index).map_err(|_| PackageError::NotAZip)?;
        let path = relative(&told).map_err(bad)?;
        let mode = entry.unix_mode();
        let kind = match mode.map_or(0, |mode| mode & FILE_TYPE) {
            _ if entry.is_dir() => DIRECTORY,
            0 => REGULAR,
            kind => kind,
        };
        if path.as_os_str().is_empty() {
            // The package's own directory, as some tools write it.
            return if kind == DIRECTORY {
                Ok(())
            } else {
                Err(bad("has no name"))
            };
        }
        self.links.remove(&path);
        match kind {
            DIRECTORY => self.directory(&path, &bad),
            REGULAR => {
                let executable = mode.is_some_and(|mode| mode & 0o111 != 0);
                self.file(&path, executable, &mut entry, &bad)
            }
            SYMLINK => {
                let mut target = String::new();
                (&mut entry)
                    .take(LINK_TARGET_BYTES_MAX + 1)
                    .read_to_string(&mut target)
                    .map_err(|_| bad("is a link that cannot be read"))?;
                self.link(path, target).map_err(bad)
            }
            _ => Err(bad("is neither a file nor a directory nor a link")),
        }
    }

    /// Makes a directory and what it lies in, as far as they are not there.
    fn directory(
        &mut self,
        path: &Path,
        bad: &dyn Fn(&'static str) -> PackageError,
    ) -> Result<(), PackageError> {
        let whole = self.root.join(path);
        let mut missing = vec![whole.as_path()];
        while let Some(directory) = missing.last() {
            match DirBuilder::new().mode(0o755).create(directory) {
                Ok(()) => {
                    let left = self.directories_left.checked_sub(1);
                    self.directories_left = left.ok_or(PackageError::TooManyEntries)?;
                    // Whatever the umask: every environment's own user has to read it.
                    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !fs::symlink_metadata(directory)?.is_dir() {
                        return Err(clash(error, bad));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Not above the root, which is there.
                    let above = directory.parent().filter(|up| up.starts_with(self.root));
                    missing.push(above.ok_or(error)?);
                    continue;
                }
                Err(error) => return Err(clash(error, bad)),
            }
            missing.pop();
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        executable: bool,
        entry: &mut impl Read,
        bad: &dyn Fn(&'static str) -> PackageError,
    ) -> Result<(), PackageError> {
        if let Some(parent) = path.parent() {
            self.directory(parent, bad)?;
        }
        // There are no links yet that this could follow.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(self.root.join(path))
            .map_err(|error| clash(error, bad))?;
        loop {
            let got = entry.read(&mut self.chunk).map_err(|_| bad("is damaged"))?;
            if got == 0 {
                break;
            }
            self.bytes_left = self
                .bytes_left
                .checked_sub(got as u64)
                .ok_or(PackageError::TooLarge)?;
            file.write_all(&self.chunk[..got])?;
        }
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(())
    }

    fn link(&mut self, path: PathBuf, target: String) -> Result<(), &'static str> {
        if target.is_empty() || target.len() as u64 > LINK_TARGET_BYTES_MAX {
            return Err("is a link that cannot be read");
        }
        let target = PathBuf::from(target);
        if !stays_inside(&path, &target) {
            return Err("is a link that leads out of the package");
        }
        self.links.insert(path, target);
        Ok(())
    }

    fn make_links(&mut self) -> Result<(), PackageError> {
        let bad = |path: &Path, reason| PackageError::BadEntry {
            entry: path.display().to_string(),
            reason,
        };
        let links = std::mem::take(&mut self.links);
        for (path, target) in &links {
            // A link below a link would be made wherever that one leads.
            if path.ancestors().skip(1).any(|up| links.contains_key(up)) {
                return Err(bad(path, "lies below a link"));
            }
            if let Some(parent) = path.parent() {
                self.directory(parent, &|reason| bad(path, reason))?;
            }
            symlink(target, self.root.join(path))
                .map_err(|error| clash(error, &|reason| bad(path, reason)))?;
        }
        // Each by itself stays inside; together they might not.
        let root = self.root.canonicalize()?;
        for path in links.keys() {
            let outside = match self.root.join(path).canonicalize() {
                Ok(end) => !end.starts_with(&root),
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            };
            if outside {
                return Err(bad(path, "is a link that leads out of the package"));
            }
        }
        Ok(())
    }
}

/// An entry's name as a path below the root; empty for the root itself.
fn relative(name: &str) -> Result<PathBuf, &'static str> {
    if name.len() > limits::ENTRY_PATH_BYTES_MAX {
        return Err("has too long a name");
    }
    if name.contains(['\0', '\\', '\u{fffd}']) {
        return Err("has a name that is no path");
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) if part.len() > limits::ENTRY_NAME_BYTES_MAX => {
                return Err("has too long a name");
            }
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err("leads out of the package");
            }
        }
    }
    if path.components().count() > limits::ENTRY_DEPTH_MAX {
        return Err("lies too deep");
    }
    Ok(path)
}

fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    target.components().all(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => match depth.checked_sub(1) {
            Some(up) => {
                depth = up;
                true
            }
            None => false,
        },
        Component::RootDir | Component::Prefix(_) => false,
    })
}

/// A file where a directory is to be, or the other way round, is the package's own fault.
fn clash(error: io::Error, bad: &dyn Fn(&'static str) -> PackageError) -> PackageError {
    match error.kind() {
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => bad("is both a file and a directory"),
        _ => PackageError::Io(error),
    }
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
