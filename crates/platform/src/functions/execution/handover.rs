//! Requests that wait for what is about to be free: an environment that has answered and not asked
//! for more yet. No more wait than there are such; the others are better off with a new one.

use std::{collections::VecDeque, time::Duration};

use tokio::sync::oneshot;

/// How long a request waits: long enough for a client that calls again at once to find the
/// environment it had, and little beside a start.
const WAIT_MAX: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub struct Handover<T> {
    /// How many are about to be free.
    expected: usize,
    waiting: VecDeque<oneshot::Sender<T>>,
}

/// A place among those that wait.
#[derive(Debug)]
pub struct Place<T>(oneshot::Receiver<T>);

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Self {
            expected: 0,
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Handover<T> {
    /// One more is about to be free.
    pub fn expect(&mut self) {
        self.expected += 1;
    }

    /// One of the expected has come, or never will.
    pub fn arrived(&mut self) {
        self.expected -= 1;
    }

    /// A place to wait at, where one is expected that nobody waits for yet.
    pub fn ask(&mut self) -> Option<Place<T>> {
        self.waiting.retain(|waiting| !waiting.is_closed());
        if self.waiting.len() >= self.expected {
            return None;
        }
        let (giver, given) = oneshot::channel();
        self.waiting.push_back(giver);
        Some(Place(given))
    }

    /// Gives to whoever has waited longest, or back where nobody waits.
    pub fn give(&mut self, mut free: T) -> Option<T> {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(free) {
                Ok(()) => return None,
                Err(refused) => free = refused,
            }
        }
        Some(free)
    }

    /// Nothing is given any more.
    pub fn dismiss(&mut self) {
        self.waiting.clear();
    }
}

impl<T> Place<T> {
    /// Waits for a moment; none if nothing became free.
    pub async fn wait(mut self) -> Option<T> {
        if let Ok(given) = tokio::time::timeout(WAIT_MAX, &mut self.0).await {
            return given.ok();
        }
        // From here on none is given; one may have been, in the last moment.
        self.0.close();
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_to_ask_gets_what_comes() {
        let mut handover = Handover::default();
        assert!(handover.ask().is_none());
        handover.expect();
        handover.expect();
        let first = handover.ask().unwrap();
        let second = handover.ask().unwrap();
        assert!(handover.ask().is_none());
        handover.arrived();
        assert_eq!(handover.give(1), None);
        handover.arrived();
        assert_eq!(handover.give(2), None);
        assert_eq!(handover.give(3), Some(3));
        assert_eq!(
            (first.wait().await, second.wait().await),
            (Some(1), Some(2))
        );
    }

    #[tokio::test]
    async fn who_has_given_up_is_passed_over() {
        let mut handover = Handover::default();
        handover.expect();
        let late = handover.ask().unwrap();
        assert_eq!(late.wait().await, None);
        let place = handover.ask().unwrap();
        assert_eq!(handover.give(1), None);
        assert_eq!(place.wait().await, Some(1));

        drop(handover.ask());
        assert_eq!(handover.give(2), Some(2));
    }

    #[tokio::test]
    async fn nobody_waits_for_what_never_comes() {
        let mut handover = Handover::<u32>::default();
        handover.expect();
        let place = handover.ask().unwrap();
        handover.dismiss();
        assert_eq!(place.wait().await, None);
        handover.arrived();
        assert!(handover.ask().is_none());
    }
}
