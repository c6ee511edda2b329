//! One SQL text on both engines, and what is refused so that it stays one.

use std::time::Duration;

use lambent_store::{Dialect, Error, Sql, Value, params};

use crate::bench::Bench;

pub async fn values_come_back_as_they_went_in(bench: Bench) {
    let store = bench.store().await;
    let insert = "INSERT INTO sample (id, i, r, t, b, yes) VALUES ($1, $2, $3, $4, $5, $6)";
    store
        .write(move |tx| {
            let full = params![
                1,
                i64::MIN,
                0.1,
                "naïve ✓ 'quoted'",
                vec![0u8, 255, 39],
                true
            ];
            tx.execute(insert, full)?;
            let none = None::<i64>;
            tx.execute(
                insert,
                params![2, none, Value::Null, None::<String>, None::<Vec<u8>>, false],
            )
        })
        .await
        .unwrap();
    let mut rows = store
        .read(|tx| tx.query("SELECT i, r, t, b, yes FROM sample ORDER BY id", params![]))
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<i64>("i").unwrap(), i64::MIN);
    assert_eq!(rows[0].get::<f64>("r").unwrap(), 0.1);
    assert_eq!(rows[0].get::<String>(2).unwrap(), "naïve ✓ 'quoted'");
    assert_eq!(rows[0].take::<Vec<u8>>("b").unwrap(), [0, 255, 39]);
    assert!(rows[0].get::<bool>("yes").unwrap());
    assert!(!rows[1].get::<bool>("yes").unwrap());
    assert_eq!(rows[1].get::<Option<i64>>("i").unwrap(), None);
    assert_eq!(rows[1].get::<Option<String>>("t").unwrap(), None);
    assert_eq!(rows[1].values()[3], Value::Null);
    // What cannot be read as the type asked for is told.
    assert!(matches!(
        rows[1].get::<i64>("i"),
        Err(Error::Statement { .. })
    ));
    assert!(matches!(
        rows[0].get::<u32>("i"),
        Err(Error::Statement { .. })
    ));
    assert!(matches!(
        rows[0].get::<i64>("absent"),
        Err(Error::Statement { .. })
    ));
    assert!(matches!(
        rows[0].get::<i64>(9),
        Err(Error::Statement { .. })
    ));
}

pub async fn parameters_out_of_order_are_refused(bench: Bench) {
    let store = bench.store().await;
    let swapped = store
        .write(|tx| tx.execute("INSERT INTO item (id, n) VALUES ($2, $1)", params![1, 2]))
        .await;
    let Err(Error::Statement { reason }) = swapped else {
        panic!("{swapped:?}")
    };
    assert!(reason.starts_with("$2 appears where $1 is due"), "{reason}");
    let again = store
        .read(|tx| {
            tx.query(
                "SELECT n FROM item WHERE n = $1 OR id = $2 OR id = $1",
                params![1, 2],
            )
        })
        .await;
    assert!(again.is_ok(), "{again:?}");
}

pub async fn a_wrong_number_of_parameters_is_refused(bench: Bench) {
    let store = bench.store().await;
    for _ in 0..2 {
        let few = store
            .read(|tx| tx.query("SELECT n FROM item WHERE id = $1", params![]))
            .await;
        assert!(matches!(few, Err(Error::Statement { .. })), "{few:?}");
        let one = store
            .read(|tx| tx.query("SELECT n FROM item WHERE id = $1", params![1]))
            .await;
        assert!(one.unwrap().is_empty());
        let many = store.read(|tx| tx.query("SELECT n FROM item WHERE id = $1", params![1, 2]));
        assert!(matches!(many.await, Err(Error::Statement { .. })));
        let marks = store
            .read(|tx| tx.query("SELECT n FROM item WHERE id = ?", params![1]))
            .await;
        assert!(matches!(marks, Err(Error::Statement { .. })), "{marks:?}");
    }
}

/// PostgreSQL has no NUL in texts, so neither engine takes it.
pub async fn a_text_with_nul_is_refused(bench: Bench) {
    let store = bench.store().await;
    let answer = store
        .write(|tx| {
            tx.execute(
                "INSERT INTO sample (id, t) VALUES ($1, $2)",
                params![1, "a\0b"],
            )
        })
        .await;
    assert!(matches!(answer, Err(Error::Statement { .. })), "{answer:?}");
}

pub async fn a_unique_violation_is_already_exists(bench: Bench) {
    let store = bench.store().await;
    let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
    store
        .write(move |tx| tx.execute(insert, params![1, 1]))
        .await
        .unwrap();
    let answer = store
        .write(move |tx| tx.execute(insert, params![1, 1]))
        .await;
    assert!(
        matches!(answer, Err(Error::AlreadyExists { .. })),
        "{answer:?}"
    );
}

pub async fn another_violation_is_a_constraint(bench: Bench) {
    let store = bench.store().await;
    let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
    let negative = store
        .write(move |tx| tx.execute(insert, params![1, -1]))
        .await;
    assert!(
        matches!(negative, Err(Error::Constraint { .. })),
        "{negative:?}"
    );
    let missing = store
        .write(move |tx| tx.execute(insert, params![1, Value::Null]))
        .await;
    assert!(
        matches!(missing, Err(Error::Constraint { .. })),
        "{missing:?}"
    );
}

pub async fn sums_and_counts_are_integers(bench: Bench) {
    let store = bench.store().await;
    store
        .write(|tx| {
            for id in 0..5i64 {
                let n = 3_000_000_000 * id;
                tx.execute("INSERT INTO item (id, n) VALUES ($1, $2)", params![id, n])?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let row = store
        .read(|tx| {
            tx.query_one(
                "SELECT sum(n) AS s, count(*) AS c, max(n) AS m FROM item",
                params![],
            )
        })
        .await
        .unwrap();
    assert_eq!(row.get::<i64>("s").unwrap(), 30_000_000_000);
    assert_eq!(row.get::<u64>("c").unwrap(), 5);
    assert_eq!(row.get::<i64>("m").unwrap(), 12_000_000_000);
}

pub async fn texts_compare_by_bytes(bench: Bench) {
    let store = bench.store().await;
    let mut texts = vec![
        "b",
        "a",
        "B",
        "A",
        "a-b",
        "a_b",
        "ab",
        "é",
        "~",
        "日本",
        "\u{10FFFF}",
    ];
    let given = texts.clone();
    store
        .write(move |tx| {
            for (id, &text) in (0i64..).zip(&given) {
                tx.execute(
                    "INSERT INTO sample (id, t) VALUES ($1, $2)",
                    params![id, text],
                )?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let rows = store
        .read(|tx| tx.query("SELECT t FROM sample ORDER BY t", params![]))
        .await;
    let found: Vec<String> = rows
        .unwrap()
        .iter()
        .map(|row| row.get("t").unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(found, texts);
}

pub async fn an_engine_s_own_text_is_used(bench: Bench) {
    let store = bench.store().await;
    let sql = Sql::each(
        "SELECT 'SQLite' AS engine",
        "SELECT 'PostgreSQL'::text AS engine",
    );
    let (dialect, engine) = store
        .read(move |tx| {
            Ok((
                tx.dialect(),
                tx.query_one(sql, params![])?.get::<String>("engine")?,
            ))
        })
        .await
        .unwrap();
    let expect = if dialect == Dialect::Sqlite {
        "SQLite"
    } else {
        "PostgreSQL"
    };
    assert_eq!(engine, expect);
}

pub async fn too_many_rows_are_refused(bench: Bench) {
    let store = bench.store().await;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) \
                   SELECT i FROM n";
    let answer = store.read(move |tx| tx.query(endless, params![])).await;
    assert!(
        matches!(answer, Err(Error::Statement { .. })),
        "{:?}",
        answer.map(|rows| rows.len())
    );
    let answer = store
        .read(|tx| tx.query("SELECT 1 AS one", params![]))
        .await;
    assert_eq!(answer.unwrap().len(), 1);
}

pub async fn a_statement_that_does_not_end_is_ended(mut bench: Bench) {
    bench.config.statement_time_max = Duration::from_millis(300);
    bench.config.readers = 1;
    let store = bench.store().await;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 - 1 FROM n) \
                   SELECT count(*) AS n FROM n";
    let read = store.read(move |tx| tx.query(endless, params![])).await;
    assert!(matches!(read, Err(Error::TimedOut { .. })), "{read:?}");
    let insert = "INSERT INTO item (id, n) VALUES ($1, $2)";
    let write = store.write(move |tx| {
        tx.execute(insert, params![1, 1])?;
        tx.query(endless, params![])
    });
    let (slow, quick) = tokio::join!(
        write,
        store.write(move |tx| tx.execute(insert, params![2, 1]))
    );
    assert!(matches!(slow, Err(Error::TimedOut { .. })), "{slow:?}");
    quick.unwrap();
    let ids = store
        .read(|tx| tx.query("SELECT id FROM item", params![]))
        .await
        .unwrap();
    assert_eq!(
        ids.iter()
            .map(|row| row.get("id").unwrap())
            .collect::<Vec<i64>>(),
        [2]
    );
}
