//! A folder as a package: its files in a fixed order with fixed times, so that the same code is the
//! same package, without what no function needs.

use std::{
    fs,
    io::{Cursor, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::style;

/// Lambda's own bound on what is unpacked.
const BYTES_MAX: u64 = 262_144_000;
const FILES_MAX: usize = 100_000;
const LEFT_OUT: [&str; 12] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".DS_Store",
    ".aws-sam",
    ".serverless",
];

/// Lambda's own bound on a package that comes with the request.
const ZIPPED_BYTES_MAX: usize = 52_428_800;

/// A folder's package, as the platform takes it.
pub fn package(folder: &Path) -> Result<Vec<u8>> {
    let zip = zip(folder)?;
    ensure!(
        zip.len() <= ZIPPED_BYTES_MAX,
        "{} is {} when zipped; Lambda takes packages of up to {}",
        folder.display(),
        style::bytes(zip.len() as u64),
        style::bytes(ZIPPED_BYTES_MAX as u64)
    );
    Ok(zip)
}

fn zip(folder: &Path) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut total = 0;
    for path in files {
        let code = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        total += code.len() as u64;
        ensure!(
            total <= BYTES_MAX,
            "{} has more than {} of code, which is all that Lambda unpacks",
            folder.display(),
            style::bytes(BYTES_MAX)
        );
        let executable = fs::metadata(&path)?.permissions().mode() & 0o111 != 0;
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .unix_permissions(if executable { 0o755 } else { 0o644 });
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let Some(name) = name.to_str() else {
            bail!("{} has a name that is not text", path.display());
        };
        writer.start_file(name, options)?;
        writer.write_all(&code)?;
    }
    Ok(writer.finish().context("write the package")?.into_inner())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if LEFT_OUT.contains(&&*name) || name.ends_with(".pyc") {
            continue;
        }
        // Through links: what they point to is what the function would miss.
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let kind = fs::metadata(&path).with_context(|| match is_link {
            true => format!("{} is a link to what is not there", path.display()),
            false => format!("read {}", path.display()),
        })?;
        if kind.is_dir() && is_link {
            bail!(
                "{} is a link to a folder; packages hold none",
                path.display()
            );
        }
        if kind.is_dir() {
            if !(name == ".cache" && folder.ends_with("node_modules")) {
                collect(&path, files)?;
            }
        } else if kind.is_file() {
            files.push(path);
        }
        ensure!(
            files.len() <= FILES_MAX,
            "there are more than {FILES_MAX} files"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_code_is_the_same_package() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("make a folder");
            fs::write(path, name).expect("write a file");
        };
        for name in ["b.py", "a.py", "lib/c.py", "__pycache__/a.pyc", ".git/HEAD"] {
            write(name);
        }
        let package = zip(folder.path()).expect("it can be packed");
        write("venv/x");
        assert_eq!(zip(folder.path()).expect("it can be packed"), package);
        let mut read = zip::ZipArchive::new(Cursor::new(package)).expect("it is a package");
        let mut names = Vec::new();
        for at in 0..read.len() {
            let file = read.by_index_raw(at).expect("it has this file");
            names.push(String::from_utf8_lossy(file.name_raw()).into_owned());
        }
        assert_eq!(names, ["a.py", "b.py", "lib/c.py"]);
    }
}
