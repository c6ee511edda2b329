//! A layer of an image, unpacked into a directory that overlayfs takes.
//!
//! Nothing in it is believed. Every path is resolved by the kernel with the layer's directory as
//! the root, so that no link leads out; sizes are counted while they are read; devices and pipes
//! are left out, as a function could not use them. Everything belongs to the platform's user, and
//! set-id bits are dropped: a function is nobody's owner. What a layer takes away from those below
//! becomes overlayfs's own marks.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags, fchmod, fsetxattr, linkat,
        mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat,
    },
    io::Errno,
};
use tar::{Archive, Entry, EntryType};

use super::{ImageError, guard::Guard, limits};

const CHUNK: usize = 128 * 1024;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The mark that overlayfs heeds with `userxattr`.
const OPAQUE_MARK: &str = "user.overlay.opaque";

/// What may still be unpacked of an image.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub bytes: u64,
    pub entries: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: limits::IMAGE_BYTES_MAX,
            entries: limits::ENTRIES_MAX,
        }
    }
}

/// Unpacks a layer, compressed or not, into a directory that exists and is empty. Blocks; what it
/// leaves behind after an error is the caller's to remove.
pub fn unpack(layer: File, directory: &Path, budget: &mut Budget) -> Result<(), ImageError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty()).map_err(io::Error::from)?;
    let mut unpacking = Unpacking {
        root,
        budget,
        parent: None,
        chunk: vec![0; CHUNK],
    };
    let guard = Guard::new(decompressed(layer)?, limits::LAYER_READ_BYTES_MAX);
    let mut archive = Archive::new(guard);
    for entry in archive.entries().map_err(damaged)? {
        unpacking.entry(&mut entry.map_err(damaged)?)?;
    }
    Ok(())
}

/// Whether an unpacked layer takes away all that is below it. Overlayfs heeds the mark of any
/// directory but that of the root.
pub fn hides_all_below(directory: &Path) -> bool {
    let mut mark = [0; 1];
    rustix::fs::getxattr(directory, OPAQUE_MARK, &mut mark[..]).is_ok_and(|length| length > 0)
}

/// The layer's bytes; what compressed them is told by how they begin.
fn decompressed(mut layer: File) -> Result<Box<dyn Read>, ImageError> {
    let mut magic = [0; 4];
    let got = layer.read(&mut magic)?;
    io::Seek::rewind(&mut layer)?;
    let layer = BufReader::with_capacity(CHUNK, layer);
    Ok(match &magic[..got] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(layer)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(layer).map_err(damaged)?)
        }
        _ => Box::new(layer),
    })
}

fn damaged(error: io::Error) -> ImageError {
    ImageError::Invalid(format!("one of its layers cannot be read: {error}"))
}

struct Unpacking<'a> {
    root: OwnedFd,
    budget: &'a mut Budget,
    /// The directory of the last entry, in which the next mostly is too.
    parent: Option<(PathBuf, OwnedFd)>,
    chunk: Vec<u8>,
}

impl Unpacking<'_> {
    fn entry(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), ImageError> {
        let left = self.budget.entries.checked_sub(1);
        self.budget.entries = left.ok_or(ImageError::TooLarge)?;
        let path = relative(&entry.path_bytes())?;
        let Some(name) = path.file_name().map(|name| name.as_bytes().to_vec()) else {
            // The root itself.
            return Ok(());
        };
        self.enter(path.parent().unwrap_or(Path::new("")))?;
        let outcome = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous if name.starts_with(WHITEOUT) => {
                self.take_away(&name)
            }
            EntryType::Regular | EntryType::Continuous => self.file(&name, entry),
            EntryType::Directory => self.directory(&name, mode_of(entry)),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                self.clear(&name)
                    .and_then(|()| symlinkat(&*target, self.here(), &*name).map_err(ours))
            }
            EntryType::Link => {
                let target = relative(&entry.link_name_bytes().unwrap_or_default())?;
                self.hard_link(&target, &name)
            }
            // Devices, pipes and what only archives have.
            _ => Ok(()),
        };
        outcome.map_err(|error| error.of(&path))
    }

    fn here(&self) -> &OwnedFd {
        self.parent.as_ref().map_or(&self.root, |(_, fd)| fd)
    }

    /// Goes to a directory, making it where it is not there.
    fn enter(&mut self, path: &Path) -> Result<(), ImageError> {
        if self.parent.as_ref().is_some_and(|(known, _)| known == path) {
            return Ok(());
        }
        if path.as_os_str().is_empty() {
            self.parent = None;
            return Ok(());
        }
        let fd = match self.open(path) {
            Err(Errno::NOENT) => self.make(path)?,
            opened => opened.map_err(|errno| ours(errno).of(path))?,
        };
        self.parent = Some((path.to_owned(), fd));
        Ok(())
    }

    /// A directory, with every link in the way resolved inside the layer.
    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        if path.as_os_str().is_empty() {
            return self
                .root
                .as_fd()
                .try_clone_to_owned()
                .map_err(|_| Errno::MFILE);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn make(&self, path: &Path) -> Result<OwnedFd, ImageError> {
        let mut so_far = PathBuf::new();
        let mut above = self.open(&so_far).map_err(io::Error::from)?;
        for part in path.components() {
            so_far.push(part);
            above = match self.open(&so_far) {
                Err(Errno::NOENT) => {
                    let name = part.as_os_str();
                    // In the way there may be a link to nowhere.
                    mkdirat(&above, name, Mode::from_raw_mode(0o755))
                        .and_then(|()| self.open(&so_far))
                        .map_err(|errno| ours(errno).of(&so_far))?
                }
                opened => opened.map_err(|errno| ours(errno).of(&so_far))?,
            };
        }
        Ok(above)
    }

    fn file(&mut self, name: &[u8], entry: &mut Entry<'_, impl Read>) -> Result<(), Trouble> {
        self.clear(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = openat(self.here(), name, flags, Mode::from_raw_mode(0o600)).map_err(ours)?;
        let mut file = File::from(made);
        loop {
            let got = entry.read(&mut self.chunk).map_err(Trouble::Layer)?;
            if got == 0 {
                break;
            }
            let left = self.budget.bytes.checked_sub(got as u64);
            self.budget.bytes = left.ok_or(Trouble::TooLarge)?;
            file.write_all(&self.chunk[..got]).map_err(Trouble::Disk)?;
        }
        fchmod(&file, mode_of(entry)).map_err(ours)?;
        // Compiled modules say of which time their sources are.
        if let Ok(modified) = entry.header().mtime() {
            let age = Duration::from_secs(modified.min(u64::from(u32::MAX)));
            let modified = SystemTime::UNIX_EPOCH + age;
            file.set_modified(modified).map_err(Trouble::Disk)?;
        }
        Ok(())
    }

    fn directory(&mut self, name: &[u8], mode: Mode) -> Result<(), Trouble> {
        // Ours to go into and to remove again, whoever else may.
        let mode = mode | Mode::RWXU;
        let mut opaque = false;
        match mkdirat(self.here(), name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = statat(self.here(), name, AtFlags::SYMLINK_NOFOLLOW).map_err(ours)?;
                match FileType::from_raw_mode(found.st_mode) {
                    FileType::Directory => {}
                    kind => {
                        opaque = kind == FileType::CharacterDevice;
                        self.clear(name)?;
                        mkdirat(self.here(), name, mode).map_err(ours)?;
                    }
                }
            }
            Err(errno) => return Err(ours(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(self.here(), name, flags, Mode::empty()).map_err(ours)?;
        fchmod(&directory, mode).map_err(ours)?;
        if opaque {
            // What lies below under this name was taken away by the same layer.
            fsetxattr(&directory, OPAQUE_MARK, b"y", XattrFlags::empty()).map_err(ours)?;
        }
        Ok(())
    }

    fn hard_link(&mut self, target: &Path, name: &[u8]) -> Result<(), Trouble> {
        let directory = target.parent().unwrap_or(Path::new(""));
        let from = self.open(directory).map_err(ours)?;
        let file = target.file_name().ok_or(Trouble::NoTarget)?;
        let found = statat(&from, file, AtFlags::SYMLINK_NOFOLLOW);
        let found = found.map_err(|_| Trouble::NoTarget)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            return Err(Trouble::NoTarget);
        }
        self.clear(name)?;
        linkat(&from, file, self.here(), name, AtFlags::empty()).map_err(ours)
    }

    /// A mark in place of a file: what the layers below have there, or all that they have in this
    /// directory, is gone.
    fn take_away(&mut self, name: &[u8]) -> Result<(), Trouble> {
        if name == OPAQUE {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let here = openat(self.here(), c".", flags, Mode::empty()).map_err(ours)?;
            return fsetxattr(&here, OPAQUE_MARK, b"y", XattrFlags::empty()).map_err(ours);
        }
        let gone = &name[WHITEOUT.len()..];
        // Others that begin like the mark above are notes of other tools.
        if gone.is_empty() || gone.starts_with(WHITEOUT) {
            return Ok(());
        }
        let kind = FileType::CharacterDevice;
        match mknodat(self.here(), gone, kind, Mode::empty(), 0) {
            // The layer has one of its own instead.
            Err(Errno::EXIST) => Ok(()),
            made => made.map_err(ours),
        }
    }

    /// Removes what this layer has had under a name so far.
    fn clear(&self, name: &[u8]) -> Result<(), Trouble> {
        match unlinkat(self.here(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => unlinkat(self.here(), name, AtFlags::REMOVEDIR).map_err(ours),
            Err(errno) => Err(ours(errno)),
        }
    }
}

fn mode_of(entry: &Entry<'_, impl Read>) -> Mode {
    let mode = entry.header().mode().unwrap_or(0o644);
    Mode::from_raw_mode(mode & 0o777)
}

/// An entry's path below the layer's root.
fn relative(bytes: &[u8]) -> Result<PathBuf, ImageError> {
    let given = Path::new(std::ffi::OsStr::from_bytes(bytes));
    let bad = || ImageError::Invalid(format!("a layer has a path that leads out: {given:.200?}"));
    if bytes.len() > limits::PATH_BYTES_MAX || bytes.contains(&0) {
        return Err(bad());
    }
    let mut path = PathBuf::new();
    for component in given.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(bad()),
        }
    }
    Ok(path)
}

/// What went wrong with one entry.
#[derive(Debug)]
enum Trouble {
    Layer(io::Error),
    Disk(io::Error),
    NoTarget,
    TooLarge,
}

fn ours(errno: Errno) -> Trouble {
    Trouble::Disk(errno.into())
}

impl Trouble {
    fn of(self, path: &Path) -> ImageError {
        let path = path.display();
        match self {
            Self::Layer(error) => damaged(error),
            Self::TooLarge => ImageError::TooLarge,
            Self::NoTarget => ImageError::Invalid(format!(
                "a layer's {path} is a link to a file that is not in the layer"
            )),
            Self::Disk(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                ImageError::Invalid(format!("a layer's {path} is a link without end"))
            }
            Self::Disk(error) => match error.kind() {
                io::ErrorKind::NotADirectory
                | io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::NotFound => ImageError::Invalid(format!(
                    "a layer's {path} cannot be made of what it has: {error}"
                )),
                _ => ImageError::Io(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use tar::{Builder, Header};

    use super::*;

    fn header(kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(1_600_000_000);
        header
    }

    fn files(entries: &[(&str, EntryType, u32, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind, mode, content) in entries {
            let mut header = header(*kind, *mode, content.len() as u64);
            builder.append_data(&mut header, path, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(tar: &[u8], budget: &mut Budget) -> (tempfile::TempDir, Result<(), ImageError>) {
        let dir = tempfile::tempdir().unwrap();
        let (layer, root) = (dir.path().join("layer"), dir.path().join("root"));
        fs::write(&layer, tar).unwrap();
        fs::create_dir(&root).unwrap();
        let done = unpack(File::open(&layer).unwrap(), &root, budget);
        (dir, done)
    }

    #[test]
    fn files_keep_their_mode_and_time_but_no_identity() {
        let tar = files(&[
            ("bin/su", EntryType::Regular, 0o4755, b"x"),
            ("secret", EntryType::Regular, 0o600, b"x"),
            ("closed", EntryType::Directory, 0o000, b""),
            ("dev/sda", EntryType::Block, 0o666, b""),
            ("pipe", EntryType::Fifo, 0o666, b""),
        ]);
        let (dir, done) = unpacked(&tar, &mut Budget::default());
        done.unwrap();
        let found = |path: &str| fs::metadata(dir.path().join("root").join(path));
        let mode = |path: &str| found(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            [mode("bin/su"), mode("secret"), mode("closed")],
            [0o755, 0o600, 0o700]
        );
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        assert_eq!(found("bin/su").unwrap().modified().unwrap(), modified);
        assert!(found("dev/sda").is_err() && found("pipe").is_err());
    }

    #[test]
    fn what_is_taken_away_is_marked() {
        let tar = files(&[
            ("d/.wh.gone", EntryType::Regular, 0o644, b""),
            ("d/.wh..wh.plnk", EntryType::Regular, 0o644, b""),
            ("o/.wh..wh..opq", EntryType::Regular, 0o644, b""),
            ("o/new", EntryType::Regular, 0o644, b"x"),
        ]);
        let (dir, done) = unpacked(&tar, &mut Budget::default());
        done.unwrap();
        let root = dir.path().join("root");
        let gone = rustix::fs::stat(root.join("d/gone")).unwrap();
        let kind = FileType::from_raw_mode(gone.st_mode);
        assert_eq!((kind, gone.st_rdev), (FileType::CharacterDevice, 0));
        let names = |path: &str| fs::read_dir(root.join(path)).unwrap().count();
        assert_eq!([names("d"), names("o")], [1, 1]);
        let mut mark = [0; 8];
        let length = rustix::fs::getxattr(root.join("o"), OPAQUE_MARK, &mut mark[..]).unwrap();
        assert_eq!(&mark[..length], b"y");
        assert!(hides_all_below(&root.join("o")) && !hides_all_below(&root));
    }

    #[test]
    fn sizes_and_numbers_are_bounded_whatever_headers_say() {
        let tar = files(&[
            ("a", EntryType::Regular, 0o644, &[b'a'; 1000]),
            ("b", EntryType::Regular, 0o644, &[b'b'; 1000]),
        ]);
        let mut bytes = Budget {
            bytes: 1999,
            entries: 10,
        };
        assert!(matches!(
            unpacked(&tar, &mut bytes).1,
            Err(ImageError::TooLarge)
        ));
        let mut entries = Budget {
            bytes: 2000,
            entries: 1,
        };
        assert!(matches!(
            unpacked(&tar, &mut entries).1,
            Err(ImageError::TooLarge)
        ));
        let mut enough = Budget {
            bytes: 2000,
            entries: 2,
        };
        unpacked(&tar, &mut enough).1.unwrap();
        assert_eq!((enough.bytes, enough.entries), (0, 0));
        let compressed = zstd::encode_all(&tar[..], 3).unwrap();
        unpacked(&compressed, &mut Budget::default()).1.unwrap();
        let half = &compressed[..compressed.len() / 2];
        assert!(matches!(
            unpacked(half, &mut Budget::default()).1,
            Err(ImageError::Invalid(_))
        ));
    }
}
