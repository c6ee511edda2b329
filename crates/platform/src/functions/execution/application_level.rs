//! How grave a line is that a function has written itself, so that with the JSON format
//! `ApplicationLogLevel` leaves out what is less.
//!
//! AWS, "Log-level filtering": a line that is a JSON object with a `level` and a timestamp as RFC
//! 3339 has it counts as that level, everything else as INFO. The loggers of the managed runtimes
//! leave out at the source; this is for all other ways of writing.

use serde::Deserialize;
use serde_json::Value;
use wire::Timestamp;

use super::LogLevel;

/// The names that the loggers of the managed runtimes give to these.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    level: Value,
    log_level: Value,
    timestamp: Value,
    time: Value,
}

pub fn level_of(line: &[u8]) -> LogLevel {
    if !line.trim_ascii_start().starts_with(b"{") {
        return LogLevel::Info;
    }
    let said = serde_json::from_slice::<Said>(line).unwrap_or_default();
    let is_time = |value: &Value| {
        let text = value.as_str();
        text.is_some_and(|text| text.parse::<Timestamp>().is_ok())
    };
    if !is_time(&said.timestamp) && !is_time(&said.time) {
        return LogLevel::Info;
    }
    let level = said.level.as_str().or(said.log_level.as_str());
    level.and_then(named).unwrap_or(LogLevel::Info)
}

fn named(level: &str) -> Option<LogLevel> {
    let names = [
        ("TRACE", LogLevel::Trace),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARN", LogLevel::Warn),
        ("WARNING", LogLevel::Warn),
        ("ERROR", LogLevel::Error),
        ("FATAL", LogLevel::Fatal),
        ("CRITICAL", LogLevel::Fatal),
    ];
    let found = names
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(level));
    found.map(|(_, level)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_grave_it_is() {
        use LogLevel::{Debug, Error, Fatal, Info, Warn};
        for (line, level) in [
            (
                r#"{"level":"debug","msg":"m","timestamp":"2024-11-02T16:51:31.587199Z"}"#,
                Debug,
            ),
            (
                r#" {"time":"2024-11-02T16:51:31+01:00","level":"WARNING"}"#,
                Warn,
            ),
            (
                r#"{"timestamp":"2024-11-02T16:51:31Z","log_level":"ERROR"}"#,
                Error,
            ),
            (
                r#"{"timestamp":"2024-11-02T16:51:31Z","level":"Critical"}"#,
                Fatal,
            ),
            (
                r#"{"time":1,"timestamp":"2024-11-02T16:51:31Z","log_level":"ERROR","level":"debug"}"#,
                Debug,
            ),
            // Without a time, without a name, and what is no object.
            (r#"{"level":"debug"}"#, Info),
            (r#"{"level":"debug","timestamp":"yesterday"}"#, Info),
            (
                r#"{"level":"loud","timestamp":"2024-11-02T16:51:31Z"}"#,
                Info,
            ),
            (r#"{"level":20,"timestamp":"2024-11-02T16:51:31Z"}"#, Info),
            ("[1]", Info),
            ("plain", Info),
            ("", Info),
        ] {
            assert_eq!(level_of(line.as_bytes()), level, "{line}");
        }
    }
}
