//! No isolation: a function as a plain process of the platform's own user.
//!
//! For where the kernel allows nothing else and the operator has asked for it in so many words.
//! Functions can read what the platform can read and reach what it can reach; only run your own
//! code this way. Paths differ from Lambda's too: there is no `/var/task`, so the variables that
//! name directories are pointed at the real ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::oneshot,
};

use crate::{
    Backend, Control, Error, Exit, ExitStatus, Guarantees, Launch, Sandbox, SharedLoopback,
    Template, TemplateSpec, pipe::log_pipe, runtimes,
};

pub struct Bare {
    runtime_dir: PathBuf,
    guarantees: Guarantees,
}

impl Bare {
    /// `state_dir` is where the runtime clients are written.
    pub fn new(state_dir: &Path) -> Result<Self, Error> {
        let runtime_dir = state_dir.join("runtime");
        write_clients(&runtime_dir).map_err(|source| Error::System {
            what: format!("write the runtime clients to {}", runtime_dir.display()),
            source,
        })?;
        let missing = [
            "isolation: functions are plain processes of this user; they can read this user's \
             files, the platform's store among them, and reach every port",
            "memory limit, CPU share, process limit, size of /tmp",
            "the end of everything: a process that leaves its function's process group outlives it, \
             and all functions outlive a platform that is killed",
            "network policy",
            "the file system of Lambda (/var/task, /opt): paths in the environment are adapted",
        ];
        let guarantees = Guarantees {
            summary: "no isolation".into(),
            missing: missing.map(str::to_owned).to_vec(),
        };
        Ok(Bare {
            runtime_dir,
            guarantees,
        })
    }
}

fn write_clients(dir: &Path) -> io::Result<()> {
    for (folder, files) in [
        ("python", guest::python::FILES),
        ("node", guest::node::FILES),
    ] {
        let folder = dir.join(folder);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

#[async_trait]
impl Backend for Bare {
    async fn prepare(&self, spec: TemplateSpec) -> Result<Arc<dyn Template>, Error> {
        if matches!(spec.launch, Launch::Image(_)) {
            let what = "a container image needs isolation: its files are the root".into();
            return Err(Error::InvalidEntrypoint(what));
        }
        Ok(Arc::new(Version {
            runtime_dir: self.runtime_dir.clone(),
            spec,
        }))
    }

    fn guarantees(&self) -> &Guarantees {
        &self.guarantees
    }
}

struct Version {
    runtime_dir: PathBuf,
    spec: TemplateSpec,
}

#[async_trait]
impl Template for Version {
    async fn start(&self, env: Vec<(String, String)>) -> Result<Sandbox, Error> {
        let trouble = |what: &str| {
            let what = format!("{what} {}", self.spec.label);
            move |source| Error::System { what, source }
        };
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(trouble("listen for"))?;
        let address = listener.local_addr().map_err(trouble("listen for"))?;
        let (log, log_inside) = log_pipe().map_err(trouble("make a log for"))?;
        let errors = log_inside.try_clone().map_err(trouble("make a log for"))?;
        let mut command = self.command()?;
        command
            .env_clear()
            .envs(self.spec.env.iter().cloned())
            .envs(env)
            .envs(self.directories())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .current_dir(&self.spec.code)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log_inside)
            .stderr(errors);
        let child = command.spawn().map_err(|source| self.explain(source))?;
        // The command holds the log's write ends; the log ends when the function does.
        drop(command);
        let group = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or(0);
        let ended = Arc::new(AtomicBool::new(false));
        let (sender, exit) = oneshot::channel();
        tokio::spawn(wait(child, group, ended.clone(), sender));
        let control = Box::new(Group { group, ended });
        Ok(Sandbox {
            runtime_api: Arc::new(listener),
            platform: None,
            log,
            extension_log: None,
            inward: Arc::new(SharedLoopback),
            exit,
            control,
        })
    }
}

impl Version {
    fn command(&self) -> Result<Command, Error> {
        if runtimes::has_extensions(&self.spec.layers) {
            let text = "external extensions (extensions/ in a layer) need the process jail";
            return Err(Error::InvalidEntrypoint(text.into()));
        }
        let client = |interpreter: &Path, flags: &[&str], path: PathBuf| {
            let mut command = Command::new(interpreter);
            command.args(flags).arg(path);
            command
        };
        match &self.spec.launch {
            // The latter are refused before.
            Launch::Bootstrap | Launch::Image(_) => self.bootstrap().map(Command::new),
            Launch::Python(python) => {
                let main = self.runtime_dir.join("python").join(guest::python::MAIN);
                let flags = runtimes::python_flags(&self.spec);
                Ok(client(&python.path, flags, main))
            }
            Launch::Node(node) => Ok(client(
                &node.path,
                &[],
                self.runtime_dir.join("node").join(guest::node::MAIN),
            )),
        }
    }

    /// The function's own, else the topmost layer's.
    fn bootstrap(&self) -> Result<PathBuf, Error> {
        let places = std::iter::once(&self.spec.code).chain(self.spec.layers.iter().rev());
        let found = places
            .map(|dir| dir.join("bootstrap"))
            .find(|path| path.is_file());
        found.ok_or_else(|| {
            let text = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]";
            Error::InvalidEntrypoint(text.into())
        })
    }

    /// What names Lambda's directories, pointed at the real ones.
    fn directories(&self) -> Vec<(String, String)> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let of_layers = |below: &str| {
            let paths = self
                .spec
                .layers
                .iter()
                .rev()
                .map(|layer| shown(&layer.join(below)));
            paths.collect::<Vec<_>>().join(":")
        };
        let given = |name: &str| {
            let found = self.spec.env.iter().find(|(known, _)| known == name);
            found
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        };
        let joined = |name: &str, more: String| match given(name) {
            Some(value) if more.is_empty() => value.to_owned(),
            Some(value) => format!("{value}:{more}"),
            None => more,
        };
        let mut all = vec![("LAMBDA_TASK_ROOT".into(), shown(&self.spec.code))];
        if !self.spec.layers.is_empty() {
            let python = joined("PYTHONPATH", of_layers("python"));
            let node = joined("NODE_PATH", of_layers("nodejs/node_modules"));
            all.push(("PYTHONPATH".into(), python));
            all.push(("NODE_PATH".into(), node));
        }
        let packages = match &self.spec.launch {
            Launch::Bootstrap | Launch::Image(_) => None,
            Launch::Python(found) => found.packages.as_ref().map(|dir| ("PYTHONPATH", dir)),
            Launch::Node(found) => found.packages.as_ref().map(|dir| ("NODE_PATH", dir)),
        };
        if let Some((name, dir)) = packages {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name.into(), joined(name, String::new())));
            }
            runtimes::add_to_path(&mut all, name, dir);
        }
        all
    }

    fn explain(&self, source: io::Error) -> Error {
        let why = match source.raw_os_error() {
            Some(libc::EACCES) => "permission denied",
            Some(libc::ENOEXEC) => "exec format error",
            Some(libc::ENOENT) => "no such file or directory",
            _ => {
                return Error::System {
                    what: format!("start {}", self.spec.label),
                    source,
                };
            }
        };
        Error::InvalidEntrypoint(format!("fork/exec /var/task/bootstrap: {why}"))
    }
}

async fn wait(mut child: Child, group: i32, ended: Arc<AtomicBool>, exit: oneshot::Sender<Exit>) {
    use std::os::unix::process::ExitStatusExt;
    let status = child.wait().await;
    // What it left behind in its process group; the number is not reused while anything is in it.
    signal(group, libc::SIGKILL);
    ended.store(true, Ordering::Release);
    let status = match status {
        Ok(status) => match status.signal() {
            Some(signal) => ExitStatus::Signal(signal),
            None => ExitStatus::Code(status.code().unwrap_or(0)),
        },
        Err(_) => ExitStatus::Signal(libc::SIGKILL),
    };
    let _ = exit.send(Exit {
        status,
        out_of_memory: false,
    });
}

fn signal(group: i32, signal: i32) {
    if group > 1 {
        // SAFETY: takes numbers only.
        unsafe { libc::killpg(group, signal) };
    }
}

/// The function's process group.
struct Group {
    group: i32,
    ended: Arc<AtomicBool>,
}

impl Group {
    fn signal(&self, number: i32) {
        if !self.ended.load(Ordering::Acquire) {
            signal(self.group, number);
        }
    }
}

impl Control for Group {
    fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    fn init_done(&self) {}

    fn memory_peak_bytes(&self) -> u64 {
        0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
