//! One owner at a time, and guests beside it.

use lambent_store::{Error, Owner, Store};

use crate::bench::{Bench, TABLES};

fn owner(pid: u32) -> Owner {
    Owner {
        host: "a-host".into(),
        pid,
        since: "noon".into(),
    }
}

/// As the `pid`'s process, which does not wait.
async fn open(bench: &Bench, pid: u32) -> Result<Store, Error> {
    let mut config = bench.config.clone();
    config.owner = Some(owner(pid));
    config.postgres_owner_wait = std::time::Duration::ZERO;
    Store::open(config, TABLES).await
}

pub async fn a_second_owner_is_refused_and_told_of_the_first(bench: Bench) {
    let first = open(&bench, 1).await.unwrap();
    for _ in 0..2 {
        let refused = open(&bench, 2).await.map(drop).unwrap_err();
        assert!(
            matches!(&refused, Error::Owned { by: Some(by) } if *by == owner(1)),
            "{refused:?}"
        );
        let said = refused.to_string();
        for part in ["process 1 ", "a-host", "since noon", "stop"] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }
    let insert = "INSERT INTO item (id, n) VALUES (1, 1)";
    first
        .write(move |tx| tx.execute(insert, &[]))
        .await
        .unwrap();
    first.close().await;
}

pub async fn what_is_closed_can_be_owned(bench: Bench) {
    for pid in 1..6 {
        let store = open(&bench, pid).await.unwrap();
        let insert = "INSERT INTO item (id, n) VALUES ($1, 1)";
        store
            .write(move |tx| tx.execute(insert, lambent_store::params![pid]))
            .await
            .unwrap();
        store.close().await;
    }
}

pub async fn a_failed_opening_owns_nothing(bench: Bench) {
    let newer = lambent_store::Migration::new(2, "newer", "CREATE TABLE newer (id {int})");
    bench
        .open(&[TABLES[0].clone(), newer])
        .await
        .unwrap()
        .close()
        .await;
    let refused = open(&bench, 1).await.map(drop);
    assert!(
        matches!(refused, Err(Error::NewerSchema { .. })),
        "{refused:?}"
    );
    let refused = open(&bench, 2).await.map(drop);
    assert!(
        matches!(refused, Err(Error::NewerSchema { .. })),
        "{refused:?}"
    );
}

pub async fn guests_are_let_in_beside_the_owner(bench: Bench) {
    let owned = open(&bench, 1).await.unwrap();
    let guest = bench.store().await;
    let insert = "INSERT INTO item (id, n) VALUES (1, 1)";
    owned
        .write(move |tx| tx.execute(insert, &[]))
        .await
        .unwrap();
    let count = "SELECT count(*) AS n FROM item";
    let row = guest.read(move |tx| tx.query_one(count, &[])).await;
    assert_eq!(row.unwrap().get::<i64>("n").unwrap(), 1);
    guest.close().await;
    owned.close().await;
}
