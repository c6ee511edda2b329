//! How each kind of launch becomes a program and its files.

use std::ffi::CString;

use guest::jail::message::Program;

use crate::{Launch, jailer::message::Runtime};

/// Where the runtime clients lie, as in Lambda.
const RUNTIME_DIR: &str = "/var/runtime";
/// Isolated and without site: no host configuration and no .pth hooks; the client arranges the
/// user's paths itself.
pub const PYTHON_FLAGS: &[&str] = &["-I", "-S"];

/// The files of `/var/runtime`.
pub fn files(runtime: Runtime) -> &'static [(&'static str, &'static [u8])] {
    match runtime {
        Runtime::None => &[],
        Runtime::Python => guest::python::FILES,
        Runtime::Node => guest::node::FILES,
    }
}

pub fn runtime(launch: &Launch) -> Runtime {
    match launch {
        Launch::Bootstrap => Runtime::None,
        Launch::Python(_) => Runtime::Python,
        Launch::Node(_) => Runtime::Node,
    }
}

/// What to execute, in order of preference.
pub fn programs(launch: &Launch, _memory_mb: u32) -> Vec<Program> {
    let program = |words: &[&str]| Program {
        path: string(words[0]),
        arguments: words.iter().map(|word| string(word)).collect(),
    };
    match launch {
        Launch::Bootstrap => vec![
            program(&["/var/task/bootstrap"]),
            program(&["/opt/bootstrap"]),
        ],
        Launch::Python(python) => {
            let client = format!("{RUNTIME_DIR}/{}", guest::python::MAIN);
            let path = python.path.to_string_lossy();
            let words: Vec<&str> = [&[path.as_ref()], PYTHON_FLAGS, &[&client]].concat();
            vec![program(&words)]
        }
        Launch::Node(node) => {
            let client = format!("{RUNTIME_DIR}/{}", guest::node::MAIN);
            vec![program(&[&node.path.to_string_lossy(), &client])]
        }
    }
}

fn string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}
