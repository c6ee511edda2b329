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
    read_on(&mut logs.reader(key(), since_ms, limit).unwrap())
}

#[test]
fn what_was_said_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "2026/01/01/[$LATEST]abc");
    stream.append(1000, b"first\n");
    stream.append(2000, b"sec\0ond\n");
    logs.flush();
    drop((stream, logs));

    let logs = Logs::open(dir.path()).unwrap();
    let lines = query(&logs, 0, 10);
    assert_eq!(messages(&lines), ["first\n", "sec\0ond\n"]);
    assert_eq!(lines[0].stream, "2026/01/01/[$LATEST]abc");
    assert_eq!(messages(&query(&logs, 1500, 10)), ["sec\0ond\n"]);
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
    let segment = std::fs::read_dir(file::directory(dir.path(), &key()))
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
    let mut reader = logs.reader(key(), 0, LINES).unwrap();
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
    let mut reader = logs.reader(key(), 100, 10).unwrap();
    assert_eq!(read_on(&mut reader), []);
    // Of an hour that is not wanted of the past.
    logs.stream(key(), "s").append(7, b"live\n");
    reader.more().await;
    assert_eq!(messages(&read_on(&mut reader)), ["live\n"]);
}

#[test]
fn a_reader_is_told_of_lines_that_went_before_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    stream.append(1, b"old\n");
    let mut reader = logs.reader(key(), 0, 10).unwrap();
    std::fs::remove_file(file::segment_path(&file::directory(dir.path(), &key()), 0)).unwrap();
    let said = messages(&read_on(&mut reader));
    assert!(said.len() == 1 && said[0].contains("removed"), "{said:?}");
    assert_eq!(read_on(&mut reader), []);
}

#[test]
fn lines_that_could_not_be_written_are_missed_aloud() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    let directory = file::directory(dir.path(), &key());
    std::fs::create_dir_all(directory.parent().unwrap()).unwrap();
    // No directory can be made where there is a file.
    std::fs::write(&directory, "").unwrap();
    stream.append(1, b"lost\n");
    logs.group(key()).flush();
    stream.append(2, b"too\n");
    logs.group(key()).flush();
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
        let lines = read_on(&mut logs.reader(named(last), 0, 10).unwrap());
        assert_eq!(messages(&lines), [last.to_string()]);
    }
}

#[test]
fn groups_that_nobody_uses_are_not_kept_open() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    for number in 0..2 * limits::LOG_GROUPS_OPEN_MAX {
        let name = number.to_string();
        drop(logs.reader(GroupKey { name, ..key() }, 0, 1).unwrap());
    }
    assert!(read(&logs.shared.groups).len() <= limits::LOG_GROUPS_OPEN_MAX);
}

#[test]
fn a_group_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let stream = logs.stream(key(), "s");
    let line = vec![b'x'; 200 * 1024];
    let lines = limits::LOG_GROUP_BYTES_MAX / line.len() as u64 + 100;
    for at in 0..lines {
        stream.append(at as i64, &line);
    }
    logs.flush();
    let used: u64 = std::fs::read_dir(file::directory(dir.path(), &key()))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(used <= limits::LOG_GROUP_BYTES_MAX + limits::LOG_SEGMENT_BYTES_MAX);
    assert_eq!(query(&logs, 0, 1)[0].timestamp_ms, lines as i64 - 1);
}
