//! Object lock: which versions may not be removed or changed until when.

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::tables::ObjectRecord;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    Governance,
    Compliance,
}

impl Mode {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "GOVERNANCE" => Some(Self::Governance),
            "COMPLIANCE" => Some(Self::Compliance),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub mode: Mode,
    pub until: Timestamp,
}

/// What versions get that ask for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRetention {
    pub mode: Mode,
    pub days: Option<i32>,
    pub years: Option<i32>,
}

impl DefaultRetention {
    pub fn from(self, now: Timestamp) -> Retention {
        let date = now.to_zoned_datetime(TimeZone::UTC);
        let later = match (self.days, self.years) {
            (_, Some(years)) => date.checked_add(years.years()),
            (Some(days), None) => date.checked_add(days.days()),
            (None, None) => Ok(date),
        };
        let last = civil::DateTime::constant(9999, 1, 1, 0, 0, 0, 0);
        let until = later.map_or_else(
            |_| TimeZone::UTC.to_timestamp(last).unwrap_or(now),
            |later| later.timestamp(),
        );
        Retention {
            mode: self.mode,
            until,
        }
    }
}

/// Whether a version may be removed now. `bypass`: governance may be passed over.
pub fn may_remove(record: &ObjectRecord, bypass: bool, now: Timestamp) -> bool {
    if record.legal_hold == Some(true) {
        return false;
    }
    match record.retention {
        Some(retention) if retention.until > now => retention.mode == Mode::Governance && bypass,
        _ => true,
    }
}

/// Whether a version's retention may become this one.
pub fn may_change(
    old: Option<Retention>,
    new: Option<Retention>,
    bypass: bool,
    now: Timestamp,
) -> bool {
    let Some(old) = old.filter(|old| old.until > now) else {
        return true;
    };
    let is_stricter = new.is_some_and(|new| {
        new.until >= old.until && (new.mode == old.mode || new.mode == Mode::Compliance)
    });
    is_stricter || (old.mode == Mode::Governance && bypass)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn retention_is_only_made_longer_but_for_who_may_pass_over_governance() {
        let retention = |mode, until| {
            Some(Retention {
                mode,
                until: at(until),
            })
        };
        let (g, c) = (Mode::Governance, Mode::Compliance);
        for (old, new, bypass, expect) in [
            (None, retention(c, 20), false, true),
            (retention(g, 5), None, false, true),
            (retention(g, 20), retention(g, 30), false, true),
            (retention(g, 20), retention(g, 15), false, false),
            (retention(g, 20), retention(g, 15), true, true),
            (retention(g, 20), None, true, true),
            (retention(g, 20), retention(c, 20), false, true),
            (retention(c, 20), retention(c, 30), false, true),
            (retention(c, 20), retention(c, 15), true, false),
            (retention(c, 20), retention(g, 30), true, false),
            (retention(c, 20), None, true, false),
        ] {
            assert_eq!(
                may_change(old, new, bypass, at(10)),
                expect,
                "{old:?} {new:?}"
            );
        }
    }

    #[test]
    fn a_default_counts_from_the_putting() {
        let default = DefaultRetention {
            mode: Mode::Governance,
            days: None,
            years: Some(1),
        };
        let now: Timestamp = "2024-02-29T12:00:00Z".parse().expect("a time");
        let until: Timestamp = "2025-02-28T12:00:00Z".parse().expect("a time");
        assert_eq!(default.from(now).until, until);
    }
}
