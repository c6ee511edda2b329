//! Which events of a batch are taken. Pure.

use super::{
    error::{Error, Result},
    limits,
    lines::frame::EVENT_OVERHEAD_BYTES,
};

/// What of a batch is taken, and where what is not begins and ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The first that is taken, and behind the last.
    pub from: usize,
    pub to: usize,
    /// Behind the last that is too old.
    pub too_old_end: Option<usize>,
    /// Behind the last that is older than the group keeps events.
    pub expired_end: Option<usize>,
    /// The first that is too far ahead.
    pub too_new_start: Option<usize>,
}

/// Decides by the times and lengths of a batch's events, in their order.
pub fn judge(events: &[(i64, usize)], now_ms: i64, kept_since_ms: i64) -> Result<Verdict> {
    let bytes: usize = events
        .iter()
        .map(|(_, len)| len + EVENT_OVERHEAD_BYTES)
        .sum();
    if bytes > limits::BATCH_BYTES_MAX {
        return Err(Error::Parameter(format!(
            "Upload too large: {bytes} bytes exceeds limit of {}",
            limits::BATCH_BYTES_MAX
        )));
    }
    if !events.is_sorted_by_key(|(time, _)| *time) {
        return Err(Error::parameter(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let (Some((first, _)), Some((last, _))) = (events.first(), events.last()) else {
        return Ok(Verdict::default());
    };
    if last - first > limits::BATCH_SPAN_MAX_MS {
        return Err(Error::parameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let before = |limit_ms: i64| events.partition_point(|(time, _)| *time < limit_ms);
    let too_old = before(now_ms - limits::EVENT_AGE_MAX_MS);
    let expired = before(kept_since_ms).max(too_old);
    let too_new = events.partition_point(|(time, _)| *time <= now_ms + limits::EVENT_AHEAD_MAX_MS);
    Ok(Verdict {
        from: expired,
        to: too_new.max(expired),
        too_old_end: (too_old > 0).then_some(too_old),
        expired_end: (expired > too_old).then_some(expired),
        too_new_start: (too_new < events.len()).then_some(too_new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1000;
    const NOW: i64 = 1_700_000_000_000;

    fn times(times: &[i64]) -> Vec<(i64, usize)> {
        times.iter().map(|time| (*time, 1)).collect()
    }

    #[test]
    fn all_is_taken_that_is_of_these_days() {
        let verdict = judge(&times(&[NOW - HOUR, NOW, NOW + HOUR]), NOW, 0).unwrap();
        assert_eq!((verdict.from, verdict.to), (0, 3));
        let none = (
            verdict.too_old_end,
            verdict.expired_end,
            verdict.too_new_start,
        );
        assert_eq!(none, (None, None, None));
    }

    #[test]
    fn the_old_and_the_new_are_left_out() {
        let old = NOW - 14 * 24 * HOUR;
        let verdict = judge(&times(&[old - 2, old - 1, old, old + 1]), NOW, 0).unwrap();
        assert_eq!(
            (verdict.from, verdict.to, verdict.too_old_end),
            (2, 4, Some(2))
        );
        let verdict = judge(&times(&[NOW, NOW + 2 * HOUR, NOW + 2 * HOUR + 1]), NOW, 0).unwrap();
        assert_eq!(
            (verdict.from, verdict.to, verdict.too_new_start),
            (0, 2, Some(2))
        );
    }

    #[test]
    fn what_the_group_does_not_keep_is_left_out() {
        let kept = NOW - 24 * HOUR;
        let verdict = judge(&times(&[kept - 1, kept]), NOW, kept).unwrap();
        assert_eq!(
            (verdict.from, verdict.to, verdict.expired_end),
            (1, 2, Some(1))
        );
        let verdict = judge(&times(&[kept - 1]), NOW, kept).unwrap();
        assert_eq!((verdict.from, verdict.to), (1, 1));
    }

    #[test]
    fn batches_that_cannot_be() {
        assert!(judge(&times(&[NOW, NOW - 1]), NOW, 0).is_err());
        assert!(judge(&times(&[NOW - 24 * HOUR - 1, NOW]), NOW, 0).is_err());
        assert!(judge(&times(&[NOW - 24 * HOUR, NOW]), NOW, 0).is_ok());
        let full = limits::BATCH_BYTES_MAX - EVENT_OVERHEAD_BYTES;
        assert!(judge(&[(NOW, full)], NOW, 0).is_ok());
        let error = judge(&[(NOW, full + 1)], NOW, 0).unwrap_err();
        let expect = "Upload too large: 1048577 bytes exceeds limit of 1048576";
        assert_eq!(error.to_string(), expect);
    }
}
