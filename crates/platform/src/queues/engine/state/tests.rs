//! A FIFO queue's memory under whatever its clients may do, against what may be handed out by
//! definition.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::queues::{
    definition::QueueId,
    receipt::{Receipt, ReceiptError},
};

const TERMS: Terms = Terms {
    max: 0,
    visibility_ms: 10,
    retention_ms: 1_000_000,
    limit: Limit::None,
};

#[derive(Debug, Clone)]
enum Step {
    Send {
        group: u8,
    },
    Receive {
        max: usize,
        visibility_ms: i64,
    },
    /// The message of this place among those that were ever received, by its last receipt.
    Delete {
        at: prop::sample::Index,
    },
    Change {
        at: prop::sample::Index,
        ms: i64,
    },
    Wait {
        ms: i64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0_u8..3).prop_map(|group| Step::Send { group }),
        4 => (1_usize..5, 0_i64..20)
            .prop_map(|(max, visibility_ms)| Step::Receive { max, visibility_ms }),
        3 => at().prop_map(|at| Step::Delete { at }),
        3 => (at(), 0_i64..20).prop_map(|(at, ms)| Step::Change { at, ms }),
        2 => (0_i64..15).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Restart),
    ]
}

/// A message as its clients know it.
#[derive(Debug, Clone)]
struct Known {
    group: u8,
    /// 0 until it is received.
    receives: u32,
    invisible_until_ms: i64,
}

struct Scene {
    state: State,
    /// What was sent and not deleted, by its number.
    known: BTreeMap<i64, Known>,
    now_ms: i64,
    sent: i64,
}

impl Scene {
    fn new() -> Self {
        Self {
            state: State::new(true),
            known: BTreeMap::new(),
            now_ms: 1,
            sent: 0,
        }
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Send { group } => self.send(*group),
            Step::Receive { max, visibility_ms } => self.receive(*max, *visibility_ms),
            Step::Delete { at } => self.delete(at),
            Step::Change { at, ms } => self.change(at, *ms),
            Step::Wait { ms } => self.now_ms += ms,
            Step::Restart => self.restart(),
        }
    }

    fn send(&mut self, group: u8) {
        self.sent += 1;
        let known = Known {
            group,
            receives: 0,
            invisible_until_ms: self.now_ms,
        };
        let entry = entry(&known, self.now_ms);
        self.known.insert(self.sent, known);
        self.state.add(self.sent, entry, self.now_ms);
    }

    /// What comes is what may come, and as much of it as was asked for.
    fn receive(&mut self, max: usize, visibility_ms: i64) {
        let terms = Terms {
            max,
            visibility_ms,
            ..TERMS
        };
        let may_come = self.may_come();
        let taken = self.state.take(self.now_ms, &terms).claims;
        let numbers: Vec<i64> = taken.iter().map(|(number, _)| *number).collect();
        assert!(numbers.iter().all(|number| may_come.contains(number)));
        assert_eq!(numbers.len(), max.min(may_come.len()));
        for (at, number) in numbers.iter().enumerate() {
            let group = self.known[number].group;
            let earlier = self.known.range(..number);
            let mut earlier = earlier.filter(|(_, known)| known.group == group);
            assert!(
                earlier.all(|(number, _)| numbers[..at].contains(number)),
                "{number} overtakes in {numbers:?}"
            );
        }
        for number in &numbers {
            let known = self.known.get_mut(number).expect("it was sent");
            known.receives += 1;
            known.invisible_until_ms = self.now_ms + visibility_ms;
        }
    }

    /// Of each group all that is visible and before what is not.
    fn may_come(&self) -> BTreeSet<i64> {
        let mut closed = BTreeSet::new();
        let known = self.known.iter();
        let may_come = known.filter(|(_, known)| {
            if known.invisible_until_ms > self.now_ms {
                closed.insert(known.group);
            }
            !closed.contains(&known.group)
        });
        may_come.map(|(number, _)| *number).collect()
    }

    fn received(&self, at: &prop::sample::Index) -> Option<(Receipt, bool)> {
        let received = self.known.iter().filter(|(_, known)| known.receives > 0);
        let received: Vec<_> = received.collect();
        let (number, known) = received.get(at.index(received.len().max(1)))?;
        let receipt = Receipt {
            queue: QueueId(1),
            sequence: **number,
            receive: known.receives,
        };
        Some((receipt, known.invisible_until_ms > self.now_ms))
    }

    fn delete(&mut self, at: &prop::sample::Index) {
        let Some((receipt, is_held)) = self.received(at) else {
            return;
        };
        let deleted = self.state.delete(&receipt, self.now_ms);
        assert_eq!(deleted.is_ok(), is_held);
        if is_held {
            self.known.remove(&receipt.sequence);
        }
    }

    fn change(&mut self, at: &prop::sample::Index, ms: i64) {
        let Some((receipt, is_held)) = self.received(at) else {
            return;
        };
        let changed = self.state.change_visibility(&receipt, ms, self.now_ms);
        assert_eq!(changed.is_ok(), is_held, "{changed:?}");
        match (is_held, self.known.get_mut(&receipt.sequence)) {
            (true, Some(known)) => known.invisible_until_ms = self.now_ms + ms,
            _ => assert_eq!(changed, Err(ReceiptError::Expired)),
        }
    }

    /// Memory is read anew.
    fn restart(&mut self) {
        self.state = State::new(true);
        for (number, known) in &self.known {
            let entry = entry(known, self.now_ms);
            self.state.add(*number, entry, self.now_ms);
        }
        self.state.loaded();
    }
}

fn entry(known: &Known, now_ms: i64) -> Entry {
    Entry {
        phase: Phase::Ready,
        due_ms: known.invisible_until_ms,
        receives: known.receives,
        sent_at_ms: now_ms,
        first_received_ms: i64::from(known.receives > 0),
        received_ms: 0,
        group: Some(known.group.to_string().into()),
        source: None,
        stored: None,
    }
}

proptest! {
    #[test]
    fn a_group_is_handed_out_in_order_whatever_is_given_back(steps in vec(step(), 1..60)) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.act(step);
        }
    }
}
