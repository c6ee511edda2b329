//! The three functions that are measured, each an echo: what one is charged is the platform.
//!
//! The Rust function is this very program under the name `bootstrap`; the Python and Node.js ones
//! are a handler, and beside it, for the floor, the thinnest client of the Runtime API that can be
//! written: the least that any platform must spend on them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::exec;

/// What is sent to each function, and sent back: 1 KB of JSON.
pub fn event() -> String {
    format!("{{\"padding\":\"{}\"}}", "x".repeat(1000))
}

/// An event that keeps its environment for a while, so that the next one needs another.
pub fn holding_event(time: Duration) -> String {
    format!("\"{HOLD}{}\"", time.as_millis())
}

const HOLD: &str = "hold:";

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
                let program = std::env::current_exe().context("find this program")?;
                vec![(
                    "bootstrap",
                    fs::read(program).context("read this program")?,
                    0o755,
                )]
            }
            Function::Python => vec![("index.py", PYTHON_HANDLER.into(), 0o644)],
            Function::Node => vec![("index.js", NODE_HANDLER.into(), 0o644)],
        })
    }

    /// Starts the function's process with nothing around it, against a Runtime API.
    pub fn start_bare(self, runtime_api: &str, dir: &Path) -> Result<Bare> {
        let mut command = match self {
            Function::Rust => Command::new(link_to_this_program(dir)?),
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

/// This program under a bootstrap's name.
pub fn link_to_this_program(dir: &Path) -> Result<PathBuf> {
    let link = dir.join("bootstrap");
    if !link.exists() {
        let program = std::env::current_exe().context("find this program")?;
        std::os::unix::fs::symlink(program, &link).context("link this program")?;
    }
    Ok(link)
}

/// Runs the Rust function where this program was started under a bootstrap's name.
pub fn run_if_bootstrap() {
    let name = std::env::args_os().next().map(PathBuf::from);
    let is_bootstrap = name.is_some_and(|name| name.file_name() == Some("bootstrap".as_ref()));
    if let (true, Ok(runtime_api)) = (is_bootstrap, std::env::var("AWS_LAMBDA_RUNTIME_API")) {
        // The Runtime API being gone is how this process learns that it is no longer wanted.
        let _ = echo(&runtime_api);
        std::process::exit(0);
    }
}

/// Next, response, next, response, on one connection.
fn echo(runtime_api: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect(runtime_api)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let next =
        format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {runtime_api}\r\n\r\n");
    loop {
        writer.write_all(next.as_bytes())?;
        let (id, event) = read_message(&mut reader)?;
        if let Some(time) = held(&event) {
            std::thread::sleep(time);
        }
        let mut response = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {runtime_api}\r\n\
             Content-Length: {}\r\n\r\n",
            event.len()
        )
        .into_bytes();
        response.extend_from_slice(&event);
        writer.write_all(&response)?;
        read_message(&mut reader)?;
    }
}

/// How long an event asks to be kept.
fn held(event: &[u8]) -> Option<Duration> {
    let event = event.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let time = std::str::from_utf8(event.strip_prefix(HOLD.as_bytes())?).ok()?;
    time.parse().ok().map(Duration::from_millis)
}

/// A message's request id, where it has one, and its body.
fn read_message(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
    let (mut id, mut length) = (String::new(), 0);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") {
            id = value.trim().to_owned();
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value
                .trim()
                .parse()
                .map_err(|_| std::io::ErrorKind::InvalidData)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((id, body))
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
    fn reads_a_message() {
        let bytes = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a-1\r\nContent-Length: 2\r\n\r\n{}x";
        let (id, body) = read_message(&mut &bytes[..]).expect("it is whole");
        assert_eq!((id.as_str(), body.as_slice()), ("a-1", &b"{}"[..]));
        assert!(read_message(&mut &b"HTTP/1.1 200 OK\r\n"[..]).is_err());
    }

    #[test]
    fn the_event_is_compact() {
        assert!(event().len() > 1000 && !event().contains(' '));
        assert_eq!(held(event().as_bytes()), None);
        let hold = Duration::from_millis(300);
        assert_eq!(held(holding_event(hold).as_bytes()), Some(hold));
    }
}
