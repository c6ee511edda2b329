//! Looks in a history for what a queue must never do. Pure: it knows the history and nothing else.
//!
//! An operation took effect at one instant within its span, if at all. Something is a violation only
//! if no choice of those instants makes it right; so nothing is reported that may have been in order,
//! and what is lost by that, a long run makes up for.

mod held;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{Act, Delivery, History, Outcome, Receive, Send, Sent, What};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub told: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was acknowledged, never deleted, and is not there at the end.
    Lost,
    /// Nobody sent it, or not like this, or not to this queue.
    Phantom,
    /// It came again after its deletion was acknowledged.
    Resurrected,
    /// FIFO: it came under two message ids.
    Duplicated,
    /// It was given out while it was held already.
    HandedOutTwice,
    /// FIFO: it came while an earlier one of its group was still there, and not behind it in the same
    /// receive.
    Reordered,
    /// A later receive had no higher count.
    CountBackward,
    /// It was received more often than its queue's redrive policy allows.
    ReceivedTooOften,
    /// It came before its delay was over.
    TooEarly,
}

/// Timeouts are counted in whole milliseconds.
const ROUNDING_US: i64 = 2_000;

pub fn check(history: &History) -> Vec<Violation> {
    let index = Index::new(history);
    let mut found = Vec::new();
    for (number, message) in &index.messages {
        index.check_origin(*number, message, &mut found);
        index.check_fate(*number, message, &mut found);
        index.check_counts(*number, message, &mut found);
    }
    index.check_strangers(&mut found);
    held::check(&index, &mut found);
    order::check(&index, &mut found);
    found
}

/// A message in somebody's hands.
struct Handed<'h> {
    receive: &'h Receive,
    place: usize,
    delivery: &'h Delivery,
    /// What its receiver did with it, in order.
    acts: Vec<&'h Act>,
    /// Before this it was surely invisible, if nobody deleted it.
    invisible_until_us: i64,
    /// Before this it was surely still held.
    held_until_us: i64,
}

impl Handed<'_> {
    fn begin_us(&self) -> i64 {
        self.receive.span.begin_us
    }

    fn end_us(&self) -> i64 {
        self.receive.span.end_us
    }

    fn deletes(&self) -> impl Iterator<Item = &&Act> {
        self.acts.iter().filter(|act| act.what == What::Delete)
    }

    fn told(&self) -> String {
        let acts: Vec<_> = self
            .acts
            .iter()
            .map(|act| format!("{:?} at {} {:?}", act.what, act.span, act.outcome))
            .collect();
        format!(
            "received {} for {} us, count {}, sequence {:?}, then {acts:?}",
            self.receive.span,
            self.receive.visibility_us,
            self.delivery.receive_count,
            self.delivery.sequence
        )
    }
}

#[derive(Default)]
struct Message<'h> {
    sends: Vec<&'h Send>,
    /// By the end of their receives.
    handed: Vec<Handed<'h>>,
}

impl<'h> Message<'h> {
    fn acknowledged(&self) -> Option<(&'h Send, &'h Sent)> {
        self.sends
            .iter()
            .find_map(|send| Some((*send, send.outcome.done()?)))
    }

    /// Where it was sent to.
    fn queue(&self) -> usize {
        self.sends[0].queue
    }

    /// By the queue's word at the send or at any delivery from there.
    fn sequence(&self) -> Option<u128> {
        let sent = self.acknowledged().and_then(|(_, sent)| sent.sequence);
        let handed = self
            .handed
            .iter()
            .find(|handed| handed.receive.queue == self.queue());
        sent.or_else(|| handed?.delivery.sequence)
    }

    fn in_queue(&self, queue: usize) -> impl Iterator<Item = &Handed<'h>> {
        self.handed
            .iter()
            .filter(move |handed| handed.receive.queue == queue)
    }
}

struct Index<'h> {
    history: &'h History,
    messages: BTreeMap<u64, Message<'h>>,
}

impl<'h> Index<'h> {
    fn new(history: &'h History) -> Self {
        let mut messages: BTreeMap<u64, Message> = BTreeMap::new();
        for send in &history.sends {
            messages.entry(send.message).or_default().sends.push(send);
        }
        let mut acts: HashMap<(u64, usize), Vec<&Act>> = HashMap::new();
        for act in &history.acts {
            acts.entry((act.receive, act.place)).or_default().push(act);
        }
        for receive in &history.receives {
            for (place, delivery) in receive.outcome.done().into_iter().flatten().enumerate() {
                let number = delivery.message;
                let Some(message) = number.and_then(|number| messages.get_mut(&number)) else {
                    continue;
                };
                let acts = acts.remove(&(receive.id, place)).unwrap_or_default();
                let handed = held::handed(receive, place, delivery, acts);
                message.handed.push(handed);
            }
        }
        for message in messages.values_mut() {
            message.handed.sort_by_key(Handed::end_us);
            if !history.queues[message.queue()].is_fifo() {
                held::share_receipts(message);
            }
        }
        Self { history, messages }
    }

    /// Deliveries of bodies that are nobody's.
    fn check_strangers(&self, found: &mut Vec<Violation>) {
        for receive in &self.history.receives {
            for delivery in receive.outcome.done().into_iter().flatten() {
                let number = delivery.message;
                if !number.is_some_and(|number| self.messages.contains_key(&number)) {
                    let told = format!("{delivery:?} in {}", self.queue_name(receive.queue));
                    found.push(Kind::Phantom.of(told));
                }
            }
        }
    }

    /// It is what was sent, where it was sent, after it was sent, once.
    fn check_origin(&self, number: u64, message: &Message, found: &mut Vec<Violation>) {
        let mut ids = HashSet::new();
        ids.extend(
            message
                .sends
                .iter()
                .filter_map(|send| Some(&send.outcome.done()?.message_id)),
        );
        ids.extend(
            message
                .handed
                .iter()
                .map(|handed| &handed.delivery.message_id),
        );
        if ids.len() > 1 {
            found.push(Kind::Duplicated.of(self.told(number, message)));
        }
        let sent = message
            .sends
            .iter()
            .filter(|send| send.outcome.may_have_happened());
        let possible_us = sent.clone().map(|send| send.span.begin_us).min();
        let due_us = sent.map(|send| send.span.begin_us + send.delay_us).min();
        let may_be_in = self.may_be_in(message.queue());
        for handed in &message.handed {
            let is_its_place = may_be_in.contains(&handed.receive.queue);
            let is_its_group = handed.delivery.group == message.sends[0].group;
            let was_sent = possible_us.is_some_and(|us| us < handed.end_us());
            if !is_its_place || !is_its_group || !was_sent {
                found.push(Kind::Phantom.of(self.told(number, message)));
            } else if due_us.is_some_and(|us| handed.end_us() < us - ROUNDING_US) {
                found.push(Kind::TooEarly.of(self.told(number, message)));
            }
        }
    }

    /// Acknowledged, it is there until it is deleted; deleted, it stays away.
    fn check_fate(&self, number: u64, message: &Message, found: &mut Vec<Violation>) {
        let deletes = || message.handed.iter().flat_map(Handed::deletes);
        let may_be_deleted = deletes().any(|act| act.outcome.may_have_happened());
        if message.acknowledged().is_some() && !may_be_deleted {
            found.push(Kind::Lost.of(self.told(number, message)));
        }
        for handed in &message.handed {
            let Some(deleted_us) = self.surely_deleted_us(handed) else {
                continue;
            };
            let comes_later = |other: &&Handed| {
                let later = other.begin_us() > deleted_us;
                let counted_later = self.counts_hold(handed, other)
                    && other.delivery.receive_count > handed.delivery.receive_count;
                later || counted_later
            };
            if message.handed.iter().any(|other| comes_later(&other)) {
                found.push(Kind::Resurrected.of(self.told(number, message)));
                return;
            }
        }
    }

    /// When the message was deleted at the latest, if the handle was surely the current one: others
    /// may be taken without effect.
    fn surely_deleted_us(&self, handed: &Handed) -> Option<i64> {
        let delete = handed
            .deletes()
            .find(|act| act.outcome == Outcome::Done(()))?;
        let end_us = delete.span.end_us;
        let in_time = end_us < handed.invisible_until_us;
        (in_time && self.hold_lasts(handed, end_us)).then_some(end_us)
    }

    /// Each receive counts one more, and none beyond the most that are allowed.
    fn check_counts(&self, number: u64, message: &Message, found: &mut Vec<Violation>) {
        for (at, earlier) in message.handed.iter().enumerate() {
            let queue = &self.history.queues[earlier.receive.queue];
            let max = queue
                .dead_letters
                .map_or(u32::MAX, |dead| dead.receives_max);
            if earlier.delivery.receive_count > max {
                found.push(Kind::ReceivedTooOften.of(self.told(number, message)));
            }
            let goes_back = message.handed[at + 1..].iter().any(|later| {
                let (first, then) = (&earlier.delivery, &later.delivery);
                let same = first.receive_count == then.receive_count;
                let after = earlier.end_us() <= later.begin_us();
                self.counts_hold(earlier, later)
                    && (same || after && first.receive_count > then.receive_count)
            });
            if goes_back {
                found.push(Kind::CountBackward.of(self.told(number, message)));
                return;
            }
        }
    }

    /// Whether the counts of two receives of a message can be compared: those of a FIFO queue
    /// survive a crash.
    fn counts_hold(&self, one: &Handed, other: &Handed) -> bool {
        let queue = one.receive.queue;
        let begin_us = one.begin_us().min(other.begin_us());
        let end_us = one.end_us().max(other.end_us());
        queue == other.receive.queue
            && (self.history.queues[queue].is_fifo() || !self.killed_within(begin_us, end_us))
    }

    /// Whether what is held stays so until then: on a standard queue a crash may make it visible.
    fn hold_lasts(&self, handed: &Handed, until_us: i64) -> bool {
        self.history.queues[handed.receive.queue].is_fifo()
            || !self.killed_within(handed.begin_us(), until_us)
    }

    fn killed_within(&self, begin_us: i64, end_us: i64) -> bool {
        let kills = &self.history.kills;
        kills
            .iter()
            .any(|kill| kill.begin_us <= end_us && kill.end_us >= begin_us)
    }

    fn may_be_in(&self, queue: usize) -> Vec<usize> {
        let dead = self.history.queues[queue].dead_letters;
        std::iter::once(queue)
            .chain(dead.map(|dead| dead.queue))
            .collect()
    }

    fn queue_name(&self, queue: usize) -> &str {
        &self.history.queues[queue].name
    }

    /// All that is known of a message, for whoever has to find out.
    fn told(&self, number: u64, message: &Message) -> String {
        let mut told = format!("message {number:x} of {}", self.queue_name(message.queue()));
        for send in &message.sends {
            told += &format!(
                "\n  sent {} to group {:?}: {:?}",
                send.span, send.group, send.outcome
            );
        }
        for handed in &message.handed {
            let queue = self.queue_name(handed.receive.queue);
            told += &format!("\n  from {queue} {}", handed.told());
        }
        for kill in &self.history.kills {
            let begin_us = message.sends[0].span.begin_us;
            let end_us = message.handed.last().map_or(begin_us, Handed::end_us);
            if kill.begin_us <= end_us && kill.end_us >= begin_us {
                told += &format!("\n  killed {kill}");
            }
        }
        told
    }
}

impl Kind {
    fn of(self, told: String) -> Violation {
        Violation { kind: self, told }
    }
}
