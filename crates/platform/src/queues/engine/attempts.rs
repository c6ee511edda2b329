//! ReceiveRequestAttemptId of FIFO queues: a receive whose answer was lost gets the same messages
//! again, as long as they are still in flight from it.

use std::collections::{HashMap, VecDeque};

use super::limits;

#[derive(Debug, Default)]
pub struct Attempts {
    /// The messages of each attempt, with their receive counts.
    known: HashMap<String, (i64, Vec<(i64, u32)>)>,
    by_age: VecDeque<(i64, String)>,
}

impl Attempts {
    pub fn find(&mut self, id: &str, now_ms: i64) -> Option<Vec<(i64, u32)>> {
        self.forget(now_ms - limits::ATTEMPT_MS);
        self.known.get(id).map(|(_, messages)| messages.clone())
    }

    pub fn remember(&mut self, id: &str, messages: Vec<(i64, u32)>, now_ms: i64) {
        self.forget(now_ms - limits::ATTEMPT_MS);
        if self.by_age.len() >= limits::ATTEMPTS_MAX {
            self.drop_oldest();
        }
        self.known.insert(id.to_owned(), (now_ms, messages));
        self.by_age.push_back((now_ms, id.to_owned()));
    }

    fn forget(&mut self, before_ms: i64) {
        while self.by_age.front().is_some_and(|(at, _)| *at <= before_ms) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((at, id)) = self.by_age.pop_front() else {
            return;
        };
        if self.known.get(&id).is_some_and(|(latest, _)| *latest == at) {
            self.known.remove(&id);
        }
    }
}
