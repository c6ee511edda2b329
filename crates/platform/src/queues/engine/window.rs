//! Which of a queue's messages are in memory: all up to a horizon, and of those beyond it only the
//! number.
//!
//! Messages are committed in the order of their sequence numbers, so that those beyond the
//! horizon are read page by page. The exceptions are messages that another service wrote in a
//! transaction of its own: their numbers are known before their commit (`staged`), and they are
//! taken into memory one by one (`islands`, as far as they lie beyond the horizon).

use std::collections::{BTreeSet, HashSet};

#[derive(Debug, Default)]
pub struct Window {
    horizon: i64,
    /// Below zero for a moment: what a page has read may be told of only afterwards.
    beyond: i64,
    islands: BTreeSet<i64>,
    staged: HashSet<i64>,
    purged_until: i64,
    is_paging: bool,
    /// Messages told of since the page was begun.
    came_meanwhile: i64,
}

/// Where a message that was committed is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Memory,
    Store,
    /// It is purged, or a page has brought it already.
    Nowhere,
}

impl Window {
    pub fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Messages that are not in memory.
    pub fn beyond(&self) -> u64 {
        u64::try_from(self.beyond).unwrap_or_default()
    }

    pub fn purged_until(&self) -> i64 {
        self.purged_until
    }

    /// The queue was read: all up to `horizon`, and so many beyond it.
    pub fn loaded(&mut self, horizon: i64, beyond: i64) {
        self.horizon = self.horizon.max(horizon);
        self.beyond = beyond;
    }

    /// Nothing up to this number is there any more.
    pub fn purged(&mut self, until: i64) {
        self.purged_until = self.purged_until.max(until);
        self.horizon = self.horizon.max(until);
    }

    /// As it is when memory is emptied.
    pub fn emptied(self) -> Self {
        Self {
            staged: self.staged,
            purged_until: self.purged_until,
            horizon: self.purged_until,
            ..Self::default()
        }
    }

    /// A message was committed, in the order of the numbers.
    pub fn committed(&mut self, sequence: i64, has_room: bool) -> Place {
        if sequence <= self.purged_until {
            return Place::Nowhere;
        }
        if sequence <= self.horizon {
            self.beyond += 1;
            return Place::Nowhere;
        }
        if self.beyond == 0 && !self.is_paging && has_room {
            self.reach(sequence);
            return Place::Memory;
        }
        self.beyond += 1;
        self.came_meanwhile += 1;
        Place::Store
    }

    fn reach(&mut self, horizon: i64) {
        self.horizon = horizon;
        while self.islands.first().is_some_and(|&first| first <= horizon) {
            self.islands.pop_first();
        }
    }

    /// A number was given to a message that another service writes.
    pub fn stage(&mut self, sequence: i64) {
        self.staged.insert(sequence);
    }

    pub fn is_staged(&self, sequence: i64) -> bool {
        self.staged.contains(&sequence)
    }

    /// That message was committed, or not.
    pub fn unstage(&mut self, sequence: i64, committed: bool) -> Place {
        self.staged.remove(&sequence);
        if !committed || sequence <= self.purged_until {
            return Place::Nowhere;
        }
        if sequence > self.horizon {
            self.islands.insert(sequence);
        }
        Place::Memory
    }

    /// Begins a page, if there is one to be read and none is being.
    pub fn begin_page(&mut self) -> bool {
        let begins = self.beyond > 0 && !self.is_paging;
        if begins {
            self.is_paging = true;
            self.came_meanwhile = 0;
        }
        begins
    }

    pub fn is_paging(&self) -> bool {
        self.is_paging
    }

    /// A page was read, of these numbers; `is_last` if there were no more. Leaves those that are
    /// to be taken into memory.
    pub fn paged(&mut self, sequences: &mut Vec<i64>, is_last: bool) {
        self.is_paging = false;
        if sequences.is_empty() && is_last && self.came_meanwhile == 0 {
            self.beyond = 0;
        }
        let Some(&horizon) = sequences.last() else {
            return;
        };
        sequences
            .retain(|sequence| !self.islands.contains(sequence) && !self.staged.contains(sequence));
        self.beyond -= i64::try_from(sequences.len()).unwrap_or(0);
        self.reach(horizon.max(self.horizon));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_queue_is_all_in_memory() {
        let mut window = Window::default();
        for sequence in [5, 7, 9] {
            assert_eq!(window.committed(sequence, true), Place::Memory);
        }
        assert_eq!((window.beyond(), window.horizon()), (0, 9));
        assert!(!window.begin_page());
    }

    #[test]
    fn a_long_one_is_read_page_by_page() {
        let mut window = Window::default();
        window.committed(1, true);
        for sequence in 2..=5 {
            assert_eq!(window.committed(sequence, false), Place::Store);
        }
        assert_eq!(
            window.committed(6, true),
            Place::Store,
            "after those beyond"
        );
        assert!(window.begin_page());
        assert!(!window.begin_page(), "one at a time");
        let mut page = vec![2, 3, 4];
        window.paged(&mut page, false);
        assert_eq!(page, [2, 3, 4]);
        assert_eq!((window.beyond(), window.horizon()), (2, 4));
    }

    #[test]
    fn a_page_may_bring_a_message_before_its_commit_is_told() {
        let mut window = Window::default();
        window.committed(1, false);
        assert!(window.begin_page());
        // 2 and 3 are committed; 3 is told of only after the page.
        assert_eq!(window.committed(2, true), Place::Store);
        window.paged(&mut vec![1, 2, 3], true);
        assert_eq!(window.beyond(), 0);
        assert_eq!(window.committed(3, true), Place::Nowhere);
        assert_eq!(window.committed(4, true), Place::Memory);
    }

    #[test]
    fn staged_messages_are_taken_once_whenever_they_are_committed() {
        let mut window = Window::default();
        window.stage(2);
        window.stage(3);
        assert_eq!(window.committed(1, false), Place::Store);
        assert_eq!(window.committed(4, false), Place::Store);
        assert_eq!(window.unstage(2, true), Place::Memory);
        assert!(window.begin_page());
        let mut page = vec![1, 2, 3, 4];
        window.paged(&mut page, true);
        assert_eq!(page, [1, 4]);
        assert_eq!(window.unstage(3, true), Place::Memory);
        assert_eq!(window.beyond(), 0);
    }

    #[test]
    fn what_is_purged_never_comes_back() {
        let mut window = Window::default();
        window.committed(1, false);
        window.purged(10);
        let mut window = window.emptied();
        assert_eq!(window.beyond(), 0);
        assert_eq!(window.committed(9, true), Place::Nowhere);
        assert_eq!(window.committed(11, true), Place::Memory);
    }

    #[test]
    fn a_number_that_has_drifted_is_put_right() {
        let mut window = Window::default();
        window.loaded(5, 2);
        assert!(window.begin_page());
        window.paged(&mut Vec::new(), true);
        assert_eq!(window.beyond(), 0);
    }
}
