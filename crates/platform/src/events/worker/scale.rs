//! How many of a function's events may run at once. Pure: time is an argument.

use tokio::time::Instant;

use crate::events::limits;

#[derive(Debug)]
pub struct Scale {
    allowed: f64,
    /// Since when there has been more than that.
    demanded: Option<Instant>,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            allowed: limits::RUNNING_START,
            demanded: None,
        }
    }
}

impl Scale {
    pub fn allowed(&self) -> usize {
        // Between 1 and 500.
        self.allowed as usize
    }

    /// As many run as may, and more wait.
    pub fn demanded(&mut self, now: Instant) {
        let since = self.demanded.replace(now);
        let time = since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        let more = time.min(1.0) * limits::RUNNING_MORE_PER_S;
        self.allowed = (self.allowed + more).min(limits::RUNNING_MAX);
    }

    /// There is room for more than there is.
    pub fn sufficed(&mut self) {
        self.demanded = None;
    }

    /// Nothing waits.
    pub fn rested(&mut self) {
        *self = Self::default();
    }

    /// One was refused while so many others ran: more than those there is no room for.
    pub fn throttled(&mut self, running: usize) {
        self.allowed = self.allowed.min(running as f64).max(1.0);
        self.demanded = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_grows_while_events_wait_and_a_throttle_leaves_what_runs() {
        let (mut scale, mut now) = (Scale::default(), Instant::now());
        assert_eq!(scale.allowed(), 20);
        for _ in 0..=10 {
            scale.demanded(now);
            now += Duration::from_millis(100);
        }
        assert_eq!(scale.allowed(), 120);
        for _ in 0..60 {
            scale.demanded(now);
            now += Duration::from_secs(1);
        }
        assert_eq!(scale.allowed(), 500);
        scale.throttled(7);
        assert_eq!(scale.allowed(), 7);
        scale.throttled(0);
        assert_eq!(scale.allowed(), 1);
        scale.rested();
        assert_eq!(scale.allowed(), 20);
    }
}
