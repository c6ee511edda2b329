//! A process that writes as fast as it can and says on its standard output what was acknowledged.
//! The crash tests kill it. It takes the store's location, a directory for blobs and the first id;
//! or it fills a small disk, or meets I/O errors, and checks what that does.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lambent_store::{BlobStore, Error, Owner, Store, StoreConfig};

mod ledger;

const WRITERS: usize = 16;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [location, blobs, first, rest @ ..] = arguments.as_slice() else {
        return Err("usage: store-load LOCATION BLOBS FIRST_ID|fill|break [owner|guest]".into());
    };
    match first.as_str() {
        "fill" => return fill(location, blobs).await,
        "break" => return meet_errors(location).await,
        _ => {}
    }
    let next = Arc::new(AtomicI64::new(first.parse()?));
    let mut config = StoreConfig::new(location);
    config.postgres_writers = 2;
    // As the server does: then the next process takes over from one that was killed.
    let owns = rest.first().is_some_and(|role| role == "owner");
    config.owner = owns.then(|| Owner::this_process("it was started"));
    let store = Store::open(config, ledger::MIGRATIONS).await?;
    let blobs = BlobStore::open(blobs).await?;
    let writers = (0..WRITERS).map(|writer| {
        tokio::spawn(load(
            store.clone(),
            blobs.clone(),
            next.clone(),
            writer as i64,
        ))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    Ok(())
}

async fn load(
    store: Store,
    blobs: BlobStore,
    next: Arc<AtomicI64>,
    writer: i64,
) -> Result<(), Error> {
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        // Some entries refer to a blob, which has to be there when they are.
        let blob = match id % 8 {
            0 => Some(blobs.put(ledger::blob(id)).await?.hash),
            _ => None,
        };
        store
            .write(move |tx| ledger::enter(tx, id, writer, blob))
            .await?;
        // One system call: the kernel keeps what was said when we are killed.
        let said = std::io::stdout().write_all(format!("{id}\n").as_bytes());
        said.map_err(|source| Error::Io {
            source: Arc::new(source),
        })?;
    }
}

/// Writes until the disk is full, and then checks that this was told as such, that nothing
/// acknowledged is lost, and that the store goes on once there is room.
async fn fill(location: &str, directory: &str) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(StoreConfig::new(location), ledger::MIGRATIONS).await?;
    let blobs = BlobStore::open(directory).await?;
    // Full of other things: there is room for a change all the same, such as one that makes room.
    let others = std::path::Path::new(directory).join("others");
    let mut file = std::fs::File::create(&others)?;
    while file.write_all(&[3; 1024]).is_ok() {}
    store.write(|tx| ledger::enter(tx, 2, 0, None)).await?;
    std::fs::remove_file(others)?;
    drop(file);
    // Room that can be given back.
    let room = std::path::Path::new(directory).join("room");
    std::fs::write(&room, vec![1; 256 * 1024])?;
    let mut kept = 0;
    let full = loop {
        let id = 3 * kept + 2_000_000;
        match store.write(move |tx| ledger::enter(tx, id, 0, None)).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(full, Error::DiskFull { .. }),
        "after {kept} entries: {full:?}"
    );
    let blob = blobs.put(vec![2; 256 * 1024]).await;
    assert!(matches!(blob, Err(Error::DiskFull { .. })), "{blob:?}");
    let found = store.read(|tx| ledger::find(tx, 0)).await?;
    assert_eq!(found.ids.len() as i64, kept + 1);
    std::fs::remove_file(room)?;
    store.write(|tx| ledger::enter(tx, 1, 0, None)).await?;
    blobs.put(vec![2; 1024]).await?;
    store.close().await;
    let store = Store::open(StoreConfig::new(location), ledger::MIGRATIONS).await?;
    let found = store.read(|tx| ledger::find(tx, 0)).await?;
    assert_eq!(found.ids.len() as i64, kept + 2);
    println!("the disk was full after {kept} entries");
    Ok(())
}

/// Writes while the system refuses to let files grow, which is an I/O error and no full disk, and
/// checks what every answer was worth once it allows it again.
async fn meet_errors(location: &str) -> Result<(), Box<dyn std::error::Error>> {
    const REFUSED_IN_A_ROW: u32 = 20;
    let store = Store::open(StoreConfig::new(location), ledger::MIGRATIONS).await?;
    let (mut acknowledged, mut unknown) = (HashSet::new(), HashSet::new());
    let (mut in_a_row, mut id) = (0, 2_000_000);
    while in_a_row < REFUSED_IN_A_ROW {
        id += 1;
        in_a_row += 1;
        match store.write(move |tx| ledger::enter(tx, id, 0, None)).await {
            Ok(()) => {
                acknowledged.insert(id);
                in_a_row = 0;
            }
            Err(Error::CommitUnknown { .. }) => drop(unknown.insert(id)),
            Err(Error::Io { .. }) => {}
            Err(other) => panic!("entry {id}: {other:?}"),
        }
    }
    let pid = std::process::id().to_string();
    let raised = std::process::Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status()?;
    assert!(raised.success(), "prlimit (Debian package util-linux)");
    store.write(|tx| ledger::enter(tx, 1, 0, None)).await?;
    acknowledged.insert(1);
    for store in [
        store,
        Store::open(StoreConfig::new(location), ledger::MIGRATIONS).await?,
    ] {
        let found = store.read(|tx| ledger::find(tx, 0)).await?.ids;
        assert!(acknowledged.is_subset(&found), "acknowledged and missing");
        let mut extra = found.difference(&acknowledged);
        assert!(extra.all(|id| unknown.contains(id)), "refused and there");
        store.close().await;
    }
    let (kept, unsure) = (acknowledged.len(), unknown.len());
    println!("{kept} were kept, of {unsure} it was unknown, and {id} was the last");
    Ok(())
}
