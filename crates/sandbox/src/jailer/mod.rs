//! The jailer: the one privileged part, in processes of its own.
//!
//! ```text
//!   server ──socket──> keeper      waits for the jailer's end, then removes the control groups
//!                        └ jailer  process 1 of its own pid namespace; one thread
//!                            ├ station (one per function version)
//!                            │   ├ init ┐
//!                            │   └ function …   one environment
//!                            └ …
//! ```
//!
//! The server never forks and holds no privilege that this needs; it starts its own executable
//! with a hidden argument and talks to it over a socket. As an ordinary user the keeper first
//! enters a user namespace in which it is root; everything after that is the same code.
//!
//! Crash safety comes from the shape: when the server is gone the jailer's socket ends and it
//! leaves; when the jailer is gone, the kernel kills everything in its pid namespace, and with the
//! processes go their mounts and network namespaces. Control groups alone outlive processes: the
//! keeper removes them, and if it was killed too, the next start does ([`sweep`]).

mod ids;
mod inject;
mod keeper;
mod lacks;
pub mod message;
mod mounts;
mod root;
mod serve;
mod slot;
mod station;
mod sweep;

use std::{ffi::OsString, io};

/// The hidden first argument; after it come the state directory and, if functions are to reach
/// the platform, its port.
pub const ARGUMENT: &str = "--lambent-jailer";
/// The socket to the server, as the keeper finds it.
const SOCKET: i32 = 0;

/// Where something failed, in words for an operator.
#[derive(Debug)]
struct Trouble(String);

impl Trouble {
    fn new(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Trouble(format!("{}: {}", what.into(), error.into()))
    }
}

trait During<T> {
    /// Says what was being done when it failed.
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Trouble>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Trouble> {
        self.map_err(|error| Trouble::new(what(), error))
    }
}

/// Runs the jailer and ends the process, if that is what this process was started for.
pub fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return;
    }
    let state_dir: OsString = arguments.next().unwrap_or_default();
    let platform_port = arguments
        .next()
        .and_then(|port| port.to_str()?.parse().ok());
    std::process::exit(keeper::run(state_dir.into(), platform_port));
}
