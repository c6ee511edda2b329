//! Runs the README's first command as a newcomer would: waits until it has shown everything, tries
//! the commands it suggests, ends it as one ends a server, and looks for anything left behind.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{exec, repo};

/// The demo's heading above the commands it suggests.
const SUGGESTIONS: &str = "try next";
const SUGGESTIONS_COUNT: usize = 3;
/// From the start of the built program to its last line.
const SHOW_TIMEOUT: Duration = Duration::from_secs(180);
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command that follows a log is let run before it is ended.
const FOLLOW_TIME: Duration = Duration::from_secs(3);
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs `command_line`; an error says what a newcomer would have tripped over.
pub fn run(command_line: &str) -> Result<()> {
    let before = Traces::now();
    let mut demo = Demo::start(command_line)?;
    let shown = demo.until_shown();
    let tried = shown.and_then(|suggestions| suggestions.iter().try_for_each(|line| suggest(line)));
    let ended = demo.end();
    tried?;
    ended?;
    before.nothing_new()
}

struct Demo {
    child: Child,
    lines: Receiver<String>,
}

impl Demo {
    fn start(command_line: &str) -> Result<Self> {
        let mut words = command_line.split_whitespace();
        ensure!(
            words.next() == Some("cargo"),
            "`{command_line}` is no cargo command"
        );
        let mut child = exec::cargo()
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{command_line}`"))?;
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                println!("{line}");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Demo { child, lines })
    }

    /// The commands under the demo's last heading.
    fn until_shown(&mut self) -> Result<Vec<String>> {
        let deadline = Instant::now() + SHOW_TIMEOUT;
        let mut suggestions = Suggestions::default();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(found) = suggestions.line(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the demo did not end within {SHOW_TIMEOUT:?}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().context("wait for the demo")?;
                    bail!(
                        "the demo ended with {status} before it had suggested {SUGGESTIONS_COUNT} commands"
                    )
                }
            }
        }
    }

    /// Ends it with SIGTERM, which is to end in success.
    fn end(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("wait for the demo")? {
            bail!("the demo ended with {status} by itself, it is to stay");
        }
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("the demo has no pid")?;
        kill_process(pid, Signal::TERM).context("end the demo")?;
        let Some(status) = wait(&mut self.child, END_TIMEOUT)? else {
            let _ = self.child.kill();
            bail!("the demo was still there {END_TIMEOUT:?} after SIGTERM");
        };
        ensure!(
            status.success(),
            "the demo ended with {status} after SIGTERM"
        );
        Ok(())
    }
}

/// Collects the lines below the heading.
#[derive(Default)]
struct Suggestions {
    begun: bool,
    commands: Vec<String>,
    /// The last of them is not at its end.
    goes_on: bool,
}

impl Suggestions {
    fn line(&mut self, line: &str) -> Option<Vec<String>> {
        let line = line.trim();
        if !self.begun {
            self.begun = line.to_lowercase().contains(SUGGESTIONS);
            return None;
        }
        // Besides commands there are the rule below the heading, and lines that explain one.
        let is_command = !line.is_empty() && !line.starts_with('─') && !line.ends_with(':');
        if is_command {
            self.begin_or_go_on(line);
        }
        let whole = self.commands.len() == SUGGESTIONS_COUNT && !self.goes_on;
        whole.then(|| std::mem::take(&mut self.commands))
    }

    /// A command goes on in the next line after a backslash, as in a shell.
    fn begin_or_go_on(&mut self, line: &str) {
        let (text, goes_on) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        match self.commands.last_mut().filter(|_| self.goes_on) {
            Some(command) => command.push_str(text),
            None => self.commands.push(text.to_owned()),
        }
        self.goes_on = goes_on;
    }
}

/// Runs a suggested command in a shell, as it would be pasted. One that follows a log is ended
/// after a moment.
fn suggest(line: &str) -> Result<()> {
    println!("$ {line}");
    let mut path = vec![
        repo::target().join("venv/bin"),
        repo::target().join("release"),
    ];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let path = std::env::join_paths(path).context("extend the PATH")?;
    let mut command = exec::command("sh");
    // `exec` where one program is run, so that ending the shell ends it.
    let follows = line.contains("--follow");
    command.args([
        "-c",
        &if follows {
            format!("exec {line}")
        } else {
            line.to_owned()
        },
    ]);
    command.env("PATH", path);
    let mut child = command.spawn().with_context(|| format!("start `{line}`"))?;
    let limit = if follows { FOLLOW_TIME } else { TRY_TIMEOUT };
    match wait(&mut child, limit)? {
        Some(status) => ensure!(
            status.success(),
            "the demo suggests `{line}`, which ended with {status}"
        ),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            ensure!(
                follows,
                "the demo suggests `{line}`, which took longer than {limit:?}"
            );
        }
    }
    Ok(())
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("wait for a process")? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What Lambent leaves in the kernel's eyes: processes of its binary, its cgroups and its mounts.
struct Traces(BTreeSet<String>);

impl Traces {
    fn now() -> Self {
        let mut traces = BTreeSet::new();
        processes(&mut traces);
        cgroups(Path::new("/sys/fs/cgroup"), 0, &mut traces);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let ours = mounts.lines().filter(|line| line.contains("/lambent"));
        traces.extend(ours.map(|line| format!("mount {line}")));
        Traces(traces)
    }

    fn nothing_new(&self) -> Result<()> {
        let after = Traces::now();
        let left: Vec<_> = after.0.difference(&self.0).cloned().collect();
        ensure!(left.is_empty(), "the demo left behind: {}", left.join(", "));
        Ok(())
    }
}

fn processes(traces: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.bytes().all(|b| b.is_ascii_digit())
            && let Ok(program) = fs::read_to_string(entry.path().join("comm"))
            && program.starts_with("lambent")
        {
            traces.insert(format!("process {name} ({})", program.trim_end()));
        }
    }
}

fn cgroups(dir: &Path, depth: u32, traces: &mut BTreeSet<String>) {
    /// The deepest group that Lambent makes is well above this.
    const DEPTH_MAX: u32 = 6;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if depth < DEPTH_MAX && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().to_string_lossy().starts_with("lambent") {
                traces.insert(format!("cgroup {}", path.display()));
            }
            cgroups(&path, depth + 1, traces);
        }
    }
}

/// Builds what the demo runs, apart from its run, so that its time is its own.
pub fn build(command_line: &str) -> Result<()> {
    exec::run(&mut build_of(command_line)?)
}

/// `cargo run FLAGS -- ARGS` as `cargo build FLAGS`.
fn build_of(command_line: &str) -> Result<Command> {
    let words: Vec<_> = command_line.split_whitespace().collect();
    let ["cargo", "run", flags @ ..] = words.as_slice() else {
        bail!("`{command_line}` is no `cargo run`");
    };
    let mut command = exec::cargo();
    command
        .arg("build")
        .args(flags.iter().take_while(|word| **word != "--"));
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collects_the_commands_below_the_heading() {
        let mut suggestions = Suggestions::default();
        for line in [
            "curl http://before",
            "  Try next",
            "  ─────",
            "",
            "   call it yourself:",
            "    curl http://127.0.0.1:4566/x \\",
            "      -d @request.json",
            "    target/release/lambent logs resize --follow",
        ] {
            assert_eq!(suggestions.line(line), None);
        }
        let found = suggestions
            .line("    AWS_ENDPOINT_URL=http://127.0.0.1:4566 aws lambda list-functions");
        let expect = [
            "curl http://127.0.0.1:4566/x -d @request.json",
            "target/release/lambent logs resize --follow",
            "AWS_ENDPOINT_URL=http://127.0.0.1:4566 aws lambda list-functions",
        ];
        assert_eq!(found.as_deref(), Some(expect.map(str::to_owned).as_slice()));
    }

    #[test]
    fn builds_what_the_command_runs() {
        let command = build_of("cargo run --release -- demo --fast").expect("it is a cargo run");
        assert_eq!(
            command.get_args().collect::<Vec<_>>(),
            ["build", "--release"]
        );
        assert!(build_of("make demo").is_err());
    }
}
