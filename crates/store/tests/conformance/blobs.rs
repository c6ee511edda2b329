//! Blobs: whole, durable, found by their content, collected when unused.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lambent_store::{BlobHash, BlobStore, Error};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

async fn blobs() -> (TempDir, BlobStore) {
    let directory = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(directory.path().join("blobs"))
        .await
        .unwrap();
    (directory, blobs)
}

fn drafts(directory: &TempDir) -> usize {
    std::fs::read_dir(directory.path().join("blobs/drafts"))
        .unwrap()
        .count()
}

fn age(path: &Path, by: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[tokio::test]
async fn a_blob_is_found_by_its_content() {
    let (directory, blobs) = blobs().await;
    let blob = blobs.put("hello").await.unwrap();
    // As `printf hello | sha256sum` says.
    let name = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!((blob.hash.to_string().as_str(), blob.len), (name, 5));
    assert_eq!(name.parse::<BlobHash>().unwrap(), blob.hash);
    assert_eq!(blobs.put(b"hello".to_vec()).await.unwrap(), blob);
    assert_eq!(blobs.get(blob.hash, 5).await.unwrap(), b"hello");
    assert!(blobs.contains(blob.hash).await.unwrap());
    assert!(
        blobs
            .path(blob.hash)
            .unwrap()
            .ends_with(format!("2c/f2/{name}"))
    );
    assert!(matches!(
        blobs.get(blob.hash, 4).await,
        Err(Error::TooLarge { .. })
    ));
    assert!(blobs.delete(blob.hash).await.unwrap());
    assert!(!blobs.delete(blob.hash).await.unwrap());
    assert!(matches!(
        blobs.get(blob.hash, 5).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        blobs.verify(blob.hash).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(drafts(&directory), 0);
}

#[tokio::test]
async fn streams_go_in_and_out() {
    let (directory, blobs) = blobs().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let blob = blobs.put_stream(content.as_slice()).await.unwrap();
    assert_eq!((blob.hash, blob.len), (BlobHash::of(&content), 3_000_000));
    let mut reader = blobs.reader(blob.hash).await.unwrap();
    assert_eq!(reader.len, 3_000_000);
    let mut found = Vec::new();
    reader.read_to_end(&mut found).await.unwrap();
    assert!(found == content);
    let mut writer = blobs.writer().await.unwrap();
    for piece in content.chunks(700_001) {
        writer.write(piece.to_vec()).await.unwrap();
    }
    assert_eq!(drafts(&directory), 1);
    assert_eq!(writer.finish().await.unwrap(), blob);
    let empty = blobs.put_stream(tokio::io::empty()).await.unwrap();
    assert_eq!((empty.len, empty.hash), (0, BlobHash::of(b"")));
    assert_eq!(drafts(&directory), 0);
}

#[tokio::test]
async fn unfinished_blobs_leave_nothing() {
    let (directory, blobs) = blobs().await;
    let mut dropped = blobs.writer().await.unwrap();
    dropped.write("part").await.unwrap();
    drop(dropped);
    assert_eq!(drafts(&directory), 0);
    // Left by a process that was killed; and one that is being written meanwhile.
    std::fs::write(directory.path().join("blobs/drafts/1-1"), "part").unwrap();
    let mut writer = blobs.writer().await.unwrap();
    writer.write("whole").await.unwrap();
    let again = BlobStore::open(directory.path().join("blobs"))
        .await
        .unwrap();
    assert_eq!(drafts(&directory), 1);
    let blob = writer.finish().await.unwrap();
    assert_eq!(again.get(blob.hash, 10).await.unwrap(), b"whole");
}

#[tokio::test]
async fn damage_is_found_and_heals_when_put_again() {
    let (_directory, blobs) = blobs().await;
    let blob = blobs.put("precious").await.unwrap();
    blobs.verify(blob.hash).await.unwrap();
    let path = blobs.path(blob.hash).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all(b"P")
        .unwrap();
    let verified = blobs.verify(blob.hash).await;
    assert!(
        matches!(verified, Err(Error::Corrupt { .. })),
        "{verified:?}"
    );
    // Nobody is handed what somebody else's bytes have become.
    let read = blobs.get(blob.hash, 100).await;
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(3)
        .unwrap();
    let read = blobs.get(blob.hash, 100).await;
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
    blobs.put("precious").await.unwrap();
    blobs.verify(blob.hash).await.unwrap();
}

#[tokio::test]
async fn only_old_and_unreferenced_blobs_are_collected() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (directory, blobs) = blobs().await;
    let mut old = Vec::new();
    for n in 0..40 {
        let blob = blobs.put(format!("blob {n}")).await.unwrap();
        age(&blobs.path(blob.hash).unwrap(), 2 * HOUR);
        old.push(blob.hash);
    }
    let used: HashSet<_> = old[..10].iter().copied().collect();
    let again = blobs.put("blob 39").await.unwrap();
    let fresh = blobs.put("fresh").await.unwrap();
    std::fs::write(directory.path().join("blobs/aa-not-ours"), "").unwrap();
    let referenced = |hash| std::future::ready(Ok(used.contains(&hash)));
    let collected = blobs
        .collect(SystemTime::now(), HOUR, referenced)
        .await
        .unwrap();
    assert_eq!((collected.kept, collected.removed), (10, 29));
    assert_eq!(collected.removed_bytes, 29 * 7);
    for &hash in used.iter().chain([&again.hash, &fresh.hash]) {
        assert!(blobs.contains(hash).await.unwrap());
    }
    // A question that fails removes nothing.
    let failed = blobs
        .collect(SystemTime::now(), Duration::ZERO, |_| {
            std::future::ready(Err(Error::Closed))
        })
        .await;
    assert!(matches!(failed, Err(Error::Closed)));
    assert!(blobs.contains(fresh.hash).await.unwrap());
}

#[test]
fn names_that_are_no_hashes_are_refused() {
    let upper = "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824";
    for name in ["", "2cf2", upper, "../../../../etc/passwd", &"é".repeat(32)] {
        assert!(name.parse::<BlobHash>().is_err(), "{name}");
    }
}
