use std::io::Write as _;

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;

enum Entry<'a> {
    File(&'a str, u32, &'a [u8]),
    Directory(&'a str),
    Link(&'a str, &'a str),
}

fn zip(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for entry in entries {
        match entry {
            Entry::File(name, mode, bytes) => {
                let options = options.unix_permissions(*mode);
                writer.start_file(*name, options).unwrap();
                writer.write_all(bytes).unwrap();
            }
            Entry::Directory(name) => writer.add_directory(*name, options).unwrap(),
            Entry::Link(name, target) => writer.add_symlink(*name, *target, options).unwrap(),
        }
    }
    writer.finish().unwrap().into_inner()
}

fn unpacked(zip: &[u8]) -> Result<tempfile::TempDir, PackageError> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("in");
    fs::create_dir(&root).unwrap();
    unpack(zip, &root).map(|()| dir)
}

fn refused(entries: &[Entry<'_>]) -> String {
    unpacked(&zip(entries)).unwrap_err().to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_directories_modes_and_links_are_kept() {
    let dir = unpacked(&zip(&[
        Entry::Directory("lib/"),
        Entry::File("bootstrap", 0o700, b"#!/bin/sh\n"),
        Entry::File("lib/a/data.txt", 0o600, b"data"),
        Entry::File("odd", 0o4755, b"x"),
        Entry::Link("lib/link", "a/data.txt"),
        Entry::Link("dangling", "lib/none"),
        Entry::File("./again", 0o644, b"first"),
    ]))
    .unwrap();
    let root = dir.path().join("in");
    assert_eq!(mode(&root.join("bootstrap")), 0o755);
    assert_eq!(mode(&root.join("lib/a/data.txt")), 0o644);
    assert_eq!(mode(&root.join("lib/a")), 0o755);
    assert_eq!(mode(&root.join("odd")), 0o755);
    assert_eq!(fs::read(root.join("lib/link")).unwrap(), b"data");
    assert_eq!(fs::read(root.join("again")).unwrap(), b"first");
    assert_eq!(
        fs::read_link(root.join("dangling")).unwrap(),
        Path::new("lib/none")
    );
}

#[test]
fn what_is_no_zip_or_empty_is_refused_in_lambdas_words() {
    let message = |bytes: &[u8]| unpacked(bytes).unwrap_err().to_string();
    assert_eq!(
        message(b"this is not a zipfile, just a random string"),
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    );
    assert_eq!(message(b""), "Uploaded file must be a non-empty zip");
    assert_eq!(message(&zip(&[])), "Uploaded file must be a non-empty zip");
    let whole = zip(&[Entry::File("a", 0o644, &[7; 5000])]);
    assert!(unpacked(&whole[..whole.len() / 2]).is_err());
}

#[test]
fn names_that_lead_out_are_refused_and_leave_nothing_outside() {
    for name in ["../../etc/passwd", "a/../../b", "/etc/passwd", "a\\..\\b"] {
        let bytes = zip(&[Entry::File(name, 0o644, b"x")]);
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("one/in");
        fs::create_dir_all(&root).unwrap();
        let error = unpack(&bytes, &root).unwrap_err();
        assert!(matches!(error, PackageError::BadEntry { .. }), "{name}");
        assert_eq!(fs::read_dir(dir.path().join("one")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
}

#[test]
fn links_that_lead_out_are_refused() {
    let out = "leads out of the package";
    assert!(refused(&[Entry::Link("a", "/etc")]).contains(out));
    assert!(refused(&[Entry::Link("a", "../b")]).contains(out));
    assert!(refused(&[Entry::Link("d/a", "../../b")]).contains(out));
    // Each looks harmless alone.
    let chain = [
        Entry::Directory("d/e/"),
        Entry::Link("d/e/up", "../.."),
        Entry::Link("d/e/out", "up/../x"),
        Entry::Link("d/e/parent", "up/.."),
    ];
    assert!(refused(&chain).contains(out));
    // A file never goes through a link: it takes the name's place as a directory.
    let through = [Entry::Link("a", "b"), Entry::File("a/x", 0o644, b"x")];
    assert!(refused(&through).contains("is both a file and a directory"));
    let below = [Entry::Link("a", "b"), Entry::Link("a/x", "y")];
    assert!(refused(&below).contains("lies below a link"));
}

#[test]
fn clashes_and_devices_are_refused() {
    let clash = [Entry::File("a", 0o644, b""), Entry::File("a/b", 0o644, b"")];
    assert!(refused(&clash).contains("is both a file and a directory"));
    // The writer makes no devices: the type is put into the directory entry by hand.
    let mut bytes = zip(&[Entry::File("null", 0o644, b"")]);
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[at + 40..at + 42].copy_from_slice(&0o020_666_u16.to_le_bytes());
    let message = unpacked(&bytes).unwrap_err().to_string();
    assert!(message.contains("neither a file"), "{message}");
}

#[test]
fn bombs_are_refused_by_what_they_say_and_by_what_they_do() {
    let zeros = vec![0_u8; 1 << 20];
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    writer.start_file("bomb", options).unwrap();
    for _ in 0..251 {
        writer.write_all(&zeros).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    assert!(matches!(unpacked(&bytes), Err(PackageError::TooLarge)));
    // The same bomb that says it is one byte.
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[at + 24..at + 28].copy_from_slice(&1_u32.to_le_bytes());
    assert!(unpacked(&bytes).is_err());
}

#[test]
fn directories_count_as_entries_do() {
    // 500 names of 220 directories each: some kilobytes of zip.
    let names: Vec<String> = (0..500)
        .map(|n| format!("{n}/{}x", "d/".repeat(219)))
        .collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| Entry::File(name, 0o644, b""))
        .collect();
    let bytes = zip(&entries);
    assert!(matches!(
        unpacked(&bytes),
        Err(PackageError::TooManyEntries)
    ));
    let entries = &entries[..3];
    assert!(unpacked(&zip(entries)).is_ok());
    let deep = format!("{}x", "d/".repeat(limits::ENTRY_DEPTH_MAX));
    assert!(refused(&[Entry::File(&deep, 0o644, b"")]).contains("too deep"));
}

#[test]
fn more_entries_than_can_be_are_not_even_read() {
    let mut bytes = zip(&[Entry::File("a", 0o644, b"x")]);
    bytes.extend_from_slice(&b"PK\x01\x02".repeat(limits::ENTRIES_MAX));
    assert!(matches!(
        unpacked(&bytes),
        Err(PackageError::TooManyEntries)
    ));
}

#[test]
fn what_cannot_be_read_is_named() {
    let whole = zip(&[Entry::File("a", 0o644, b"some text")]);
    let changed = |field: usize, value: u16| {
        let mut bytes = whole.clone();
        // In the entry itself and in the archive's directory, two bytes further there.
        for (signature, at) in [(b"PK\x03\x04", field), (b"PK\x01\x02", field + 2)] {
            let begin = bytes.windows(4).position(|w| w == signature).unwrap();
            bytes[begin + at..begin + at + 2].copy_from_slice(&value.to_le_bytes());
        }
        unpacked(&bytes).unwrap_err().to_string()
    };
    const FLAGS: usize = 6;
    const METHOD: usize = 8;
    assert!(changed(FLAGS, 1).contains("'a' is encrypted"));
    for method in [9, 12, 14, 93, 95, 4711] {
        let message = changed(METHOD, method);
        assert!(
            message.contains("'a' is compressed by another method"),
            "{message}"
        );
    }
}
