//! Histories made by hand, each wrong in one way, beside the one that is right.

use super::{Kind, check};
use crate::history::{
    Act, DeadLetters, Delivery, History, Outcome, Queue, Receive, Send, Sent, Span, What,
};

const STANDARD: usize = 0;
const DEAD: usize = 1;
const FIFO: usize = 2;
const SECOND_US: i64 = 1_000_000;
const VISIBILITY_US: i64 = 2 * SECOND_US;

/// A history that grows by a step of 10 milliseconds at a time.
struct Story {
    history: History,
    now_us: i64,
}

impl Story {
    fn new() -> Self {
        let queue = |name: &str, dead_letters| Queue {
            name: name.to_owned(),
            dead_letters,
        };
        let dead_letters = DeadLetters {
            queue: DEAD,
            receives_max: 2,
        };
        let history = History {
            queues: vec![
                queue("standard", Some(dead_letters)),
                queue("dead", None),
                queue("fifo.fifo", None),
            ],
            ..History::default()
        };
        Self { history, now_us: 0 }
    }

    fn step(&mut self) -> Span {
        self.now_us += 10_000;
        Span {
            begin_us: self.now_us - 5_000,
            end_us: self.now_us,
        }
    }

    fn wait(mut self, us: i64) -> Self {
        self.now_us += us;
        self
    }

    fn kill(mut self) -> Self {
        let span = self.step();
        self.history.kills.push(span);
        self
    }

    fn sends(mut self, queue: usize, message: u64, outcome: Outcome<Sent>) -> Self {
        let span = self.step();
        self.history.sends.push(Send {
            queue,
            message,
            group: (queue == FIFO).then_some(1),
            delay_us: 0,
            span,
            outcome,
        });
        self
    }

    fn sent(self, queue: usize, message: u64) -> Self {
        let sent = Sent {
            message_id: format!("id-{message}"),
            sequence: (queue == FIFO).then_some(u128::from(message)),
        };
        self.sends(queue, message, Outcome::Done(sent))
    }

    /// Messages, each with its receive count, in one receive, whose id is its place in the history.
    fn received(mut self, queue: usize, messages: &[(u64, u32)]) -> Self {
        let span = self.step();
        let delivery = |&(message, receive_count): &(u64, u32)| Delivery {
            message: Some(message),
            message_id: format!("id-{message}"),
            receive_count,
            sequence: (queue == FIFO).then_some(u128::from(message)),
            group: (queue == FIFO).then_some(1),
        };
        self.history.receives.push(Receive {
            id: self.history.receives.len() as u64,
            queue,
            visibility_us: VISIBILITY_US,
            span,
            outcome: Outcome::Done(messages.iter().map(delivery).collect()),
        });
        self
    }

    fn acts(mut self, receive: u64, place: usize, what: What, outcome: Outcome<()>) -> Self {
        let span = self.step();
        self.history.acts.push(Act {
            receive,
            place,
            what,
            span,
            outcome,
        });
        self
    }

    fn deleted(self, receive: u64, place: usize) -> Self {
        self.acts(receive, place, What::Delete, Outcome::Done(()))
    }

    fn visible_in(self, receive: u64, place: usize, to_us: i64) -> Self {
        let what = What::ChangeVisibility { to_us };
        self.acts(receive, place, what, Outcome::Done(()))
    }

    fn finds(self, expected: &[Kind]) {
        let found = check(&self.history);
        let kinds: Vec<_> = found.iter().map(|violation| violation.kind).collect();
        assert_eq!(kinds, expected, "{found:#?}");
    }

    fn finds_nothing(self) {
        self.finds(&[]);
    }
}

#[test]
fn what_is_sent_received_and_deleted_is_fine() {
    let story = Story::new().sent(STANDARD, 1).sent(FIFO, 2).sent(FIFO, 3);
    let story = story.received(STANDARD, &[(1, 1)]).deleted(0, 0);
    let story = story.received(FIFO, &[(2, 1), (3, 1)]);
    story.deleted(1, 1).deleted(1, 0).finds_nothing();
}

#[test]
fn an_acknowledged_message_that_is_not_there_is_lost() {
    Story::new().sent(STANDARD, 1).finds(&[Kind::Lost]);
    let refused = Story::new().sent(FIFO, 1).received(FIFO, &[(1, 1)]);
    refused
        .acts(0, 0, What::Delete, Outcome::Refused)
        .finds(&[Kind::Lost]);
}

#[test]
fn what_nobody_knows_is_not_lost() {
    let unknown = Story::new().sends(STANDARD, 1, Outcome::Unknown);
    unknown.sends(STANDARD, 2, Outcome::Refused).finds_nothing();
    let deleted = Story::new().sent(STANDARD, 1).received(STANDARD, &[(1, 1)]);
    deleted
        .acts(0, 0, What::Delete, Outcome::Unknown)
        .finds_nothing();
}

#[test]
fn what_nobody_sent_is_a_phantom() {
    let story = Story::new().received(STANDARD, &[(7, 1)]);
    story.finds(&[Kind::Phantom]);
    let refused = Story::new().sends(STANDARD, 1, Outcome::Refused);
    refused
        .received(STANDARD, &[(1, 1)])
        .finds(&[Kind::Phantom]);
    let elsewhere = Story::new().sends(STANDARD, 1, Outcome::Unknown);
    elsewhere.received(FIFO, &[(1, 1)]).finds(&[Kind::Phantom]);
    let too_soon = Story::new().received(STANDARD, &[(1, 1)]);
    let too_soon = too_soon.sent(STANDARD, 1).deleted(0, 0);
    too_soon.finds(&[Kind::Phantom]);
}

#[test]
fn a_deleted_message_stays_away() {
    let story = Story::new().sent(STANDARD, 1).received(STANDARD, &[(1, 1)]);
    let story = story.deleted(0, 0).kill().wait(VISIBILITY_US);
    story
        .received(STANDARD, &[(1, 2)])
        .finds(&[Kind::Resurrected]);
}

#[test]
fn a_late_delete_may_have_no_effect() {
    let story = Story::new().sent(STANDARD, 1).received(STANDARD, &[(1, 1)]);
    let story = story.wait(VISIBILITY_US).received(STANDARD, &[(1, 2)]);
    let story = story.deleted(0, 0).wait(VISIBILITY_US);
    story.received(DEAD, &[(1, 3)]).finds_nothing();
}

#[test]
fn a_held_message_is_not_given_out() {
    let story = || Story::new().sent(FIFO, 1).received(FIFO, &[(1, 1)]).kill();
    let again = story().received(FIFO, &[(1, 2)]).deleted(1, 0);
    again.finds(&[Kind::HandedOutTwice]);
    let in_time = story().wait(VISIBILITY_US).received(FIFO, &[(1, 2)]);
    in_time.deleted(1, 0).finds_nothing();
    let shorter = story().visible_in(0, 0, 0).received(FIFO, &[(1, 2)]);
    shorter.deleted(1, 0).finds_nothing();
    let longer = story().visible_in(0, 0, 2 * VISIBILITY_US);
    let longer = longer.wait(VISIBILITY_US).received(FIFO, &[(1, 2)]);
    longer.deleted(1, 0).finds(&[Kind::HandedOutTwice]);
}

#[test]
fn a_groups_next_message_waits_for_all_that_are_held() {
    let story = Story::new().sent(FIFO, 1).sent(FIFO, 2).sent(FIFO, 3);
    let story = story.received(FIFO, &[(1, 1), (2, 1)]).deleted(0, 0);
    let story = story.received(FIFO, &[(3, 1)]).deleted(0, 1).deleted(1, 0);
    story.finds(&[Kind::Reordered]);
}

#[test]
fn what_is_given_back_before_a_held_message_may_be_given_out() {
    let story = || Story::new().sent(FIFO, 1).sent(FIFO, 2);
    let story = || {
        story()
            .received(FIFO, &[(1, 1), (2, 1)])
            .visible_in(0, 0, 0)
    };
    let first = story().received(FIFO, &[(1, 2)]);
    first.deleted(1, 0).deleted(0, 1).finds_nothing();
    let both = story().received(FIFO, &[(1, 2), (2, 2)]);
    let both = both.deleted(1, 0).deleted(1, 1);
    both.finds(&[Kind::HandedOutTwice]);
    let second = story().visible_in(0, 1, 0).received(FIFO, &[(1, 2)]);
    let second = second.received(FIFO, &[(2, 2)]);
    let second = second.deleted(1, 0).deleted(2, 0);
    second.finds(&[Kind::Reordered]);
}

#[test]
fn a_standard_queue_takes_any_receipt_of_a_message() {
    let story = || {
        let mut story = Story::new().sent(STANDARD, 1).received(STANDARD, &[(1, 1)]);
        story.history.queues[STANDARD].dead_letters = None;
        story.wait(VISIBILITY_US).received(STANDARD, &[(1, 2)])
    };
    let released = story().visible_in(0, 0, 0).received(STANDARD, &[(1, 3)]);
    released.deleted(2, 0).finds_nothing();
    let held = story().received(STANDARD, &[(1, 3)]).deleted(2, 0);
    held.finds(&[Kind::HandedOutTwice]);
}

#[test]
fn a_crash_may_show_what_a_standard_queue_has_given_out() {
    let story = || Story::new().sent(STANDARD, 1).received(STANDARD, &[(1, 1)]);
    let killed = story().kill().received(STANDARD, &[(1, 1)]);
    killed.deleted(1, 0).finds_nothing();
    let not_killed = story().received(STANDARD, &[(1, 2)]).deleted(1, 0);
    not_killed.finds(&[Kind::HandedOutTwice]);
}

#[test]
fn a_group_keeps_its_order() {
    let story = || Story::new().sent(FIFO, 1).sent(FIFO, 2);
    let second_first = story().received(FIFO, &[(2, 1)]).deleted(0, 0);
    let second_first = second_first.received(FIFO, &[(1, 1)]).deleted(1, 0);
    second_first.finds(&[Kind::Reordered]);
    let within = story().received(FIFO, &[(2, 1), (1, 1)]);
    within.deleted(0, 0).deleted(0, 1).finds(&[Kind::Reordered]);
    let abandoned = story().received(FIFO, &[(1, 1)]).wait(VISIBILITY_US);
    let abandoned = abandoned.received(FIFO, &[(2, 1)]).deleted(1, 0);
    let abandoned = abandoned.received(FIFO, &[(1, 2)]).deleted(2, 0);
    abandoned.finds(&[Kind::Reordered]);
}

#[test]
fn sequence_numbers_follow_the_sends() {
    let story = Story::new().sent(FIFO, 2).sent(FIFO, 1);
    let story = story.received(FIFO, &[(1, 1), (2, 1)]);
    story.deleted(0, 0).deleted(0, 1).finds(&[Kind::Reordered]);
}

#[test]
fn a_message_sent_twice_comes_once() {
    let other = Outcome::Done(Sent {
        message_id: "other".to_owned(),
        sequence: Some(1),
    });
    let story = Story::new().sent(FIFO, 1).sends(FIFO, 1, other);
    let story = story.received(FIFO, &[(1, 1)]).deleted(0, 0);
    story.finds(&[Kind::Duplicated]);
    let same = Story::new().sends(FIFO, 1, Outcome::Unknown).sent(FIFO, 1);
    same.received(FIFO, &[(1, 1)]).deleted(0, 0).finds_nothing();
}

#[test]
fn receives_are_counted() {
    let story = || Story::new().sent(FIFO, 1).received(FIFO, &[(1, 1)]).kill();
    let again = story().wait(VISIBILITY_US).received(FIFO, &[(1, 1)]);
    again.deleted(1, 0).finds(&[Kind::CountBackward]);
    let story = Story::new().sent(STANDARD, 1).received(STANDARD, &[(1, 3)]);
    story.deleted(0, 0).finds(&[Kind::ReceivedTooOften]);
}

#[test]
fn a_delay_is_kept() {
    let mut story = Story::new().sent(STANDARD, 1);
    story.history.sends[0].delay_us = SECOND_US;
    let story = story.received(STANDARD, &[(1, 1)]).deleted(0, 0);
    story.finds(&[Kind::TooEarly]);
}

#[test]
fn a_dead_letter_makes_way() {
    let mut story = Story::new();
    let dead_letters = story.history.queues[STANDARD].dead_letters;
    story.history.queues[FIFO].dead_letters = dead_letters;
    let story = story.sent(FIFO, 1).sent(FIFO, 2);
    let story = story.received(FIFO, &[(1, 2)]).wait(VISIBILITY_US);
    let mut story = story.received(FIFO, &[(2, 1)]).deleted(1, 0);
    story = story.received(DEAD, &[(1, 3)]).deleted(2, 0);
    let last = story.history.receives.last_mut().expect("there is one");
    if let Outcome::Done(deliveries) = &mut last.outcome {
        deliveries[0].group = Some(1);
    }
    story.finds_nothing();
}
