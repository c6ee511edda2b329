//! Queries and what they answer.

use super::*;
use crate::logs::lines::Seq;

const REPORT: &str = "REPORT RequestId: 8f5d2a5e-0000-4000-8000-000000000000\tDuration: 12.50 ms\t\
    Billed Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 129.50 ms\t\n";

fn events(messages: &[&str]) -> Vec<Source> {
    let event = |(at, message): (i64, &&str)| Source {
        timestamp_ms: at * 60_000,
        ingested_ms: at * 60_000 + 5,
        message: (*message).to_owned(),
        stream: format!("s{}", at % 2),
        log: "123456789012:/aws/lambda/f".into(),
        place: (
            0,
            Seq {
                segment: 0,
                index: at as u32,
            },
        ),
    };
    (0..).zip(messages).map(event).collect()
}

fn run(query: &str, messages: &[&str]) -> Vec<Row> {
    let query = Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let mut run = Run::new(&query, None, 7_000);
    events(messages)
        .into_iter()
        .for_each(|event| run.take(event));
    run.finish(|event| format!("p{}", event.place.1.index)).0
}

/// Each row's values, without the pointer.
fn values(query: &str, messages: &[&str]) -> Vec<Vec<String>> {
    let row = |row: Row| {
        row.into_iter()
            .filter(|(name, _)| name != "@ptr")
            .map(|(_, value)| value)
            .collect()
    };
    run(query, messages).into_iter().map(row).collect()
}

#[track_caller]
fn check(query: &str, messages: &[&str], expect: &[&[&str]]) {
    assert_eq!(values(query, messages), expect, "{query}");
}

const APP: [&str; 4] = [
    r#"{"level":"INFO","path":"/a","ms":10,"user":{"id":1},"tags":["x","y"],"ok":true}"#,
    r#"{"level":"ERROR","path":"/a","ms":30,"user":{"id":2},"ok":false}"#,
    r#"{"level":"INFO","path":"/b","ms":20.5,"user":{"id":1}}"#,
    "plain text",
];

#[test]
fn rows_are_the_newest_first_and_have_a_pointer() {
    let rows = run("fields @message", &APP);
    assert_eq!(rows.len(), 4);
    assert_eq!(
        rows[0],
        [
            ("@message".into(), "plain text".into()),
            ("@ptr".into(), "p3".into())
        ]
    );
    check(
        "fields @timestamp, @logStream, @log, @ingestionTime | limit 1",
        &APP,
        &[&[
            "1970-01-01 00:03:00.000",
            "s1",
            "123456789012:/aws/lambda/f",
            "1970-01-01 00:03:00.005",
        ]],
    );
    assert_eq!(
        values("limit 2", &APP)[0],
        ["1970-01-01 00:03:00.000", "plain text"]
    );
}

#[test]
fn json_has_fields() {
    check(
        "filter level = 'ERROR' | display ms, user.id, ok",
        &APP,
        &[&["30", "2", "0"]],
    );
    check("filter tags.1 = 'y' | display path", &APP, &[&["/a"]]);
    check("filter ok = true | display path", &APP, &[&["/a"]]);
    check(
        "filter ispresent(ms) | sort ms desc | display ms | limit 2",
        &APP,
        &[&["30"], &["20.5"]],
    );
    check(
        r#"filter @message like /x "?y/ | fields a"#,
        &["t\tINFO\t{\"a\": 5} x y"],
        &[&["5"]],
    );
}

#[test]
fn lambdas_lines_have_fields() {
    check(
        "filter @type = 'REPORT' | display @requestId, @duration, @billedDuration, @memorySize / 1000 / 1000, @maxMemoryUsed, @initDuration",
        &[REPORT, "START RequestId: x Version: 1\n"],
        &[&[
            "8f5d2a5e-0000-4000-8000-000000000000",
            "12.5",
            "13",
            "128",
            "36000000",
            "129.5",
        ]],
    );
}

#[test]
fn filters() {
    for (filter, expect) in [
        ("ms > 10 and ms <= 30", 2),
        ("ms > 10 or level = 'INFO'", 3),
        ("not (level = 'INFO')", 2),
        ("level != 'INFO'", 2),
        ("level in ['INFO', 'WARN']", 2),
        ("level not in ['INFO', 'WARN']", 2),
        ("@message like 'plain'", 1),
        ("@message like /PLAIN/", 0),
        ("@message like /(?i)PLAIN/", 1),
        ("@message =~ /^plain/", 1),
        ("@message not like /level/", 1),
        ("strcontains(path, '/a')", 2),
        ("`user.id` = 1", 2),
        ("ms + 5 = 15", 1),
        ("abs(0 - ms) = 10", 1),
        ("isempty(level)", 1),
        ("isIpInSubnet('10.1.2.3', '10.0.0.0/8')", 4),
        ("-ms = -10", 1),
        ("ms % 20 = 10", 2),
    ] {
        assert_eq!(
            values(&format!("filter {filter}"), &APP).len(),
            expect,
            "{filter}"
        );
    }
}

#[test]
fn parsing() {
    let lines = [
        "user=bob, method:GET, latency := 12",
        "user=al, method:PUT, latency := 7",
        "other",
    ];
    check(
        r#"parse @message "user=*, method:*, latency := *" as @user, @method, latency | filter latency > 10 | display @user, @method, latency"#,
        &lines,
        &[&["bob", "GET", "12"]],
    );
    check(
        r"parse @message /user=(?<user>\w+), method:(?<method>[A-Z]+)/ | filter ispresent(user) | sort user | display user, method",
        &lines,
        &[&["al", "PUT"], &["bob", "GET"]],
    );
    check(
        r#"parse "latency := *" as ms | stats sum(ms)"#,
        &lines,
        &[&["19"]],
    );
    check(
        r#"parse path "/*" as p | stats count(*) by p"#,
        &[APP[0]],
        &[&["a", "1"]],
    );
}

#[test]
fn statistics() {
    check("stats count(*)", &APP, &[&["4"]]);
    check("stats count(*)", &[], &[&["0"]]);
    check(
        "stats count(ms), sum(ms), avg(ms), min(ms), max(ms), pct(ms, 50), stddev(ms), count_distinct(user.id)",
        &APP,
        &[&["3", "60.5", "20.1667", "10", "30", "20.5", "10.0042", "2"]],
    );
    check(
        "stats count(*) as n, max(ms) by path | sort n desc, path",
        &APP,
        &[&["/a", "2", "30"], &["1"], &["/b", "1", "20.5"]],
    );
    check(
        "stats earliest(path), latest(path), sortsFirst(level), sortsLast(level)",
        &APP,
        &[&["/a", "/b", "ERROR", "INFO"]],
    );
    check("stats sum(ms) / count(ms) as mean", &APP, &[&["20.1667"]]);
    check(
        "stats count(*) by bin(2m)",
        &APP,
        &[
            &["1970-01-01 00:02:00.000", "2"],
            &["1970-01-01 00:00:00.000", "2"],
        ],
    );
    let rows = run("stats count(*), avg( ms ) by bin(1h) as t", &APP);
    let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["t", "count(*)", "avg( ms )"]);
    // Statistics of statistics.
    check(
        "stats count(*) as n by path | stats max(n)",
        &APP,
        &[&["2"]],
    );
    check(
        "stats count(*) as n by path | filter n > 1 | display path",
        &APP,
        &[&["/a"]],
    );
}

#[test]
fn duplicates_go() {
    check(
        "dedup level | display @message",
        &APP[..3],
        &[&[APP[2]], &[APP[1]]],
    );
    check(
        "sort @timestamp asc | dedup path, level | display ms",
        &APP,
        &[&["10"], &["30"], &["20.5"]],
    );
}

#[test]
fn functions() {
    for (expression, expect) in [
        ("concat('a', 1, 'b')", "a1b"),
        ("toupper('ab')", "AB"),
        ("tolower('AB')", "ab"),
        ("trim('  a ')", "a"),
        ("ltrim('xxa', 'x')", "a"),
        ("strlen('äb')", "2"),
        ("substr('hello', 1, 3)", "ell"),
        ("replace('a-b', '-', '+')", "a+b"),
        ("greatest(1, 3, 2)", "3"),
        ("least(1, 3, 2)", "1"),
        ("ceil(1.2) + floor(1.8)", "3"),
        ("sqrt(16) ^ 2", "16"),
        ("coalesce(nothing, 'x')", "x"),
        ("fromMillis(0)", "1970-01-01 00:00:00.000"),
        (
            "datefloor(fromMillis(61000), 1m)",
            "1970-01-01 00:01:00.000",
        ),
        ("dateceil(fromMillis(61000), 1m)", "1970-01-01 00:02:00.000"),
        ("toMillis(fromMillis(61000))", "61000"),
        ("if(1 < 2, 'yes', 'no')", "yes"),
        ("now()", "7"),
        ("(1 + 2) * 3 - 4 / 2", "7"),
        ("1 / 3", "0.3333"),
    ] {
        check(&format!("display {expression} as x"), &["m"], &[&[expect]]);
    }
    // What cannot be is not there.
    check("display 1 / 0 as x, abs('a') as y", &["m"], &[&[]]);
}

#[test]
fn comments_and_lines() {
    check(
        "# all of it\nfields @message # the message\n| filter @message like 'plain' # some",
        &APP,
        &[&["plain text"]],
    );
}

#[test]
fn what_is_no_query_says_where() {
    for (query, start, end) in [
        ("fields @message | filter", 24, 24),
        ("fields @message | nonsense x", 18, 26),
        ("fields @message }", 16, 17),
        ("filter a = 'open", 11, 16),
        ("filter a like /(/", 14, 17),
        ("filter ä", 7, 8),
        ("stats foo(x)", 6, 9),
        ("stats ms by path", 6, 8),
        ("fields count(*)", 7, 15),
        ("limit 0", 6, 7),
        ("parse @message 'a * b' as x, y", 15, 30),
        ("parse @message /a/", 15, 18),
        ("pattern @message", 0, 7),
        ("", 0, 0),
        ("sort", 4, 4),
        ("filter a in []", 13, 14),
        ("stats sum(count(*))", 6, 18),
    ] {
        let error = Query::parse(query).expect_err(query);
        assert_eq!((error.start, error.end), (start, end), "{query}: {error}");
    }
    let deep = format!("filter {}1{}", "(".repeat(1000), ")".repeat(1000));
    assert!(Query::parse(&deep).is_err());
}

#[test]
fn many_records_are_held_within_bounds() {
    let query = Query::parse("fields @message | sort @timestamp desc | limit 3").unwrap();
    let mut run = Run::new(&query, None, 0);
    for at in 0..50_000_i64 {
        let mut event = events(&["m"]).remove(0);
        event.timestamp_ms = (at * 7919) % 50_000;
        run.take(event);
    }
    let (rows, statistics) = run.finish(|_| String::new());
    assert_eq!(rows.len(), 3);
    assert_eq!((statistics.scanned, statistics.matched), (50_000, 50_000));
}
