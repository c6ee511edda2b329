//! Cases as data: a function, an event, and what comes of it.

use serde_json::Value;

use crate::{
    function::{Ended, Function, REQUEST_ID, Running},
    platform::Request,
};

pub struct Case {
    pub name: &'static str,
    pub files: &'static [(&'static str, &'static str)],
    pub handler: &'static str,
    pub env: &'static [(&'static str, &'static str)],
    pub event: &'static str,
    pub outcome: Outcome,
    /// Each must be found in a log event of its own; `\u{b6}` stands for a line's end in it.
    pub log: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// A response with exactly this body.
    Returns(&'static str),
    /// An error with this type, this message, and this in its stack trace.
    Fails(&'static str, &'static str, &'static str),
    /// The same of the init phase.
    FailsInit(&'static str, &'static str, &'static str),
    /// Neither: the process ends with this code.
    Exits(i32),
}

/// What a case says of itself unless it says otherwise.
pub const PLAIN: Case = Case {
    name: "",
    files: &[],
    handler: "",
    env: &[],
    event: "{}",
    outcome: Outcome::Returns("null"),
    log: &[],
};

impl Case {
    /// Runs the case twice over, as an environment serves more than one invocation.
    pub fn check(&self, function: Function) {
        let mut function = self
            .files
            .iter()
            .fold(function, |function, (name, content)| {
                function.file(name, content)
            });
        for (name, value) in self.env {
            function = function.env(name, value);
        }
        if !self.handler.is_empty() {
            function = function.handler(self.handler);
        }
        let running = function.start();
        let ended = self.drive(running);
        for wanted in self.log {
            let wanted = wanted.replace('\u{b6}', "\n");
            assert!(
                ended.log.iter().any(|entry| matches(entry.text(), &wanted)),
                "{}: no log event has {wanted:?}: {:#?}",
                self.name,
                ended.log
            );
        }
    }

    fn drive(&self, mut running: Running) -> Ended {
        let name = self.name;
        match self.outcome {
            Outcome::Returns(wanted) => {
                for _ in 0..2 {
                    let request = running.invoke(self.event);
                    let body = String::from_utf8_lossy(&request.body);
                    assert!(
                        request.path.ends_with("/response"),
                        "{name}: {}: {body}",
                        request.path
                    );
                    assert_eq!(body, wanted, "{name}");
                }
                ended_well(name, running.finish())
            }
            Outcome::Fails(kind, message, trace) => {
                for _ in 0..2 {
                    let request = running.invoke(self.event);
                    let path = format!("/2018-06-01/runtime/invocation/{REQUEST_ID}/error");
                    assert_eq!(request.path, path, "{name}");
                    check_error(name, &request, kind, message, trace);
                }
                ended_well(name, running.finish())
            }
            Outcome::FailsInit(kind, message, trace) => {
                let request = running.platform.request().expect("the init error");
                assert_eq!(request.path, "/2018-06-01/runtime/init/error", "{name}");
                check_error(name, &request, kind, message, trace);
                running.platform.accept();
                let ended = running.wait();
                assert!(!ended.status.success(), "{name}: {ended:?}");
                ended
            }
            Outcome::Exits(code) => {
                running.deliver(self.event.as_bytes(), &[]);
                assert!(running.platform.request().is_none(), "{name}");
                let ended = running.wait();
                assert_eq!(ended.status.code(), Some(code), "{name}: {ended:?}");
                ended
            }
        }
    }
}

fn ended_well(name: &str, ended: Ended) -> Ended {
    assert!(ended.status.success(), "{name}: {ended:#?}");
    ended
}

pub fn check_error(name: &str, request: &Request, kind: &str, message: &str, trace: &str) {
    let text = String::from_utf8_lossy(&request.body);
    let error: Value = serde_json::from_slice(&request.body).expect("an error is JSON");
    assert_eq!(error["errorType"], kind, "{name}: {text}");
    let said = error["errorMessage"].as_str().expect("a message");
    assert!(matches(said, message), "{name}: {message:?} in {text}");
    let lines = error["stackTrace"].as_array().or(error["trace"].as_array());
    let lines: Vec<&str> = lines
        .expect("a stack trace")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        matches(&lines.join("\n"), trace),
        "{name}: {trace:?} in {text}"
    );
    assert_eq!(
        request.header("Lambda-Runtime-Function-Error-Type"),
        Some(kind),
        "{name}"
    );
    assert_eq!(
        request.header("Content-Type"),
        Some("application/json"),
        "{name}"
    );
    if let Some(cause) = request.header("Lambda-Runtime-Function-XRay-Error-Cause") {
        let cause: Value = serde_json::from_str(cause).expect("a cause is JSON");
        assert!(
            cause["exceptions"][0]["message"].is_string(),
            "{name}: {cause}"
        );
    }
}

/// Whether the text has all parts of the pattern, which `…` separates, in their order.
pub fn matches(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}
