//! Files that nothing refers to any more go.
//!
//! Whoever takes the last reference to a file away says so in the same transaction
//! ([`super::rows::release_file`]). A file's name never comes again, and nobody can refer to it
//! without having found a reference, so once there is none there never will be; it only has to be
//! waited for who reads it. What a crash left between a file and the row that was to refer to it is
//! found by going through all files.

use std::time::SystemTime;

use store::{BlobHash, Tx, params};

use super::{
    Buckets, limits,
    rows::{self},
};
use crate::background::{Background, Wake};

impl Buckets {
    pub(super) fn keep_collecting(&self, background: &Background) {
        let (this, wake) = (self.clone(), self.0.garbage.clone());
        background.keep("object-garbage", limits::COLLECT_EVERY, wake, move || {
            let this = this.clone();
            async move { this.collect().await }
        });
        let this = self.clone();
        background.keep(
            "object-sweep",
            limits::SWEEP_EVERY,
            Wake::default(),
            move || {
                let this = this.clone();
                async move { this.sweep(SystemTime::now()).await }
            },
        );
    }

    /// One pass over what is known to be garbage.
    pub(super) async fn collect(&self) -> store::Result<()> {
        while self.end_manifests().await? {}
        let mut after = Vec::new();
        loop {
            let from = after.clone();
            let garbage = self.store().read(move |tx| {
                let sql = "SELECT hash FROM object_garbage WHERE hash > $1 ORDER BY hash LIMIT $2";
                let found = tx.query(sql, params![from.clone(), limits::COLLECT_AT_ONCE])?;
                found.iter().map(|row| row.get::<Vec<u8>>("hash")).collect()
            });
            let garbage: Vec<Vec<u8>> = garbage.await?;
            let Some(last) = garbage.last() else {
                return Ok(());
            };
            after = last.clone();
            self.remove_files(garbage.iter().filter_map(|bytes| hash(bytes)).collect())
                .await?;
        }
    }

    async fn remove_files(&self, garbage: Vec<BlobHash>) -> store::Result<()> {
        let free = self.pins().unpinned(garbage).await;
        for hash in &free {
            self.blobs().delete(*hash).await?;
        }
        let forget = move |tx: &mut Tx| {
            for hash in &free {
                tx.execute(
                    "DELETE FROM object_garbage WHERE hash = $1",
                    params![hash.as_bytes().as_slice()],
                )?;
            }
            Ok(())
        };
        self.store().write(forget).await
    }

    /// Releases some parts of objects that are gone; says whether there may be more.
    async fn end_manifests(&self) -> store::Result<bool> {
        // Whoever found the object before it went has found its parts by then.
        let sql = "SELECT manifest FROM object_ended ORDER BY manifest LIMIT 1";
        let ended = self.store().read(move |tx| {
            let row = tx.query_opt(sql, params![])?;
            row.map(|row| row.get::<i64>("manifest")).transpose()
        });
        let Some(manifest) = ended.await? else {
            return Ok(false);
        };
        self.pins().unpinned(Vec::new()).await;
        let release = move |tx: &mut Tx| {
            let parts = rows::parts(tx, manifest, 0, limits::COLLECT_AT_ONCE as usize)?;
            for part in &parts {
                rows::remove_part(tx, manifest, part)?;
            }
            if parts.is_empty() {
                tx.execute(
                    "DELETE FROM object_ended WHERE manifest = $1",
                    params![manifest],
                )?;
            }
            Ok(())
        };
        self.store().write(release).await?;
        Ok(true)
    }

    /// Removes files that the store knows nothing of, but not those that are just being put.
    pub(super) async fn sweep(&self, now: SystemTime) -> store::Result<()> {
        let referenced = |hash: BlobHash| async move {
            if self.pins().is_pinned(hash) {
                return Ok(true);
            }
            self.store().read(move |tx| is_known(tx, hash)).await
        };
        let collected = self
            .blobs()
            .collect(now, limits::SWEEP_GRACE, referenced)
            .await?;
        if collected.removed > 0 {
            tracing::info!(
                files = collected.removed,
                bytes = collected.removed_bytes,
                "files of objects that were never put are gone"
            );
        }
        Ok(())
    }
}

fn is_known(tx: &mut store::ReadTx, hash: BlobHash) -> store::Result<bool> {
    for table in ["object_files", "object_garbage"] {
        let sql = format!("SELECT hash FROM {table} WHERE hash = $1");
        let bytes = hash.as_bytes().as_slice();
        if tx.query_opt(&sql, params![bytes])?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn hash(bytes: &[u8]) -> Option<BlobHash> {
    <[u8; 32]>::try_from(bytes).ok().map(BlobHash::from)
}
