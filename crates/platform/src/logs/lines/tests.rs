//! What a log keeps, and what its readers hear.

use super::*;

fn key() -> GroupKey {
    GroupKey {
        account_id: "000000000000".into(),
        region: "us-east-1".into(),
        name: "/aws/lambda/greet".into(),
    }
}

fn messages(lines: &[Line]) -> Vec<String> {
    lines
        .iter()
        .map(|line| String::from_utf8_lossy(&line.message).into_owned())
        .collect()
}

fn read_on(reader: &mut Reader) -> Vec<Line> {
    let mut all = Vec::new();
    loop {
        match reader.read().unwrap() {
            lines if lines.is_empty() => return all,
            lines => all.extend(lines),
        }
    }
}

fn query(logs: &Logs, since_ms: i64, limit: usize) -> Vec<Line> {
    read_on(&mut logs.reader(&key(), since_ms, limit).unwrap())
}

#[test]
fn what_was_said_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "2026/01/01/[$LATEST]abc");
    let now_ms = Timestamp::now().as_millisecond();
    stream.append(now_ms - 1000, b"first\n");
    stream.append(now_ms, b"sec\0ond\n");
    logs.flush();
    drop((stream, logs));

    let logs = Logs::open(dir.path()).unwrap();
    let lines = query(&logs, 0, 10);
    assert_eq!(messages(&lines), ["first\n", "sec\0ond\n"]);
    assert_eq!(lines[0].stream, "2026/01/01/[$LATEST]abc");
    assert_eq!(messages(&query(&logs, now_ms - 500, 10)), ["sec\0ond\n"]);
    assert_eq!(messages(&query(&logs, 0, 1)), ["sec\0ond\n"]);
}

#[test]
fn lines_not_yet_written_are_found_too() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    logs.stream(key(), "s").append(5, b"now\n");
    assert_eq!(messages(&query(&logs, 0, 10)), ["now\n"]);
}

#[test]
fn a_torn_end_is_left_out_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    logs.stream(key(), "s").append(1, b"whole\n");
    logs.flush();
    drop(logs);
    let segment = std::fs::read_dir(directory::of(dir.path(), &key()))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend(bytes.clone().iter().take(9));
    std::fs::write(&segment, bytes).unwrap();

    let logs = Logs::open(dir.path()).unwrap();
    logs.stream(key(), "s").append(2, b"after\n");
    logs.flush();
    assert_eq!(messages(&query(&logs, 0, 10)), ["whole\n", "after\n"]);
}

#[tokio::test]
async fn a_follower_hears_every_line_once() {
    const LINES: usize = 60_000;
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    // Over several segments, and faster than anybody reads.
    let say = |number: usize| {
        let line = format!("{number:<1000}\n");
        stream.append(5, line.as_bytes());
    };
    (0..LINES / 2).for_each(say);
    let mut reader = logs.reader(&key(), 0, LINES).unwrap();
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| (LINES / 2..LINES).for_each(say));
        heard.extend(read_on(&mut reader));
    });
    while heard.len() < LINES {
        reader.more().await;
        heard.extend(read_on(&mut reader));
    }
    let number = |line: &Line| String::from_utf8_lossy(&line.message).trim().parse().ok();
    let heard: Vec<Option<usize>> = heard.iter().map(number).collect();
    assert!(heard.iter().copied().eq((0..LINES).map(Some)));
}

#[tokio::test]
async fn a_follower_of_a_log_that_is_not_there_yet_hears_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let mut reader = logs.reader(&key(), 100, 10).unwrap();
    assert_eq!(read_on(&mut reader), []);
    // Of a time that is not wanted of the past.
    put(&logs, "s", &[(7, b"live\n")]);
    reader.more().await;
    assert_eq!(messages(&read_on(&mut reader)), ["live\n"]);
}

#[test]
fn a_reader_is_told_of_lines_that_went_before_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    stream.append(1, b"old\n");
    let mut reader = logs.reader(&key(), 0, 10).unwrap();
    segment::remove(&directory::of(dir.path(), &key()), 0).unwrap();
    let said = messages(&read_on(&mut reader));
    assert!(said.len() == 1 && said[0].contains("removed"), "{said:?}");
    assert_eq!(read_on(&mut reader), []);
}

#[test]
fn lines_that_could_not_be_written_are_missed_aloud() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    let directory = directory::of(dir.path(), &key());
    std::fs::create_dir_all(directory.parent().unwrap()).unwrap();
    // No directory can be made where there is a file.
    std::fs::write(&directory, "").unwrap();
    stream.append(1, b"lost\n");
    logs.group(&key()).flush();
    stream.append(2, b"too\n");
    logs.group(&key()).flush();
    std::fs::remove_file(&directory).unwrap();
    stream.append(3, b"kept\n");
    let said = messages(&query(&logs, 0, 10));
    assert!(
        said.len() == 2 && said[0].contains("about 2 lines"),
        "{said:?}"
    );
    assert_eq!(said[1], "kept\n");
}

#[test]
fn the_longest_name_is_a_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let named = |last: char| GroupKey {
        name: format!("{}{last}", "/".repeat(511)),
        ..key()
    };
    for last in ['a', 'b'] {
        logs.stream(named(last), "s").append(1, &[last as u8]);
    }
    for last in ['a', 'b'] {
        let lines = read_on(&mut logs.reader(&named(last), 0, 10).unwrap());
        assert_eq!(messages(&lines), [last.to_string()]);
    }
}

#[test]
fn groups_that_nobody_uses_are_not_kept_open() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    for number in 0..2 * limits::LOG_GROUPS_OPEN_MAX {
        let name = number.to_string();
        drop(logs.reader(&GroupKey { name, ..key() }, 0, 1).unwrap());
    }
    assert!(read(&logs.shared.groups).len() <= limits::LOG_GROUPS_OPEN_MAX);
}

const SMALL: Bounds = Bounds {
    segment_bytes: 64 * 1024,
    group_bytes: 512 * 1024,
};

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory::of(dir, &key())).unwrap();
    let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Nothing that compresses.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'!' + (state % 90) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_group_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open_within(dir.path(), SMALL).unwrap();
    let lines = 1500;
    for at in 0..lines {
        let message = noise(at as u64, 1000);
        put(&logs, "s", &[(at, &message)]);
    }
    logs.group(&key()).seal();
    let used: u64 = std::fs::read_dir(directory::of(dir.path(), &key()))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(
        used <= SMALL.group_bytes + 2 * SMALL.segment_bytes,
        "{used}"
    );
    assert_eq!(query(&logs, 0, 1)[0].timestamp_ms, lines - 1);
    let stream = logs
        .group(&key())
        .streams(|all| all.by_name["s"].clone())
        .unwrap();
    assert!(stream.times.min_ms > 0 && stream.times.max_ms == lines - 1);
}

fn put(logs: &Logs, stream: &str, events: &[(i64, &[u8])]) {
    let frames: Vec<Frame<'_>> = events
        .iter()
        .map(|(timestamp_ms, message)| Frame {
            kind: Kind::Event,
            timestamp_ms: *timestamp_ms,
            ingested_ms: 1,
            stream: stream.as_bytes(),
            message,
        })
        .collect();
    logs.put(&key(), stream, Needs::Nothing, &frames).unwrap();
}

#[test]
fn what_an_older_version_wrote_is_read_and_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let directory = directory::of(dir.path(), &key());
    std::fs::create_dir_all(&directory).unwrap();
    for number in 0..2_i64 {
        let mut bytes = Vec::new();
        for line in 0..3 {
            let message = format!("{number}.{line}\n");
            legacy::encode(&mut bytes, number * 10 + line, "old", message.as_bytes());
        }
        bytes.extend(b"L1torn");
        std::fs::write(directory.join(format!("{number:012}.log")), bytes).unwrap();
    }
    let logs = Logs::open(dir.path()).unwrap();
    assert_eq!(logs.found().unwrap()[0].0, key());
    let all = ["0.0\n", "0.1\n", "0.2\n", "1.0\n", "1.1\n", "1.2\n"];
    assert_eq!(messages(&query(&logs, 0, 10)), all);
    put(&logs, "new", &[(50, b"new")]);
    logs.group(&key()).seal();
    assert_eq!(
        files(dir.path()),
        [
            "000000000000.seg",
            "000000000001.seg",
            "000000000002.tail",
            "streams"
        ]
    );
    drop(logs);
    let logs = Logs::open(dir.path()).unwrap();
    assert_eq!(messages(&query(&logs, 0, 10))[..6], all);
    let streams = logs
        .group(&key())
        .streams(|streams| streams.clone())
        .unwrap();
    assert_eq!(streams.by_name["old"].times.max_ms, 12);
    assert_eq!(streams.by_name["new"].times.max_ms, 50);
}

fn pages(
    logs: &Logs,
    order: scan::Order,
    count_max: usize,
    wanted: &scan::Wanted,
    looked_at_max: u64,
) -> Vec<(i64, String)> {
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let query = scan::Query {
            order,
            since_ms: 0,
            until_ms: i64::MAX,
            after,
            wanted,
            count_max,
            bytes_max: 3000,
            looked_at_max,
        };
        let page = logs
            .group(&key())
            .view()
            .unwrap()
            .page(&query, |_| true)
            .unwrap();
        assert!(page.events.len() <= count_max);
        all.extend(
            page.events
                .iter()
                .map(|(_, event)| (event.timestamp_ms, event.text())),
        );
        match page.next {
            Some(next) => {
                assert!(after.is_none_or(|after| next > after));
                after = Some(next);
            }
            None => return all,
        }
    }
}

#[test]
fn pages_are_in_order_whatever_the_order_of_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open_within(
        dir.path(),
        Bounds {
            segment_bytes: 6_000,
            ..SMALL
        },
    )
    .unwrap();
    let mut expect = Vec::new();
    for number in 0..500_i64 {
        // Mostly ahead, sometimes far behind, and often at the same time.
        let at = if number % 7 == 0 {
            number / 3
        } else {
            number / 2 * 2
        };
        let stream = ["a", "b", "ab"][(number % 3) as usize];
        let message = format!("{number} {}", "x".repeat((number % 90) as usize));
        put(&logs, stream, &[(at, message.as_bytes())]);
        expect.push((at, number, stream, message));
        if number == 350 {
            logs.group(&key()).seal();
        }
    }
    expect.sort();
    let of = |prefix: &str| -> Vec<(i64, String)> {
        let those = expect
            .iter()
            .filter(|(_, _, stream, _)| stream.starts_with(prefix));
        those
            .map(|(at, _, _, message)| (*at, message.clone()))
            .collect()
    };
    let reversed = |mut all: Vec<(i64, String)>| {
        all.reverse();
        all
    };
    use scan::{Order::*, Wanted};
    for (count_max, looked_at_max) in [(1, 100_000), (17, 0), (10_000, u64::MAX), (10_000, 0)] {
        assert_eq!(
            pages(&logs, OldestFirst, count_max, &Wanted::All, looked_at_max),
            of("")
        );
        assert_eq!(
            reversed(pages(
                &logs,
                NewestFirst,
                count_max,
                &Wanted::All,
                looked_at_max
            )),
            of("")
        );
        let prefix = Wanted::Prefix("a".into());
        assert_eq!(
            pages(&logs, OldestFirst, count_max, &prefix, looked_at_max),
            of("a")
        );
        let names = Wanted::Names(vec!["b".into()]);
        assert_eq!(
            reversed(pages(&logs, NewestFirst, count_max, &names, looked_at_max)),
            of("b")
        );
    }
}

#[test]
fn a_stream_that_is_deleted_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open_within(dir.path(), SMALL).unwrap();
    logs.set_stream(&key(), "s", true, 5).unwrap();
    let again = logs.set_stream(&key(), "s", true, 6).unwrap_err();
    assert!(matches!(again, PutError::StreamExists));
    put(&logs, "s", &[(1, b"before")]);
    put(&logs, "other", &[(2, b"other")]);
    logs.set_stream(&key(), "s", false, 7).unwrap();
    assert_eq!(messages(&query(&logs, 0, 10)), ["other"]);
    logs.set_stream(&key(), "s", true, 8).unwrap();
    put(&logs, "s", &[(3, b"after")]);
    for _ in 0..2 {
        for number in 0..100 {
            put(&logs, "other", &[(4, &noise(number, 1000))]);
        }
        let logs = Logs::open_within(dir.path(), SMALL).unwrap();
        assert_eq!(messages(&query(&logs, 0, 1000))[..2], ["other", "after"]);
        let s = logs
            .group(&key())
            .streams(|all| all.by_name["s"].clone())
            .unwrap();
        assert_eq!((s.created_ms, s.times.min_ms, s.is_asked_for), (8, 3, true));
        logs.group(&key()).seal();
    }
    let gone = logs.set_stream(&key(), "never", false, 7).unwrap_err();
    assert!(matches!(gone, PutError::NoStream));
}

#[test]
fn old_events_go_with_their_segments() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    logs.set_stream(&key(), "asked for", true, 1).unwrap();
    put(&logs, "asked for", &[(10, b"old")]);
    put(&logs, "function's", &[(11, b"old")]);
    logs.expire(&key(), 50).unwrap();
    assert_eq!(query(&logs, 0, 10), []);
    let names = |logs: &Logs| {
        let names = |all: &Streams| all.by_name.keys().cloned().collect::<Vec<_>>();
        logs.group(&key()).streams(names).unwrap()
    };
    assert_eq!(names(&logs), ["asked for"]);
    put(&logs, "function's", &[(100, b"new")]);
    drop(logs);
    let logs = Logs::open(dir.path()).unwrap();
    assert_eq!(names(&logs), ["asked for", "function's"]);
    assert_eq!(messages(&query(&logs, 0, 10)), ["new"]);
    assert_eq!(logs.group(&key()).stored_bytes().unwrap(), 29);
}

#[test]
fn a_removed_group_begins_anew_when_it_is_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    let now_ms = Timestamp::now().as_millisecond();
    stream.append(now_ms, b"before");
    assert_eq!(logs.take_written_to(), [key()]);
    logs.remove(&key()).unwrap();
    assert_eq!(query(&logs, 0, 10), []);
    stream.append(now_ms, b"after");
    assert_eq!(messages(&query(&logs, 0, 10)), ["after"]);
    assert_eq!(logs.take_written_to(), [key()]);
}

#[test]
fn those_who_put_at_once_are_all_told() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open_within(dir.path(), SMALL).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_i64 {
            let logs = &logs;
            scope.spawn(move || {
                for number in 0..50 {
                    put(logs, "s", &[(thread * 100 + number, b"x")]);
                }
            });
        }
    });
    assert_eq!(query(&logs, 0, 1000).len(), 400);
}

#[test]
fn a_time_that_cannot_be_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    stream.append(i64::MAX, b"future");
    stream.append(-1, b"past");
    let now_ms = Timestamp::now().as_millisecond();
    let lines = query(&logs, 0, 10);
    assert!(
        lines.len() == 2
            && lines
                .iter()
                .all(|line| (line.timestamp_ms - now_ms).abs() < 60_000)
    );
}

#[test]
fn a_listener_hears_every_event() {
    struct Heard(Mutex<Vec<(String, i64, String)>>);
    impl Listener for Heard {
        fn heard(&self, group: &GroupKey, message: &[u8], timestamp_ms: i64) {
            let message = String::from_utf8_lossy(message).into_owned();
            lock(&self.0).push((group.name.clone(), timestamp_ms, message));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let heard = Arc::new(Heard(Mutex::default()));
    logs.listen(heard.clone());
    logs.set_stream(&key(), "s", true, 1).unwrap();
    put(&logs, "s", &[(5, b"put")]);
    logs.stream(key(), "s").append(1, b"said");
    logs.flush();
    let heard = lock(&heard.0);
    assert_eq!(heard[0], (key().name, 5, "put".to_owned()));
    assert_eq!((heard.len(), heard[1].2.as_str()), (2, "said"));
}
