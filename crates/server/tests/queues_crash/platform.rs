//! `lambent up` as a process that is killed and started again on the same data.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tokio::sync::watch;

const READY: &str = "lambent is ready on http://";

pub struct Platform {
    data: PathBuf,
    /// The PostgreSQL to keep messages in, instead of a file in `data`.
    store: Option<String>,
    process: Option<Child>,
    /// Where it is reached; none while it is not.
    address: watch::Sender<Option<SocketAddr>>,
}

impl Platform {
    pub fn new(data: PathBuf, store: Option<String>) -> Self {
        Self {
            data,
            store,
            process: None,
            address: watch::Sender::new(None),
        }
    }

    pub fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.subscribe()
    }

    /// Returns when it takes requests.
    pub fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lambent"));
        command
            .args(["up", "--listen", "127.0.0.1:0", "--isolation", "none"])
            .args(["--log", "error", "--data"])
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LAMBENT_")) {
            command.env_remove(name);
        }
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        let mut process = command.spawn().expect("start lambent");
        let output = BufReader::new(process.stdout.take().expect("it was piped"));
        self.process = Some(process);
        let mut lines = output.lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once(READY)?.1.trim().parse().ok());
        let address = address.expect("lambent says where it is ready");
        // What it prints later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        self.address.send_replace(Some(address));
    }

    pub fn kill(&mut self) {
        self.address.send_replace(None);
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill lambent");
            process.wait().expect("it is dead");
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.kill();
    }
}
