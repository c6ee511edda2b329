//! What a folder of code is: `function.json` if it has one, else what its files look like.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

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
         index.py with a handler, index.mjs or index.js, or an executable bootstrap.\n{}",
        folder.display(),
        advice(folder)
    )
}

/// What somebody with such a folder may want to hear.
fn advice(folder: &Path) -> String {
    for (file, build) in [
        ("Cargo.toml", "cargo build --release"),
        ("go.mod", "CGO_ENABLED=0 go build -o bootstrap"),
    ] {
        if folder.join(file).is_file() {
            return format!(
                "It has a {file}: build it (`{build}`) and deploy a folder that holds the program \
                 under the name bootstrap."
            );
        }
    }
    format!("Say what it is with --runtime and --handler, or in a {DESCRIPTION}.")
}

/// A custom runtime is one program under a name that is always the same.
pub fn check(folder: &Path, runtimes: &[String]) -> Result<()> {
    if !runtimes.iter().any(|name| name.starts_with("provided")) {
        return Ok(());
    }
    let path = folder.join("bootstrap");
    match fs::metadata(&path) {
        Ok(file) if !file.is_file() => bail!("{} is no file", path.display()),
        Ok(file) if file.permissions().mode() & 0o111 == 0 => bail!(
            "{0} is not executable; `chmod +x {0}` makes it so",
            path.display()
        ),
        Ok(_) => Ok(()),
        Err(_) => bail!(
            "there is no {}: the program that a custom runtime starts",
            path.display()
        ),
    }
}

/// Dependencies that a folder names and does not hold: a function finds nothing but its folder.
pub fn missing(folder: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if has_lines(&folder.join("requirements.txt")) && !has_installed(folder) {
        missing.push(format!(
            "{0}/requirements.txt names packages that are not in the folder; \
             `pip install -r {0}/requirements.txt -t {0}` puts them there",
            folder.display()
        ));
    }
    if names_dependencies(&folder.join("package.json")) && !folder.join("node_modules").is_dir() {
        missing.push(format!(
            "{0}/package.json names packages that are not in the folder; \
             `npm install --omit=dev --prefix {0}` puts them there",
            folder.display()
        ));
    }
    missing
}

fn has_lines(requirements: &Path) -> bool {
    let text = fs::read_to_string(requirements).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What pip has put beside the code says so.
fn has_installed(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().ends_with(".dist-info"))
}

fn names_dependencies(package: &Path) -> bool {
    let text = fs::read_to_string(package).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let named = package["dependencies"].as_object();
    named.is_some_and(|named| !named.is_empty())
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
    fn a_custom_runtime_needs_a_program() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("bootstrap");
        let said = |runtime: &str| match check(folder.path(), &[runtime.to_owned()]) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said("python3.13"), "");
        assert!(said("provided.al2023").contains("there is no"));
        fs::write(&path, "#!/bin/sh").expect("write a file");
        assert!(said("provided.al2").contains("chmod +x"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
        assert_eq!(said("provided.al2"), "");
    }

    #[test]
    fn what_a_folder_names_and_does_not_hold_is_told() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("write a file");
        };
        write("requirements.txt", "# none\n\n");
        write("package.json", r#"{"type": "module", "dependencies": {}}"#);
        assert_eq!(missing(folder.path()), Vec::<String>::new());
        write("requirements.txt", "requests==2.0\n");
        write("package.json", r#"{"dependencies": {"left-pad": "1"}}"#);
        let said = missing(folder.path());
        assert!(said[0].contains("pip install") && said[1].contains("npm install"));
        for installed in ["node_modules", "requests-2.0.dist-info"] {
            fs::create_dir(folder.path().join(installed)).expect("make a folder");
        }
        assert_eq!(missing(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn projects_that_have_to_be_built_are_told_so() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let said = || found(folder.path()).expect_err("no function").to_string();
        assert!(said().contains("--handler"));
        fs::write(folder.path().join("Cargo.toml"), "").expect("write a file");
        assert!(said().contains("cargo build"));
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
