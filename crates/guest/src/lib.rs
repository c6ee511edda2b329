//! What runs inside a sandbox, or on the way into one: the jail's inner half, and the runtime
//! clients that managed runtimes find at `/var/runtime`.

pub mod jail;

/// The Python runtime client.
pub mod python {
    /// Names and contents of its files.
    pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python_files.rs"));
    /// The one to run.
    pub const MAIN: &str = "bootstrap.py";
}

/// The Node.js runtime client.
pub mod node {
    /// Names and contents of its files.
    pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/node_files.rs"));
    /// The one to run.
    pub const MAIN: &str = "bootstrap.cjs";
}
