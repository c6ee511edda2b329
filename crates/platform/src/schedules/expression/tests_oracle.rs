//! Occurrences beside those that somebody finds who looks at every minute.

use jiff::{civil::Weekday, tz::TimeZone};
use proptest::{prelude::*, sample::select};

use super::*;

/// A field as it is written, and the values that it means.
type Written = (String, Vec<i64>);

fn field(min: i64, max: i64) -> impl Strategy<Value = Written> {
    let all: Vec<i64> = (min..=max).collect();
    let any = Just(("*".to_owned(), all));
    let one = (min..=max).prop_map(|v| (v.to_string(), vec![v]));
    let range = (min..=max, min..=max).prop_map(|(a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        (format!("{a}-{b}"), (a..=b).collect())
    });
    let every = (min..=max, 1..=(max - min).max(1)).prop_map(move |(from, step)| {
        let values = (from..=max).filter(|v| (v - from) % step == 0).collect();
        (format!("{from}/{step}"), values)
    });
    let single = prop_oneof![one, range, every].boxed();
    let list = prop::collection::vec(single.clone(), 1..4).prop_map(|items| {
        let texts: Vec<String> = items.iter().map(|(text, _)| text.clone()).collect();
        let values = items.into_iter().flat_map(|(_, values)| values).collect();
        (texts.join(","), values)
    });
    prop_oneof![2 => any, 2 => single, 1 => list]
}

/// Which day, in the two fields, and how to tell.
#[derive(Debug, Clone)]
enum Days {
    OfMonth(Written),
    OfWeek(Written),
    Last,
    LastWeekday,
    Nearest(i64),
    LastOf(i64),
    Nth(i64, i64),
}

fn days() -> impl Strategy<Value = Days> {
    prop_oneof![
        3 => field(1, 31).prop_map(Days::OfMonth),
        3 => field(1, 7).prop_map(Days::OfWeek),
        1 => Just(Days::Last),
        1 => Just(Days::LastWeekday),
        1 => (1i64..=31).prop_map(Days::Nearest),
        1 => (1i64..=7).prop_map(Days::LastOf),
        1 => (1i64..=7, 1i64..=5).prop_map(|(day, nth)| Days::Nth(day, nth)),
    ]
}

impl Days {
    fn fields(&self) -> (String, String) {
        let none = || "?".to_owned();
        match self {
            Self::OfMonth((text, _)) => (text.clone(), none()),
            Self::OfWeek((text, _)) => (none(), text.clone()),
            Self::Last => ("L".to_owned(), none()),
            Self::LastWeekday => ("LW".to_owned(), none()),
            Self::Nearest(day) => (format!("{day}W"), none()),
            Self::LastOf(day) => (none(), format!("{day}L")),
            Self::Nth(day, nth) => (none(), format!("{day}#{nth}")),
        }
    }

    /// Says so by writing out the month.
    fn matches(&self, at: DateTime) -> bool {
        let date = at.date();
        let (day, week) = (i64::from(date.day()), of_week(at));
        let month = || {
            let days = 1..=date.days_in_month();
            days.map(|day| date.with().day(day).build().unwrap())
        };
        let of_week_in_month = |of: i64| {
            let same = |day: &jiff::civil::Date| of_week(day.to_datetime(at.time())) == of;
            month().filter(same).collect::<Vec<_>>()
        };
        let working =
            |day: &jiff::civil::Date| !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        match self {
            Self::OfMonth((_, values)) => values.contains(&day),
            Self::OfWeek((_, values)) => values.contains(&week),
            Self::Last => month().next_back() == Some(date),
            Self::LastWeekday => month().rfind(working) == Some(date),
            Self::Nearest(to) => {
                if month().all(|day| i64::from(day.day()) != *to) {
                    return false;
                }
                // Of two that are as near there is none: between them is a weekday.
                let far = |day: &jiff::civil::Date| (i64::from(day.day()) - to).abs();
                month().filter(working).min_by_key(far) == Some(date)
            }
            Self::LastOf(of) => of_week_in_month(*of).last() == Some(&date),
            Self::Nth(of, nth) => {
                let nth = usize::try_from(*nth).unwrap() - 1;
                of_week_in_month(*of).get(nth) == Some(&date)
            }
        }
    }
}

fn of_week(at: DateTime) -> i64 {
    i64::from(at.date().weekday().to_sunday_zero_offset()) + 1
}

fn zones() -> impl Strategy<Value = &'static str> {
    select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Santiago",
        "Asia/Kathmandu",
    ])
}

/// The first minute after that one whose time on the wall is meant and was not there before.
fn looked_for(zone: &TimeZone, after_ms: i64, means: impl Fn(DateTime) -> bool) -> Option<i64> {
    let first = after_ms.div_euclid(MINUTE_MS) + 1;
    (first..first + 60 * 24 * 40)
        .map(|minute| minute * MINUTE_MS)
        .find(|at| {
            let instant = Timestamp::from_millisecond(*at).unwrap();
            let wall = zone.to_datetime(instant);
            let earliest = zone.to_ambiguous_timestamp(wall).earlier().unwrap();
            earliest == instant && means(wall)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_cron_occurs_when_one_who_looks_at_every_minute_says_so(
        minutes in field(0, 59),
        hours in field(0, 23),
        months in field(1, 12),
        years in field(2026, 2028),
        days in days(),
        zone_name in zones(),
        // Around changes of the clocks as often as elsewhere.
        base in select(vec![
            "2027-03-28T00:00:00Z", "2027-11-07T04:00:00Z", "2027-04-03T12:00:00Z",
            "2026-12-31T20:00:00Z", "2028-02-28T00:00:00Z", "2027-02-07T00:00:00Z",
        ]),
        shift_ms in -90_000_000i64..90_000_000,
    ) {
        let (of_month, of_week) = days.fields();
        let text = format!(
            "cron({} {} {of_month} {} {of_week} {})",
            minutes.0, hours.0, months.0, years.0
        );
        let zone = zone(zone_name).unwrap();
        let expression = Expression::parse(&text, Dialect::Rules);
        let timing = Timing {
            zone: zone.clone(),
            ..Timing::in_utc(expression.expect(&text), 0)
        };
        let means = |at: DateTime| {
            minutes.1.contains(&i64::from(at.minute()))
                && hours.1.contains(&i64::from(at.hour()))
                && months.1.contains(&i64::from(at.month()))
                && years.1.contains(&i64::from(at.year()))
                && days.matches(at)
        };
        let mut after = base.parse::<Timestamp>().unwrap().as_millisecond() + shift_ms;
        let until = after + 40 * 86_400_000;
        for _ in 0..5 {
            let found = timing.next_after(after).filter(|at| *at <= until);
            let looked_for = looked_for(&zone, after, means).filter(|at| *at <= until);
            prop_assert_eq!(found, looked_for, "{} in {} after {}", text, zone_name, after);
            match found {
                Some(next) => after = next,
                None => break,
            }
        }
    }

    #[test]
    fn whatever_is_written_ends(text in "[-0-9*?/,#LWlw MONFRIJAN()]{0,40}", after in any::<i64>()) {
        for text in [text.clone(), format!("cron({text})"), format!("cron(0 0 {text})")] {
            if let Ok(expression) = Expression::parse(&text, Dialect::Scheduler) {
                let timing = Timing::in_utc(expression, 0);
                if let Some(next) = timing.next_after(after) {
                    prop_assert!(next > after);
                }
            }
        }
    }
}
