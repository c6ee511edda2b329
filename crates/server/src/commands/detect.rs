//! What a folder of code is: `function.json` if it has one, else what its files look like.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What a folder says of its function.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Described {
    pub description: Option<String>,
    pub runtime: Option<String>,
    pub handler: Option<String>,
    pub memory_size: Option<u32>,
    pub timeout: Option<u32>,
    pub environment: Option<BTreeMap<String, String>>,
}

/// The language of a folder and what is called in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub language: Language,
    pub handler: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    Node,
    Custom,
}

impl Language {
    /// The language's runtimes, newest first.
    pub fn runtimes(self) -> &'static [&'static str] {
        match self {
            Language::Python => &[
                "python3.13",
                "python3.12",
                "python3.11",
                "python3.14",
                "python3.10",
                "python3.9",
            ],
            Language::Node => &["nodejs24.x", "nodejs22.x", "nodejs20.x", "nodejs18.x"],
            Language::Custom => &["provided.al2023"],
        }
    }
}

pub const DESCRIPTION: &str = "function.json";

pub fn described(folder: &Path) -> Result<Described> {
    let path = folder.join(DESCRIPTION);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Described::default()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Looks for the files that functions begin in.
pub fn found(folder: &Path) -> Result<Found> {
    if folder.join("bootstrap").is_file() {
        return Ok(Found {
            language: Language::Custom,
            handler: "bootstrap".to_owned(),
        });
    }
    for stem in [
        "lambda_function",
        "app",
        "main",
        "index",
        "handler",
        "function",
    ] {
        if let Ok(code) = fs::read_to_string(folder.join(format!("{stem}.py")))
            && let Some(name) = python_handler(&code)
        {
            return Ok(Found {
                language: Language::Python,
                handler: format!("{stem}.{name}"),
            });
        }
    }
    for stem in ["index", "app", "main", "handler"] {
        for extension in ["mjs", "js", "cjs"] {
            if let Ok(code) = fs::read_to_string(folder.join(format!("{stem}.{extension}"))) {
                let name = if code.contains("lambdaHandler") {
                    "lambdaHandler"
                } else {
                    "handler"
                };
                return Ok(Found {
                    language: Language::Node,
                    handler: format!("{stem}.{name}"),
                });
            }
        }
    }
    bail!(
        "{} holds no function that could be recognised: lambda_function.py, app.py, main.py or \
         index.py with a handler, index.mjs or index.js, or an executable bootstrap.\n\
         Say what it is with --runtime and --handler, or in a {DESCRIPTION}.",
        folder.display()
    )
}

/// The function of a Python file that takes the events.
fn python_handler(code: &str) -> Option<&'static str> {
    ["lambda_handler", "handler", "main"]
        .into_iter()
        .find(|name| {
            let defines = |line: &str| {
                let line = line.strip_prefix("async ").unwrap_or(line);
                let rest = line
                    .strip_prefix("def ")
                    .and_then(|rest| rest.strip_prefix(name));
                rest.is_some_and(|rest| rest.trim_start().starts_with('('))
                    || line
                        .strip_prefix(name)
                        .is_some_and(|rest| rest.trim_start().starts_with('='))
            };
            code.lines().any(defines)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_recognised_by_their_files() {
        for (file, code, expect) in [
            (
                "app.py",
                "def lambda_handler(event, context):\n",
                Some((Language::Python, "app.lambda_handler")),
            ),
            (
                "index.py",
                "x = 1\ndef handler (event, context):\n",
                Some((Language::Python, "index.handler")),
            ),
            (
                "main.py",
                "handler = make()\n",
                Some((Language::Python, "main.handler")),
            ),
            ("app.py", "def other():\n  def handler(): pass\n", None),
            (
                "index.mjs",
                "export const handler = async () => 1;",
                Some((Language::Node, "index.handler")),
            ),
            (
                "app.js",
                "exports.lambdaHandler = 1",
                Some((Language::Node, "app.lambdaHandler")),
            ),
            (
                "bootstrap",
                "#!/bin/sh",
                Some((Language::Custom, "bootstrap")),
            ),
            ("readme.txt", "nothing", None),
        ] {
            let folder = tempfile::tempdir().expect("a temporary directory");
            fs::write(folder.path().join(file), code).expect("write a file");
            let expect = expect.map(|(language, handler): (_, &str)| Found {
                language,
                handler: handler.to_owned(),
            });
            assert_eq!(found(folder.path()).ok(), expect, "{file}");
        }
    }

    #[test]
    fn a_description_with_a_mistake_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(
            described(folder.path()).expect("there is none"),
            Described::default()
        );
        fs::write(folder.path().join(DESCRIPTION), r#"{"Memory": 3}"#).expect("write a file");
        assert!(described(folder.path()).is_err());
    }
}
