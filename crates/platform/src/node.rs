//! The name of a data directory among those that share a store.

use std::{fs, io, path::Path};

/// The name; made once.
pub fn id(data: &Path) -> io::Result<String> {
    let path = data.join("node");
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) => make(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    }
}

fn make(path: &Path) -> io::Result<String> {
    let id = uuid::Uuid::new_v4().to_string();
    let draft = path.with_extension("new");
    fs::write(&draft, &id)?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(id)
}
