//! The first process of an environment with external extensions: it starts them, starts the runtime
//! when the platform says that all of them have registered, and tells the platform of their ends.
//!
//! It is the platform's own executable, shown in the sandbox and running with a function's rights
//! only. What it says to the platform goes over the Runtime API's listener, below [`PREFIX`]; a
//! function that says such things itself deceives nobody but itself.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use crate::jail::{message::LINE, sys};

/// The hidden first argument; after it come the runtime's program and its arguments, or several
/// such, of which the first that is there is taken.
pub const ARGUMENT: &str = "--lambent-extensions";
/// What stands between them.
pub const OR: &str = "--lambent-or";
/// What its calls to the platform begin with.
pub const PREFIX: &str = "/_lambent/environment/";
/// Where extensions are found.
const EXTENSIONS: &str = "/opt/extensions";
/// What an extension does not learn of its function, as in Lambda.
const HIDDEN: &[&str] = &[
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
];

/// Does its work and ends the process, if that is what this process was started for.
pub fn run_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == ARGUMENT) {
        let words: Vec<OsString> = arguments.collect();
        end(run(&words));
    }
}

/// As the runtime ended, so that whoever sees only this process's end sees the same.
fn end(status: Option<ExitStatus>) -> ! {
    let status = status.unwrap_or_default();
    if let Some(signal) = status.signal() {
        let _ = sys::kill(std::process::id().cast_signed(), signal);
    }
    std::process::exit(status.code().unwrap_or(1));
}

/// Until all are gone; gives how the runtime ended.
fn run(words: &[OsString]) -> Option<ExitStatus> {
    let (sender, ends) = mpsc::channel();
    let found = extensions();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    // Said before any of them can register.
    tell("found", &names.join("\n"));
    let mut running = 0;
    let log = extensions_log();
    for (name, path) in &found {
        match extension(path, log.as_ref()).spawn() {
            Ok(child) => {
                running += 1;
                watch(Watched::Extension(name.clone()), child, &sender);
            }
            Err(error) => {
                tell("failed", &format!("{name}\n{}", why(&error)));
                wait_for_the_end();
            }
        }
    }
    if ask("registered") != 200 {
        wait_for_the_end();
    }
    match runtime(words) {
        Ok(child) => {
            running += 1;
            let gone = Arc::new(AtomicBool::new(false));
            obey(child.id().cast_signed(), gone.clone());
            watch(Watched::Runtime(gone), child, &sender);
        }
        Err(message) => {
            tell("invalid", &message);
            wait_for_the_end();
        }
    }
    let all = ends.iter().take(running);
    all.flatten().last()
}

enum Watched {
    Extension(String),
    /// With what is to say that it has ended.
    Runtime(Arc<AtomicBool>),
}

/// Names and paths of the executables.
fn extensions() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(EXTENSIONS).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let about = fs::metadata(entry.path());
            about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
        })
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path())
        })
        .collect();
    found.sort();
    found
}

/// Where extensions write to, so that what they say is known from what the function says. Not for
/// the runtime, so it does not stay open in what is executed.
fn extensions_log() -> Option<OwnedFd> {
    // SAFETY: only asked whether there is one of this number; nothing has been opened before.
    if unsafe { libc::fcntl(LINE, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return None;
    }
    // SAFETY: it is there, and stays so until the copy is made.
    let log = unsafe { BorrowedFd::borrow_raw(LINE) };
    log.try_clone_to_owned().ok()
}

fn extension(path: &PathBuf, log: Option<&OwnedFd>) -> Command {
    let mut command = Command::new(path);
    command.current_dir("/");
    if let Some(log) = log {
        let copy = || log.as_fd().try_clone_to_owned().map(Stdio::from);
        if let (Ok(output), Ok(errors)) = (copy(), copy()) {
            command.stdout(output).stderr(errors);
        }
    }
    for name in HIDDEN {
        command.env_remove(name);
    }
    command
}

/// The first of the programs that is there.
fn runtime(words: &[OsString]) -> Result<Child, String> {
    let programs: Vec<&[OsString]> = words.split(|word| word == OR).collect();
    for program in &programs {
        let Some((path, arguments)) = program.split_first() else {
            continue;
        };
        let mut command = Command::new(path);
        command.arg0(path).args(arguments);
        match command.spawn() {
            Ok(child) => return Ok(child),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !fs::exists(path).unwrap_or(false) => {}
            Err(error) => {
                return Err(format!(
                    "fork/exec {}: {}",
                    path.to_string_lossy(),
                    why(&error)
                ));
            }
        }
    }
    let tried: Vec<_> = programs
        .iter()
        .filter_map(|program| program.first())
        .map(|path| path.to_string_lossy())
        .collect();
    match tried.as_slice() {
        [one] => Err(format!("fork/exec {one}: no such file or directory")),
        _ => Err(format!(
            "Couldn't find valid bootstrap(s): [{}]",
            tried.join(" ")
        )),
    }
}

fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES) => "permission denied".into(),
        Some(libc::ENOEXEC) => "exec format error".into(),
        Some(libc::ENOENT) => "no such file or directory".into(),
        _ => error.to_string(),
    }
}

/// Tells the platform of its end at once, whatever else is waited for; and the main thread how the
/// runtime has ended.
fn watch(watched: Watched, mut child: Child, ends: &mpsc::Sender<Option<ExitStatus>>) {
    let ends = ends.clone();
    thread::spawn(move || {
        let status = child.wait().unwrap_or_default();
        let end = match watched {
            Watched::Extension(name) => {
                tell("extension", &format!("{name}\n{}", said(status)));
                None
            }
            Watched::Runtime(gone) => {
                gone.store(true, Ordering::SeqCst);
                tell("runtime", &said(status));
                Some(status)
            }
        };
        let _ = ends.send(end);
    });
}

/// Ends the runtime when the platform asks for it: gently, and by force.
fn obey(runtime: i32, gone: Arc<AtomicBool>) {
    thread::spawn(move || {
        for (call, signal) in [("terminate", libc::SIGTERM), ("kill", libc::SIGKILL)] {
            if ask(call) == 200 && !gone.load(Ordering::SeqCst) {
                let _ = sys::kill(runtime, signal);
            }
        }
    });
}

fn said(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("code {}", status.code().unwrap_or(0)),
    }
}

/// There is nothing more to do; the platform ends the environment.
fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}

fn tell(call: &str, text: &str) {
    let _ = request("POST", call, text);
}

/// The status of an answer that may take long; 0 if there is none.
fn ask(call: &str) -> u16 {
    request("GET", call, "").unwrap_or(0)
}

fn request(method: &str, call: &str, body: &str) -> io::Result<u16> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let mut connection = TcpStream::connect(&api)?;
    let length = body.len();
    let request = format!(
        "{method} {PREFIX}{call} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    connection.take(4096).read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(status.unwrap_or(0))
}
