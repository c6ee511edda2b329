//! What waits for one subscriber, and when it is to go. Pure; time is given.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::event;
use wire::Timestamp;

/// When a batch goes: at so many events, so many bytes, or after so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffering {
    /// 1000 to 10,000
    pub items_max: usize,
    /// 262,144 to 1,048,576
    pub bytes_max: usize,
    /// 25 ms to 30 s
    pub timeout: Duration,
}

#[derive(Debug)]
pub struct Buffer {
    buffering: Buffering,
    /// Two batches at most, beside one that is on its way.
    waiting: VecDeque<String>,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
    /// Everything is to go at once.
    hurried: bool,
    lost: Lost,
}

/// What a subscriber does not get.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lost {
    records: usize,
    bytes: usize,
    why: &'static str,
}

pub const TOO_SLOW: &str = "Some logs were dropped because the downstream consumer is slower than the logs production rate";
pub const NOT_TAKEN: &str =
    "Some logs were dropped because the downstream consumer did not take them";

/// When there is something to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Now,
    At(Instant),
    Never,
}

impl Buffer {
    pub fn new(buffering: Buffering) -> Self {
        Self {
            buffering,
            waiting: VecDeque::new(),
            bytes: 0,
            since: None,
            hurried: false,
            lost: Lost::default(),
        }
    }

    /// `tells_of_loss` says whether the subscriber wants to know what it has not got.
    pub fn push(&mut self, event: String, tells_of_loss: bool, now: Instant) {
        let Buffering {
            items_max,
            bytes_max,
            ..
        } = self.buffering;
        if self.waiting.len() >= 2 * items_max || self.bytes + event.len() > 2 * bytes_max {
            return self.lose(1, event.len(), TOO_SLOW);
        }
        let lost = std::mem::take(&mut self.lost);
        if lost.records > 0 && tells_of_loss {
            let said = event::dropped(lost.records, lost.bytes, lost.why, Timestamp::now());
            self.add(said, now);
        }
        self.add(event, now);
    }

    fn add(&mut self, event: String, now: Instant) {
        self.bytes += event.len();
        self.waiting.push_back(event);
        self.since.get_or_insert(now);
    }

    /// It will not get these; it learns of it with what comes next.
    pub fn lose(&mut self, records: usize, bytes: usize, why: &'static str) {
        self.lost.records += records;
        self.lost.bytes += bytes;
        self.lost.why = why;
    }

    /// Nothing is to wait for more any longer, until all has gone.
    pub fn hurry(&mut self) {
        self.hurried = !self.waiting.is_empty();
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn due(&self, now: Instant) -> Due {
        let Some(since) = self.since else {
            return Due::Never;
        };
        let at = since + self.buffering.timeout;
        let full = self.waiting.len() >= self.buffering.items_max
            || self.bytes >= self.buffering.bytes_max;
        match full || self.hurried || at <= now {
            true => Due::Now,
            false => Due::At(at),
        }
    }

    /// The next batch: as many as may go at once, one at least where any waits.
    pub fn take(&mut self, now: Instant) -> Vec<String> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(event) = self.waiting.front() {
            let fits = batch.len() < self.buffering.items_max
                && bytes + event.len() <= self.buffering.bytes_max;
            if !fits && !batch.is_empty() {
                break;
            }
            bytes += event.len();
            batch.extend(self.waiting.pop_front());
        }
        self.bytes -= bytes;
        self.hurried &= !self.waiting.is_empty();
        self.since = (!self.waiting.is_empty()).then_some(now);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFERING: Buffering = Buffering {
        items_max: 3,
        bytes_max: 1000,
        timeout: Duration::from_secs(1),
    };

    #[test]
    fn a_batch_goes_when_it_is_full_or_has_waited() {
        let (mut buffer, now) = (Buffer::new(BUFFERING), Instant::now());
        assert_eq!(buffer.due(now), Due::Never);
        buffer.push("a".into(), true, now);
        buffer.push("b".into(), true, now);
        let later = now + BUFFERING.timeout;
        assert_eq!(buffer.due(now), Due::At(later));
        assert_eq!(buffer.due(later), Due::Now);
        buffer.push("c".into(), true, now);
        buffer.push("d".into(), true, now);
        assert_eq!(buffer.due(now), Due::Now);
        assert_eq!(buffer.take(now), ["a", "b", "c"]);
        assert_eq!(buffer.due(now), Due::At(later));
        buffer.hurry();
        assert_eq!(buffer.due(now), Due::Now);
        assert_eq!(buffer.take(now), ["d"]);
        assert_eq!(buffer.due(now), Due::Never);
        buffer.push("x".repeat(1500), true, now);
        assert_eq!(buffer.due(now), Due::Now);
        assert_eq!(buffer.take(now).len(), 1);
    }

    #[test]
    fn what_is_too_much_is_lost_and_told_in_its_place() {
        let (mut buffer, now) = (Buffer::new(BUFFERING), Instant::now());
        for number in 0..8 {
            buffer.push(number.to_string(), true, now);
        }
        assert_eq!(buffer.take(now), ["0", "1", "2"]);
        buffer.push("later".into(), true, now);
        assert_eq!(buffer.take(now), ["3", "4", "5"]);
        let batch = buffer.take(now);
        assert_eq!(batch.len(), 2);
        let said: serde_json::Value = serde_json::from_str(&batch[0]).unwrap();
        assert_eq!(said["type"], "platform.logsDropped");
        assert_eq!(said["record"]["droppedRecords"], 2);
        assert_eq!(said["record"]["droppedBytes"], 2);
        assert_eq!(batch[1], "later");

        buffer.lose(3, 30, NOT_TAKEN);
        assert_eq!(buffer.due(now), Due::Never);
        buffer.push("one".into(), false, now);
        assert_eq!(buffer.take(now), ["one"]);
    }
}
