//! How a FIFO topic knows a message that was published before: for five minutes by its deduplication
//! id, durably.

use std::collections::{HashMap, VecDeque};

use store::{ReadTx, Tx, params};

use super::limits;

/// The message that an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    pub message_id: String,
    pub sequence: i64,
}

#[derive(Debug, Default)]
pub struct Dedups {
    known: HashMap<String, (i64, Before)>,
    /// In the order of their times.
    order: VecDeque<(i64, String)>,
}

/// An id as it is stored.
#[derive(Debug, Clone)]
pub struct Row {
    pub topic: String,
    pub key: String,
    pub at_ms: i64,
    pub before: Before,
}

/// `group` where ids are told apart by group.
pub fn key(group: Option<&str>, id: &str) -> String {
    match group {
        // No id has a space.
        Some(group) => format!("{group} {id}"),
        None => id.to_owned(),
    }
}

impl Dedups {
    pub fn find(&mut self, key: &str, now_ms: i64) -> Option<Before> {
        self.forget(now_ms);
        self.known.get(key).map(|(_, before)| before.clone())
    }

    pub fn remember(&mut self, key: String, before: Before, now_ms: i64) {
        self.order.push_back((now_ms, key.clone()));
        self.known.insert(key, (now_ms, before));
    }

    /// What was remembered did not come about.
    pub fn withdraw(&mut self, key: &str) {
        self.known.remove(key);
    }

    pub fn restore(&mut self, rows: &[Row]) {
        for row in rows {
            self.remember(row.key.clone(), row.before.clone(), row.at_ms);
        }
    }

    fn forget(&mut self, now_ms: i64) {
        let is_over = |at_ms: i64| at_ms + limits::DEDUPLICATION_MS <= now_ms;
        while self.order.front().is_some_and(|(at_ms, _)| is_over(*at_ms)) {
            let Some((at_ms, key)) = self.order.pop_front() else {
                break;
            };
            // It may have been withdrawn and remembered again.
            if self.known.get(&key).is_some_and(|(held, _)| *held == at_ms) {
                self.known.remove(&key);
            }
        }
    }
}

impl Row {
    pub fn insert(&self, tx: &mut Tx) -> store::Result<()> {
        let sql = "INSERT INTO topic_deduplications (topic, key, at, message_id, seq)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (topic, key) DO UPDATE SET
            at = excluded.at, message_id = excluded.message_id, seq = excluded.seq";
        let (id, sequence) = (&self.before.message_id, self.before.sequence);
        tx.execute(
            sql,
            params![&self.topic, &self.key, self.at_ms, id, sequence],
        )?;
        Ok(())
    }
}

/// Those that still hold, by topic, each topic's in the order of time.
pub fn load(tx: &mut ReadTx, now_ms: i64) -> store::Result<HashMap<String, Vec<Row>>> {
    let sql = "SELECT topic, key, at, message_id, seq FROM topic_deduplications
        WHERE at > $1 ORDER BY at";
    let mut found: HashMap<String, Vec<Row>> = HashMap::new();
    for row in tx.query(sql, params![now_ms - limits::DEDUPLICATION_MS])? {
        let row = Row {
            topic: row.get(0)?,
            key: row.get(1)?,
            at_ms: row.get(2)?,
            before: Before {
                message_id: row.get(3)?,
                sequence: row.get(4)?,
            },
        };
        found.entry(row.topic.clone()).or_default().push(row);
    }
    Ok(found)
}

/// Deletes those that are over.
pub fn tidy(tx: &mut Tx, now_ms: i64) -> store::Result<()> {
    let sql = "DELETE FROM topic_deduplications WHERE at <= $1";
    tx.execute(sql, params![now_ms - limits::DEDUPLICATION_MS])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_five_minutes() {
        let before = |id: &str| Before {
            message_id: id.into(),
            sequence: 1,
        };
        let mut dedups = Dedups::default();
        dedups.remember(key(None, "a"), before("1"), 0);
        dedups.remember(key(Some("g"), "a"), before("2"), 10);
        assert_eq!(dedups.find("a", 299_999), Some(before("1")));
        assert_eq!(dedups.find("a", 300_000), None);
        assert_eq!(dedups.find("g a", 300_000), Some(before("2")));
        dedups.withdraw("g a");
        dedups.remember("g a".into(), before("3"), 20);
        assert_eq!(dedups.find("g a", 300_011), Some(before("3")));
        assert_eq!(dedups.find("g a", 300_020), None);
    }
}
