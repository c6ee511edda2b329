//! Who holds what when: a message from its receive until its deletion or the end of its visibility
//! timeout, and with it, on a FIFO queue, its whole group.

use std::collections::BTreeMap;

use super::{Handed, Index, Kind, ROUNDING_US, Violation};
use crate::history::{Act, Delivery, Outcome, Receive, What};

pub(super) fn handed<'h>(
    receive: &'h Receive,
    place: usize,
    delivery: &'h Delivery,
    mut acts: Vec<&'h Act>,
) -> Handed<'h> {
    acts.sort_by_key(|act| act.span.begin_us);
    let mut invisible_until_us = receive.span.begin_us + receive.visibility_us - ROUNDING_US;
    for act in &acts {
        let What::ChangeVisibility { to_us } = act.what else {
            continue;
        };
        let at_least_us = act.span.begin_us + to_us - ROUNDING_US;
        // Where it came surely in time it counts from then on, whether longer or shorter.
        if act.outcome == Outcome::Done(()) && act.span.end_us < invisible_until_us {
            invisible_until_us = at_least_us;
        } else if act.outcome.may_have_happened() {
            invisible_until_us = invisible_until_us.min(at_least_us);
        }
    }
    let mut handed = Handed {
        receive,
        place,
        delivery,
        acts,
        invisible_until_us,
        held_until_us: invisible_until_us,
    };
    let deletes = handed
        .deletes()
        .filter(|act| act.outcome.may_have_happened());
    if let Some(first_us) = deletes.map(|act| act.span.begin_us).min() {
        handed.held_until_us = invisible_until_us.min(first_us);
    }
    handed
}

/// What is held together: a group of a FIFO queue, or one message of a standard queue.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Group(usize, Option<u32>),
    Message(usize, u64),
}

pub(super) fn check(index: &Index, found: &mut Vec<Violation>) {
    let mut holds: BTreeMap<Held, Vec<(u64, &Handed)>> = BTreeMap::new();
    for (number, message) in &index.messages {
        for handed in &message.handed {
            let queue = handed.receive.queue;
            let held = if index.history.queues[queue].is_fifo() {
                Held::Group(queue, message.sends[0].group)
            } else {
                Held::Message(queue, *number)
            };
            holds.entry(held).or_default().push((*number, handed));
        }
    }
    for (held, mut handed) in holds {
        handed.sort_by_key(|(_, handed)| handed.begin_us());
        if let Some((one, other)) = first_clash(index, &handed) {
            let told = format!(
                "{held:?} of {}\n  message {:x} {}\n  message {:x} {}",
                index.queue_name(one.1.receive.queue),
                one.0,
                one.1.told(),
                other.0,
                other.1.told()
            );
            found.push(Kind::HandedOutTwice.of(told));
        }
    }
}

type Pair<'a, 'h> = ((u64, &'a Handed<'h>), (u64, &'a Handed<'h>));

fn first_clash<'a, 'h>(index: &Index, handed: &[(u64, &'a Handed<'h>)]) -> Option<Pair<'a, 'h>> {
    for (at, one) in handed.iter().enumerate() {
        for other in &handed[at + 1..] {
            if other.1.begin_us() >= one.1.held_until_us && other.1.begin_us() > one.1.begin_us() {
                break;
            }
            if clash(index, *one, *other) {
                return Some((*one, *other));
            }
        }
    }
    None
}

/// Whether neither can have been released before the other was given out.
fn clash(
    index: &Index,
    (one_number, one): (u64, &Handed),
    (other_number, other): (u64, &Handed),
) -> bool {
    if one.receive.id == other.receive.id {
        // One receive may give several messages of a group, but none twice.
        return one_number == other_number && one.place != other.place;
    }
    let both_held = other.end_us() < one.held_until_us && one.end_us() < other.held_until_us;
    let until_us = one.end_us().max(other.end_us());
    both_held && index.hold_lasts(one, until_us) && index.hold_lasts(other, until_us)
}
