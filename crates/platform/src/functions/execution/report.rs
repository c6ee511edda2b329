//! The lines that Lambda itself writes into a function's log, in its text and its JSON format.
//!
//! Formats: AWS, "Lambda log formats" and "Telemetry API event schema"; checked against recorded
//! logs.

use serde_json::json;
use wire::Timestamp;

use super::LogFormat;

/// What a REPORT line says.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    pub request_id: &'a str,
    pub duration_ms: f64,
    pub billed_ms: u64,
    pub memory_mb: u32,
    pub max_memory_mb: u64,
    /// Of the first request of an environment.
    pub init_ms: Option<f64>,
    pub ending: Ending<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<'a> {
    Success,
    /// The handler failed: Lambda says nothing of it in the text format.
    HandlerError,
    /// The runtime itself ended or could not start, with Lambda's error type.
    RuntimeError(&'a str),
    Timeout,
}

impl Ending<'_> {
    fn status(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::HandlerError | Self::RuntimeError(_) => "error",
            Self::Timeout => "timeout",
        }
    }
}

pub fn start(format: LogFormat, request_id: &str, version: &str, now: Timestamp) -> String {
    match format {
        LogFormat::Text => format!("START RequestId: {request_id} Version: {version}\n"),
        LogFormat::Json => platform(
            now,
            "platform.start",
            json!({"requestId": request_id, "version": version}),
        ),
    }
}

/// The text format has a line for the end; the JSON format has `platform.report` alone.
pub fn end(format: LogFormat, request_id: &str) -> Option<String> {
    match format {
        LogFormat::Text => Some(format!("END RequestId: {request_id}\n")),
        LogFormat::Json => None,
    }
}

pub fn report(format: LogFormat, report: &Report<'_>, now: Timestamp) -> String {
    match format {
        LogFormat::Text => report_text(report),
        LogFormat::Json => report_json(report, now),
    }
}

fn report_text(report: &Report<'_>) -> String {
    use std::fmt::Write as _;
    let mut line = format!(
        "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
        report.request_id,
        report.duration_ms,
        report.billed_ms,
        report.memory_mb,
        report.max_memory_mb
    );
    // Writing to a string cannot fail.
    if let Some(init_ms) = report.init_ms {
        let _ = write!(line, "Init Duration: {init_ms:.2} ms\t");
    }
    match report.ending {
        Ending::Success | Ending::HandlerError => {}
        Ending::RuntimeError(kind) => {
            let _ = write!(line, "Status: error\tError Type: {kind}");
        }
        Ending::Timeout => line.push_str("Status: timeout"),
    }
    line.push('\n');
    line
}

fn report_json(report: &Report<'_>, now: Timestamp) -> String {
    let mut metrics = json!({
        "durationMs": rounded(report.duration_ms),
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.max_memory_mb,
    });
    if let Some(init_ms) = report.init_ms {
        metrics["initDurationMs"] = json!(rounded(init_ms));
    }
    let mut record = json!({
        "requestId": report.request_id,
        "metrics": metrics,
        "status": report.ending.status(),
    });
    if let Ending::RuntimeError(kind) = report.ending {
        record["errorType"] = json!(kind);
    }
    platform(now, "platform.report", record)
}

/// `runtime` as the API names it.
pub fn init_start(format: LogFormat, runtime: &str, version: &str, now: Timestamp) -> String {
    let identity = runtime_identity(runtime);
    match format {
        LogFormat::Text => format!("INIT_START Runtime Version: {identity}\t\n"),
        LogFormat::Json => platform(
            now,
            "platform.initStart",
            json!({
                "initializationType": "on-demand",
                "phase": "init",
                "runtimeVersion": identity,
                "functionVersion": version,
            }),
        ),
    }
}

/// Written when the init phase did not end well.
pub fn init_report(format: LogFormat, init_ms: f64, ending: Ending<'_>, now: Timestamp) -> String {
    let status = ending.status();
    match (format, ending) {
        (LogFormat::Text, Ending::RuntimeError(kind)) => format!(
            "INIT_REPORT Init Duration: {init_ms:.2} ms\tPhase: init\tStatus: {status}\tError Type: {kind}\n"
        ),
        (LogFormat::Text, _) => {
            format!("INIT_REPORT Init Duration: {init_ms:.2} ms\tPhase: init\tStatus: {status}\n")
        }
        (LogFormat::Json, _) => {
            let mut record = json!({
                "initializationType": "on-demand",
                "phase": "init",
                "status": status,
                "metrics": {"durationMs": rounded(init_ms)},
            });
            if let Ending::RuntimeError(kind) = ending {
                record["errorType"] = json!(kind);
            }
            platform(now, "platform.initReport", record)
        }
    }
}

/// What Lambda writes where the text format has a line of prose: a timeout, an exit.
pub fn fault(format: LogFormat, text: &str, now: Timestamp) -> String {
    match format {
        LogFormat::Text => text.to_owned(),
        LogFormat::Json => {
            let line = json!({
                "time": millis(now),
                "type": "platform.log",
                "record": text.trim_end(),
            });
            format!("{line}\n")
        }
    }
}

/// `2024-05-01T09:30:00.123Z`
pub fn millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn platform(now: Timestamp, kind: &str, record: serde_json::Value) -> String {
    let line = json!({"time": millis(now), "type": kind, "record": record});
    format!("{line}\n")
}

fn runtime_identity(runtime: &str) -> String {
    for family in ["python", "nodejs", "provided."] {
        if let Some(rest) = runtime.strip_prefix(family) {
            let family = family.trim_end_matches('.');
            return format!("{family}:{}", rest.trim_end_matches(".x"));
        }
    }
    runtime.to_owned()
}

fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ending: Ending<'_>, init_ms: Option<f64>) -> Report<'_> {
        Report {
            request_id: "8f5d2a5e-0000-4000-8000-000000000000",
            duration_ms: 1.234,
            billed_ms: 131,
            memory_mb: 128,
            max_memory_mb: 36,
            init_ms,
            ending,
        }
    }

    #[test]
    fn a_report_reads_as_lambdas() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            report(LogFormat::Text, &sample(Ending::Success, Some(129.5)), now),
            "REPORT RequestId: 8f5d2a5e-0000-4000-8000-000000000000\tDuration: 1.23 ms\t\
             Billed Duration: 131 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\
             Init Duration: 129.50 ms\t\n"
        );
        assert!(
            report(LogFormat::Text, &sample(Ending::Timeout, None), now)
                .ends_with("Max Memory Used: 36 MB\tStatus: timeout\n")
        );
    }

    #[test]
    fn the_json_report_has_the_telemetry_schema() {
        let line = report(
            LogFormat::Json,
            &sample(Ending::RuntimeError("Runtime.ExitError"), None),
            Timestamp::UNIX_EPOCH,
        );
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(line["type"], "platform.report");
        assert_eq!(line["record"]["status"], "error");
        assert_eq!(line["record"]["metrics"]["billedDurationMs"], 131);
    }
}
