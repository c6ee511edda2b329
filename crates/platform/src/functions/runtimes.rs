//! Which of Lambda's runtimes run here, and on which interpreter.
//!
//! A runtime is a name of Lambda's API. Those of Python and Node.js need an interpreter of just
//! their version, found on the host or named in the configuration; the provided ones need none.
//! Everything else that Lambda runs is known by name and refused in so many words.

use std::{collections::BTreeMap, path::PathBuf};

use sandbox::{Interpreter, Launch};

use super::{
    discovery::{self, Host},
    installed::Installed,
};

/// What a runtime needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    Nothing,
    /// Python 3 with this minor version.
    Python(u32),
    /// Node.js of this major version.
    Node(u32),
}

const SUPPORTED: &[(&str, Needs)] = &[
    ("nodejs18.x", Needs::Node(18)),
    ("nodejs20.x", Needs::Node(20)),
    ("nodejs22.x", Needs::Node(22)),
    ("nodejs24.x", Needs::Node(24)),
    ("provided.al2", Needs::Nothing),
    ("provided.al2023", Needs::Nothing),
    ("python3.10", Needs::Python(10)),
    ("python3.11", Needs::Python(11)),
    ("python3.12", Needs::Python(12)),
    ("python3.13", Needs::Python(13)),
    ("python3.14", Needs::Python(14)),
    ("python3.9", Needs::Python(9)),
];

/// What Lambda's message lists, in the order in which it lists it.
const LISTED: &str = "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, \
     nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, \
     python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, \
     java8.al2";

/// What Lambda itself makes no functions with any more.
const RETIRED: &[&str] = &[
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "go1.x",
    "java8",
    "nodejs",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "nodejs8.10",
    "provided",
    "python2.7",
    "python3.6",
    "python3.7",
    "ruby2.5",
    "ruby2.7",
];

/// Refuses what no layer can be said to be for; the text is Lambda's.
pub fn check_compatible(asked: &[String]) -> Result<(), String> {
    let listed: Vec<&str> = LISTED.split(", ").collect();
    let known = |name: &String| listed.contains(&name.as_str()) || RETIRED.contains(&name.as_str());
    if asked.iter().all(known) {
        return Ok(());
    }
    let all = [RETIRED, &listed].concat().join(", ");
    Err(format!(
        "1 validation error detected: Value '[{}]' at 'compatibleRuntimes' failed to satisfy \
         constraint: Member must satisfy constraint: [Member must satisfy enum value set: [{all}]]",
        asked.join(", ")
    ))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    #[error(
        "Value {0} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: \
         [{LISTED}] or be a valid ARN"
    )]
    Unknown(String),
    #[error(
        "The runtime parameter of {0} is no longer supported for creating or updating AWS Lambda \
         functions. We recommend you use a supported runtime while creating or updating functions."
    )]
    Retired(String),
    #[error(
        "The runtime {0} is not supported by this platform yet. It runs python3.9 to python3.14, \
         nodejs18.x to nodejs24.x, provided.al2 and provided.al2023."
    )]
    NotHere(String),
    #[error("There is no interpreter for the runtime {runtime} on this machine: {told}")]
    NoInterpreter { runtime: String, told: String },
}

/// The table: each runtime that can run here, or why it cannot.
#[derive(Debug, Clone)]
pub struct Runtimes {
    launches: BTreeMap<&'static str, Result<Launch, String>>,
}

/// What is configured by hand, by the runtime's name, e.g. `python3.14` on `/opt/py/bin/python3`.
pub type Configured = BTreeMap<String, PathBuf>;

/// Directories of packages that all functions of a language find behind their own, as Lambda's
/// runtimes have boto3 and the SDK for JavaScript.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    pub python: Option<PathBuf>,
    /// A `node_modules`.
    pub node: Option<PathBuf>,
}

impl Runtimes {
    /// Looks for the interpreters, once, at start: those configured, then those installed below
    /// the data directory, then those of the host.
    pub async fn discover(
        configured: &Configured,
        packages: &Packages,
        installed: &Installed,
    ) -> Self {
        for name in configured.keys() {
            if !SUPPORTED.iter().any(|(known, _)| known == name) {
                tracing::warn!(
                    runtime = name,
                    "an interpreter is configured for no runtime"
                );
            }
        }
        let host = Host::of_this_machine();
        let named = SUPPORTED.iter().filter_map(|(name, needs)| {
            let path = configured.get(*name).cloned();
            let path = path.or_else(|| installed.interpreter(name, *needs))?;
            Some(((*name).to_owned(), path))
        });
        let found = discovery::interpreters(&host, SUPPORTED, &named.collect()).await;
        let launches = SUPPORTED.iter().map(|(name, needs)| {
            let interpreter = || match found.get(name) {
                Some(found) => found.clone(),
                None => Err("nothing was looked for".to_owned()),
            };
            let launch = match needs {
                Needs::Nothing => Ok(Launch::Bootstrap),
                Needs::Python(_) => interpreter()
                    .map(|found| with(found, &packages.python, installed.packages(name, *needs)))
                    .map(Launch::Python),
                Needs::Node(_) => interpreter()
                    .map(|found| with(found, &packages.node, installed.packages(name, *needs)))
                    .map(Launch::Node),
            };
            (*name, launch)
        });
        Self {
            launches: launches.collect(),
        }
    }

    /// A table made by hand: provided runtimes, and those of the given interpreters.
    pub fn of(interpreters: &[(&'static str, Interpreter)]) -> Self {
        let launches = SUPPORTED.iter().map(|(name, needs)| {
            let given = interpreters.iter().find(|(given, _)| given == name);
            let given = given.map(|(_, interpreter)| interpreter.clone());
            let launch = match (needs, given) {
                (Needs::Nothing, _) => Ok(Launch::Bootstrap),
                (Needs::Python(_), Some(given)) => Ok(Launch::Python(given)),
                (Needs::Node(_), Some(given)) => Ok(Launch::Node(given)),
                (_, None) => Err("none was given".to_owned()),
            };
            (*name, launch)
        });
        Self {
            launches: launches.collect(),
        }
    }

    /// How a runtime's functions are started.
    pub fn launch(&self, runtime: &str) -> Result<Launch, RuntimeError> {
        match self.launches.get(runtime) {
            Some(Ok(launch)) => Ok(launch.clone()),
            Some(Err(told)) => Err(RuntimeError::NoInterpreter {
                runtime: runtime.to_owned(),
                told: told.clone(),
            }),
            None if RETIRED.contains(&runtime) => Err(RuntimeError::Retired(runtime.to_owned())),
            None if LISTED.split(", ").any(|listed| listed == runtime) => {
                Err(RuntimeError::NotHere(runtime.to_owned()))
            }
            None => Err(RuntimeError::Unknown(runtime.to_owned())),
        }
    }

    /// Each runtime with how it is started or what keeps it from running, for the operator.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, Result<&Launch, &str>)> {
        let launches = self.launches.iter();
        launches.map(|(name, launch)| (*name, launch.as_ref().map_err(String::as_str)))
    }

    /// What a runtime needs, if it is one that can run here.
    pub fn needs(runtime: &str) -> Option<Needs> {
        let found = SUPPORTED.iter().find(|(name, _)| *name == runtime)?;
        Some(found.1)
    }
}

/// With the packages that are configured, else with those installed.
fn with(
    found: Interpreter,
    configured: &Option<PathBuf>,
    installed: Option<PathBuf>,
) -> Interpreter {
    Interpreter {
        packages: configured.clone().or(installed),
        ..found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_that_do_not_run_here_are_refused_each_for_its_reason() {
        let runtimes = Runtimes::of(&[]);
        assert_eq!(runtimes.launch("provided.al2"), Ok(Launch::Bootstrap));
        let refused = |name: &str| runtimes.launch(name).unwrap_err().to_string();
        assert!(refused("PYTHON3.9").starts_with(
            "Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum \
             value set: [nodejs20.x, python3.14, provided.al2023, python3.12, "
        ));
        assert!(refused("PYTHON3.9").ends_with("provided.al2, java8.al2] or be a valid ARN"));
        assert!(refused("java8").starts_with("The runtime parameter of java8 is no longer"));
        assert!(refused("java21").contains("not supported by this platform yet"));
        assert!(refused("python3.12").contains("python3.12 on this machine"));
    }
}
