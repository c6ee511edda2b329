//! The order within a group of a FIFO queue: sequence numbers follow the order of the sends, and
//! messages come in the order of their sequence numbers, each when those before it are gone.

use std::collections::BTreeMap;

use super::{Handed, Index, Kind, Message, Violation};

/// A message of a group whose place in it is known.
struct Placed<'i, 'h> {
    number: u64,
    message: &'i Message<'h>,
    sequence: u128,
    /// The earliest that it can have left the queue.
    gone_us: i64,
}

pub(super) fn check(index: &Index, found: &mut Vec<Violation>) {
    let mut groups: BTreeMap<(usize, Option<u32>), Vec<Placed>> = BTreeMap::new();
    for (number, message) in &index.messages {
        let queue = message.queue();
        if !index.history.queues[queue].is_fifo() {
            continue;
        }
        check_sequence(index, *number, message, found);
        let Some(sequence) = message.sequence() else {
            continue;
        };
        let group = (queue, message.sends[0].group);
        groups.entry(group).or_default().push(Placed {
            number: *number,
            message,
            sequence,
            gone_us: gone_us(message),
        });
    }
    for group in groups.values_mut() {
        group.sort_by_key(|placed| placed.sequence);
        check_sends(index, group, found);
        check_deliveries(index, group, found);
    }
}

/// A message keeps its sequence number.
fn check_sequence(index: &Index, number: u64, message: &Message, found: &mut Vec<Violation>) {
    let sent = message
        .sends
        .iter()
        .filter_map(|send| Some(send.outcome.done()?.sequence));
    let queue = message.queue();
    let handed = message
        .in_queue(queue)
        .map(|handed| handed.delivery.sequence);
    let mut all: Vec<_> = sent.chain(handed).collect();
    all.dedup();
    if all.len() > 1 || all.contains(&None) {
        found.push(Kind::Reordered.of(index.told(number, message)));
    }
}

/// Sent after another's acknowledgement means behind it.
fn check_sends(index: &Index, group: &[Placed], found: &mut Vec<Violation>) {
    // From the back: the earliest acknowledgement of all that come behind.
    let mut behind: Option<(i64, &Placed)> = None;
    for placed in group.iter().rev() {
        let sends = &placed.message.sends;
        let begun_us = sends.iter().map(|send| send.span.begin_us).min();
        if let (Some(begun_us), Some((acknowledged_us, other))) = (begun_us, behind)
            && acknowledged_us < begun_us
        {
            found.push(Kind::Reordered.of(both(index, other, placed)));
        }
        let done = sends.iter().filter(|send| send.outcome.done().is_some());
        let acknowledged_us = done.map(|send| send.span.end_us).min();
        if let Some(us) = acknowledged_us
            && behind.is_none_or(|(earliest_us, _)| us < earliest_us)
        {
            behind = Some((us, placed));
        }
    }
}

fn check_deliveries(index: &Index, group: &[Placed], found: &mut Vec<Violation>) {
    // The earliest that all before a place can be gone.
    let mut gone_us = i64::MIN;
    for (at, placed) in group.iter().enumerate() {
        for handed in placed.message.in_queue(placed.message.queue()) {
            if handed.end_us() >= gone_us {
                continue;
            }
            let in_the_way = group[..at].iter().find(|earlier| {
                earlier.gone_us > handed.end_us() && !came_with(earlier.message, handed)
            });
            if let Some(earlier) = in_the_way {
                found.push(Kind::Reordered.of(both(index, earlier, placed)));
                break;
            }
        }
        gone_us = gone_us.max(placed.gone_us);
    }
}

/// Whether a message came before this one in the same receive.
fn came_with(message: &Message, handed: &Handed) -> bool {
    message
        .handed
        .iter()
        .any(|other| other.receive.id == handed.receive.id && other.place < handed.place)
}

fn gone_us(message: &Message) -> i64 {
    let queue = message.queue();
    let deletes = message.in_queue(queue).flat_map(Handed::deletes);
    let deleted_us = deletes
        .filter(|act| act.outcome.may_have_happened())
        .map(|act| act.span.begin_us)
        .min();
    let is_a_dead_letter = message
        .handed
        .iter()
        .any(|handed| handed.receive.queue != queue);
    // It went there after the last of its receives here was over.
    let moved_us = is_a_dead_letter.then(|| {
        let held_until_us = message.in_queue(queue).map(|handed| handed.held_until_us);
        held_until_us.max().unwrap_or(i64::MIN)
    });
    let first_us = [deleted_us, moved_us].into_iter().flatten().min();
    first_us.unwrap_or(i64::MAX)
}

fn both(index: &Index, earlier: &Placed, later: &Placed) -> String {
    format!(
        "before\n{}\ncame\n{}",
        index.told(earlier.number, earlier.message),
        index.told(later.number, later.message)
    )
}
