//! What a Node.js function says.

use serde_json::{Value, json};

use super::{check, on_each};
use crate::{
    expect::{Case, PLAIN, check_error},
    function::{Function, REQUEST_ID, Start, now},
    log::Entry,
};

#[test]
fn logs() {
    const SAYS: &str = "console.info('at init');
exports.handler = async () => {
  console.log('a %s', 'b', { c: 1 });
  console.warn('two\\nlines');
  console.error('an error', new Error('inside'));
  console.debug('debug'); console.trace('trace'); console.fatal('fatal');
  process.stdout.write('unfinished');
  console.log('begins its own');
  process.stderr.write('to stderr\\n');
  return null;
};";
    check(&[
        Case {
            name: "text",
            files: &[("index.js", SAYS)],
            log: &[
                "20…Z\tundefined\tINFO\tat init",
                "20…Z\t8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a\tINFO\ta b { c: 1 }",
                "\tWARN\ttwo¶lines¶",
                "\tERROR\tan error Error: inside¶    at exports.handler (",
                "\tDEBUG\tdebug",
                "\tTRACE\ttrace",
                "\tFATAL\tfatal",
                "unfinished",
                "20…\tINFO\tbegins its own",
                "to stderr",
            ],
            ..PLAIN
        },
        Case {
            name: "without frames newlines become carriage returns",
            files: &[("index.js", SAYS)],
            env: &[("LAMBENT_LOG_FRAMES", "")],
            log: &[
                "\tWARN\ttwo\rlines",
                "\tERROR\tan error Error: inside\r    at exports.handler (",
            ],
            ..PLAIN
        },
    ]);
}

#[test]
fn logs_in_json() {
    const CODE: &str = "exports.handler = async () => {
  console.log({ order: 7 });
  console.log('a %s\\n', 'b', new RangeError('inside'));
  console.debug('unsaid');
  console.warn(1n);
  throw new TypeError('gone');
};";
    on_each(|node| {
        let function = Function::node(node, Start::Plain)
            .file("index.js", CODE)
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO");
        let mut running = function.start();
        check_error(
            "",
            &running.invoke("{}"),
            "TypeError",
            "gone",
            "at exports.handler",
        );
        let ended = running.finish();
        let lines: Vec<Value> = ended
            .log
            .iter()
            .map(|entry| serde_json::from_str(entry.text()).expect("a line of JSON"))
            .collect();
        let [object, text, big, error] = lines.as_slice() else {
            panic!("{lines:#?}")
        };
        assert_eq!(object["message"], json!({ "order": 7 }));
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["requestId"], REQUEST_ID);
        assert!(
            text["message"]
                .as_str()
                .is_some_and(|said| said.starts_with("a b\n RangeError: inside"))
        );
        assert_eq!(text["errorType"], "RangeError");
        assert_eq!(text["errorMessage"], "inside");
        assert_eq!(big["message"], "1n");
        assert_eq!(error["level"], "ERROR");
        assert_eq!(error["message"]["errorType"], "TypeError");
        assert!(error["message"]["stackTrace"].is_array());
    });
}

#[test]
fn frames_carry_the_time() {
    on_each(|node| {
        let before = now().as_millis();
        let function = Function::node(node, Start::Plain).file(
            "index.js",
            "exports.handler = async () => { console.log('two\\nlines ☃'); };",
        );
        let mut running = function.start();
        running.invoke("{}");
        let ended = running.finish();
        let [Entry::Frame { micros, message }] = ended.log.as_slice() else {
            panic!("{ended:?}")
        };
        assert!(message.ends_with("two\nlines ☃\n"), "{message}");
        let range = before..=now().as_millis();
        assert!(
            range.contains(&u128::try_from(micros / 1000).expect("after 1970")),
            "{micros}"
        );
    });
}

/// More than a pipe holds, by both ways of writing, with nobody to read it for a while.
#[test]
fn a_full_pipe_loses_nothing() {
    const CODE: &str = "exports.handler = async () => {
  process.stdout.write('start\\n');
  for (let at = 0; at < 2000; at++) {
    console.log('x'.repeat(500) + '\\n' + at);
    process.stdout.write('y'.repeat(500) + at + '\\n');
  }
};";
    on_each(|node| {
        let mut running = Function::node(node, Start::Plain)
            .file("index.js", CODE)
            .start();
        running.invoke("{}");
        let log = running.finish().log;
        assert_eq!(log.len(), 4001);
        let frames = log.iter().filter_map(|entry| match entry {
            Entry::Frame { message, .. } => message.trim_end().rsplit('\n').next(),
            Entry::Line(_) => None,
        });
        let numbers: Vec<usize> = frames.map(|text| text.parse().expect("a number")).collect();
        assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
    });
}

/// A timeout kills the process without a word; what was said before must be out by then.
#[test]
fn nothing_said_is_lost_when_killed() {
    const CODE: &str = "
exports.handler = async event => {
  console.log('said');
  process.stdout.write('unfinished');
  process.stderr.write('; to stderr\\n');
  require('fs').closeSync(require('fs').openSync(event.here, 'w'));
  for (;;) {}
};";
    on_each(|node| {
        let function = Function::node(node, Start::Pool).file("index.js", CODE);
        let fifo = function.root().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("run mkfifo").success());
        let mut running = function.start();
        running.deliver(json!({ "here": &fifo }).to_string().as_bytes(), &[]);
        // Opening it waits until the handler does.
        std::fs::File::open(&fifo).expect("open the fifo");
        running.kill();
        let log = running.wait().log;
        assert!(log[0].text().ends_with("\tINFO\tsaid"), "{log:?}");
        assert_eq!(log[1].text(), "unfinished; to stderr");
    });
}
