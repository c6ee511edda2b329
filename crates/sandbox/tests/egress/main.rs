//! The outbound network, end to end, in network namespaces that this program makes for itself:
//! a world with servers, the platform's host, and environments. Nothing outside of them is
//! touched. Everything runs three times: as root with a TUN device, as root with a packet socket,
//! and as an ordinary user in a user namespace with whatever that user gets. Started by an ordinary
//! user, only the last can be had, and it says so.
//!
//! A harness of its own, because namespaces are entered by threads and a user namespace only by a
//! process with one thread. Arguments are parts of test names; `--measure` prints figures instead.

/// A list of cases by their functions' names.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

mod cases;
mod hostile;
mod lab;
mod measure;
#[path = "../../src/egress/netlink.rs"]
#[allow(dead_code)]
mod netlink;
mod world;

use std::{panic, process::ExitCode};

use lab::{Lab, Setup};

pub type Case = (&'static str, fn(&Lab));

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let measure = args.iter().any(|arg| arg == "--measure");
    let wanted: Vec<String> = args
        .into_iter()
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let mut failed = false;
    for setup in Setup::to_run() {
        // One process each, forked while there is one thread.
        failed |= !lab::in_child(|| match setup.enter() {
            Err(error) => {
                println!("test egress::{} ... FAILED\n{error}", setup.name());
                false
            }
            Ok(()) if measure => {
                measure::run(&Lab::new(setup));
                true
            }
            Ok(()) => run_cases(setup, &wanted),
        });
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn run_cases(setup: Setup, wanted: &[String]) -> bool {
    let lab = Lab::new(setup);
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases::ALL.iter().chain(hostile::ALL) {
        let name = format!("egress::{}::{name}", setup.name());
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
            continue;
        }
        let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| case(&lab)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word}");
        if outcome.is_ok() {
            passed += 1
        } else {
            failed += 1
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured\n");
    failed == 0
}
