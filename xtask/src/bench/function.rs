//! The three functions that are measured, each an echo: what one is charged is the platform.
//!
//! The Rust function is `benches/echo`; the Python and Node.js ones are a handler, and beside it, for the floor, the thinnest client of the Runtime API that can be
//! written: the least that any platform must spend on them.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{exec, repo};

/// What is sent to each function, and sent back: 1 KB of JSON.
pub fn event() -> String {
    format!("{{\"padding\":\"{}\"}}", "x".repeat(1000))
}

/// An event that keeps its environment for a while, so that the next one needs another.
pub fn holding_event(time: Duration) -> String {
    format!("\"{HOLD}{}\"", time.as_millis())
}

/// An event whose answer the Rust function streams: a piece, and after a while the rest.
pub fn streaming_event(hold: Duration) -> String {
    format!("\"{STREAM}{}\"", hold.as_millis())
}

const HOLD: &str = "hold:";
const STREAM: &str = "stream:";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Rust,
    Python,
    Node,
}

impl Function {
    pub const ALL: [Function; 3] = [Function::Rust, Function::Python, Function::Node];

    pub fn name(self) -> &'static str {
        match self {
            Function::Rust => "Rust",
            Function::Python => "Python",
            Function::Node => "Node.js",
        }
    }

    /// The runtime's name and the handler's, as CreateFunction takes them.
    pub fn runtime(self) -> Result<(String, &'static str)> {
        Ok(match self {
            Function::Rust => ("provided.al2023".to_owned(), "bootstrap"),
            Function::Python => {
                let print = "import sys; print('python%d.%d' % sys.version_info[:2])";
                (
                    exec::output(exec::command("python3").args(["-c", print]))?
                        .trim()
                        .into(),
                    "index.handler",
                )
            }
            Function::Node => {
                let version = exec::output(exec::command("node").arg("--version"))?;
                let major = version
                    .trim()
                    .trim_start_matches('v')
                    .split('.')
                    .next()
                    .unwrap_or("");
                (format!("nodejs{major}.x"), "index.handler")
            }
        })
    }

    /// The code package's files: name, content, mode.
    pub fn files(self) -> Result<Vec<(&'static str, Vec<u8>, u32)>> {
        Ok(match self {
            Function::Rust => {
                let program = fs::read(rust_program()).context("read the Rust function")?;
                vec![("bootstrap", program, 0o755)]
            }
            Function::Python => vec![("index.py", PYTHON_HANDLER.into(), 0o644)],
            Function::Node => vec![("index.js", NODE_HANDLER.into(), 0o644)],
        })
    }

    /// Starts the function's process with nothing around it, against a Runtime API.
    pub fn start_bare(self, runtime_api: &str) -> Result<Bare> {
        let mut command = match self {
            Function::Rust => Command::new(rust_program()),
            Function::Python => with_script("python3", "-c", PYTHON_CLIENT),
            Function::Node => with_script("node", "-e", NODE_CLIENT),
        };
        command
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .stdin(Stdio::null());
        command
            .spawn()
            .map(Bare)
            .with_context(|| format!("start the {} function", self.name()))
    }
}

/// A function's process; dropping it ends it.
pub struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_script(program: &str, flag: &str, script: &str) -> Command {
    let mut command = Command::new(program);
    command.args([flag, script]);
    command
}

/// Builds the Rust function, statically linked, and says where it is.
pub fn build_rust() -> Result<PathBuf> {
    exec::run(exec::cargo().args([
        "rustc",
        "--quiet",
        "--release",
        "--package",
        "bench-echo",
        "--",
        "-C",
        "target-feature=+crt-static",
    ]))?;
    Ok(rust_program())
}

fn rust_program() -> PathBuf {
    repo::target().join("release/bench-echo")
}

const PYTHON_HANDLER: &str = r#"
import time
def handler(event, context):
    if isinstance(event, str) and event.startswith("hold:"):
        time.sleep(int(event[5:]) / 1000)
    return event
"#;

const NODE_HANDLER: &str = r#"
exports.handler = async (event) => {
  if (typeof event === "string" && event.startsWith("hold:"))
    await new Promise((done) => setTimeout(done, +event.slice(5)));
  return event;
};
"#;

const PYTHON_CLIENT: &str = r#"
import json, os, socket
def handler(event, context):
    return event
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
api = socket.create_connection((host, int(port)))
api.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
base = "/2018-06-01/runtime/invocation/"
ask = f"GET {base}next HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
kept = b""
def message():
    global kept
    while b"\r\n\r\n" not in kept:
        more = api.recv(65536)
        if not more:
            os._exit(0)
        kept += more
    head, _, kept = kept.partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    length = int(headers.get(b"content-length", 0))
    while len(kept) < length:
        kept += api.recv(65536)
    body, kept = kept[:length], kept[length:]
    return headers.get(b"lambda-runtime-aws-request-id", b"").decode(), body
while True:
    api.sendall(ask)
    request_id, event = message()
    answer = json.dumps(handler(json.loads(event), None)).encode()
    head = f"POST {base}{request_id}/response HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(answer)}\r\n\r\n"
    api.sendall(head.encode() + answer)
    message()
"#;

const NODE_CLIENT: &str = r#"
const handler = async (event) => event;
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const base = "/2018-06-01/runtime/invocation/";
const api = require("net").connect({ host, port: +port, noDelay: true });
let kept = Buffer.alloc(0), arrived = null;
const ask = () => api.write(`GET ${base}next HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const message = () => {
  const end = kept.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const head = kept.toString("latin1", 0, end);
  const length = +(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  if (kept.length < end + 4 + length) return null;
  const body = kept.subarray(end + 4, end + 4 + length);
  kept = kept.subarray(end + 4 + length);
  return { id: /aws-request-id: *(\S+)/i.exec(head)?.[1], body };
};
api.on("data", async (more) => {
  kept = Buffer.concat([kept, more]);
  for (let got; (got = message()); ) {
    if (!got.id) { ask(); continue; }
    const answer = JSON.stringify(await handler(JSON.parse(got.body)));
    api.write(`POST ${base}${got.id}/response HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${Buffer.byteLength(answer)}\r\n\r\n${answer}`);
  }
});
api.on("close", () => process.exit(0));
api.on("error", () => process.exit(0));
ask();
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_compact() {
        assert!(event().len() > 1000 && !event().contains(' '));
        let hold = Duration::from_millis(300);
        assert_eq!(holding_event(hold), "\"hold:300\"");
    }
}
