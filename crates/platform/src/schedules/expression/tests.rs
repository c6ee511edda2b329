use super::*;

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn parsed(text: &str) -> Expression {
    Expression::parse(text, Dialect::Scheduler).unwrap_or_else(|_| panic!("{text}"))
}

/// What occurs after a time, in that zone.
fn occurrences(text: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    let timing = Timing {
        zone: zone(zone_name).unwrap(),
        ..Timing::in_utc(parsed(text), 0)
    };
    let mut after = ms(after);
    let mut found = Vec::new();
    while found.len() < count
        && let Some(next) = timing.next_after(after)
    {
        found.push(Timestamp::from_millisecond(next).unwrap().to_string());
        after = next;
    }
    found
}

#[test]
fn what_aws_takes_is_taken() {
    for text in [
        "cron(0 10 * * ? *)",
        "cron(15 12 * * ? *)",
        "cron(0 18 ? * MON-FRI *)",
        "cron(0 8 1 * ? *)",
        "cron(0/10 * ? * MON-FRI *)",
        "cron(0/5 8-17 ? * MON-FRI *)",
        "cron(0/30 20-2 ? * MON-FRI *)",
        "cron(15 10 ? * 6L 2019-2022)",
        "cron(0 9 ? * 2#1 *)",
        "cron(0 9 LW * ? *)",
        "cron(0 9 15W JAN,MAR,DEC ? 2026,2030-2199)",
        "cron(0 9 ? * FRI#2 *)",
        "cron(0 9 ? * mon-fri *)",
        "cron(0 0 ? * L *)",
        "cron(*/15 * * * ? *)",
        "cron(1-31/30 0-23/2 ? * 2,4,6 *)",
        "cron(0  9\t* * ?   *)",
        "rate(1 minute)",
        "rate(5 minutes)",
        "rate(1 hour)",
        "rate(7 days)",
        "at(2026-11-20T13:00:00)",
        "at(1999-02-28T23:59:59)",
    ] {
        assert!(
            Expression::parse(text, Dialect::Scheduler).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn what_aws_refuses_is_refused() {
    for text in [
        "",
        "cron",
        "cron(",
        "cron()",
        "cron(* * * * *)",
        "cron(0 1 * * * *)",
        "cron(0 1 ? * ? *)",
        "cron(0 1 1 * 1 *)",
        "cron(0 0 0 1 1 ? *)",
        "cron(60 1 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 1 13 ? *)",
        "cron(0 0 1 JANUARY ? *)",
        "cron(0 0 ? * 0 *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * MONDAY *)",
        "cron(0 0 1 * ? 1969)",
        "cron(0 0 1 * ? 2200)",
        "cron(0 0 1 * ? 2030-2026)",
        "cron(0/0 * * * ? *)",
        "cron(0/60 * * * ? *)",
        "cron(/5 * * * ? *)",
        "cron(5/ * * * ? *)",
        "cron(-5 * * * ? *)",
        "cron(5- * * * ? *)",
        "cron(1-2-3 * * * ? *)",
        "cron(0/5/5 * * * ? *)",
        "cron(1, * * * ? *)",
        "cron(+1 * * * ? *)",
        "cron(0 0 ?,1 * ? *)",
        "cron(0 0 L,1 * ? *)",
        "cron(0 0 L-3 * ? *)",
        "cron(0 0 W * ? *)",
        "cron(0 0 32W * ? *)",
        "cron(0 0 ? * 3#0 *)",
        "cron(0 0 ? * 3#6 *)",
        "cron(0 0 ? * 3#1,6#3 *)",
        "cron(0 0 ? * MON#L *)",
        "CRON(0 10 * * ? *)",
        "cron(0 10 * * ? *) ",
        "rate()",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(1.5 hours)",
        "rate(5)",
        "rate(minutes)",
        "rate(5  minutes)",
        "rate(5 minutes )",
        "rate( 5 minutes)",
        " rate(5 minutes)",
        "rate(5 seconds)",
        "rate(5 weeks)",
        "rate(5 minutess)",
        "rate(5 MINUTES)",
        "rate(99999999999999999999 days)",
        "rate(9223372036854775807 days)",
        "at()",
        "at(2026-11-20)",
        "at(2026-11-20T13:00)",
        "at(2026-11-20 13:00:00)",
        "at(2026-11-20T13:00:00Z)",
        "at(2026-11-20T13:00:00.5)",
        "at(2026-02-29T13:00:00)",
        "at(2026-13-01T13:00:00)",
        "at(2026-12-31T24:00:00)",
        "at(2026-12-31T23:59:60)",
        "at(+026-12-31T23:59:59)",
        "at(２０２６-11-20T13:00:00)",
    ] {
        assert!(
            Expression::parse(text, Dialect::Scheduler).is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_rules_rate_agrees_with_its_number_and_a_schedules_need_not() {
    for (text, agrees) in [
        ("rate(1 minute)", true),
        ("rate(2 minutes)", true),
        ("rate(01 minute)", true),
        ("rate(1 minutes)", false),
        ("rate(2 hour)", false),
        ("rate(10 day)", false),
    ] {
        assert!(
            Expression::parse(text, Dialect::Scheduler).is_ok(),
            "{text}"
        );
        assert_eq!(
            Expression::parse(text, Dialect::Rules).is_ok(),
            agrees,
            "{text}"
        );
    }
    assert!(Expression::parse("at(2026-11-20T13:00:00)", Dialect::Rules).is_err());
}

#[test]
fn days_of_the_month_count_from_its_ends_and_to_its_weekdays() {
    let days = |text: &str, from: &str, count| occurrences(text, "UTC", from, count);
    assert_eq!(
        days("cron(0 9 L 2 ? *)", "2027-01-01T00:00:00Z", 2),
        ["2027-02-28T09:00:00Z", "2028-02-29T09:00:00Z"]
    );
    // The 1st of August 2026 is a Saturday, the 31st of May 2026 a Sunday.
    assert_eq!(
        days("cron(0 9 1W 8 ? *)", "2026-01-01T00:00:00Z", 1),
        ["2026-08-03T09:00:00Z"]
    );
    assert_eq!(
        days("cron(0 9 31W * ? *)", "2026-05-01T00:00:00Z", 2),
        ["2026-05-29T09:00:00Z", "2026-07-31T09:00:00Z"]
    );
    assert_eq!(
        days("cron(0 9 LW 5 ? *)", "2026-01-01T00:00:00Z", 1),
        ["2026-05-29T09:00:00Z"]
    );
    // The 15th is a Sunday in November 2026, a Saturday in August.
    assert_eq!(
        days("cron(0 9 15W 8,11 ? 2026)", "2026-01-01T00:00:00Z", 3),
        ["2026-08-14T09:00:00Z", "2026-11-16T09:00:00Z"]
    );
    assert_eq!(
        days("cron(0 9 ? * 6L *)", "2026-11-01T00:00:00Z", 2),
        ["2026-11-27T09:00:00Z", "2026-12-25T09:00:00Z"]
    );
    // Not every month has a fifth Friday.
    assert_eq!(
        days("cron(0 9 ? * FRI#5 *)", "2026-11-01T00:00:00Z", 2),
        ["2027-01-29T09:00:00Z", "2027-04-30T09:00:00Z"]
    );
}

#[test]
fn ranges_go_round_and_steps_begin_where_they_are_told() {
    assert_eq!(
        occurrences(
            "cron(50/7 23-1 ? * SAT-SUN *)",
            "UTC",
            "2026-12-05T00:00:00Z",
            5
        ),
        [
            "2026-12-05T00:50:00Z",
            "2026-12-05T00:57:00Z",
            "2026-12-05T01:50:00Z",
            "2026-12-05T01:57:00Z",
            "2026-12-05T23:50:00Z",
        ]
    );
}

#[test]
fn a_time_that_the_clocks_leave_out_is_skipped() {
    // In Berlin 02:30 does not exist on the 28th of March 2027.
    assert_eq!(
        occurrences(
            "cron(30 2 * * ? *)",
            "Europe/Berlin",
            "2027-03-26T12:00:00Z",
            3
        ),
        [
            "2027-03-27T01:30:00Z",
            "2027-03-29T00:30:00Z",
            "2027-03-30T00:30:00Z"
        ]
    );
    // Lord Howe Island changes by half an hour: 02:15 does not exist, 02:45 does.
    assert_eq!(
        occurrences(
            "cron(15/30 2 * * ? *)",
            "Australia/Lord_Howe",
            "2027-10-02T12:00:00Z",
            2
        ),
        ["2027-10-02T15:45:00Z", "2027-10-03T15:15:00Z"]
    );
    // Samoa left out a whole day.
    assert_eq!(
        occurrences(
            "cron(0 12 30,31 12 ? 2011)",
            "Pacific/Apia",
            "2011-12-01T00:00:00Z",
            2
        ),
        ["2011-12-30T22:00:00Z"]
    );
}

#[test]
fn a_time_that_the_clocks_repeat_occurs_once() {
    // In New York 01:30 comes twice on the 7th of November 2027.
    assert_eq!(
        occurrences(
            "cron(30 1 * * ? *)",
            "America/New_York",
            "2027-11-06T12:00:00Z",
            2
        ),
        ["2027-11-07T05:30:00Z", "2027-11-08T06:30:00Z"]
    );
    assert_eq!(
        occurrences(
            "cron(0/30 * * * ? *)",
            "America/New_York",
            "2027-11-07T04:59:00Z",
            4
        ),
        [
            "2027-11-07T05:00:00Z",
            "2027-11-07T05:30:00Z",
            "2027-11-07T07:00:00Z",
            "2027-11-07T07:30:00Z",
        ]
    );
    // Asked within the hour that is repeated.
    assert_eq!(
        occurrences(
            "cron(0/30 * * * ? *)",
            "America/New_York",
            "2027-11-07T06:10:00Z",
            1
        ),
        ["2027-11-07T07:00:00Z"]
    );
}

#[test]
fn one_point_in_time_is_found_in_its_zone() {
    let at = |text: &str, zone: &str| occurrences(text, zone, "2026-01-01T00:00:00Z", 2);
    assert_eq!(
        at("at(2027-01-01T00:00:07)", "Asia/Kolkata"),
        ["2026-12-31T18:30:07Z"]
    );
    // One that the clocks leave out is not lost, and of two it is the first.
    assert_eq!(
        at("at(2027-03-28T02:30:00)", "Europe/Berlin"),
        ["2027-03-28T01:30:00Z"]
    );
    assert_eq!(
        at("at(2027-11-07T01:30:00)", "America/New_York"),
        ["2027-11-07T05:30:00Z"]
    );
    assert!(zone("Mars/Olympus_Mons").is_none());
}

#[test]
fn a_rate_counts_from_its_anchor_in_time_that_passes() {
    let timing = Timing {
        zone: zone("Europe/Berlin").unwrap(),
        ..Timing::in_utc(parsed("rate(1 day)"), ms("2027-03-27T06:00:00.250Z"))
    };
    let next = |after: &str| timing.next_after(ms(after)).unwrap();
    assert_eq!(next("2026-01-01T00:00:00Z"), ms("2027-03-27T06:00:00.250Z"));
    // A day has 24 hours, also that on which the clocks change.
    assert_eq!(
        next("2027-03-27T06:00:00.250Z"),
        ms("2027-03-28T06:00:00.250Z")
    );
    assert_eq!(next("2027-04-01T05:59:59Z"), ms("2027-04-01T06:00:00.250Z"));
    assert_eq!(timing.next_after(i64::MAX), None);
}

#[test]
fn nothing_occurs_before_the_start_or_after_the_end() {
    let day = 86_400_000;
    let start = ms("2026-06-01T10:00:00Z");
    let timing = Timing {
        start_ms: Some(start),
        end_ms: Some(start + day),
        ..Timing::in_utc(parsed("cron(0 10 * * ? *)"), 0)
    };
    assert_eq!(timing.next_after(0), Some(start));
    assert_eq!(timing.next_after(start), Some(start + day));
    assert_eq!(timing.next_after(start + day), None);
    // One point in time knows neither.
    let once = Timing {
        expression: parsed("at(2020-01-01T00:00:00)"),
        ..timing
    };
    assert_eq!(once.next_after(0), Some(ms("2020-01-01T00:00:00Z")));
}

/// No expression makes the search long: it looks at each day of 230 years at most.
#[test]
fn what_never_occurs_is_found_out() {
    for text in [
        "cron(0 0 30 2 ? *)",
        "cron(0 0 31 FEB,APR,JUN,SEP,NOV ? *)",
        "cron(0 0 31W 2 ? *)",
        "cron(0 0 29 2 ? 2100)",
        "cron(0 0 ? 2 MON#5 2027)",
        "cron(59 23 31 12 ? 1970)",
        "cron(15 10 ? * 6L 2002-2005)",
    ] {
        assert_eq!(
            occurrences(text, "America/Sao_Paulo", "2026-01-01T00:00:00Z", 1),
            [""; 0]
        );
    }
    // The furthest there is.
    assert_eq!(
        occurrences("cron(59 23 31 12 ? 2199)", "UTC", "0001-01-01T00:00:00Z", 2),
        ["2199-12-31T23:59:00Z"]
    );
    let timing = Timing::in_utc(parsed("cron(* * * * ? *)"), 0);
    assert_eq!(timing.next_after(i64::MIN), Some(0));
    assert_eq!(timing.next_after(i64::MAX), None);
}
