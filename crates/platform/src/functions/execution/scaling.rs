//! How fast a function may scale: Lambda starts at most 1,000 environments of a function each 10
//! seconds, refilled continuously and never saved up ("Lambda scaling behavior" in its Developer
//! Guide). Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(10);

/// What is left of a function's scaling rate.
#[derive(Debug)]
pub struct ScalingRate {
    /// Environments each [`WINDOW`], and at once at most.
    rate: u32,
    /// When all that was taken will have come back.
    full_at: Option<Instant>,
}

impl ScalingRate {
    /// `rate` is in environments each 10 seconds.
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            full_at: None,
        }
    }

    /// Takes one environment of the rate, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let Some(each) = WINDOW.checked_div(self.rate) else {
            return false;
        };
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + each;
        let is_left = full_at.saturating_duration_since(now) <= each.saturating_mul(self.rate);
        if is_left {
            self.full_at = Some(full_at);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of many are let through at one moment.
    fn taken(rate: &mut ScalingRate, now: Instant) -> usize {
        (0..5000).filter(|_| rate.take(now)).count()
    }

    #[test]
    fn a_burst_gets_the_whole_rate_and_no_more() {
        let mut rate = ScalingRate::new(1000);
        assert_eq!(taken(&mut rate, Instant::now()), 1000);
    }

    #[test]
    fn it_comes_back_continuously() {
        let mut rate = ScalingRate::new(1000);
        let start = Instant::now();
        taken(&mut rate, start);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(1)), 100);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(6)), 500);
    }

    #[test]
    fn what_is_not_used_is_not_saved_up() {
        let mut rate = ScalingRate::new(1000);
        let start = Instant::now();
        taken(&mut rate, start);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(100)), 1000);
    }

    #[test]
    fn rates_that_do_not_divide_the_window_are_kept() {
        let mut rate = ScalingRate::new(7);
        assert_eq!(taken(&mut rate, Instant::now()), 7);
        assert_eq!(taken(&mut ScalingRate::new(0), Instant::now()), 0);
    }
}
