//! A function: files in a folder and a runtime client serving them.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};

use crate::{
    interpreters::Interpreter,
    log::{self, Entry},
    platform::{PATIENCE, Platform, Request},
};

pub const REQUEST_ID: &str = "8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a";
pub const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:under-test";

/// How the client's process comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The interpreter runs the client.
    Plain,
    /// Python: forked from a process that has imported the client.
    Fork,
    /// Node.js: booted, and told its environment later.
    Pool,
}

pub struct Function {
    interpreter: Interpreter,
    start: Start,
    folder: Folder,
    env: Vec<(String, String)>,
}

impl Function {
    pub fn python(interpreter: &Interpreter, start: Start) -> Self {
        Self::new(
            interpreter,
            start,
            &format!("python3.{}", interpreter.minor),
            "app.handler",
        )
    }

    pub fn node(interpreter: &Interpreter, start: Start) -> Self {
        Self::new(
            interpreter,
            start,
            &format!("nodejs{}.x", interpreter.major),
            "index.handler",
        )
    }

    fn new(interpreter: &Interpreter, start: Start, runtime: &str, handler: &str) -> Self {
        let folder = Folder::new();
        let env = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
            ("LAMBENT_LOG_FRAMES", "1"),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("AWS_LAMBDA_FUNCTION_NAME", "under-test"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/under-test"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2024/01/01/[$LATEST]abc"),
            (
                "LAMBDA_TASK_ROOT",
                folder.0.to_str().expect("the folder's name is text"),
            ),
            ("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{runtime}")),
            ("_HANDLER", handler),
        ];
        let env = env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        Self {
            interpreter: interpreter.clone(),
            start,
            folder,
            env,
        }
    }

    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.0.join(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).expect("make a folder");
        fs::write(path, content).expect("write a file");
        self
    }

    pub fn root(&self) -> &Path {
        &self.folder.0
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn handler(self, handler: &str) -> Self {
        self.env("_HANDLER", handler)
    }

    pub fn start(mut self) -> Running {
        let platform = Platform::start();
        let address = platform.address.to_string();
        self.env
            .push(("AWS_LAMBDA_RUNTIME_API".to_owned(), address));
        let (mut reader, writer) = std::io::pipe().expect("make a pipe");
        let mut command = Command::new(&self.interpreter.path);
        command.env_clear().current_dir(&self.folder.0);
        command
            .stdout(writer.try_clone().expect("clone the pipe"))
            .stderr(writer);
        let given = self.prepare(&mut command);
        let mut child = command.spawn().expect("start the interpreter");
        drop(command); // and with it the pipe's other ends
        if let Some(given) = given {
            let mut stdin = child.stdin.take().expect("its stdin is a pipe");
            stdin
                .write_all(given.as_bytes())
                .expect("write to its stdin");
        }
        let log = thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).expect("read its log");
            bytes
        });
        Running {
            child,
            platform,
            log,
            asked: false,
            _folder: self.folder,
        }
    }

    /// Sets the command line; what comes back is to be written to its standard input.
    fn prepare(&self, command: &mut Command) -> Option<String> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR"));
        let env: Map<String, Value> = self
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let given = serde_json::json!({ "env": env }).to_string() + "\n";
        match self.start {
            Start::Plain if self.env.iter().any(|(_, value)| value.contains("nodejs")) => {
                command.arg(clients.join("node/bootstrap.cjs"));
                command.envs(self.env.iter().cloned()).stdin(Stdio::null());
                None
            }
            Start::Plain => {
                command
                    .args(["-I", "-S", "-B"])
                    .arg(clients.join("python/bootstrap.py"));
                command.envs(self.env.iter().cloned()).stdin(Stdio::null());
                None
            }
            Start::Fork => {
                command
                    .args(["-I", "-S", "-B", "-c", ZYGOTE])
                    .arg(clients.join("python"));
                command.stdin(Stdio::piped());
                Some(given)
            }
            Start::Pool => {
                command.arg(clients.join("node/bootstrap.cjs"));
                command.env("LAMBENT_POOL_FD", "0").env("LEFT_BEHIND", "1");
                command.stdin(Stdio::piped());
                Some(given)
            }
        }
    }
}

/// What the sandbox's zygote does, in short.
const ZYGOTE: &str = "
import sys
sys.path.insert(0, sys.argv[1])
import bootstrap
import json, os
given = json.loads(sys.stdin.readline())
child = os.fork()
if child == 0:
    os.environ.clear()
    os.environ.update(given['env'])
    bootstrap.main()
status = os.waitpid(child, 0)[1]
os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
";

pub struct Running {
    pub platform: Platform,
    child: Child,
    log: JoinHandle<Vec<u8>>,
    asked: bool,
    _folder: Folder,
}

#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub log: Vec<Entry>,
}

impl Running {
    /// One whole invocation: the request that ends it has been accepted.
    pub fn invoke(&mut self, event: &str) -> Request {
        self.invoke_with(event.as_bytes(), &[])
    }

    pub fn invoke_with(&mut self, event: &[u8], headers: &[(&str, &str)]) -> Request {
        self.deliver(event, headers);
        let request = self
            .platform
            .request()
            .expect("an answer to the invocation");
        self.platform.accept();
        request
    }

    /// Waits for the question and answers it with an event.
    pub fn deliver(&mut self, event: &[u8], headers: &[(&str, &str)]) {
        self.await_question();
        self.asked = false;
        let deadline = (now() + Duration::from_secs(30)).as_millis().to_string();
        let mut all = vec![
            ("Lambda-Runtime-Aws-Request-Id", REQUEST_ID),
            ("Lambda-Runtime-Invoked-Function-Arn", ARN),
            ("Lambda-Runtime-Deadline-Ms", &deadline),
            ("Content-Type", "application/json"),
        ];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| name == other));
        all.extend_from_slice(headers);
        self.platform.answer("200 OK", &all, event);
    }

    pub fn await_question(&mut self) {
        if !self.asked {
            let request = self
                .platform
                .request()
                .expect("a question for an invocation");
            assert_eq!(
                (request.method.as_str(), request.path.as_str()),
                ("GET", "/2018-06-01/runtime/invocation/next"),
                "{}",
                String::from_utf8_lossy(&request.body),
            );
            self.asked = true;
        }
    }

    /// Hangs up and waits for its end.
    pub fn finish(mut self) -> Ended {
        self.platform.hang_up();
        self.wait()
    }

    /// Waits for an end of its own.
    pub fn wait(mut self) -> Ended {
        let (sender, receiver) = mpsc::channel();
        let id = self.child.id();
        let waiter = thread::spawn(move || {
            let status = self.child.wait().expect("wait for it");
            let _ = sender.send(());
            (status, self.log.join().expect("read its log"))
        });
        if receiver.recv_timeout(PATIENCE).is_err() {
            panic!("process {id} does not end");
        }
        let (status, bytes) = waiter.join().expect("wait for it");
        Ended {
            status,
            log: log::parse(&bytes),
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("kill it");
    }
}

pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
}

/// A folder for a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lambent-guest-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("make a folder");
        Self(path.canonicalize().expect("the folder is there"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
