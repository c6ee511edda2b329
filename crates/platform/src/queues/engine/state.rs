//! What is known of a queue's messages in memory, and every decision about them: state and event
//! in, changes out. Nothing here waits, reads a clock or touches the store.
//!
//! Messages beyond the [`Window`] are only counted; they are paged in as those in it are used up,
//! so that a backlog of any length costs the memory of a window.

mod receipts;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    attempts::Attempts, cache::Cached, dedup::Dedups, fair::Fair, groups::Groups, limits, sequence,
    window::Window,
};
use crate::queues::message::Counts;

/// A message in memory.
#[derive(Debug, Clone)]
pub struct Entry {
    pub phase: Phase,
    /// When it becomes visible, in milliseconds.
    pub due_ms: i64,
    pub receives: u32,
    pub sent_at_ms: i64,
    /// 0 before.
    pub first_received_ms: i64,
    /// When it was last handed out; 0 if that was before a restart.
    pub received_ms: i64,
    pub group: Option<Arc<str>>,
    /// DeadLetterQueueSourceArn.
    pub source: Option<Arc<str>>,
    /// Its content, if there was room to keep it.
    pub stored: Option<Cached>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Delayed,
    Ready,
    InFlight,
}

/// How long somebody had a message that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    ForATime,
    /// The visibility timeout was 0.
    ForNoTime,
}

/// What of an entry is stored and changes: the row of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub sequence: i64,
    pub due_ms: i64,
    pub receives: u32,
    pub first_received_ms: i64,
}

/// How messages are to be handed out.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub max: usize,
    pub visibility_ms: i64,
    pub retention_ms: i64,
    pub limit: Limit,
}

/// Which messages are not handed out any more, but taken out to be moved.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    None,
    /// Those received so often, counted over all queues they were in. One that came by this is
    /// handed out here at least once: queues that are each other's dead-letter queue, or their own,
    /// would pass it on for ever.
    Receives(u32),
    /// All.
    Zero,
}

impl Limit {
    fn is_over(self, sequence: i64, entry: &Entry) -> bool {
        match self {
            Limit::None => false,
            Limit::Receives(max) => entry.receives >= max && !entry.is_just_moved(sequence),
            Limit::Zero => true,
        }
    }
}

/// What a receive came to.
#[derive(Debug, Default)]
pub struct Taken {
    pub claims: Vec<(i64, Entry)>,
    pub dead: Vec<(i64, Entry)>,
    pub expired: Vec<i64>,
}

impl Taken {
    fn count(&self) -> usize {
        self.claims.len() + self.dead.len()
    }
}

#[derive(Debug)]
enum Order {
    Standard(Fair),
    Fifo(Groups),
}

#[derive(Debug)]
pub struct State {
    entries: HashMap<i64, Entry>,
    order: Order,
    /// When what is delayed or in flight becomes visible.
    timers: BTreeSet<(i64, i64)>,
    visible: u64,
    in_flight: u64,
    delayed: u64,
    /// No message in memory was sent before.
    oldest_ms: i64,
    pub window: Window,
    pub dedups: Dedups,
    pub attempts: Attempts,
    /// What is here does not agree with the store any more, and has to be read anew.
    pub is_stale: bool,
    pub is_gone: bool,
    /// Counts the times it was read.
    pub epoch: u64,
    /// Receivers that wait for a message.
    pub waiters: usize,
    /// When they will be woken for a timer.
    pub alarm_ms: i64,
}

impl State {
    pub fn new(is_fifo: bool) -> Self {
        let order = match is_fifo {
            true => Order::Fifo(Groups::default()),
            false => Order::Standard(Fair::default()),
        };
        Self {
            entries: HashMap::new(),
            order,
            timers: BTreeSet::new(),
            visible: 0,
            in_flight: 0,
            delayed: 0,
            oldest_ms: i64::MAX,
            window: Window::default(),
            dedups: Dedups::default(),
            attempts: Attempts::default(),
            is_stale: false,
            is_gone: false,
            epoch: 0,
            waiters: 0,
            alarm_ms: i64::MAX,
        }
    }

    fn is_fifo(&self) -> bool {
        matches!(self.order, Order::Fifo(_))
    }

    /// How many messages are in memory.
    pub fn held(&self) -> usize {
        self.entries.len()
    }

    pub fn visible_held(&self) -> u64 {
        self.visible
    }

    pub fn counts(&self) -> Counts {
        Counts {
            visible: self.visible + self.window.beyond(),
            in_flight: self.in_flight,
            delayed: self.delayed,
        }
    }

    /// When the next timer runs out.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Takes a message into memory.
    pub fn add(&mut self, sequence: i64, mut entry: Entry, now_ms: i64) {
        // What became visible before comes before it.
        self.advance(now_ms);
        if self.entries.contains_key(&sequence) {
            return;
        }
        entry.phase = match (entry.due_ms > now_ms, entry.receives) {
            (false, _) => Phase::Ready,
            (true, 0) => Phase::Delayed,
            (true, _) => Phase::InFlight,
        };
        self.oldest_ms = self.oldest_ms.min(entry.sent_at_ms);
        let (phase, due_ms, group) = (entry.phase, entry.due_ms, entry.group.clone());
        self.entries.insert(sequence, entry);
        *self.count(phase) += 1;
        if phase != Phase::Ready {
            self.timers.insert((due_ms, sequence));
        }
        let entries = &self.entries;
        match (&mut self.order, phase) {
            (Order::Standard(fair), Phase::Ready) => fair.push(sequence, group.as_ref()),
            (Order::Standard(fair), Phase::InFlight) => fair.started(group.as_ref()),
            (Order::Standard(_), Phase::Delayed) => {}
            (Order::Fifo(groups), Phase::InFlight) => {
                let group = grouped(group);
                groups.started(sequence, &group);
                groups.settle(&group, is_ready(entries));
            }
            (Order::Fifo(groups), Phase::Ready | Phase::Delayed) => {
                groups.push(sequence, &grouped(group), is_ready(entries));
            }
        }
    }

    /// The messages are all taken in that the store had: what became visible first is first, as far
    /// as the store knows when that was.
    pub fn loaded(&mut self) {
        let entries = &self.entries;
        if let Order::Fifo(groups) = &mut self.order {
            groups.order_by(|sequence| entries.get(&sequence).map(|entry| entry.due_ms));
        }
    }

    fn count(&mut self, phase: Phase) -> &mut u64 {
        match phase {
            Phase::Delayed => &mut self.delayed,
            Phase::Ready => &mut self.visible,
            Phase::InFlight => &mut self.in_flight,
        }
    }

    /// Makes visible what is due, and says how many messages that were.
    pub fn advance(&mut self, now_ms: i64) -> usize {
        let mut ready = 0;
        while let Some(&(due, sequence)) = self.timers.first() {
            if due > now_ms {
                break;
            }
            self.timers.pop_first();
            let entry = self.entries.get(&sequence);
            let held = match entry.is_some_and(|entry| entry.due_ms <= entry.received_ms) {
                true => Held::ForNoTime,
                false => Held::ForATime,
            };
            self.become_ready(sequence, held);
            ready += 1;
        }
        ready
    }

    fn become_ready(&mut self, sequence: i64, held: Held) {
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return;
        };
        let before = std::mem::replace(&mut entry.phase, Phase::Ready);
        let group = entry.group.clone();
        *self.count(before) -= 1;
        self.visible += 1;
        let entries = &self.entries;
        match &mut self.order {
            Order::Standard(fair) => {
                if before == Phase::InFlight {
                    fair.ended(group.as_ref());
                }
                match held {
                    Held::ForATime => fair.push(sequence, group.as_ref()),
                    Held::ForNoTime => fair.push_behind(sequence, group.as_ref()),
                }
            }
            Order::Fifo(groups) => {
                groups.push(sequence, &grouped(group), is_ready(entries));
            }
        }
    }

    /// Takes a message out of memory.
    pub fn remove(&mut self, sequence: i64) -> Option<Entry> {
        let entry = self.entries.remove(&sequence)?;
        *self.count(entry.phase) -= 1;
        if entry.phase != Phase::Ready {
            self.timers.remove(&(entry.due_ms, sequence));
        }
        let entries = &self.entries;
        match (&mut self.order, entry.phase) {
            (Order::Standard(fair), Phase::InFlight) => fair.ended(entry.group.as_ref()),
            (Order::Standard(fair), Phase::Ready) => fair.remove(sequence, entry.group.as_ref()),
            (Order::Standard(_), Phase::Delayed) => {}
            (Order::Fifo(groups), _) => {
                groups.remove(sequence, &grouped(entry.group.clone()), is_ready(entries));
            }
        }
        Some(entry)
    }

    /// Whether a standard queue has as many messages in flight as it may.
    pub fn is_full(&self) -> bool {
        self.in_flight >= limits::IN_FLIGHT_MAX
    }

    pub fn is_full_now(&mut self, now_ms: i64) -> bool {
        self.advance(now_ms);
        self.is_full()
    }

    /// Hands the same messages out once more, with their time begun anew, if all are still in
    /// flight from the receive that is repeated.
    pub fn take_again(
        &mut self,
        messages: &[(i64, u32)],
        now_ms: i64,
        terms: &Terms,
    ) -> Option<Taken> {
        let is_same = |(sequence, receives): &(i64, u32)| {
            let entry = self.entries.get(sequence);
            entry.is_some_and(|e| e.phase == Phase::InFlight && e.receives == *receives)
        };
        if messages.is_empty() || !messages.iter().all(is_same) {
            return None;
        }
        let mut taken = Taken::default();
        for (sequence, _) in messages {
            let entry = self.entries.get_mut(sequence)?;
            self.timers.remove(&(entry.due_ms, *sequence));
            entry.due_ms = now_ms + terms.visibility_ms;
            self.timers.insert((entry.due_ms, *sequence));
            taken.claims.push((*sequence, entry.clone()));
        }
        Some(taken)
    }

    /// Hands messages out.
    pub fn take(&mut self, now_ms: i64, terms: &Terms) -> Taken {
        self.advance(now_ms);
        let mut taken = Taken::default();
        if self.is_full() {
            return taken;
        }
        match self.is_fifo() {
            true => self.take_groups(now_ms, terms, &mut taken),
            false => self.take_any(now_ms, terms, &mut taken),
        }
        taken
    }

    fn take_any(&mut self, now_ms: i64, terms: &Terms, taken: &mut Taken) {
        while taken.count() < terms.max {
            let Order::Standard(fair) = &mut self.order else {
                return;
            };
            let Some(sequence) = fair.pop() else { return };
            self.hand_out(sequence, now_ms, terms, taken);
        }
    }

    fn take_groups(&mut self, now_ms: i64, terms: &Terms, taken: &mut Taken) {
        while taken.count() < terms.max {
            let Order::Fifo(groups) = &mut self.order else {
                return;
            };
            let Some(turn) = groups.next_open() else {
                return;
            };
            while taken.count() < terms.max {
                let Order::Fifo(groups) = &mut self.order else {
                    return;
                };
                let Some(sequence) = groups.pop(&turn, is_ready(&self.entries)) else {
                    break;
                };
                self.hand_out(sequence, now_ms, terms, taken);
            }
            if let Order::Fifo(groups) = &mut self.order {
                groups.settle(&turn.name, is_ready(&self.entries));
            }
        }
    }

    /// Takes messages whose turn it is out of memory, without handing them out.
    pub fn take_out(&mut self, now_ms: i64, max: usize) -> Taken {
        let terms = Terms {
            max,
            visibility_ms: 0,
            retention_ms: i64::MAX,
            limit: Limit::Zero,
        };
        self.take(now_ms, &terms)
    }

    /// A message whose turn it is, already out of the order.
    fn hand_out(&mut self, sequence: i64, now_ms: i64, terms: &Terms, taken: &mut Taken) {
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return;
        };
        let is_expired = now_ms - entry.sent_at_ms >= terms.retention_ms;
        let is_dead = terms.limit.is_over(sequence, entry);
        if is_expired || is_dead {
            self.visible -= 1;
            let entry = self.entries.remove(&sequence);
            match entry {
                Some(entry) if !is_expired => taken.dead.push((sequence, entry)),
                _ => taken.expired.push(sequence),
            }
            return;
        }
        entry.phase = Phase::InFlight;
        entry.receives += 1;
        entry.due_ms = now_ms + terms.visibility_ms;
        entry.received_ms = now_ms;
        if entry.first_received_ms == 0 {
            entry.first_received_ms = now_ms;
        }
        self.visible -= 1;
        self.in_flight += 1;
        self.timers.insert((entry.due_ms, sequence));
        match &mut self.order {
            Order::Standard(fair) => fair.started(entry.group.as_ref()),
            Order::Fifo(groups) => groups.started(sequence, &grouped(entry.group.clone())),
        }
        taken.claims.push((sequence, entry.clone()));
    }

    /// Takes out what is older than the retention period, but for what is in flight.
    pub fn sweep(&mut self, now_ms: i64, retention_ms: i64) -> Vec<i64> {
        if self.entries.capacity() > limits::spare(self.entries.len()) {
            self.entries.shrink_to_fit();
        }
        if self.oldest_ms.saturating_add(retention_ms) > now_ms {
            return Vec::new();
        }
        self.advance(now_ms);
        let over = |entry: &Entry| now_ms - entry.sent_at_ms >= retention_ms;
        let held = self.entries.iter();
        let expired = held.filter(|(_, entry)| over(entry) && entry.phase != Phase::InFlight);
        let expired: Vec<i64> = expired
            .map(|(&sequence, _)| sequence)
            .take(limits::SWEPT_AT_ONCE)
            .collect();
        for &sequence in &expired {
            self.remove(sequence);
        }
        let sent = self.entries.values().map(|entry| entry.sent_at_ms);
        self.oldest_ms = sent.min().unwrap_or(i64::MAX);
        expired
    }

    /// What is in flight though the store may not know it: a receive of a standard queue is answered
    /// before it is written, and is one whether or not that succeeds.
    pub fn in_flight_unwritten(&self) -> HashMap<i64, Standing> {
        if self.is_fifo() {
            return HashMap::new();
        }
        let in_flight = self.entries.iter();
        let in_flight = in_flight.filter(|(_, entry)| entry.phase == Phase::InFlight);
        in_flight
            .map(|(&sequence, entry)| (sequence, entry.standing(sequence)))
            .collect()
    }

    /// The messages up to a number are purged.
    pub fn purge(&mut self, until: i64) {
        self.window.purged(until);
        self.forget_until(until);
        // How many of those that were only counted are left is for the store to say.
        self.is_stale |= self.window.beyond() > 0 || self.window.is_paging();
    }

    /// Forgets the messages up to a number, also what they were told apart by.
    fn forget_until(&mut self, until: i64) {
        self.dedups.forget_until(until);
        let old = self.entries.keys().filter(|sequence| **sequence <= until);
        let old: Vec<i64> = old.copied().collect();
        for sequence in old {
            self.remove(sequence);
        }
    }

    /// Forgets all messages, as for a purge or before they are read anew. Receivers that wait stay.
    pub fn clear(&mut self) {
        let (waiters, alarm_ms) = (self.waiters, self.alarm_ms);
        let is_fifo = self.is_fifo();
        let old = std::mem::replace(self, Self::new(is_fifo));
        self.waiters = waiters;
        self.alarm_ms = alarm_ms;
        self.epoch = old.epoch + 1;
        self.dedups = old.dedups;
        self.window = old.window.emptied();
        self.is_stale = old.is_stale;
        self.is_gone = old.is_gone;
    }

    /// Whether a receive could hand something out now, but for what is beyond the window.
    pub fn has_ready(&self) -> bool {
        match &self.order {
            _ if self.is_full() => false,
            Order::Standard(_) => self.visible > 0,
            Order::Fifo(groups) => groups.is_any_open(),
        }
    }
}

impl Entry {
    /// Whether it came as a dead letter and was not received since: a receive makes it due later
    /// than it came.
    fn is_just_moved(&self, sequence: i64) -> bool {
        self.source.is_some() && self.due_ms <= sequence::time_of(sequence)
    }

    /// Takes over a receive that the store does not know of.
    pub fn keep_receive(&mut self, held: &Standing) {
        if held.receives > self.receives {
            self.receives = held.receives;
            self.due_ms = held.due_ms;
            self.first_received_ms = held.first_received_ms;
        }
    }

    /// As it was stored, seen now. After a clock that was set back over a restart, what was to wait
    /// does so from now on, and never longer than SQS has it.
    pub fn seen_at(mut self, now_ms: i64) -> Self {
        let ahead_ms = self.sent_at_ms.max(self.first_received_ms) - now_ms;
        let longest_ms = match self.receives {
            0 => limits::DELAY_MS_MAX,
            _ => limits::VISIBILITY_MS_MAX,
        };
        self.due_ms = (self.due_ms - ahead_ms.max(0)).min(now_ms + longest_ms);
        self
    }

    pub fn standing(&self, sequence: i64) -> Standing {
        Standing {
            sequence,
            due_ms: self.due_ms,
            receives: self.receives,
            first_received_ms: self.first_received_ms,
        }
    }
}

fn is_ready(entries: &HashMap<i64, Entry>) -> impl Fn(i64) -> bool {
    |sequence| {
        entries
            .get(&sequence)
            .is_some_and(|entry| entry.phase == Phase::Ready)
    }
}

/// Every message of a FIFO queue has a group; one without could only come from a damaged store.
fn grouped(group: Option<Arc<str>>) -> Arc<str> {
    group.unwrap_or_else(|| Arc::from(""))
}
