//! Metrics in Prometheus's text format. Labels are from fixed sets, so that the number of series does
//! not grow; only how functions scale is told by function, of those that started most environments.

mod deliveries;

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use http::StatusCode;
use platform::{
    Platform,
    functions::execution::{EnvironmentState, Scaling},
};

/// Functions with series of their own.
const FUNCTIONS_MAX: usize = 500;
const KINDS: [&str; 3] = ["api", "url", "admin"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the server itself counts.
#[derive(Debug, Default)]
pub struct Metrics {
    answered: [[AtomicU64; CLASSES.len()]; KINDS.len()],
}

impl Metrics {
    pub fn answered(&self, kind: &str, status: StatusCode) {
        let kind = KINDS.iter().position(|k| *k == kind);
        let class = usize::from(status.as_u16() / 100).checked_sub(1);
        if let Some(counter) = kind
            .zip(class)
            .and_then(|(kind, class)| self.answered.get(kind)?.get(class))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn print(&self, platform: &Platform) -> String {
        let mut page = Page::default();
        page.family(
            "lambent_requests_total",
            "counter",
            "HTTP requests answered",
        );
        for (kind, classes) in KINDS.iter().zip(&self.answered) {
            for (class, count) in CLASSES.iter().zip(classes) {
                let labels = format!("kind=\"{kind}\",status=\"{class}\"");
                page.sample(
                    "lambent_requests_total",
                    &labels,
                    count.load(Ordering::Relaxed) as f64,
                );
            }
        }
        invocations(&mut page, platform);
        environments(&mut page, platform);
        scaling(&mut page, platform);
        queues(&mut page, platform);
        kept_metrics(&mut page, platform);
        events(&mut page, platform);
        deliveries::print(&mut page, platform);
        mappings(&mut page, platform);
        background(&mut page, platform);
        store(&mut page, platform);
        process(&mut page);
        page.0
    }
}

fn invocations(page: &mut Page, platform: &Platform) {
    let name = "lambent_invocations_total";
    let counts = platform.invocations();
    page.family(name, "counter", "Invocations by how they ended");
    for (outcome, count) in [
        ("success", &counts.succeeded),
        ("function_error", &counts.failed),
        ("throttled", &counts.throttled),
        ("refused", &counts.refused),
    ] {
        let labels = format!("outcome=\"{outcome}\"");
        page.sample(name, &labels, count.load(Ordering::Relaxed) as f64);
    }
}

fn environments(page: &mut Page, platform: &Platform) {
    let name = "lambent_environments";
    let all = platform.execution().environments();
    page.family(
        name,
        "gauge",
        "Execution environments by what they are doing",
    );
    for (label, state) in [
        ("busy", EnvironmentState::Busy),
        ("idle", EnvironmentState::Idle),
        ("frozen", EnvironmentState::Frozen),
    ] {
        let count = all.iter().filter(|view| view.state == state).count();
        page.sample(name, &format!("state=\"{label}\""), count as f64);
    }
}

/// How functions scale, each by itself: of [`FUNCTIONS_MAX`] of them.
fn scaling(page: &mut Page, platform: &Platform) {
    let mut all = platform.execution().scaling();
    all.sort_by(|(one, a), (other, b)| {
        let most = b.environments_started.cmp(&a.environments_started);
        most.then_with(|| one.cmp(other))
    });
    all.truncate(FUNCTIONS_MAX);
    let mut family = |name, kind, help, value: fn(&Scaling) -> f64| {
        page.family(name, kind, help);
        for (key, scaling) in &all {
            let labels = format!(
                "account=\"{}\",region=\"{}\",function=\"{}\"",
                key.account_id, key.region, key.name
            );
            page.sample(name, &labels, value(scaling));
        }
    };
    family(
        "lambent_function_concurrency",
        "gauge",
        "Requests that run now",
        |scaling| scaling.busy.into(),
    );
    family(
        "lambent_function_environments_started_total",
        "counter",
        "Environments started on demand",
        |scaling| scaling.environments_started as f64,
    );
    family(
        "lambent_function_throttles_total",
        "counter",
        "Requests refused for a limit of the function or its account",
        |scaling| scaling.throttles as f64,
    );
}

/// SQS's metrics, of all queues together.
fn kept_metrics(page: &mut Page, platform: &Platform) {
    let metrics = platform.metrics();
    let name = "lambent_metric_series";
    page.family(name, "gauge", "Series that CloudWatch keeps");
    page.sample(name, "", metrics.series_count() as f64);
    let name = "lambent_metric_data_dropped_total";
    let help = "Data of metrics in logs that came faster than they could be written";
    page.family(name, "counter", help);
    page.sample(name, "", metrics.dropped() as f64);
}

fn queues(page: &mut Page, platform: &Platform) {
    let all = platform.queues().all();
    page.family("lambent_queues", "gauge", "Queues");
    page.sample("lambent_queues", "", all.len() as f64);
    let counts: Vec<_> = all.iter().map(|queue| queue.counts()).collect();
    let name = "lambent_queue_messages";
    page.family(name, "gauge", "Messages in queues by state");
    for (state, count) in [
        ("visible", counts.iter().map(|c| c.visible).sum::<u64>()),
        ("in_flight", counts.iter().map(|c| c.in_flight).sum()),
        ("delayed", counts.iter().map(|c| c.delayed).sum()),
    ] {
        page.sample(name, &format!("state=\"{state}\""), count as f64);
    }
    let totals = platform.queues().totals();
    let name = "lambent_queue_messages_total";
    page.family(name, "counter", "Messages by what happened to them");
    for (event, count) in [
        ("sent", &totals.sent),
        ("received", &totals.received),
        ("deleted", &totals.deleted),
        ("dead_lettered", &totals.dead_lettered),
        ("expired", &totals.expired),
    ] {
        let labels = format!("event=\"{event}\"");
        page.sample(name, &labels, count.load(Ordering::Relaxed) as f64);
    }
    let name = "lambent_queue_empty_receives_total";
    page.family(name, "counter", "Receives that found no message");
    let count = totals.empty_receives.load(Ordering::Relaxed);
    page.sample(name, "", count as f64);
}

/// Lambda's metrics of asynchronous invocation, of all functions together.
fn events(page: &mut Page, platform: &Platform) {
    let waiting = platform.events().waiting();
    let name = "lambent_async_events";
    page.family(name, "gauge", "Asynchronous events by state");
    for (state, count) in [
        ("waiting", waiting.ready),
        ("running", waiting.running),
        ("delayed", waiting.delayed),
    ] {
        page.sample(name, &format!("state=\"{state}\""), count as f64);
    }
    let counts = platform.events().counts();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let name = "lambent_async_events_received_total";
    page.family(name, "counter", "Asynchronous events accepted");
    page.sample(name, "", load(&counts.received));
    let name = "lambent_async_event_tries_total";
    page.family(name, "counter", "Tries with asynchronous events");
    for (outcome, counter) in [
        ("run", &counts.runs),
        ("function_error", &counts.failed_runs),
        ("refused", &counts.refused),
    ] {
        page.sample(name, &format!("outcome=\"{outcome}\""), load(counter));
    }
    let name = "lambent_async_events_succeeded_total";
    page.family(name, "counter", "Asynchronous events that succeeded");
    page.sample(name, "", load(&counts.succeeded));
    let name = "lambent_async_events_dropped_total";
    page.family(name, "counter", "Asynchronous events given up, by why");
    for (cause, counter) in [
        ("retries_exhausted", &counts.dropped.retries_exhausted),
        ("age_exceeded", &counts.dropped.age_exceeded),
        ("recursive", &counts.dropped.recursive),
        (
            "zero_reserved_concurrency",
            &counts.dropped.zero_reserved_concurrency,
        ),
        ("deleted", &counts.dropped.deleted),
    ] {
        page.sample(name, &format!("cause=\"{cause}\""), load(counter));
    }
    let name = "lambent_async_event_ends_told_total";
    page.family(
        name,
        "counter",
        "Records and dead letters of asynchronous events by what became of them",
    );
    for (labels, counter) in [
        (
            "to=\"destination\",outcome=\"sent\"",
            &counts.destination_sent,
        ),
        (
            "to=\"destination\",outcome=\"error\"",
            &counts.destination_errors,
        ),
        (
            "to=\"dead_letter\",outcome=\"sent\"",
            &counts.dead_letter_sent,
        ),
        (
            "to=\"dead_letter\",outcome=\"error\"",
            &counts.dead_letter_errors,
        ),
    ] {
        page.sample(name, labels, load(counter));
    }
    let name = "lambent_async_event_age_seconds_total";
    page.family(
        name,
        "counter",
        "How old asynchronous events were when they were tried, all together",
    );
    page.sample(name, "", load(&counts.age_ms) / 1000.0);
}

/// Lambda's event source mapping metrics, of all mappings together.
fn mappings(page: &mut Page, platform: &Platform) {
    let view = platform.mappings().view();
    let name = "lambent_event_source_mappings";
    page.family(name, "gauge", "Event source mappings by state");
    for (state, count) in view.by_state {
        page.sample(name, &format!("state=\"{state}\""), count as f64);
    }
    let counts = &view.counts;
    let name = "lambent_event_source_mapping_events_total";
    page.family(
        name,
        "counter",
        "Events of event source mappings by what became of them",
    );
    for (event, count) in [
        ("polled", &counts.polled),
        ("filtered_out", &counts.filtered_out),
        ("invoked", &counts.invoked),
        ("failed_invoke", &counts.failed_invoke),
        ("deleted", &counts.deleted),
        ("recursive", &counts.recursive),
    ] {
        let labels = format!("event=\"{event}\"");
        page.sample(name, &labels, count.load(Ordering::Relaxed) as f64);
    }
    let name = "lambent_event_source_mapping_batches_total";
    page.family(
        name,
        "counter",
        "Batches of event source mappings by how they ended",
    );
    for (outcome, count) in [
        ("success", &counts.batches.succeeded),
        ("partial", &counts.batches.partial),
        ("failure", &counts.batches.failed),
        ("refused", &counts.batches.refused),
        ("released", &counts.batches.released),
    ] {
        let labels = format!("outcome=\"{outcome}\"");
        page.sample(name, &labels, count.load(Ordering::Relaxed) as f64);
    }
    let name = "lambent_event_source_mapping_concurrency";
    page.family(name, "gauge", "Batches that are with functions");
    page.sample(name, "", counts.concurrent.load(Ordering::Relaxed) as f64);
}

fn background(page: &mut Page, platform: &Platform) {
    let name = "lambent_background_passes_total";
    page.family(
        name,
        "counter",
        "Passes of background work by task and how they ended",
    );
    for task in platform.background().tasks() {
        let succeeded = task.passes.saturating_sub(task.failures);
        for (outcome, count) in [("success", succeeded), ("failure", task.failures)] {
            let labels = format!("task=\"{}\",outcome=\"{outcome}\"", task.name);
            page.sample(name, &labels, count as f64);
        }
    }
}

fn store(page: &mut Page, platform: &Platform) {
    let stats = platform.store().stats();
    for (name, help, value) in [
        (
            "lambent_store_commits_total",
            "Transactions of the database",
            stats.commits,
        ),
        (
            "lambent_store_writes_total",
            "Changes that share those transactions",
            stats.writes,
        ),
        (
            "lambent_store_reads_total",
            "Reads of the store",
            stats.reads,
        ),
    ] {
        page.family(name, "counter", help);
        page.sample(name, "", value as f64);
    }
}

/// Of the server's own process; nothing where the kernel does not say.
fn process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<f64>().ok()
    });
    if let Some(kilobytes) = resident {
        let name = "process_resident_memory_bytes";
        page.family(name, "gauge", "Resident memory of the server");
        page.sample(name, "", kilobytes * 1024.0);
    }
}

/// A page being written.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}
