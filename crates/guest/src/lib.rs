//! What runs inside a sandbox, or on the way into one: the jail's inner half, and the runtime
//! clients that managed runtimes find at `/var/runtime`.

pub mod jail;
pub mod supervisor;

/// The socket of a zygote.
pub use jail::helper::SOCKET as ZYGOTE_SOCKET;

/// The Python runtime client.
pub mod python {
    /// Names and contents of its files.
    pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python_files.rs"));
    /// The one to run.
    pub const MAIN: &str = "bootstrap.py";

    /// What a zygote needs beside them.
    pub const ZYGOTE_FILES: &[(&str, &[u8])] = &[
        (ZYGOTE, include_bytes!("zygote.py")),
        (
            "_lambent.abi3.so",
            include_bytes!(concat!(env!("OUT_DIR"), "/_lambent.abi3.so")),
        ),
    ];
    /// The zygote's program. Its argument is the number of its socket.
    pub const ZYGOTE: &str = "zygote.py";
}

/// The Node.js runtime client.
pub mod node {
    /// Names and contents of its files.
    pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/node_files.rs"));
    /// The one to run.
    pub const MAIN: &str = "bootstrap.cjs";
}
