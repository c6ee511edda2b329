//! What a transaction promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::poll_immediate;
use lambent_store::{Error, ReadTx, Result, Store, Tx, params};
use tokio::sync::Notify;
use tokio::task::{JoinSet, unconstrained};

use crate::bench::Bench;

fn add(tx: &mut Tx, id: i64) -> Result<u64> {
    tx.execute("INSERT INTO item (id, n) VALUES ($1, $2)", params![id, 1])
}

fn count(tx: &mut ReadTx) -> Result<i64> {
    tx.query_one("SELECT count(*) AS n FROM item", params![])?
        .get("n")
}

/// Occupies the writer until it is let go, so that what is written meanwhile forms one batch.
async fn hold_writer(store: &Store) -> impl FnOnce() + use<> {
    let (held, go) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (writer, inside, gate) = (store.clone(), held.clone(), go.clone());
    tokio::spawn(async move {
        let hold = writer.write(move |_| {
            inside.notify_one();
            while !gate.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Ok(())
        });
        hold.await
    });
    held.notified().await;
    move || go.store(true, Ordering::Release)
}

/// Writes that all wait at once; the answers in the order of the closures' numbers.
async fn together<T: Send + 'static>(
    store: &Store,
    numbers: std::ops::Range<i64>,
    act: impl Fn(&mut Tx, i64) -> Result<T> + Clone + Send + Sync + 'static,
) -> Vec<Result<T>> {
    let go = hold_writer(store).await;
    let mut writes = Vec::new();
    for number in numbers {
        let act = act.clone();
        let mut write = Box::pin(unconstrained(store.write(move |tx| act(tx, number))));
        // Its first poll queues it.
        assert!(poll_immediate(&mut write).await.is_none());
        writes.push(write);
    }
    go();
    let mut answers = Vec::new();
    for write in writes {
        answers.push(write.await);
    }
    answers
}

pub async fn concurrent_writes_share_commits(bench: Bench) {
    let store = bench.store().await;
    let before = store.stats();
    for answer in together(&store, 0..500, add).await {
        assert_eq!(answer.expect("the write succeeds"), 1);
    }
    let after = store.stats();
    // One more is that of the closure that held the writer.
    assert_eq!(after.writes - before.writes, 501);
    let commits = after.commits - before.commits;
    assert!(commits <= 40, "500 writes took {commits} commits");
    assert_eq!(store.read(count).await.unwrap(), 500);
}

pub async fn a_failing_closure_rolls_back_alone(bench: Bench) {
    let store = bench.store().await;
    let answers = together(&store, 0..30, |tx, number| {
        add(tx, number)?;
        match number % 3 {
            0 => Ok(()),
            1 => Err(Error::NotFound {
                what: "what the closure wanted".into(),
            }),
            _ => add(tx, number).map(drop),
        }
    })
    .await;
    for (number, answer) in (0..).zip(&answers) {
        match number % 3 {
            0 => assert!(answer.is_ok(), "{answer:?}"),
            1 => assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}"),
            _ => assert!(
                matches!(answer, Err(Error::AlreadyExists { .. })),
                "{answer:?}"
            ),
        }
    }
    let kept = store
        .read(|tx| tx.query("SELECT id FROM item ORDER BY id", params![]))
        .await;
    let kept: Vec<i64> = kept
        .unwrap()
        .iter()
        .map(|row| row.get("id").unwrap())
        .collect();
    assert_eq!(kept, (0..30).step_by(3).collect::<Vec<_>>());
}

pub async fn a_swallowed_error_still_rolls_back(bench: Bench) {
    let store = bench.store().await;
    let answer = store
        .write(|tx| {
            add(tx, 1)?;
            let _ = add(tx, 1);
            assert!(matches!(add(tx, 2), Err(Error::Over { .. })));
            Ok(())
        })
        .await;
    assert!(
        matches!(answer, Err(Error::AlreadyExists { .. })),
        "{answer:?}"
    );
    assert_eq!(store.read(count).await.unwrap(), 0);
}

pub async fn a_panic_is_answered_and_survived(bench: Bench) {
    let store = bench.store().await;
    let answers = together(&store, 0..10, |tx, number| {
        add(tx, number)?;
        assert!(number != 5, "number {number}");
        Ok(())
    })
    .await;
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Err(Error::Panicked { message }) => assert_eq!((number, &**message), (5, "number 5")),
            other => assert!(number != 5 && other.is_ok(), "{number}: {other:?}"),
        }
    }
    assert_eq!(store.read(count).await.unwrap(), 9);
    let panicked: Result<()> = store.read(|_| panic!("while reading")).await;
    assert!(matches!(panicked, Err(Error::Panicked { .. })));
    assert_eq!(store.read(count).await.unwrap(), 9);
}

pub async fn a_read_is_one_snapshot(bench: Bench) {
    let store = bench.store().await;
    store.write(|tx| add(tx, 1)).await.unwrap();
    let (began, wrote) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let read = tokio::spawn({
        let (store, began, wrote) = (store.clone(), began.clone(), wrote.clone());
        async move {
            let read = store.read(move |tx| {
                let before = count(tx)?;
                began.notify_one();
                while !wrote.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                Ok((before, count(tx)?))
            });
            read.await
        }
    });
    began.notified().await;
    store.write(|tx| add(tx, 2)).await.unwrap();
    wrote.store(true, Ordering::Release);
    assert_eq!(read.await.unwrap().unwrap(), (1, 1));
    assert_eq!(store.read(count).await.unwrap(), 2);
}

pub async fn a_read_sees_every_answered_write(bench: Bench) {
    let store = bench.store().await;
    for id in 0..50 {
        store.write(move |tx| add(tx, id)).await.unwrap();
        assert_eq!(store.read(count).await.unwrap(), id + 1);
    }
}

pub async fn a_read_cannot_write(bench: Bench) {
    let store = bench.store().await;
    let answer = store
        .read(|tx| {
            tx.query(
                "INSERT INTO item (id, n) VALUES ($1, $2) RETURNING id",
                params![1, 1],
            )
        })
        .await;
    assert!(matches!(answer, Err(Error::Sql { .. })), "{answer:?}");
    assert_eq!(store.read(count).await.unwrap(), 0);
}

/// Each closure reads and then writes by what it read: the classic lost update.
pub async fn writes_take_effect_one_after_the_other(bench: Bench) {
    let store = bench.store().await;
    store.write(|tx| add(tx, 1)).await.unwrap();
    let others: Vec<Store> = vec![bench.store().await, bench.store().await];
    let mut tasks = JoinSet::new();
    for number in 0..300 {
        let store = if number % 3 == 0 {
            store.clone()
        } else {
            others[number % 2].clone()
        };
        tasks.spawn(async move {
            let increment = store.write(|tx| {
                let n: i64 = tx
                    .query_one("SELECT n FROM item WHERE id = 1", params![])?
                    .get("n")?;
                tx.execute("UPDATE item SET n = $1 WHERE id = 1", params![n + 1])
            });
            increment.await
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let n = store
        .read(|tx| tx.query_one("SELECT n FROM item WHERE id = 1", params![]))
        .await;
    assert_eq!(n.unwrap().get::<i64>("n").unwrap(), 301);
}

pub async fn an_abandoned_write_still_happens(bench: Bench) {
    let store = bench.store().await;
    let go = hold_writer(&store).await;
    let mut write = Box::pin(unconstrained(store.write(|tx| add(tx, 1))));
    assert!(poll_immediate(&mut write).await.is_none());
    drop(write);
    go();
    store.close().await;
    let again = bench.store().await;
    assert_eq!(again.read(count).await.unwrap(), 1);
}

pub async fn closing_finishes_what_is_queued(bench: Bench) {
    let store = bench.store().await;
    let writes: Vec<_> = (0..50)
        .map(|id| {
            let store = store.clone();
            tokio::spawn(async move { store.write(move |tx| add(tx, id)).await })
        })
        .collect();
    store.write(|tx| add(tx, 1000)).await.unwrap();
    store.close().await;
    let mut kept = 1;
    for write in writes {
        match write.await.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => assert!(matches!(error, Error::Closed), "{error:?}"),
        }
    }
    assert!(matches!(
        store.write(|tx| add(tx, 2000)).await,
        Err(Error::Closed)
    ));
    assert!(matches!(store.read(count).await, Err(Error::Closed)));
    assert_eq!(bench.store().await.read(count).await.unwrap(), kept);
}
