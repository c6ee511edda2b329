//! Which message of a standard queue is next: the oldest, and with message groups that of the group
//! with the fewest messages in flight, so that one tenant's backlog does not make the others wait
//! (SQS's fair queues).
//!
//! A message without a group is a tenant of its own. One that comes back takes its place by its age
//! again, unless its receiver held it for no time at all: then it goes behind what is visible, as
//! otherwise a message that is refused over and over would be all that anybody is given.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

#[derive(Debug, Default)]
pub struct Fair {
    plain: Line,
    groups: HashMap<Arc<str>, Group>,
    /// The groups that have something ready: by messages in flight, then by place.
    order: BTreeSet<(u32, Place, Arc<str>)>,
    /// The places of messages that are not where their age puts them.
    put_back: HashMap<i64, Place>,
    /// The youngest message that was ever visible here.
    youngest: i64,
    turn: u64,
}

/// Behind the message of this number, and there in this order; 0 is that message itself.
type Place = (i64, u64);

/// Messages that are visible.
type Line = BTreeMap<Place, i64>;

#[derive(Debug, Default)]
struct Group {
    ready: Line,
    in_flight: u32,
}

impl Group {
    fn head(&self) -> Option<Place> {
        self.ready.keys().next().copied()
    }
}

impl Fair {
    /// A message has become visible.
    pub fn push(&mut self, sequence: i64, group: Option<&Arc<str>>) {
        self.youngest = self.youngest.max(sequence);
        self.insert((sequence, 0), sequence, group);
    }

    /// A message has come back that was in flight for no time.
    pub fn push_behind(&mut self, sequence: i64, group: Option<&Arc<str>>) {
        self.youngest = self.youngest.max(sequence);
        self.turn += 1;
        let place = (self.youngest, self.turn);
        self.put_back.insert(sequence, place);
        self.insert(place, sequence, group);
    }

    fn insert(&mut self, place: Place, sequence: i64, group: Option<&Arc<str>>) {
        match group {
            None => drop(self.plain.insert(place, sequence)),
            Some(name) => self.change(name, |group| {
                group.ready.insert(place, sequence);
            }),
        }
    }

    /// A message is not visible any more, without its turn having come.
    pub fn remove(&mut self, sequence: i64, group: Option<&Arc<str>>) {
        let place = self.put_back.remove(&sequence).unwrap_or((sequence, 0));
        match group {
            None => drop(self.plain.remove(&place)),
            Some(name) => self.change(name, |group| {
                group.ready.remove(&place);
            }),
        }
    }

    /// The next message.
    pub fn pop(&mut self) -> Option<i64> {
        let plain = self.plain.keys().next().map(|&place| (0, place));
        let grouped = self.order.first().map(|(busy, head, _)| (*busy, *head));
        let is_grouped = match (plain, grouped) {
            (Some(plain), Some(grouped)) => grouped < plain,
            (plain, _) => plain.is_none(),
        };
        let sequence = match is_grouped {
            true => self.pop_grouped()?,
            false => self.plain.pop_first()?.1,
        };
        self.put_back.remove(&sequence);
        Some(sequence)
    }

    fn pop_grouped(&mut self) -> Option<i64> {
        let (_, _, name) = self.order.first()?.clone();
        let mut popped = None;
        self.change(&name, |group| popped = group.ready.pop_first());
        popped.map(|(_, sequence)| sequence)
    }

    /// A message of the group was handed out.
    pub fn started(&mut self, group: Option<&Arc<str>>) {
        if let Some(name) = group {
            self.change(name, |group| group.in_flight += 1);
        }
    }

    /// A message of the group is in flight no more.
    pub fn ended(&mut self, group: Option<&Arc<str>>) {
        if let Some(name) = group {
            self.change(name, |group| {
                group.in_flight = group.in_flight.saturating_sub(1);
            });
        }
    }

    /// Changes a group and puts it where it belongs then.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Group)) {
        let group = self.groups.entry(name.clone()).or_default();
        let before = group.head().map(|head| (group.in_flight, head));
        change(group);
        let after = group.head().map(|head| (group.in_flight, head));
        if before != after {
            if let Some((busy, head)) = before {
                self.order.remove(&(busy, head, name.clone()));
            }
            if let Some((busy, head)) = after {
                self.order.insert((busy, head, name.clone()));
            }
        }
        if after.is_none() && group.in_flight == 0 {
            self.groups.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    /// Hands out `count` messages, and says of which group each was by its hundreds.
    fn take(fair: &mut Fair, groups: &[&Arc<str>], count: usize) -> Vec<i64> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let Some(sequence) = fair.pop() else { break };
            let group = usize::try_from(sequence / 100).unwrap_or_default();
            fair.started(group.checked_sub(1).map(|at| groups[at]));
            taken.push(sequence);
        }
        taken
    }

    #[test]
    fn without_groups_the_oldest_is_next() {
        let mut fair = Fair::default();
        for sequence in [3, 1, 2] {
            fair.push(sequence, None);
        }
        assert_eq!(take(&mut fair, &[], 5), [1, 2, 3]);
    }

    #[test]
    fn what_was_held_for_no_time_goes_behind_what_is_visible() {
        let group = name("g");
        let mut fair = Fair::default();
        for sequence in 1..=3 {
            fair.push(sequence, None);
        }
        assert_eq!(take(&mut fair, &[], 1), [1]);
        fair.push_behind(1, None);
        fair.push(4, None);
        assert_eq!(take(&mut fair, &[], 4), [2, 3, 1, 4]);
        fair.push_behind(2, None);
        fair.push_behind(1, None);
        fair.push_behind(100, Some(&group));
        fair.remove(2, None);
        assert_eq!(take(&mut fair, &[&group], 4), [1, 100]);
        // After a timeout its place is its own again.
        fair.push(4, None);
        fair.push(1, None);
        assert_eq!(take(&mut fair, &[], 4), [1, 4]);
        assert!(fair.put_back.is_empty());
    }

    #[test]
    fn what_is_taken_away_leaves_its_group_in_order() {
        let (a, b) = (name("a"), name("b"));
        let mut fair = Fair::default();
        for (sequence, group) in [(100, &a), (101, &a), (200, &b)] {
            fair.push(sequence, Some(group));
        }
        fair.remove(100, Some(&a));
        fair.push(102, Some(&a));
        fair.push(99, Some(&a));
        fair.remove(200, Some(&b));
        assert!(!fair.groups.contains_key(&b));
        let taken: Vec<_> = std::iter::from_fn(|| fair.pop()).collect();
        assert_eq!(taken, [99, 101, 102]);
    }

    #[test]
    fn a_noisy_group_does_not_make_the_quiet_one_wait() {
        let (noisy, quiet) = (name("noisy"), name("quiet"));
        let mut fair = Fair::default();
        for sequence in 100..150 {
            fair.push(sequence, Some(&noisy));
        }
        let groups = [&noisy, &quiet];
        assert_eq!(take(&mut fair, &groups, 3), [100, 101, 102]);
        fair.push(200, Some(&quiet));
        fair.push(201, Some(&quiet));
        fair.push(1, None);
        // Nothing of theirs is in flight, three of the noisy one's are.
        assert_eq!(take(&mut fair, &groups, 4), [1, 200, 201, 103]);
        for _ in 0..4 {
            fair.ended(Some(&noisy));
        }
        // Now two of the quiet group's are in flight and none of the noisy one's.
        fair.push(202, Some(&quiet));
        assert_eq!(take(&mut fair, &groups, 4), [104, 105, 106, 202]);
    }

    #[test]
    fn groups_that_are_over_are_forgotten() {
        let group = name("g");
        let mut fair = Fair::default();
        fair.push(100, Some(&group));
        assert_eq!(take(&mut fair, &[&group], 1), [100]);
        fair.ended(Some(&group));
        assert!(fair.groups.is_empty() && fair.order.is_empty());
    }
}
