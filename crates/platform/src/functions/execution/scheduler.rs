//! What becomes of idle environments: which one takes the next request, which are frozen, which are
//! stopped, and when to look again. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How long environments stay as they are.
#[derive(Debug, Clone, Copy)]
pub struct IdlePolicy {
    /// From the end of a request to the freeze. Above zero, so that calls that come back to back do
    /// not pay for freezing and thawing.
    pub freeze_after: Duration,
    /// From the end of a request to the end of the environment.
    pub keep_alive: Duration,
}

/// An idle environment, as the plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    pub since: Instant,
    pub frozen: bool,
}

/// What to do now, by positions in what was given, and when to plan again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub freeze: Vec<usize>,
    pub stop: Vec<usize>,
    pub again_at: Option<Instant>,
}

pub fn plan(idle: &[Idle], now: Instant, policy: IdlePolicy) -> Plan {
    let mut plan = Plan::default();
    for (at, environment) in idle.iter().enumerate() {
        let stops_at = environment.since + policy.keep_alive;
        let freezes_at = environment.since + policy.freeze_after;
        if stops_at <= now {
            plan.stop.push(at);
            continue;
        }
        if !environment.frozen && freezes_at <= now {
            plan.freeze.push(at);
        }
        let next = if environment.frozen || freezes_at <= now {
            stops_at
        } else {
            freezes_at.min(stops_at)
        };
        plan.again_at = Some(plan.again_at.map_or(next, |again| again.min(next)));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: IdlePolicy = IdlePolicy {
        freeze_after: Duration::from_millis(10),
        keep_alive: Duration::from_secs(60),
    };

    fn check(
        idle: &[(u64, bool)],
        now_ms: u64,
        freeze: &[usize],
        stop: &[usize],
        again: Option<u64>,
    ) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let idle: Vec<_> = idle
            .iter()
            .map(|&(since, frozen)| Idle {
                since: at(since),
                frozen,
            })
            .collect();
        let plan = plan(&idle, at(now_ms), POLICY);
        assert_eq!(plan.freeze, freeze);
        assert_eq!(plan.stop, stop);
        assert_eq!(plan.again_at, again.map(at));
    }

    #[test]
    fn nothing_idle_needs_no_plan() {
        check(&[], 5, &[], &[], None);
    }

    #[test]
    fn an_environment_that_has_just_answered_is_left_alone_for_a_moment() {
        check(&[(0, false)], 5, &[], &[], Some(10));
    }

    #[test]
    fn then_it_is_frozen_and_later_stopped() {
        check(&[(0, false)], 10, &[0], &[], Some(60_000));
        check(&[(0, true)], 20, &[], &[], Some(60_000));
        check(&[(0, true)], 60_000, &[], &[0], None);
    }

    #[test]
    fn the_earliest_need_sets_the_time() {
        check(
            &[(0, true), (50_000, false)],
            50_001,
            &[],
            &[],
            Some(50_010),
        );
    }
}
