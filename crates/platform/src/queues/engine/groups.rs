//! Which message of a FIFO queue is next: groups are independent, and come in the order in which
//! they became free. Within one a message is handed out only when none before it is in flight, so
//! that the order holds whatever becomes of the first.
//!
//! What stands before all that is in flight of a group is free, as in SQS: it is there if a
//! receiver gave it back and kept what came with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

#[derive(Debug, Default)]
pub struct Groups {
    groups: HashMap<Arc<str>, Group>,
    /// The groups that may be handed out now, in the order in which they became free.
    open: BTreeMap<u64, Arc<str>>,
    /// The next place in `open`.
    turn: u64,
}

#[derive(Debug, Default)]
struct Group {
    /// What is not in flight, in order; the first may still be delayed.
    waiting: BTreeSet<i64>,
    in_flight: BTreeSet<i64>,
    /// Its place in `open`.
    open_at: Option<u64>,
}

/// A group whose turn it is.
#[derive(Debug)]
pub struct Turn {
    pub name: Arc<str>,
    /// The first message that was in flight before: nothing from there on is handed out.
    until: i64,
}

impl Group {
    fn first_in_flight(&self) -> i64 {
        self.in_flight.first().copied().unwrap_or(i64::MAX)
    }

    /// Whether its first message may be handed out.
    fn is_free(&self, is_ready: impl Fn(i64) -> bool) -> bool {
        let first = self.waiting.first();
        first.is_some_and(|&first| first < self.first_in_flight() && is_ready(first))
    }
}

impl Groups {
    /// A message has come or come back. `is_ready` says it of a group's first message.
    pub fn push(&mut self, sequence: i64, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) {
        let group = self.groups.entry(name.clone()).or_default();
        group.in_flight.remove(&sequence);
        group.waiting.insert(sequence);
        self.settle(name, is_ready);
    }

    /// A message is gone, in flight or not.
    pub fn remove(&mut self, sequence: i64, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) {
        if let Some(group) = self.groups.get_mut(name) {
            group.waiting.remove(&sequence);
            group.in_flight.remove(&sequence);
            self.settle(name, is_ready);
        }
    }

    /// A message is in flight. Whoever takes more of its group settles it afterwards.
    pub fn started(&mut self, sequence: i64, name: &Arc<str>) {
        let group = self.groups.entry(name.clone()).or_default();
        group.waiting.remove(&sequence);
        group.in_flight.insert(sequence);
    }

    /// The group that has been free for longest. The caller takes what it wants of it and settles
    /// it: what is free still keeps its place.
    pub fn next_open(&mut self) -> Option<Turn> {
        let (_, name) = self.open.pop_first()?;
        let group = self.groups.get(&name);
        let until = group.map_or(i64::MAX, Group::first_in_flight);
        Some(Turn { name, until })
    }

    /// Takes the first message of a group whose turn it is, if it is ready.
    pub fn pop(&mut self, turn: &Turn, is_ready: impl Fn(i64) -> bool) -> Option<i64> {
        let group = self.groups.get_mut(&turn.name)?;
        let first = *group.waiting.first()?;
        if first >= turn.until || !is_ready(first) {
            return None;
        }
        group.waiting.remove(&first);
        Some(first)
    }

    /// Opens a group whose first message may be handed out, closes one whose may not.
    pub fn settle(&mut self, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.is_free(is_ready) {
            let at = *group.open_at.get_or_insert_with(|| {
                self.turn += 1;
                self.turn
            });
            self.open.entry(at).or_insert_with(|| name.clone());
        } else if let Some(at) = group.open_at.take() {
            self.open.remove(&at);
        }
        if group.in_flight.is_empty() && group.waiting.is_empty() {
            self.groups.remove(name);
        }
    }

    /// Puts the open groups into the order of their first messages' `since`: when that became
    /// visible is what a restart knows of when a group became free.
    pub fn order_by<K: Ord>(&mut self, since: impl Fn(i64) -> K) {
        let open = std::mem::take(&mut self.open).into_values();
        let first = |name: &Arc<str>| self.groups.get(name)?.waiting.first().copied();
        let mut open: Vec<_> = open
            .filter_map(|name| Some((first(&name)?, name)))
            .collect();
        open.sort_by_cached_key(|(first, _)| (since(*first), *first));
        for (_, name) in open {
            self.turn += 1;
            if let Some(group) = self.groups.get_mut(&name) {
                group.open_at = Some(self.turn);
            }
            self.open.insert(self.turn, name);
        }
    }

    pub fn is_any_open(&self) -> bool {
        !self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(_: i64) -> bool {
        true
    }

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    fn filled(messages: &[(i64, &Arc<str>)]) -> Groups {
        let mut groups = Groups::default();
        for (sequence, name) in messages {
            groups.push(*sequence, name, ready);
        }
        groups
    }

    /// Hands out up to `max` messages of the next group.
    fn take(groups: &mut Groups, max: usize) -> Vec<i64> {
        let Some(turn) = groups.next_open() else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(sequence) = groups.pop(&turn, ready) else {
                break;
            };
            groups.started(sequence, &turn.name);
            taken.push(sequence);
        }
        groups.settle(&turn.name, ready);
        taken
    }

    #[test]
    fn what_is_behind_a_message_in_flight_waits_for_it() {
        let (a, b) = (name("a"), name("b"));
        let mut groups = filled(&[(1, &a), (2, &b), (3, &a)]);
        assert_eq!(take(&mut groups, 1), [1]);
        assert_eq!(take(&mut groups, 10), [2], "a is in flight");
        assert!(!groups.is_any_open());
        // It comes back: the order is as it was.
        groups.push(1, &a, ready);
        assert_eq!(take(&mut groups, 10), [1, 3]);
        groups.remove(3, &a, ready);
        groups.remove(1, &a, ready);
        assert!(!groups.groups.contains_key(&a));
    }

    #[test]
    fn what_is_before_all_in_flight_is_free() {
        let a = name("a");
        let mut groups = filled(&[(1, &a), (2, &a), (3, &a), (4, &a)]);
        assert_eq!(take(&mut groups, 3), [1, 2, 3]);
        groups.push(3, &a, ready);
        assert!(!groups.is_any_open(), "1 and 2 are before it");
        groups.push(1, &a, ready);
        assert_eq!(take(&mut groups, 10), [1], "2 is still in flight");
        groups.push(2, &a, ready);
        assert!(!groups.is_any_open(), "1 is again");
        groups.remove(1, &a, ready);
        assert_eq!(take(&mut groups, 10), [2, 3, 4]);
    }

    #[test]
    fn groups_come_in_the_order_in_which_they_became_free() {
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let mut groups = filled(&[(1, &a), (2, &b), (3, &c), (4, &a)]);
        assert_eq!(take(&mut groups, 1), [1]);
        assert_eq!(take(&mut groups, 1), [2]);
        groups.push(2, &b, ready);
        groups.remove(1, &a, ready);
        // One whose first message is older is no better for it.
        groups.push(0, &b, ready);
        assert_eq!(take(&mut groups, 10), [3], "c was free all the time");
        assert_eq!(take(&mut groups, 10), [0, 2]);
        assert_eq!(take(&mut groups, 10), [4]);
    }

    #[test]
    fn after_a_restart_they_come_by_when_their_first_message_became_visible() {
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let mut groups = filled(&[(1, &a), (2, &b), (3, &c), (4, &a)]);
        let visible_since = [0, 9, 5, 5, 4];
        groups.order_by(|sequence| visible_since[usize::try_from(sequence).expect("an index")]);
        let taken: Vec<_> = (0..3).map(|_| take(&mut groups, 1)).collect();
        assert_eq!(taken, [[2], [3], [1]]);
    }

    #[test]
    fn a_delayed_first_message_holds_its_group_back() {
        let name: Arc<str> = "a".into();
        let mut groups = Groups::default();
        groups.push(1, &name, |_| false);
        groups.push(2, &name, |sequence| sequence == 2);
        assert!(!groups.is_any_open());
        groups.settle(&name, ready);
        assert!(groups.is_any_open());
    }
}
