//! Versioned records: keys, revisions, paging, upgrades.

use lambent_store::{Cause, Error, Key, Page, Record, Result, Store, Table, params};
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Thing};

const THINGS: Table<Thing> = Table::new();

async fn insert(store: &Store, keys: &[&[&str]]) {
    let keys: Vec<Vec<String>> = keys
        .iter()
        .map(|key| key.iter().map(|&part| part.to_owned()).collect())
        .collect();
    let inserted = store.write(move |tx| {
        for (size, key) in (0..).zip(&keys) {
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            THINGS.insert(tx, &key, &Thing { size })?;
        }
        Ok(())
    });
    inserted.await.unwrap();
}

pub async fn insert_get_update_delete(bench: Bench) {
    let store = bench.store().await;
    let key = ["000000000000", "us-east-1", "greet"];
    store
        .write(move |tx| THINGS.insert(tx, &key, &Thing { size: 1 }))
        .await
        .unwrap();
    let found = store
        .read(move |tx| THINGS.require(tx, &key))
        .await
        .unwrap();
    assert_eq!(
        (found.revision, found.record.size, found.key.name()),
        (1, 1, "greet")
    );
    assert_eq!(found.key.parts().collect::<Vec<_>>(), key);
    let revision = store
        .write(move |tx| THINGS.update(tx, &key, 1, &Thing { size: 2 }))
        .await;
    assert_eq!(revision.unwrap(), 2);
    assert_eq!(
        store
            .read(move |tx| THINGS.require(tx, &key))
            .await
            .unwrap()
            .record
            .size,
        2
    );
    assert!(
        store
            .write(move |tx| THINGS.delete(tx, &key))
            .await
            .unwrap()
    );
    assert!(
        !store
            .write(move |tx| THINGS.delete(tx, &key))
            .await
            .unwrap()
    );
    assert_eq!(
        store.read(move |tx| THINGS.get(tx, &key)).await.unwrap(),
        None
    );
    let required = store.read(move |tx| THINGS.require(tx, &key)).await;
    assert!(
        matches!(required, Err(Error::NotFound { .. })),
        "{required:?}"
    );
}

/// Unlike a failing statement, a taken key is an answer the closure may go on from.
pub async fn insert_of_a_taken_key_changes_nothing(bench: Bench) {
    let store = bench.store().await;
    insert(&store, &[&["a"]]).await;
    let answer = store
        .write(|tx| {
            let taken = THINGS.insert(tx, &["a"], &Thing { size: 9 });
            assert!(
                matches!(taken, Err(Error::AlreadyExists { .. })),
                "{taken:?}"
            );
            THINGS.insert(tx, &["b"], &Thing { size: 9 })
        })
        .await;
    answer.unwrap();
    let found = store.read(|tx| THINGS.require(tx, &["a"])).await.unwrap();
    assert_eq!((found.revision, found.record.size), (1, 0));
}

pub async fn update_at_an_old_revision_conflicts(bench: Bench) {
    let store = bench.store().await;
    insert(&store, &[&["a"]]).await;
    store
        .write(|tx| THINGS.update(tx, &["a"], 1, &Thing { size: 2 }))
        .await
        .unwrap();
    let answer = store
        .write(|tx| THINGS.update(tx, &["a"], 1, &Thing { size: 3 }))
        .await;
    assert!(
        matches!(
            answer,
            Err(Error::Conflict {
                expected: 1,
                found: 2,
                ..
            })
        ),
        "{answer:?}"
    );
    let answer = store.write(|tx| THINGS.delete_at(tx, &["a"], 1)).await;
    assert!(
        matches!(
            answer,
            Err(Error::Conflict {
                expected: 1,
                found: 2,
                ..
            })
        ),
        "{answer:?}"
    );
    let answer = store
        .write(|tx| THINGS.update(tx, &["b"], 1, &Thing { size: 3 }))
        .await;
    assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    assert_eq!(
        store
            .read(|tx| THINGS.require(tx, &["a"]))
            .await
            .unwrap()
            .record
            .size,
        2
    );
    store
        .write(|tx| THINGS.delete_at(tx, &["a"], 2))
        .await
        .unwrap();
}

pub async fn put_counts_revisions(bench: Bench) {
    let store = bench.store().await;
    for expect in 1..=3 {
        let size = expect as u32;
        let revision = store
            .write(move |tx| THINGS.put(tx, &["a"], &Thing { size }))
            .await;
        assert_eq!(revision.unwrap(), expect);
    }
    assert_eq!(
        store
            .read(|tx| THINGS.require(tx, &["a"]))
            .await
            .unwrap()
            .record
            .size,
        3
    );
}

async fn names(
    store: &Store,
    prefix: &'static [&'static str],
    after: Option<&'static [&'static str]>,
    limit: u32,
) -> Vec<String> {
    let listed = store.read(move |tx| {
        THINGS.list(
            tx,
            Page {
                prefix,
                after,
                limit,
            },
        )
    });
    listed
        .await
        .unwrap()
        .iter()
        .map(|stored| stored.key.name().to_owned())
        .collect()
}

pub async fn listing_pages_by_prefix(bench: Bench) {
    let store = bench.store().await;
    insert(
        &store,
        &[
            &["1", "a", "x"],
            &["1", "a", "y"],
            &["1", "a", "z"],
            &["1", "a"],
            &["1", "ab", "w"],
            &["1", "b", "v"],
            &["2", "a", "u"],
        ],
    )
    .await;
    assert_eq!(names(&store, &["1", "a"], None, 10).await, ["x", "y", "z"]);
    assert_eq!(names(&store, &["1", "a"], None, 2).await, ["x", "y"]);
    assert_eq!(
        names(&store, &["1", "a"], Some(&["1", "a", "y"]), 2).await,
        ["z"]
    );
    // A cursor need not exist, nor lie below the prefix.
    assert_eq!(
        names(&store, &["1", "a"], Some(&["1", "a", "xx"]), 9).await,
        ["y", "z"]
    );
    assert_eq!(
        names(&store, &["1", "a"], Some(&["0"]), 9).await,
        ["x", "y", "z"]
    );
    assert_eq!(names(&store, &["1", "a"], Some(&["2"]), 9).await, [""; 0]);
    assert_eq!(
        names(&store, &[], None, 9).await,
        ["a", "x", "y", "z", "w", "v", "u"]
    );
    assert_eq!(names(&store, &["3"], None, 9).await, [""; 0]);
    assert_eq!(store.read(|tx| THINGS.count(tx, &["1"])).await.unwrap(), 6);
    assert_eq!(store.read(|tx| THINGS.count(tx, &[])).await.unwrap(), 7);
    assert_eq!(
        store
            .write(|tx| THINGS.delete_under(tx, &["1", "a"]))
            .await
            .unwrap(),
        3
    );
    assert_eq!(names(&store, &[], None, 9).await, ["a", "w", "v", "u"]);
}

pub async fn keys_sort_part_by_part(bench: Bench) {
    let store = bench.store().await;
    // By text alone "a b" would come between "a" + anything and "a".
    insert(
        &store,
        &[
            &["a", "z"],
            &["a b", "c"],
            &["a!", "d"],
            &["é", "e"],
            &["Z", "f"],
        ],
    )
    .await;
    assert_eq!(names(&store, &[], None, 9).await, ["f", "z", "c", "d", "e"]);
}

pub async fn bad_keys_are_refused(bench: Bench) {
    let store = bench.store().await;
    let long = "x".repeat(3000);
    let bad: [&[&str]; 5] = [&[], &["a", ""], &["a\u{1f}b"], &["a\0"], &[&long]];
    for key in bad {
        assert!(
            matches!(Key::new(key), Err(Error::BadKey { .. })),
            "{key:?}"
        );
    }
    let answer = store
        .write(|tx| THINGS.put(tx, &["a", "\n"], &Thing { size: 1 }))
        .await;
    assert!(matches!(answer, Err(Error::BadKey { .. })), "{answer:?}");
}

/// The thing of the next program: it has a unit, which the first version did not know.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NewThing {
    size_mb: u32,
    unit: String,
}

impl Record for NewThing {
    const TABLE: &'static str = "things";
    const VERSION: u32 = 3;

    fn upgrade(version: u32, body: serde_json::Value) -> Result<Self, Cause> {
        let size = body.get("size").and_then(serde_json::Value::as_u64);
        match (version, size) {
            (1, Some(size)) => Ok(Self {
                size_mb: size as u32,
                unit: "MB".into(),
            }),
            _ => Err(std::sync::Arc::new(Error::NotFound {
                what: "the size".into(),
            })),
        }
    }
}

const NEW_THINGS: Table<NewThing> = Table::new();

pub async fn old_records_are_upgraded(bench: Bench) {
    let store = bench.store().await;
    insert(&store, &[&["a"], &["b"]]).await;
    let found = store
        .read(|tx| {
            NEW_THINGS.list(
                tx,
                Page {
                    limit: 9,
                    ..Page::default()
                },
            )
        })
        .await;
    let found = found.unwrap();
    assert_eq!(
        found[1].record,
        NewThing {
            size_mb: 1,
            unit: "MB".into()
        }
    );
    // Written back, it is of the new version and needs no upgrade.
    let record = NewThing {
        size_mb: 5,
        unit: "GB".into(),
    };
    store
        .write(move |tx| NEW_THINGS.update(tx, &["b"], 1, &record))
        .await
        .unwrap();
    let found = store
        .read(|tx| NEW_THINGS.require(tx, &["b"]))
        .await
        .unwrap();
    assert_eq!((found.record.size_mb, found.revision), (5, 2));
}

pub async fn newer_records_are_refused(bench: Bench) {
    let store = bench.store().await;
    let record = NewThing {
        size_mb: 5,
        unit: "GB".into(),
    };
    store
        .write(move |tx| NEW_THINGS.insert(tx, &["a"], &record))
        .await
        .unwrap();
    let old = store.read(|tx| THINGS.get(tx, &["a"])).await;
    assert!(
        matches!(
            old,
            Err(Error::NewerRecord {
                found: 3,
                known: 1,
                ..
            })
        ),
        "{old:?}"
    );
}

pub async fn damaged_records_are_told(bench: Bench) {
    let store = bench.store().await;
    store
        .write(|tx| {
            let insert =
                "INSERT INTO things (key, version, revision, body) VALUES ($1, $2, $3, $4)";
            tx.execute(insert, params!["a", 1, 1, "{\"size\": "])?;
            tx.execute(insert, params!["b", 2, 1, "{}"])
        })
        .await
        .unwrap();
    let cut = store.read(|tx| THINGS.get(tx, &["a"])).await;
    assert!(matches!(cut, Err(Error::Corrupt { .. })), "{cut:?}");
    let no_upgrade = store.read(|tx| NEW_THINGS.get(tx, &["b"])).await;
    assert!(
        matches!(no_upgrade, Err(Error::Corrupt { .. })),
        "{no_upgrade:?}"
    );
}
