//! Where a group's files lie: a directory whose name is the group's, and graves for those that are
//! being removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::GroupKey;

/// Not an account.
const GRAVES: &str = "removed";
/// A file system's names are no longer than 255 bytes.
const NAME_BYTES_MAX: usize = 200;
const HASH_LEN: usize = 64;

/// Group names may hold slashes and dots; the directory's name is one plain component.
pub fn of(root: &Path, key: &GroupKey) -> PathBuf {
    root.join(plain(&key.account_id))
        .join(plain(&key.region))
        .join(short(plain(&key.name), &key.name))
}

fn plain(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect::<String>()
}

/// Written out a name may be longer than a file system takes; then its hash stands for the rest.
fn short(plain: String, name: &str) -> String {
    match plain.get(..NAME_BYTES_MAX - HASH_LEN) {
        Some(start) if plain.len() > NAME_BYTES_MAX => {
            format!("{start}{}", store::BlobHash::of(name.as_bytes()))
        }
        _ => plain,
    }
}

/// What was written plainly; nothing where it cannot be told.
fn read(plain: &str) -> Option<String> {
    if plain.len() >= NAME_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(plain.len());
    let mut rest = plain.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        let hex = std::str::from_utf8(hex).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The groups there are, with when their first file was made, in milliseconds since 1970.
pub fn found(root: &Path) -> io::Result<Vec<(GroupKey, i64)>> {
    let mut found = Vec::new();
    for (account, path) in directories(root)? {
        if account == GRAVES {
            continue;
        }
        for (region, path) in directories(&path)? {
            for (name, path) in directories(&path)? {
                let (Some(account_id), Some(region), Some(name)) =
                    (read(&account), read(&region), read(&name))
                else {
                    continue;
                };
                let made = fs::metadata(&path)?;
                let made = made.created().or(made.modified())?;
                let made = made.duration_since(UNIX_EPOCH).unwrap_or_default();
                let made = i64::try_from(made.as_millis()).unwrap_or(0);
                let key = GroupKey {
                    account_id,
                    region,
                    name,
                };
                found.push((key, made));
            }
        }
    }
    Ok(found)
}

fn directories(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            directories.push((name, entry.path()));
        }
    }
    Ok(directories)
}

/// A place that nobody looks at, for what is to be removed.
pub fn grave(root: &Path) -> io::Result<PathBuf> {
    let graves = root.join(GRAVES);
    fs::create_dir_all(&graves)?;
    Ok(graves.join(uuid::Uuid::new_v4().to_string()))
}

pub fn remove(grave: &Path) -> io::Result<()> {
    match fs::remove_dir_all(grave) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What was being removed when the process before ended.
pub fn empty_graves(root: &Path) -> io::Result<()> {
    remove(&root.join(GRAVES))
}
