//! Metrics in Prometheus's text format. Labels are from fixed sets: no function's or caller's name
//! ever becomes one, so the number of series does not grow.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use http::StatusCode;
use platform::Platform;

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

    pub fn print(&self, _platform: &Platform) -> String {
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
        page.0
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
