//! The lines that Lambda itself writes into a function's log, in its text and its JSON format.
//!
//! Formats: AWS, "Lambda log formats" and "Telemetry API event schema"; checked against recorded
//! logs. With the JSON format a line has a level, and `SystemLogLevel` leaves out what is below;
//! the levels are those of AWS, "Log-level filtering", system log level event mapping.

use serde_json::{Value, json};
use wire::{Timestamp, lambda::function_arn};

use super::{Definition, LogFormat, LogLevel, environment::Initialization};

/// One line. Those of the text format are never left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub level: LogLevel,
    pub text: String,
}

/// What a REPORT line says.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    pub request_id: &'a str,
    pub duration_ms: f64,
    pub billed_ms: u64,
    pub memory_mb: u32,
    pub max_memory_mb: u64,
    /// Of the first request of an environment.
    pub began: Option<Began>,
    /// The size of the answer; nothing where the function gave none.
    pub produced_bytes: usize,
    pub ending: Ending<'a>,
}

/// How the environment came to be that a request was the first of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Began {
    Init { ms: f64 },
    Restore { ms: f64, billed_ms: u64 },
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

/// When an init ran: before the request that waits for it, or again as a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Init,
    Invoke,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

impl Ending<'_> {
    fn status(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::HandlerError | Self::RuntimeError(_) => "error",
            Self::Timeout => "timeout",
        }
    }

    /// The level of what tells of it.
    fn level(self, success: LogLevel) -> LogLevel {
        match self {
            Self::Success => success,
            _ => LogLevel::Warn,
        }
    }

    /// `status` and `errorType`.
    fn mark(self, record: &mut Value) {
        record["status"] = json!(self.status());
        if let Self::RuntimeError(kind) = self {
            record["errorType"] = json!(kind);
        }
    }

    /// The same at the end of a line of text.
    fn suffix(self) -> String {
        match self {
            Self::Success | Self::HandlerError => String::new(),
            Self::RuntimeError(kind) => format!("Status: error\tError Type: {kind}"),
            Self::Timeout => "Status: timeout".to_owned(),
        }
    }
}

/// `INIT_START`
pub fn init_start(
    format: LogFormat,
    definition: &Definition,
    initialization: Initialization,
    now: Timestamp,
) -> Line {
    let identity = runtime_identity(&definition.runtime);
    match format {
        LogFormat::Text => text(format!("INIT_START Runtime Version: {identity}\t\n")),
        LogFormat::Json => platform(
            LogLevel::Info,
            now,
            "platform.initStart",
            json!({
                "initializationType": initialization.as_str(),
                "phase": Phase::Init.as_str(),
                "runtimeVersion": identity,
                "functionName": definition.key.name,
                "functionVersion": &*definition.version,
            }),
        ),
    }
}

/// `RESTORE_START`
pub fn restore_start(format: LogFormat, definition: &Definition, now: Timestamp) -> Line {
    let identity = runtime_identity(&definition.runtime);
    match format {
        LogFormat::Text => text(format!("RESTORE_START Runtime Version: {identity}\t\n")),
        LogFormat::Json => platform(
            LogLevel::Info,
            now,
            "platform.restoreStart",
            json!({
                "runtimeVersion": identity,
                "functionName": definition.key.name,
                "functionVersion": &*definition.version,
            }),
        ),
    }
}

/// `RESTORE_REPORT`
pub fn restore_report(
    format: LogFormat,
    restore_ms: f64,
    ending: Ending<'_>,
    now: Timestamp,
) -> Vec<Line> {
    match format {
        LogFormat::Text => vec![text(format!(
            "RESTORE_REPORT Restore Duration: {restore_ms:.2} ms\t{}\n",
            ending.suffix()
        ))],
        LogFormat::Json => {
            let level = ending.level(LogLevel::Debug);
            let mut done = json!({});
            ending.mark(&mut done);
            let mut report = done.clone();
            report["metrics"] = json!({"durationMs": rounded(restore_ms)});
            vec![
                platform(level, now, "platform.restoreRuntimeDone", done),
                platform(level, now, "platform.restoreReport", report),
            ]
        }
    }
}

/// `INIT_REPORT`: in the text format only of an init that did not end well, or whose snapshot is what
/// environments begin from.
pub fn init_report(
    format: LogFormat,
    initialization: Initialization,
    phase: Phase,
    init_ms: f64,
    ending: Ending<'_>,
    now: Timestamp,
) -> Vec<Line> {
    let phase = phase.as_str();
    let of_a_request = initialization != Initialization::SnapStart;
    match (format, ending) {
        (LogFormat::Text, Ending::Success) if of_a_request => Vec::new(),
        (LogFormat::Text, _) => vec![text(format!(
            "INIT_REPORT Init Duration: {init_ms:.2} ms\tPhase: {phase}\t{}\n",
            ending.suffix()
        ))],
        (LogFormat::Json, _) => {
            let level = ending.level(LogLevel::Debug);
            let mut done = json!({"initializationType": initialization.as_str(), "phase": phase});
            ending.mark(&mut done);
            let mut report = done.clone();
            report["metrics"] = json!({"durationMs": rounded(init_ms)});
            vec![
                platform(level, now, "platform.initRuntimeDone", done),
                platform(level, now, "platform.initReport", report),
            ]
        }
    }
}

/// `START`
pub fn start(format: LogFormat, definition: &Definition, request_id: &str, now: Timestamp) -> Line {
    let (key, version) = (&definition.key, &definition.version);
    match format {
        LogFormat::Text => text(format!(
            "START RequestId: {request_id} Version: {version}\n"
        )),
        LogFormat::Json => platform(
            LogLevel::Info,
            now,
            "platform.start",
            json!({
                "requestId": request_id,
                "functionArn": function_arn(&key.region, &key.account_id, &key.name, None),
                "version": &**version,
            }),
        ),
    }
}

/// `EXTENSION`, at the end of an init
pub fn extension(format: LogFormat, name: &str, events: &[&str], now: Timestamp) -> Line {
    match format {
        LogFormat::Text => text(format!(
            "EXTENSION\tName: {name}\tState: Ready\tEvents: [{}]\n",
            events.join(", ")
        )),
        LogFormat::Json => platform(
            LogLevel::Info,
            now,
            "platform.extension",
            json!({"name": name, "state": "Ready", "events": events}),
        ),
    }
}

/// What Lambda says in prose of a timeout or an exit.
pub fn fault(format: LogFormat, said: &str, now: Timestamp) -> Line {
    match format {
        LogFormat::Text => text(said.to_owned()),
        LogFormat::Json => platform(
            LogLevel::Warn,
            now,
            "platform.fault",
            json!(said.trim_end()),
        ),
    }
}

/// `END`
pub fn end(format: LogFormat, report: &Report<'_>, now: Timestamp) -> Line {
    let Report {
        request_id, ending, ..
    } = *report;
    match format {
        LogFormat::Text => text(format!("END RequestId: {request_id}\n")),
        LogFormat::Json => {
            let mut record = json!({"requestId": request_id});
            ending.mark(&mut record);
            record["metrics"] = json!({
                "durationMs": rounded(report.duration_ms),
                "producedBytes": report.produced_bytes,
            });
            let level = ending.level(LogLevel::Debug);
            platform(level, now, "platform.runtimeDone", record)
        }
    }
}

/// `REPORT`
pub fn report(format: LogFormat, report: &Report<'_>, now: Timestamp) -> Line {
    match format {
        LogFormat::Text => text(report_text(report)),
        LogFormat::Json => {
            let level = report.ending.level(LogLevel::Info);
            platform(level, now, "platform.report", report_json(report))
        }
    }
}

fn report_text(report: &Report<'_>) -> String {
    let began = report.began.map(|began| match began {
        Began::Init { ms } => format!("Init Duration: {ms:.2} ms\t"),
        Began::Restore { ms, billed_ms } => {
            format!("Restore Duration: {ms:.2} ms\tBilled Restore Duration: {billed_ms} ms\t")
        }
    });
    format!(
        "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t{}{}\n",
        report.request_id,
        report.duration_ms,
        report.billed_ms,
        report.memory_mb,
        report.max_memory_mb,
        began.unwrap_or_default(),
        report.ending.suffix()
    )
}

fn report_json(report: &Report<'_>) -> Value {
    let mut metrics = json!({
        "durationMs": rounded(report.duration_ms),
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.max_memory_mb,
    });
    match report.began {
        None => {}
        Some(Began::Init { ms }) => metrics["initDurationMs"] = json!(rounded(ms)),
        Some(Began::Restore { ms, billed_ms }) => {
            metrics["restoreDurationMs"] = json!(rounded(ms));
            metrics["billedRestoreDurationMs"] = json!(billed_ms);
        }
    }
    let mut record = json!({"requestId": report.request_id, "metrics": metrics});
    report.ending.mark(&mut record);
    record
}

/// `2024-05-01T09:30:00.123Z`
pub fn millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn text(text: String) -> Line {
    let level = LogLevel::Info;
    Line { level, text }
}

fn platform(level: LogLevel, now: Timestamp, kind: &str, record: Value) -> Line {
    let line = json!({"time": millis(now), "type": kind, "record": record});
    Line {
        level,
        text: format!("{line}\n"),
    }
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

    fn sample(ending: Ending<'_>, began: Option<Began>) -> Report<'_> {
        Report {
            request_id: "8f5d2a5e-0000-4000-8000-000000000000",
            duration_ms: 1.234,
            billed_ms: 131,
            memory_mb: 128,
            max_memory_mb: 36,
            began,
            produced_bytes: 4,
            ending,
        }
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_snapshots_init_is_reported_in_text_and_so_are_restores() {
        let snap = Initialization::SnapStart;
        let init = init_report(
            LogFormat::Text,
            snap,
            Phase::Init,
            12.3,
            Ending::Success,
            NOW,
        );
        assert_eq!(
            init[0].text,
            "INIT_REPORT Init Duration: 12.30 ms\tPhase: init\t\n"
        );
        let restore = restore_report(LogFormat::Text, 1.0, Ending::Timeout, NOW);
        assert_eq!(
            restore[0].text,
            "RESTORE_REPORT Restore Duration: 1.00 ms\tStatus: timeout\n"
        );
        let restore = restore_report(LogFormat::Json, 1.0, Ending::Success, NOW);
        assert_eq!(restore.len(), 2);
        assert!(restore[1].text.contains("platform.restoreReport"));
    }

    #[test]
    fn a_report_reads_as_lambdas() {
        assert_eq!(
            report(
                LogFormat::Text,
                &sample(Ending::Success, Some(Began::Init { ms: 129.5 })),
                NOW
            )
            .text,
            "REPORT RequestId: 8f5d2a5e-0000-4000-8000-000000000000\tDuration: 1.23 ms\t\
             Billed Duration: 131 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\
             Init Duration: 129.50 ms\t\n"
        );
        let restored = Began::Restore {
            ms: 3.4,
            billed_ms: 3,
        };
        assert!(
            report(
                LogFormat::Text,
                &sample(Ending::Success, Some(restored)),
                NOW
            )
            .text
            .ends_with("\tRestore Duration: 3.40 ms\tBilled Restore Duration: 3 ms\t\n")
        );
        assert!(
            report(LogFormat::Text, &sample(Ending::Timeout, None), NOW)
                .text
                .ends_with("Max Memory Used: 36 MB\tStatus: timeout\n")
        );
    }

    #[test]
    fn the_json_report_has_the_telemetry_schema() {
        let ending = Ending::RuntimeError("Runtime.ExitError");
        let line = report(LogFormat::Json, &sample(ending, None), NOW);
        let line: Value = serde_json::from_str(&line.text).unwrap();
        assert_eq!(line["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(line["type"], "platform.report");
        assert_eq!(line["record"]["status"], "error");
        assert_eq!(line["record"]["errorType"], "Runtime.ExitError");
        assert_eq!(line["record"]["metrics"]["billedDurationMs"], 131);
    }

    #[test]
    fn an_init_is_reported_in_text_where_it_did_not_end_well() {
        let check = |phase, ending, expected: &[&str]| {
            let lines = init_report(
                LogFormat::Text,
                Initialization::OnDemand,
                phase,
                0.27,
                ending,
                NOW,
            );
            let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(lines, expected);
        };
        check(Phase::Init, Ending::Success, &[]);
        check(
            Phase::Init,
            Ending::RuntimeError("Runtime.InvalidEntrypoint"),
            &[
                "INIT_REPORT Init Duration: 0.27 ms\tPhase: init\tStatus: error\tError Type: Runtime.InvalidEntrypoint\n",
            ],
        );
        check(
            Phase::Invoke,
            Ending::Timeout,
            &["INIT_REPORT Init Duration: 0.27 ms\tPhase: invoke\tStatus: timeout\n"],
        );
    }

    #[test]
    fn the_levels_are_lambdas() {
        use LogLevel::{Debug, Info, Warn};
        let levels = |ending| {
            let sample = sample(ending, None);
            let init = init_report(
                LogFormat::Json,
                Initialization::OnDemand,
                Phase::Init,
                1.0,
                ending,
                NOW,
            );
            let done = end(LogFormat::Json, &sample, NOW);
            let report = report(LogFormat::Json, &sample, NOW);
            [init[0].level, init[1].level, done.level, report.level]
        };
        assert_eq!(levels(Ending::Success), [Debug, Debug, Debug, Info]);
        assert_eq!(levels(Ending::HandlerError), [Warn; 4]);
        assert_eq!(levels(Ending::Timeout), [Warn; 4]);
    }
}
