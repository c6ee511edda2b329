//! What a FIFO queue remembers to send nothing twice: for five minutes, which message each
//! deduplication id became.

use std::collections::{HashMap, VecDeque};

use aws_lc_rs::digest;

use super::limits;
use crate::queues::message::Sent;

/// A deduplication id within its scope, as a hash.
pub type DedupKey = [u8; 16];

#[derive(Debug, Default)]
pub struct Dedups {
    known: HashMap<DedupKey, (i64, Sent)>,
    by_age: VecDeque<(i64, DedupKey)>,
    /// The store may have ids that are forgotten here.
    has_forgotten: bool,
}

/// The key of an id: by itself, or within its message group.
pub fn key(group: Option<&str>, id: &str) -> DedupKey {
    let mut hash = digest::Context::new(&digest::SHA256);
    if let Some(group) = group {
        hash.update(group.as_bytes());
        hash.update(b"\0");
    }
    hash.update(id.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finish().as_ref()[..16]);
    key
}

impl Dedups {
    /// The message that an id became.
    pub fn find(&mut self, key: &DedupKey, now_ms: i64) -> Option<Sent> {
        self.forget(now_ms - limits::DEDUPLICATION_MS);
        self.known.get(key).map(|(_, sent)| *sent)
    }

    pub fn remember(&mut self, key: DedupKey, sent: Sent, at_ms: i64) {
        self.known.insert(key, (at_ms, sent));
        self.by_age.push_back((at_ms, key));
    }

    /// The message was not sent after all.
    pub fn withdraw(&mut self, key: &DedupKey) {
        self.known.remove(key);
    }

    /// Forgets what is too old, and gives back its memory. Says whether the store may have ids that
    /// are forgotten; they are the caller's to delete.
    pub fn tidy(&mut self, now_ms: i64) -> bool {
        self.forget(now_ms - limits::DEDUPLICATION_MS);
        if self.known.capacity() > limits::spare(self.known.len()) {
            self.known.shrink_to_fit();
            self.by_age.shrink_to_fit();
        }
        std::mem::take(&mut self.has_forgotten)
    }

    /// What the store has of before is not known.
    pub fn suspect(&mut self) {
        self.has_forgotten = true;
    }

    fn forget(&mut self, before_ms: i64) {
        while let Some(&(at_ms, key)) = self.by_age.front() {
            if at_ms > before_ms {
                return;
            }
            self.by_age.pop_front();
            self.has_forgotten = true;
            // The id may have been used again since.
            if self.known.get(&key).is_some_and(|(at, _)| *at <= before_ms) {
                self.known.remove(&key);
            }
        }
    }

    /// The messages up to a number are purged: they may be sent again.
    pub fn forget_until(&mut self, until: i64) {
        self.known.retain(|_, (_, sent)| sent.sequence > until);
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: i64) -> Sent {
        Sent {
            message_id: uuid::Uuid::nil(),
            sequence,
        }
    }

    #[test]
    fn an_id_is_remembered_for_five_minutes_from_its_first_use() {
        let mut dedups = Dedups::default();
        let id = key(None, "a");
        assert_eq!(dedups.find(&id, 0), None);
        dedups.remember(id, sent(1), 0);
        assert_eq!(dedups.find(&id, 299_999), Some(sent(1)));
        assert_eq!(dedups.find(&id, 300_000), None);
        dedups.remember(id, sent(2), 300_000);
        assert_eq!(dedups.find(&id, 599_999), Some(sent(2)));
        dedups.forget_until(1);
        assert_eq!(dedups.find(&id, 599_999), Some(sent(2)));
        dedups.forget_until(2);
        assert_eq!(dedups.find(&id, 599_999), None);
        assert_ne!(key(Some("g"), "a"), key(Some("h"), "a"));
    }

    #[test]
    fn old_ids_are_forgotten_without_another_send() {
        let mut dedups = Dedups::default();
        for id in 0..10_000 {
            dedups.remember(key(None, &id.to_string()), sent(id), 0);
        }
        assert!(!dedups.tidy(299_999), "none is old");
        assert!(dedups.tidy(300_000));
        assert!(dedups.known.capacity() < 10_000 && dedups.by_age.capacity() < 10_000);
        assert!(!dedups.tidy(600_000), "they are told of once");
    }
}
