//! What the source and the tests say of operations, found by how they are written: rustfmt and the
//! clients' own naming leave no choice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::codegen::snake;

/// The methods of each service's trait that are implemented.
#[derive(Default)]
pub struct Implementations(BTreeSet<(String, String)>);

impl Implementations {
    pub fn read(dir: &Path) -> Result<Self> {
        let mut found = Self::default();
        for path in files(dir, "rs")? {
            if path
                .iter()
                .any(|part| part.to_string_lossy().contains("test"))
            {
                continue;
            }
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.add(&text);
        }
        Ok(found)
    }

    /// Whether a trait has a method of its own for an operation.
    pub fn has(&self, service: &str, operation: &str) -> bool {
        self.0.contains(&(service.to_owned(), snake(operation)))
    }

    fn add(&mut self, text: &str) {
        let mut within = None;
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("impl ") {
                within = head.split_once(" for ").map(|(name, _)| plain(name));
            } else if line == "}" {
                within = None;
            } else if let (Some(service), Some(method)) = (&within, method(line)) {
                self.0.insert((service.clone(), method.to_owned()));
            }
        }
    }
}

/// `api::SQS` and `SQS` are the same trait, and `LambdaStreams` is a part of Lambda.
fn plain(name: &str) -> String {
    let name = name.rsplit("::").next().unwrap_or(name);
    name.strip_suffix("Streams").unwrap_or(name).to_owned()
}

/// The name of a method that begins on this line of an `impl`.
fn method(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("    async fn ")?;
    rest.split(['(', '<']).next()
}

/// Which test files call which operations.
#[derive(Default)]
pub struct Calls(BTreeMap<String, String>);

impl Calls {
    pub fn read(dir: &Path) -> Result<Self> {
        let mut calls = Self::default();
        for path in files(dir, "py")? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with("test_") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                calls.0.insert(name, text);
            }
        }
        Ok(calls)
    }

    /// The names of the files, after `test_`, that call an operation by boto3, a paginator, the aws CLI or the JavaScript SDK.
    pub fn of(&self, operation: &str) -> Vec<&str> {
        let snake = snake(operation);
        let written = [
            format!(".{snake}("),
            format!("\"{snake}\""),
            format!("\"{}\"", snake.replace('_', "-")),
            format!("{operation}Command"),
        ];
        let calls = |text: &str| written.iter().any(|call| text.contains(call.as_str()));
        let with = self.0.iter().filter(|(_, text)| calls(text));
        with.map(|(name, _)| name.as_str()).collect()
    }
}

/// All files of a kind below a folder, in order.
fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|given| given == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Implementations, method};

    #[test]
    fn methods_of_a_trait_are_found() {
        let mut found = Implementations::default();
        found.add(
            "impl api::SQS for Queues {\n    async fn send_message(\n    }\n}\n    async fn no(\n",
        );
        assert!(found.has("SQS", "SendMessage"));
        assert!(!found.has("SQS", "No"));
        found.add("impl LambdaStreams for Functions {\n    async fn invoke_so(\n    }\n}\n");
        assert!(found.has("Lambda", "InvokeSo"));
    }

    #[test]
    fn only_methods_begin_with_async_fn_at_that_depth() {
        assert_eq!(
            method("    async fn list_queues<T>(&self)"),
            Some("list_queues")
        );
        assert_eq!(method("        async fn inner("), None);
    }
}
