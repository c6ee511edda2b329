//! Migrations: forwards, once, together, or not at all.

use lambent_store::{Error, Migration, Result, Store, params};
use tokio::task::JoinSet;

use crate::bench::Bench;

const FIRST: Migration = Migration::new(
    1,
    "pets",
    "CREATE TABLE pet (name {text} PRIMARY KEY) {clustered}",
);

const SECOND: Migration = Migration::each(
    2,
    "legs",
    "ALTER TABLE pet ADD COLUMN legs INTEGER NOT NULL DEFAULT 4; \
     UPDATE pet SET legs = 2 WHERE name = 'parrot'",
    "ALTER TABLE pet ADD COLUMN legs BIGINT NOT NULL DEFAULT 4; \
     UPDATE pet SET legs = 2 WHERE name = 'parrot'",
);

async fn legs(store: &Store, name: &'static str) -> Result<i64> {
    let sql = "SELECT legs FROM pet WHERE name = $1";
    store
        .read(move |tx| tx.query_one(sql, params![name])?.get("legs"))
        .await
}

async fn keep(store: &Store, name: &'static str) {
    let sql = "INSERT INTO pet (name) VALUES ($1)";
    store
        .write(move |tx| tx.execute(sql, params![name]))
        .await
        .unwrap();
}

pub async fn a_database_is_migrated_with_its_data(bench: Bench) {
    let store = bench.open(&[FIRST]).await.unwrap();
    keep(&store, "cat").await;
    keep(&store, "parrot").await;
    store.close().await;
    for _ in 0..2 {
        let store = bench.open(&[FIRST, SECOND]).await.unwrap();
        assert_eq!(legs(&store, "cat").await.unwrap(), 4);
        assert_eq!(legs(&store, "parrot").await.unwrap(), 2);
        store.close().await;
    }
}

pub async fn a_newer_database_is_refused(bench: Bench) {
    bench.open(&[FIRST, SECOND]).await.unwrap().close().await;
    let refused = bench.open(&[FIRST]).await.map(drop);
    assert!(
        matches!(refused, Err(Error::NewerSchema { found: 2, known: 1 })),
        "{refused:?}"
    );
}

pub async fn another_history_is_refused(bench: Bench) {
    bench.open(&[FIRST]).await.unwrap().close().await;
    let other = Migration::new(1, "plants", "CREATE TABLE plant (name {text} PRIMARY KEY)");
    let refused = bench.open(&[other]).await.map(drop);
    assert!(
        matches!(refused, Err(Error::Migrations { .. })),
        "{refused:?}"
    );
}

pub async fn a_failing_migration_leaves_nothing(bench: Bench) {
    let broken = Migration::new(
        2,
        "legs",
        "ALTER TABLE pet ADD COLUMN legs {int}; INSERT INTO absent VALUES (1)",
    );
    let failed = bench.open(&[FIRST, broken]).await.map(drop);
    assert!(matches!(failed, Err(Error::Sql { .. })), "{failed:?}");
    let store = bench.open(&[FIRST, SECOND]).await.unwrap();
    keep(&store, "dog").await;
    assert_eq!(legs(&store, "dog").await.unwrap(), 4);
}

pub async fn gaps_are_refused(bench: Bench) {
    let refused = bench.open(&[SECOND]).await.map(drop);
    assert!(
        matches!(refused, Err(Error::Migrations { .. })),
        "{refused:?}"
    );
}

pub async fn many_open_at_once(bench: Bench) {
    let mut opening = JoinSet::new();
    for _ in 0..8 {
        let config = bench.config.clone();
        opening.spawn(async move { Store::open(config, &[FIRST, SECOND]).await });
    }
    let stores = opening.join_all().await;
    assert_eq!(stores.len(), 8);
    for store in stores {
        store.unwrap().close().await;
    }
}
