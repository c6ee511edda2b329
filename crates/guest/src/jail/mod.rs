//! What runs between the server and a function's first instruction: the station of a function
//! version, the init of an environment, and the way into the jail.
//!
//! Two programs are made of this: the spawner, in the server's own binary, and the extension that
//! a Python zygote loads. Hence no dependency, and system calls made by hand.

pub mod entry;
pub mod exec;
pub mod fork;
#[cfg(target_arch = "x86_64")]
pub mod ghost;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_ghost.rs"]
pub mod ghost;
pub mod helper;
pub mod init;
pub mod landlock;
pub mod message;
mod numbers;
pub mod process;
#[cfg(target_arch = "x86_64")]
pub mod restore;
#[cfg(target_arch = "x86_64")]
pub mod script;
pub mod station;
pub mod sys;
#[cfg(target_arch = "x86_64")]
pub mod trace;
