//! What a Python function says.

use serde_json::{Value, json};

use super::{check, on_each};
use crate::{
    expect::{Case, Outcome, PLAIN, check_error},
    function::{Function, REQUEST_ID, Start, now},
    log::Entry,
};

#[test]
fn logs() {
    check(&[
        Case {
            name: "the root logger, imported late or early, a line and a record of several",
            files: &[(
                "app.py",
                "import logging\nlogging.warning('at init')\nlog = logging.getLogger('mine')\n\
                 log.setLevel(logging.INFO)\n\
                 def handler(e, c):\n  log.info('one line')\n  log.error('two\\nlines')\n  log.debug('unsaid')\n  \
                 logging.getLogger().info('unsaid')\n  c.log('from the context\\n')\n",
            )],
            log: &[
                "[WARNING]\t20…Z\t\tat init",
                "[INFO]\t20…Z\t8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a\tone line",
                "[ERROR]\t20…Z\t8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a\ttwo¶lines¶",
                "from the context",
            ],
            ..PLAIN
        },
        Case {
            name: "print, stderr, unfinished lines",
            files: &[(
                "app.py",
                "import sys, logging\ndef handler(e, c):\n  print('a', 'b')\n  print('to stderr', file=sys.stderr)\n  \
                 sys.stdout.write('unfinished')\n  logging.error('begins its own')\n  print('left', end='')\n  print(' open ☃')\n",
            )],
            log: &[
                "a b",
                "to stderr",
                "unfinished",
                "[ERROR]\t…\tbegins its own",
                "left open ☃",
            ],
            ..PLAIN
        },
        Case {
            name: "a level, and a formatter of the user's own",
            files: &[(
                "app.py",
                "import logging\nroot = logging.getLogger()\nassert root.level == logging.DEBUG, root.level\n\
                 root.handlers[0].setFormatter(logging.Formatter('own %(message)s'))\n\
                 def handler(e, c):\n  logging.debug('said')\n",
            )],
            env: &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")],
            log: &["own said"],
            ..PLAIN
        },
        Case {
            name: "without frames newlines become carriage returns",
            files: &[(
                "app.py",
                "import logging\ndef handler(e, c):\n  logging.error('two\\nlines')\n  raise ValueError('x')\n",
            )],
            env: &[("LAMBENT_LOG_FRAMES", "0")],
            outcome: Outcome::Fails("ValueError", "x", ""),
            log: &[
                "\ttwo\rlines",
                "[ERROR] ValueError: x\rTraceback (most recent call last):\r\u{a0}\u{a0}File",
            ],
            ..PLAIN
        },
    ]);
}

#[test]
fn logs_in_json() {
    const CODE: &str = "
import logging
log = logging.getLogger('mine')
def handler(event, c):
    log.info('hello %s', 'you ☃', extra={'order': 7, 'odd': object})
    log.debug('unsaid')
    try:
        raise ValueError('bad')
    except ValueError:
        log.exception('caught')
    raise KeyError('gone')
";
    on_each(|python| {
        let function = Function::python(python, Start::Plain)
            .file("app.py", CODE)
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO");
        let mut running = function.start();
        check_error(
            "",
            &running.invoke("{}"),
            "KeyError",
            "'gone'",
            "in handler",
        );
        let lines: Vec<Value> = running
            .finish()
            .log
            .iter()
            .map(|entry| serde_json::from_str(entry.text()).expect("a line of JSON"))
            .collect();
        let [hello, caught, error] = lines.as_slice() else {
            panic!("{lines:#?}")
        };
        assert_eq!(hello["message"], "hello you ☃");
        assert_eq!(hello["level"], "INFO");
        assert_eq!(hello["logger"], "mine");
        assert_eq!(hello["requestId"], REQUEST_ID);
        assert_eq!(hello["order"], 7);
        assert!(
            hello["timestamp"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z'))
        );
        assert_eq!(hello.get("stackTrace"), None);
        assert_eq!(caught["errorType"], "ValueError");
        assert_eq!(caught["errorMessage"], "bad");
        assert!(
            caught["location"]
                .as_str()
                .is_some_and(|at| at.contains("/app.py:handler:"))
        );
        assert!(
            caught["stackTrace"][0]
                .as_str()
                .is_some_and(|at| at.contains("line 8"))
        );
        assert_eq!(error["log_level"], "ERROR");
        assert_eq!(error["errorType"], "KeyError");
        assert_eq!(error["requestId"], REQUEST_ID);
    });
}

#[test]
fn frames_carry_the_time() {
    on_each(|python| {
        let before = now();
        let function = Function::python(python, Start::Plain).file(
            "app.py",
            "import logging\ndef handler(e, c): logging.error('two\\nlines ☃')\n",
        );
        let mut running = function.start();
        running.invoke("{}");
        let ended = running.finish();
        let [Entry::Frame { micros, message }] = ended.log.as_slice() else {
            panic!("{ended:?}")
        };
        assert!(message.ends_with("two\nlines ☃\n"), "{message}");
        let range = before.as_micros()..=now().as_micros();
        assert!(
            range.contains(&u128::try_from(*micros).expect("after 1970")),
            "{micros}"
        );
    });
}

/// A timeout kills the process without a word; what was printed before must be out by then.
#[test]
fn nothing_printed_is_lost_when_killed() {
    const CODE: &str = "
import time, sys
def handler(event, c):
    print('printed')
    print('unfinished', end='')
    sys.stdout.write('; and a line\\n')
    open(event['here'], 'w').close()
    time.sleep(600)
";
    on_each(|python| {
        let function = Function::python(python, Start::Plain).file("app.py", CODE);
        let fifo = function.root().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("run mkfifo").success());
        let mut running = function.start();
        running.deliver(json!({ "here": &fifo }).to_string().as_bytes(), &[]);
        // Opening it waits until the handler does.
        std::fs::File::open(&fifo).expect("open the fifo");
        running.kill();
        let log = running.wait().log;
        let lines: Vec<&str> = log.iter().map(Entry::text).collect();
        assert_eq!(lines, ["printed", "unfinished; and a line"]);
    });
}
