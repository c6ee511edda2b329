//! How many batches may be with the function at once. Pure: time is an argument.
//!
//! A standard queue begins with five and gets 300 a minute more while messages wait, up to 1,250
//! or its MaximumConcurrency. Provisioned pollers take ten each and grow by 1,000 a minute. A FIFO
//! queue is bounded by its groups. Throttles and errors make it fewer.

use crate::triggers::tables::Settings;

/// Lambda's figures.
const START: u32 = 5;
const MOST: u32 = 1250;
const PER_MINUTE: u32 = 300;
const PER_POLLER: u32 = 10;
const PROVISIONED_PER_MINUTE: u32 = 1000;
/// Errors alone make it no fewer than these.
const FLOOR: u32 = 2;
/// After a throttle nothing grows for so long.
const HOLD_MS: i64 = 1000;
/// Demand that was last seen longer ago is a new one.
const DEMAND_MS: i64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Terms {
    start: u32,
    most: u32,
    per_minute: u32,
}

impl Terms {
    fn of(settings: &Settings, is_fifo: bool) -> Self {
        if let Some(pollers) = settings.provisioned {
            return Self {
                start: pollers.minimum * PER_POLLER,
                most: pollers.maximum * PER_POLLER,
                per_minute: PROVISIONED_PER_MINUTE,
            };
        }
        let most = settings.maximum_concurrency.unwrap_or(MOST).min(MOST);
        Self {
            start: if is_fifo { most } else { START.min(most) },
            most,
            per_minute: PER_MINUTE,
        }
    }
}

#[derive(Debug)]
pub struct Scale {
    terms: Terms,
    allowed: f64,
    demand_at_ms: Option<i64>,
    hold_until_ms: i64,
}

impl Scale {
    pub fn new(settings: &Settings, is_fifo: bool) -> Self {
        let terms = Terms::of(settings, is_fifo);
        Self {
            terms,
            allowed: terms.start.into(),
            demand_at_ms: None,
            hold_until_ms: i64::MIN,
        }
    }

    /// Goes on under new settings.
    pub fn change(&mut self, settings: &Settings, is_fifo: bool) {
        self.terms = Terms::of(settings, is_fifo);
        let (start, most) = (self.terms.start.into(), self.terms.most.into());
        self.allowed = self.allowed.clamp(start, most);
    }

    pub fn allowed(&self) -> usize {
        // Between 1 and 20,000, and no less for what sums lose.
        (self.allowed + 1e-6) as usize
    }

    /// There are messages that nobody could take.
    pub fn demanded(&mut self, now_ms: i64) {
        let last = self.demand_at_ms.replace(now_ms);
        let since = last.map_or(0, |last| now_ms - last);
        if now_ms < self.hold_until_ms || !(0..=DEMAND_MS).contains(&since) {
            return;
        }
        let grown = f64::from(self.terms.per_minute) * since as f64 / 60_000.0;
        self.allowed = (self.allowed + grown).min(self.terms.most.into());
    }

    /// The queue is empty.
    pub fn rested(&mut self) {
        self.demand_at_ms = None;
        self.allowed = self.terms.start.into();
    }

    /// A batch was refused while so many others ran: more than those there is no room for.
    pub fn throttled(&mut self, running: usize, now_ms: i64) {
        self.allowed = self.allowed.min(running as f64).max(1.0);
        self.hold_until_ms = now_ms + HOLD_MS;
    }

    /// The function failed.
    pub fn failed(&mut self) {
        let floor = f64::from(FLOOR.min(self.terms.start));
        self.allowed = (self.allowed - 1.0).max(floor.min(self.allowed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triggers::tables::Provisioned;

    fn settings() -> Settings {
        Settings {
            batch_size: 10,
            window_s: 0,
            filters: None,
            reports_item_failures: false,
            maximum_concurrency: None,
            provisioned: None,
            metrics: None,
        }
    }

    /// Demand all the time, seen every 100 ms.
    fn demand(scale: &mut Scale, from_ms: i64, to_ms: i64) -> usize {
        for now_ms in (from_ms..=to_ms).step_by(100) {
            scale.demanded(now_ms);
        }
        scale.allowed()
    }

    #[test]
    fn a_standard_queue_begins_with_five_and_gets_300_a_minute() {
        let mut scale = Scale::new(&settings(), false);
        assert_eq!(scale.allowed(), 5);
        assert_eq!(demand(&mut scale, 0, 60_000), 305);
        assert_eq!(demand(&mut scale, 60_100, 600_000), 1250);
        // Demand after a pause counts from then.
        scale.rested();
        scale.demanded(700_000);
        scale.demanded(800_000);
        assert_eq!(scale.allowed(), 5);
    }

    #[test]
    fn maximum_concurrency_is_kept() {
        let capped = |most| Settings {
            maximum_concurrency: Some(most),
            ..settings()
        };
        assert_eq!(Scale::new(&capped(2), false).allowed(), 2);
        let mut scale = Scale::new(&capped(20), false);
        assert_eq!(demand(&mut scale, 0, 60_000), 20);
        scale.change(&capped(7), false);
        assert_eq!(scale.allowed(), 7);
        scale.change(&settings(), false);
        assert_eq!(scale.allowed(), 7);
    }

    #[test]
    fn provisioned_pollers_take_ten_each_and_grow_faster() {
        let provisioned = Settings {
            provisioned: Some(Provisioned {
                minimum: 3,
                maximum: 200,
            }),
            ..settings()
        };
        let mut scale = Scale::new(&provisioned, false);
        assert_eq!(scale.allowed(), 30);
        assert_eq!(demand(&mut scale, 0, 60_000), 1030);
        assert_eq!(demand(&mut scale, 60_100, 120_000), 2000);
        scale.rested();
        assert_eq!(scale.allowed(), 30);
    }

    #[test]
    fn a_fifo_queue_is_bounded_by_its_groups() {
        assert_eq!(Scale::new(&settings(), true).allowed(), 1250);
    }

    #[test]
    fn a_throttle_leaves_what_runs_and_holds() {
        let mut scale = Scale::new(&settings(), true);
        scale.throttled(3, 0);
        assert_eq!(scale.allowed(), 3);
        assert_eq!(demand(&mut scale, 0, 900), 3);
        assert!(demand(&mut scale, 1000, 3000) > 3);
        scale.throttled(0, 3000);
        assert_eq!(scale.allowed(), 1);
    }

    #[test]
    fn errors_make_it_fewer_bit_by_bit() {
        let mut scale = Scale::new(&settings(), false);
        scale.failed();
        assert_eq!(scale.allowed(), 4);
        (0..10).for_each(|_| scale.failed());
        assert_eq!(scale.allowed(), 2);
        scale.throttled(0, 0);
        scale.failed();
        assert_eq!(scale.allowed(), 1);
    }
}
