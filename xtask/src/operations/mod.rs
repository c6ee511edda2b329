//! docs/operations.md: which operations of AWS's models work, which tests call each, and what
//! differs from AWS. Made from the models, from the source (an operation works if the service's
//! trait has a method for it) and from the tests; only the differences are written by hand, in
//! `models/<service>.notes.json`. Part of `cargo xtask codegen`, so that CI finds a page that is not
//! true any more.

mod source;

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use source::{Calls, Implementations};

/// The models, and the traits that `codegen` makes of them.
const SERVICES: &[(&str, &str)] = &[
    ("lambda", "Lambda"),
    ("sqs", "SQS"),
    ("s3", "S3"),
    ("events", "EventBridge"),
    ("scheduler", "Scheduler"),
    ("pipes", "Pipes"),
    ("sns", "SNS"),
    ("logs", "CloudWatchLogs"),
    ("cloudwatch", "CloudWatch"),
    ("sts", "STS"),
];

const HEAD: &str = "\
# Operations

Which operations of AWS's models this platform has. The page is made by `cargo xtask codegen` from the models, the code and
the tests; CI refuses one that is not up to date. An operation that is not there answers `NotImplemented` (501) with its name. Tests
are the files `test_*.py` of `tests/e2e` that call the operation by an unmodified client; tests in the process stand beside the code.
";

/// The page as it should be.
pub fn page(root: &Path) -> Result<String> {
    let implementations = Implementations::read(&root.join("crates/platform/src"))?;
    let calls = Calls::read(&root.join("tests/e2e"))?;
    let mut page = HEAD.to_owned();
    for (model, implemented) in SERVICES {
        let operations = operations(root, model)?;
        let notes = Notes::read(root, model, &operations)?;
        let works = |name: &str| implementations.has(implemented, name);
        let there = operations.iter().filter(|name| works(name)).count();
        let title = &notes.title;
        let _ = write!(
            page,
            "\n## {title}\n\n{there} of {} operations work.\n\n",
            operations.len()
        );
        if let Some(general) = &notes.general {
            let _ = write!(page, "{general}\n\n");
        }
        page.push_str("| operation | | tests | differs from AWS |\n|---|---|---|---|\n");
        for name in &operations {
            let state = if works(name) { "works" } else { "not there" };
            let tests = calls.of(name).join(" ");
            let note = notes.of.get(name).map_or("", String::as_str);
            let _ = writeln!(page, "| {name} | {state} | {tests} | {note} |");
        }
    }
    Ok(page)
}

fn operations(root: &Path, model: &str) -> Result<Vec<String>> {
    let model = read(&root.join(format!("models/{model}.json")))?;
    let operations = model["operations"].as_object().context("no operations")?;
    let mut names: Vec<String> = operations.keys().cloned().collect();
    names.sort();
    Ok(names)
}

/// What somebody wrote about a service's operations.
struct Notes {
    title: String,
    general: Option<String>,
    of: BTreeMap<String, String>,
}

impl Notes {
    fn read(root: &Path, model: &str, operations: &[String]) -> Result<Self> {
        let path = root.join(format!("models/{model}.notes.json"));
        let notes = read(&path)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let of: BTreeMap<String, String> = notes["operations"]
            .as_object()
            .context("no notes on operations")?
            .iter()
            .filter_map(|(name, note)| Some((name.clone(), text(note)?)))
            .collect();
        if let Some(unknown) = of.keys().find(|name| !operations.contains(name)) {
            bail!(
                "{} has a note on {unknown}, which the model does not have",
                path.display()
            );
        }
        Ok(Self {
            title: text(&notes["title"]).context("no title")?,
            general: text(&notes["general"]),
            of,
        })
    }
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}
