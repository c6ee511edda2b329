//! Who holds what when: a message from its receive until its deletion or the end of its visibility
//! timeout. Nobody else is given it meanwhile. That on a FIFO queue nothing behind it comes either is
//! a matter of order (`order.rs`); what stands before it may come, if it was given back.

use super::{Handed, Index, Kind, Message, ROUNDING_US, Violation};
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

/// Of a standard queue every receipt of a message is taken, also one that is not its holder's: what
/// one receiver says may end what another holds.
pub(super) fn share_receipts(message: &mut Message) {
    let all = message.handed.iter();
    let said = all.flat_map(|handed| handed.acts.iter().map(|act| (handed.receive, *act)));
    let said: Vec<(&Receive, &Act)> = said
        .filter(|(_, act)| act.outcome.may_have_happened())
        .collect();
    for handed in &mut message.handed {
        for (receive, act) in &said {
            let What::ChangeVisibility { to_us } = act.what else {
                continue;
            };
            let is_others =
                receive.queue == handed.receive.queue && receive.id != handed.receive.id;
            if is_others && act.span.end_us >= handed.begin_us() {
                let visible_us = act.span.begin_us + to_us - ROUNDING_US;
                handed.invisible_until_us = handed.invisible_until_us.min(visible_us);
                handed.held_until_us = handed.held_until_us.min(visible_us);
            }
        }
    }
}

pub(super) fn check(index: &Index, found: &mut Vec<Violation>) {
    for (number, message) in &index.messages {
        let mut queues: Vec<usize> = message.handed.iter().map(|it| it.receive.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            let mut handed: Vec<&Handed> = message.in_queue(queue).collect();
            handed.sort_by_key(|handed| handed.begin_us());
            if let Some((one, other)) = first_clash(index, &handed) {
                let told = format!(
                    "message {number:x} of {}\n  {}\n  {}",
                    index.queue_name(queue),
                    one.told(),
                    other.told()
                );
                found.push(Kind::HandedOutTwice.of(told));
            }
        }
    }
}

fn first_clash<'a, 'h>(
    index: &Index,
    handed: &[&'a Handed<'h>],
) -> Option<(&'a Handed<'h>, &'a Handed<'h>)> {
    for (at, one) in handed.iter().enumerate() {
        for other in &handed[at + 1..] {
            if other.begin_us() >= one.held_until_us && other.begin_us() > one.begin_us() {
                break;
            }
            if clash(index, one, other) {
                return Some((one, other));
            }
        }
    }
    None
}

/// Whether neither can have been released before the other was given out.
fn clash(index: &Index, one: &Handed, other: &Handed) -> bool {
    if one.receive.id == other.receive.id {
        // One receive gives no message twice.
        return one.place != other.place;
    }
    let both_held = other.end_us() < one.held_until_us && one.end_us() < other.held_until_us;
    let until_us = one.end_us().max(other.end_us());
    both_held && index.hold_lasts(one, until_us) && index.hold_lasts(other, until_us)
}
