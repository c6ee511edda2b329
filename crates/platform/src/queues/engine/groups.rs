//! Which message of a FIFO queue is next: groups are independent, and within one nothing is handed
//! out while something of it is in flight, so that its order holds whatever becomes of the first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

#[derive(Debug, Default)]
pub struct Groups {
    groups: HashMap<Arc<str>, Group>,
    /// The groups that may be handed out now, by their first message: the oldest first.
    open: BTreeMap<i64, Arc<str>>,
}

#[derive(Debug, Default)]
struct Group {
    /// What is not in flight, in order; the first may still be delayed.
    waiting: BTreeSet<i64>,
    in_flight: u32,
    /// Its place in `open`.
    open_at: Option<i64>,
}

impl Groups {
    /// A message has come or come back. `is_ready` says it of a group's first message.
    pub fn push(&mut self, sequence: i64, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) {
        let group = self.groups.entry(name.clone()).or_default();
        group.waiting.insert(sequence);
        self.settle(name, is_ready);
    }

    /// A message that was not in flight is gone.
    pub fn remove(&mut self, sequence: i64, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) {
        if let Some(group) = self.groups.get_mut(name) {
            group.waiting.remove(&sequence);
            self.settle(name, is_ready);
        }
    }

    /// A message of the group is in flight no more.
    pub fn ended(&mut self, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) {
        if let Some(group) = self.groups.get_mut(name) {
            group.in_flight = group.in_flight.saturating_sub(1);
            self.settle(name, is_ready);
        }
    }

    /// A message in flight from before a restart.
    pub fn started(&mut self, name: &Arc<str>) {
        let group = self.groups.entry(name.clone()).or_default();
        group.in_flight += 1;
        if let Some(at) = group.open_at.take() {
            self.open.remove(&at);
        }
    }

    /// The group whose first message is the oldest. The caller takes what it wants of it and
    /// settles it.
    pub fn next_open(&mut self) -> Option<Arc<str>> {
        let (_, name) = self.open.pop_first()?;
        if let Some(group) = self.groups.get_mut(&name) {
            group.open_at = None;
        }
        Some(name)
    }

    /// Takes a group's first message, if it is ready.
    pub fn pop(&mut self, name: &Arc<str>, is_ready: impl Fn(i64) -> bool) -> Option<i64> {
        let group = self.groups.get_mut(name)?;
        let first = *group.waiting.first()?;
        if !is_ready(first) {
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
        let first = group.waiting.first().copied();
        let open_at = first.filter(|&first| group.in_flight == 0 && is_ready(first));
        if group.open_at != open_at {
            if let Some(at) = group.open_at {
                self.open.remove(&at);
            }
            if let Some(at) = open_at {
                self.open.insert(at, name.clone());
            }
            group.open_at = open_at;
        }
        if group.in_flight == 0 && group.waiting.is_empty() {
            self.groups.remove(name);
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

    #[test]
    fn a_group_in_flight_is_closed_until_all_of_it_is_back_or_gone() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut groups = Groups::default();
        for (sequence, name) in [(1, &a), (2, &b), (3, &a)] {
            groups.push(sequence, name, ready);
        }
        assert_eq!(groups.next_open().as_ref(), Some(&a));
        assert_eq!(groups.pop(&a, ready), Some(1));
        groups.started(&a);
        groups.settle(&a, ready);
        assert_eq!(groups.next_open().as_ref(), Some(&b), "a is in flight");
        groups.settle(&b, ready);
        // It comes back: the order is as it was.
        groups.push(1, &a, ready);
        groups.ended(&a, ready);
        assert_eq!(groups.next_open().as_ref(), Some(&a));
        assert_eq!(groups.pop(&a, ready), Some(1));
        assert_eq!(groups.pop(&a, ready), Some(3));
        groups.settle(&a, ready);
        assert!(!groups.groups.contains_key(&a));
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
