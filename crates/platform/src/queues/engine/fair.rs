//! Which message of a standard queue is next: in the order in which they became visible, and with
//! message groups the group with the fewest messages in flight first, so that one tenant's backlog
//! does not make the others wait (SQS's fair queues).
//!
//! A message without a group is a tenant of its own.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

#[derive(Debug, Default)]
pub struct Fair {
    plain: VecDeque<i64>,
    groups: HashMap<Arc<str>, Group>,
    /// The groups that have something ready: by messages in flight, then by age.
    order: BTreeSet<(u32, i64, Arc<str>)>,
}

#[derive(Debug, Default)]
struct Group {
    ready: VecDeque<i64>,
    in_flight: u32,
}

impl Fair {
    /// A message has become visible.
    pub fn push(&mut self, sequence: i64, group: Option<&Arc<str>>) {
        let Some(name) = group else {
            return self.plain.push_back(sequence);
        };
        let group = self.groups.entry(name.clone()).or_default();
        group.ready.push_back(sequence);
        if group.ready.len() == 1 {
            self.order.insert((group.in_flight, sequence, name.clone()));
        }
    }

    /// The next message. It may have been deleted since it was pushed.
    pub fn pop(&mut self) -> Option<i64> {
        let plain = self.plain.front().map(|&sequence| (0, sequence));
        let grouped = self.order.first().map(|(busy, head, _)| (*busy, *head));
        match (plain, grouped) {
            (None, None) => None,
            (Some(plain), Some(grouped)) if grouped < plain => self.pop_grouped(),
            (None, Some(_)) => self.pop_grouped(),
            (Some(_), _) => self.plain.pop_front(),
        }
    }

    fn pop_grouped(&mut self) -> Option<i64> {
        let (busy, _, name) = self.order.pop_first()?;
        let group = self.groups.get_mut(&name)?;
        let sequence = group.ready.pop_front();
        if let Some(&head) = group.ready.front() {
            self.order.insert((busy, head, name));
        } else if group.in_flight == 0 {
            self.groups.remove(&name);
        }
        sequence
    }

    /// A message of the group was handed out.
    pub fn started(&mut self, group: Option<&Arc<str>>) {
        self.reckon(group, |busy| busy + 1);
    }

    /// A message of the group is in flight no more.
    pub fn ended(&mut self, group: Option<&Arc<str>>) {
        self.reckon(group, |busy| busy.saturating_sub(1));
    }

    fn reckon(&mut self, name: Option<&Arc<str>>, change: impl Fn(u32) -> u32) {
        let Some(name) = name else { return };
        let group = self.groups.entry(name.clone()).or_default();
        let head = group.ready.front().copied();
        if let Some(head) = head {
            self.order.remove(&(group.in_flight, head, name.clone()));
        }
        group.in_flight = change(group.in_flight);
        match head {
            Some(head) => {
                self.order.insert((group.in_flight, head, name.clone()));
            }
            None if group.in_flight == 0 => {
                self.groups.remove(name);
            }
            None => {}
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
        assert_eq!(take(&mut fair, &[], 5), [3, 1, 2]);
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
