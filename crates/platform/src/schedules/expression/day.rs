//! The two fields that say which day: of the month, or of the week.

use jiff::civil::Date;

use super::field::{Field, Set};

/// Which days match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    OfMonth(Set),
    /// `L`
    LastOfMonth,
    /// `LW`: the last from Monday to Friday.
    LastWeekdayOfMonth,
    /// `15W`: the one from Monday to Friday that is nearest to it, in the same month.
    NearestWeekday(u16),
    OfWeek(Set),
    /// `6L`: the last Friday of the month.
    LastOfWeek(u16),
    /// `6#3`: the third Friday of the month.
    NthOfWeek {
        day: u16,
        nth: u16,
    },
}

const OF_MONTH: Field = Field {
    min: 1,
    max: 31,
    names: &[],
    goes_round: true,
};

/// AWS's week begins with Sunday, the first day.
const OF_WEEK: Field = Field {
    min: 1,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    goes_round: true,
};

const SATURDAY: u16 = 7;

impl Day {
    /// One of the two fields is `?`, and the other is not.
    pub fn parse(of_month: &str, of_week: &str) -> Option<Self> {
        match (of_month, of_week) {
            ("?", "?") => None,
            (text, "?") => Self::of_month(text),
            ("?", text) => Self::of_week(text),
            _ => None,
        }
    }

    fn of_month(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("L") {
            return Some(Self::LastOfMonth);
        }
        if text.eq_ignore_ascii_case("LW") {
            return Some(Self::LastWeekdayOfMonth);
        }
        match text.strip_suffix(['W', 'w']) {
            Some(day) => OF_MONTH.value(day).map(Self::NearestWeekday),
            None => OF_MONTH.set(text).map(Self::OfMonth),
        }
    }

    fn of_week(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("L") {
            return OF_WEEK.set("SAT").map(Self::OfWeek);
        }
        if let Some((day, nth)) = text.split_once('#') {
            let day = OF_WEEK.value(day)?;
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth))?;
            return Some(Self::NthOfWeek { day, nth });
        }
        match text.strip_suffix(['L', 'l']) {
            Some(day) => OF_WEEK.value(day).map(Self::LastOfWeek),
            None => OF_WEEK.set(text).map(Self::OfWeek),
        }
    }

    pub fn matches(&self, date: Date) -> bool {
        let day = u16::from(date.day().unsigned_abs());
        let last = u16::from(date.days_in_month().unsigned_abs());
        match self {
            Self::OfMonth(set) => set.contains(day - OF_MONTH.min),
            Self::LastOfMonth => day == last,
            Self::LastWeekdayOfMonth => day == nearest_weekday(date, last),
            Self::NearestWeekday(to) => *to <= last && day == nearest_weekday(date, *to),
            Self::OfWeek(set) => set.contains(of_week(date) - OF_WEEK.min),
            Self::LastOfWeek(of) => of_week(date) == *of && day + 7 > last,
            Self::NthOfWeek { day: of, nth } => of_week(date) == *of && (day - 1) / 7 + 1 == *nth,
        }
    }
}

fn of_week(date: Date) -> u16 {
    u16::from(date.weekday().to_sunday_one_offset().unsigned_abs())
}

/// The day from Monday to Friday that is nearest to that day of the date's month, within it.
fn nearest_weekday(date: Date, day: u16) -> u16 {
    let last = u16::from(date.days_in_month().unsigned_abs());
    // A week has seven days, so what lies between the two can be counted within it.
    let shift = day + 35 - u16::from(date.day().unsigned_abs());
    let weekday = (of_week(date) - 1 + shift) % 7 + 1;
    match weekday {
        SATURDAY if day == 1 => 3,
        SATURDAY => day - 1,
        1 if day == last => day - 2,
        1 => day + 1,
        _ => day,
    }
}
