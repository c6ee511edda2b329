//! AWS's cron: minutes, hours, day of month, month, day of week, year.

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time},
};

use super::{
    day::Day,
    field::{Field, Set},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Set,
    hours: Set,
    day: Day,
    months: Set,
    years: Set,
}

const MINUTES: Field = Field {
    min: 0,
    max: 59,
    names: &[],
    goes_round: true,
};
const HOURS: Field = Field {
    min: 0,
    max: 23,
    names: &[],
    goes_round: true,
};
const MONTHS: Field = Field {
    min: 1,
    max: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    goes_round: true,
};
const YEARS: Field = Field {
    min: 1970,
    max: 2199,
    names: &[],
    goes_round: false,
};

impl Cron {
    /// Six fields with white space between them.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace();
        let mut next = || fields.next();
        let (minutes, hours) = (next()?, next()?);
        let (of_month, months, of_week, years) = (next()?, next()?, next()?, next()?);
        if next().is_some() {
            return None;
        }
        Some(Self {
            minutes: MINUTES.set(minutes)?,
            hours: HOURS.set(hours)?,
            day: Day::parse(of_month, of_week)?,
            months: MONTHS.set(months)?,
            years: YEARS.set(years)?,
        })
    }

    /// The first minute after that time that it names, on a clock that is never changed. Looks at
    /// each day of the months it names, up to the last year that there can be.
    pub fn first_after(&self, after: DateTime) -> Option<DateTime> {
        // Rounded down and one on, so that every later minute is looked at.
        let whole = Time::constant(after.hour(), after.minute(), 0, 0);
        let from = after.date().to_datetime(whole);
        let from = from.checked_add(1.minute()).ok()?;
        let first = self.time_from(from.hour(), from.minute());
        let today = self.date_from(from.date())?;
        if let Some(time) = first.filter(|_| today == from.date()) {
            return Some(today.to_datetime(time));
        }
        let day = match today == from.date() {
            true => self.date_from(today.tomorrow().ok()?)?,
            false => today,
        };
        Some(day.to_datetime(self.time_from(0, 0)?))
    }

    /// The first day from that one on.
    fn date_from(&self, mut date: Date) -> Option<Date> {
        loop {
            // 0 for what lies before the first year: the first that matches is sought from there.
            let year = u16::try_from(date.year()).unwrap_or(0);
            let (year, at) = (year.max(YEARS.min), year);
            let found = self.years.from(year - YEARS.min)? + YEARS.min;
            if found != at {
                date = Date::new(i16::try_from(found).ok()?, 1, 1).ok()?;
            }
            let month = u16::from(date.month().unsigned_abs());
            if !self.months.contains(month - MONTHS.min) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if self.day.matches(date) {
                return Some(date);
            }
            date = date.tomorrow().ok()?;
        }
    }

    /// The first time of a day from that one on.
    fn time_from(&self, hour: i8, minute: i8) -> Option<Time> {
        let (hour, minute) = (
            u16::from(hour.unsigned_abs()),
            u16::from(minute.unsigned_abs()),
        );
        let this_hour = self.hours.contains(hour);
        let within = self.minutes.from(minute).filter(|_| this_hour);
        let (hour, minute) = match within {
            Some(minute) => (hour, minute),
            None => (self.hours.from(hour + 1)?, self.minutes.from(0)?),
        };
        let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
        time.ok()
    }
}
