//! What only a file does: it fills the disk, is damaged, and is read by whoever may.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use lambent_store::{Error, Store, StoreConfig, params};
use tokio::task::JoinSet;

use crate::bench::{Bench, TABLES};

const INSERT: &str = "INSERT INTO sample (id, t) VALUES ($1, $2)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_refuses_and_stays_usable() {
    let mut bench = Bench::sqlite();
    bench.config.sqlite_bytes_max = Some(1 << 20);
    let store = bench.store().await;
    let mut kept = 0;
    let refused = loop {
        let fill = store.write(move |tx| tx.execute(INSERT, params![kept, "x".repeat(20_000)]));
        match fill.await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused:?}");
    assert!((30..60).contains(&kept), "{kept} rows fit");
    // One that asks for too much does not take the small ones of its batch with it.
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let store = store.clone();
        tasks.spawn(async move {
            let size = if number % 4 == 0 { 500_000 } else { 1 };
            let write = store.write(move |tx| {
                tx.execute("DELETE FROM sample WHERE id = $1", params![0])?;
                tx.execute(INSERT, params![1000 + number, "y".repeat(size)])
            });
            (size, write.await)
        });
    }
    for (size, answer) in tasks.join_all().await {
        match answer {
            Ok(_) => assert_eq!(size, 1),
            Err(error) => {
                assert!(
                    size > 1 && matches!(error, Error::DiskFull { .. }),
                    "{size}: {error:?}"
                );
            }
        }
    }
    let sql = "SELECT count(*) AS n FROM sample WHERE id >= 1000";
    let small = store
        .read(move |tx| tx.query_one(sql, params![]))
        .await
        .unwrap();
    assert_eq!(small.get::<i64>("n").unwrap(), 30);
}

/// On a file system of a few megabytes of its own, as its real end looks different from a limit.
#[test]
fn a_full_disk_refuses_and_what_was_answered_stays() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=3m tmpfs '{0}' && exec '{1}' '{0}/store' '{0}/blobs' fill",
        directory.path().display(),
        env!("CARGO_BIN_EXE_store-load"),
    );
    // A mount namespace of its own, and as an ordinary user a user namespace to be allowed that.
    let output = Command::new("unshare")
        .args(["--mount", "--user", "--map-root-user", "sh", "-c", &script])
        .output()
        .expect("run unshare (Debian package util-linux)");
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("the disk was full"), "{said}{complained}");
}

/// A write that the system refuses halfway, in the log or in the database file.
#[test]
fn after_an_io_error_every_answer_holds() {
    let directory = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes. Only the soft limit, which the process may raise again.
    let script = format!(
        "trap '' XFSZ; ulimit -S -f 3000; exec '{1}' '{0}/store' '{0}/blobs' break",
        directory.path().display(),
        env!("CARGO_BIN_EXE_store-load"),
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("were kept"), "{said}{complained}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let bench = Bench::sqlite();
    let file = std::path::Path::new(&bench.config.location).join("lambent.db");
    std::fs::write(
        &file,
        "certainly not a database, but long enough to have a header ".repeat(9),
    )
    .unwrap();
    let opened = bench.open(TABLES).await.map(drop);
    assert!(matches!(opened, Err(Error::Corrupt { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_place_that_is_no_directory_is_refused() {
    let bench = Bench::sqlite();
    let file = std::path::Path::new(&bench.config.location).join("file");
    std::fs::write(&file, "").unwrap();
    let config = StoreConfig::new(file.join("store").to_str().unwrap());
    let opened = Store::open(config, TABLES).await.map(drop);
    assert!(matches!(opened, Err(Error::Io { .. })), "{opened:?}");
}

#[tokio::test]
async fn the_files_are_for_our_user_alone() {
    let bench = Bench::sqlite();
    let store = bench.store().await;
    store
        .write(|tx| tx.execute(INSERT, params![1, "secret"]))
        .await
        .unwrap();
    let files: Vec<_> = std::fs::read_dir(&bench.config.location)
        .unwrap()
        .flatten()
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.path());
    }
}

/// Without a checkpoint the log of the last writes would stay as large as it ever was.
#[tokio::test]
async fn an_idle_store_empties_its_log() {
    let bench = Bench::sqlite();
    let store = bench.store().await;
    store
        .write(|tx| tx.execute(INSERT, params![1, "x".repeat(1 << 20)]))
        .await
        .unwrap();
    let log = std::path::Path::new(&bench.config.location).join("lambent.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 1 << 20);
    let began = std::time::Instant::now();
    while std::fs::metadata(&log).unwrap().len() > 0 {
        assert!(began.elapsed().as_secs() < 20, "the log was not emptied");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let kept = store
        .read(|tx| tx.query("SELECT t FROM sample", params![]))
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
}
