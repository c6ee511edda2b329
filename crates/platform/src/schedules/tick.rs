//! Which occurrence a tick is, and when the next tick comes. Pure: time and randomness are arguments.

use super::{limits, tables::Schedule};
use crate::timers::{Due, Next};

/// What becomes of a schedule whose timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    pub fires: Option<Occurrence>,
    /// None: there is nothing ahead.
    pub next: Option<Next>,
    /// Nothing ticked when it should have: the platform was not running, or its clock was wrong.
    pub was_late: bool,
}

/// An occurrence that happens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The time that the schedule names, in milliseconds since 1970.
    pub scheduled_ms: i64,
    /// How much later than it should be it happens.
    pub late_ms: i64,
}

/// The first tick of a schedule that was made or changed just now.
pub fn first(schedule: &Schedule, now_ms: i64, random: f64) -> Option<Next> {
    if !schedule.is_enabled {
        return None;
    }
    let is_once = schedule.expression().ok()?.is_once();
    // What is to happen once may be asked for a little late. What recurs may begin right now.
    let after_ms = match is_once {
        true => now_ms - limits::LATE_MS,
        false => now_ms - 1,
    };
    next_after(schedule, after_ms, now_ms, random)
}

/// The tick of the first occurrence after some time.
pub fn next_after(schedule: &Schedule, after_ms: i64, now_ms: i64, random: f64) -> Option<Next> {
    let timing = schedule.timing().filter(|_| schedule.is_enabled)?;
    let scheduled_ms = timing.next_after(after_ms)?;
    Some(within_window(schedule, scheduled_ms, now_ms, random))
}

/// `random` is from 0 up to 1.
pub fn decide(schedule: &Schedule, due: &Due, now_ms: i64, random: f64) -> Decided {
    let timing = schedule.timing().filter(|_| schedule.is_enabled);
    let Some(timing) = timing else {
        return Decided {
            fires: None,
            next: None,
            was_late: false,
        };
    };
    let window_ms = schedule.window_ms();
    let age_max_ms = i64::from(schedule.target.age_max_s) * 1000;
    let was_late = now_ms > due.due_ms + limits::LATE_MS;
    let mut scheduled_ms = due.scheduled_ms;
    if was_late {
        // Of those that should be over by now, the last.
        let over_ms = now_ms - window_ms - limits::LATE_MS;
        let mut at = scheduled_ms.max(over_ms - age_max_ms);
        while let Some(next) = timing.next_after(at)
            && next <= over_ms
        {
            scheduled_ms = next;
            at = next;
        }
    }
    let late_ms = (now_ms - scheduled_ms - window_ms).max(0);
    let fires = (late_ms <= age_max_ms).then_some(Occurrence {
        scheduled_ms,
        late_ms,
    });
    let next = timing.next_after(scheduled_ms);
    Decided {
        fires,
        next: next.map(|next| within_window(schedule, next, now_ms, random)),
        was_late,
    }
}

/// Somewhere within the flexible time window, but not before now.
fn within_window(schedule: &Schedule, scheduled_ms: i64, now_ms: i64, random: f64) -> Next {
    let shift_ms = (schedule.window_ms() as f64 * random) as i64;
    Next {
        scheduled_ms,
        due_ms: scheduled_ms.saturating_add(shift_ms).max(now_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tables::{Asked, Target},
        *,
    };

    const MINUTE: i64 = 60_000;
    /// 2027-01-01T00:00:00Z
    const NEW_YEAR: i64 = 1_798_761_600_000;

    fn schedule(expression: &str, window_minutes: Option<u32>) -> Schedule {
        Schedule {
            asked: Asked {
                expression: expression.to_owned(),
                zone: "UTC".to_owned(),
                start_ms: None,
                end_ms: None,
                description: None,
                is_enabled: true,
                window_minutes,
                deletes_itself: false,
                target: Target {
                    arn: "arn:aws:sqs:us-east-1:111111111111:q".to_owned(),
                    role_arn: "arn:aws:iam::111111111111:role/r".to_owned(),
                    dead_letter_arn: None,
                    retries_max: 185,
                    age_max_s: 86_400,
                    input: None,
                    message_group: None,
                    bus: None,
                },
            },
            created_ms: NEW_YEAR,
            modified_ms: NEW_YEAR,
            anchor_ms: NEW_YEAR,
            client_token: None,
        }
    }

    fn due(scheduled_ms: i64, due_ms: i64) -> Due {
        Due {
            id: String::new(),
            due_ms,
            scheduled_ms,
        }
    }

    fn next(scheduled_ms: i64, due_ms: i64) -> Option<Next> {
        Some(Next {
            scheduled_ms,
            due_ms,
        })
    }

    #[test]
    fn a_rate_begins_at_once_and_a_cron_with_its_first_time() {
        let now = NEW_YEAR;
        let rate = schedule("rate(5 minutes)", None);
        assert_eq!(first(&rate, now, 0.9), next(now, now));
        let cron = schedule("cron(30 * * * ? *)", Some(10));
        let at = now + 30 * MINUTE;
        assert_eq!(first(&cron, now, 0.5), next(at, at + 5 * MINUTE));
        let mut disabled = cron.clone();
        disabled.asked.is_enabled = false;
        assert_eq!(first(&disabled, now, 0.0), None);
    }

    #[test]
    fn what_is_to_happen_once_may_be_asked_for_a_minute_late() {
        let once = schedule("at(2027-01-01T00:00:00)", None);
        assert_eq!(first(&once, NEW_YEAR - 1, 0.0), next(NEW_YEAR, NEW_YEAR));
        let later = NEW_YEAR + MINUTE - 1;
        assert_eq!(first(&once, later, 0.0), next(NEW_YEAR, later));
        assert_eq!(first(&once, NEW_YEAR + MINUTE, 0.0), None);
    }

    #[test]
    fn every_occurrence_has_its_tick_also_in_windows_longer_than_the_rate() {
        let rate = schedule("rate(5 minutes)", Some(15));
        let (mut ticks, mut now) = (Vec::new(), NEW_YEAR);
        let mut timer = first(&rate, now, 0.99).unwrap();
        for random in [0.0, 0.5, 0.99, 0.1, 0.7] {
            now = now.max(timer.due_ms) + 20;
            assert!(timer.due_ms <= timer.scheduled_ms + 15 * MINUTE);
            let decided = decide(&rate, &due(timer.scheduled_ms, timer.due_ms), now, random);
            assert!(!decided.was_late);
            ticks.push((decided.fires.unwrap().scheduled_ms - NEW_YEAR) / MINUTE);
            timer = decided.next.unwrap();
        }
        assert_eq!(ticks, [0, 5, 10, 15, 20]);
    }

    #[test]
    fn of_what_was_missed_the_last_is_made_up_for() {
        let rate = schedule("rate(5 minutes)", None);
        let now = NEW_YEAR + 62 * MINUTE;
        let decided = decide(&rate, &due(NEW_YEAR, NEW_YEAR), now, 0.0);
        assert!(decided.was_late);
        let fires = decided.fires.unwrap();
        assert_eq!(fires.scheduled_ms, NEW_YEAR + 60 * MINUTE);
        assert_eq!(fires.late_ms, 2 * MINUTE);
        let after = NEW_YEAR + 65 * MINUTE;
        assert_eq!(decided.next, next(after, after));
    }

    #[test]
    fn what_is_older_than_its_event_may_be_does_not_happen() {
        let once = schedule("at(2027-01-01T00:00:00)", None);
        let late = |late_ms| decide(&once, &due(NEW_YEAR, NEW_YEAR), NEW_YEAR + late_ms, 0.0);
        assert!(late(86_400_000).fires.is_some());
        let gone = late(86_400_001);
        assert_eq!((gone.fires, gone.next), (None, None));
        // The last of a daily one is not older than that.
        let daily = schedule("cron(0 0 * * ? *)", None);
        let now = NEW_YEAR + 400 * 86_400_000 + 3 * 3_600_000;
        let decided = decide(&daily, &due(NEW_YEAR, NEW_YEAR), now, 0.0);
        let last = NEW_YEAR + 400 * 86_400_000;
        assert_eq!(decided.fires.map(|fires| fires.scheduled_ms), Some(last));
        // And a year of minutes is no long search.
        let minutely = schedule("cron(* * * * ? *)", None);
        let decided = decide(&minutely, &due(NEW_YEAR, NEW_YEAR), now, 0.0);
        assert_eq!(decided.fires.map(|fires| fires.late_ms), Some(MINUTE));
    }

    #[test]
    fn what_is_disabled_or_over_has_no_next() {
        let mut rate = schedule("rate(5 minutes)", None);
        rate.asked.end_ms = Some(NEW_YEAR + 5 * MINUTE);
        let last = NEW_YEAR + 5 * MINUTE;
        let decided = decide(&rate, &due(last, last), last, 0.0);
        assert_eq!(decided.fires.map(|fires| fires.scheduled_ms), Some(last));
        assert_eq!(decided.next, None);
        rate.asked.is_enabled = false;
        assert_eq!(decide(&rate, &due(last, last), last, 0.0).fires, None);
    }
}
