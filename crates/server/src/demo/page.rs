//! What the demo looks like: within 80 columns, calm, every figure with its unit.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};
use serde_json::Value;

use super::{Latency, caller::Reply, examples::Example};
use crate::args::Isolation;
use crate::commands::{
    deploy::Deployed,
    logs::toned,
    style::{self, Align},
};

/// Prints a line. When nobody reads on, the demo ends as if it had been asked to.
macro_rules! say {
    ($($text:tt)*) => {
        if style::line(format_args!($($text)*)).is_err() {
            let _ = kill_process(getpid(), Signal::TERM);
        }
    };
}

const COLUMNS: usize = 80;
/// Of one line of a log.
const LOG_LINE_PIECES_MAX: usize = 3;
/// Of an answer.
const LINES_MAX: usize = 12;

pub fn opening(address: SocketAddr, took: Duration, isolation: Isolation) {
    say!("");
    say!(
        "  {}  {}",
        style::bold("lambent"),
        style::dim("an AWS Lambda that you own")
    );
    say!("");
    say!(
        "  Ready on {} after {}, in a fresh directory.",
        style::accent(&format!("http://{address}")),
        time(took)
    );
    match isolation {
        Isolation::Jail => say!("  Every environment of a function is a jail of its own."),
        Isolation::None => say!(
            "  {}",
            style::bad("No isolation: functions have your rights.")
        ),
    }
}

/// What this machine cannot enforce, each thing with its reason, those with the same one together.
pub fn missing(missing: &[String]) {
    for (reason, what) in by_reason(missing) {
        say!("");
        let text = format!("Not enforced here: {}", what.join(", "));
        for line in wrapped(&text, COLUMNS - 4).iter().map(|line| line.trim()) {
            say!("  {line}");
        }
        for line in wrapped(reason, COLUMNS - 6).iter().map(|line| line.trim()) {
            say!("    {}", style::dim(line));
        }
    }
}

/// The guarantees are written `what: why`.
fn by_reason(missing: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for text in missing {
        let (what, reason) = text.split_once(": ").unwrap_or((text, ""));
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, all)) => all.push(what),
            None => groups.push((reason, vec![what])),
        }
    }
    groups
}

pub fn heading(name: &str, what: &str) {
    say!("");
    say!("  {}  {}", style::bold(name), style::dim(what));
    say!("  {}", style::dim(&"─".repeat(COLUMNS - 4)));
}

/// Says what takes a while, on a terminal, until [`compiled`].
pub fn compiling(name: &str) {
    if std::io::stdout().is_terminal() {
        print!("  {} {name:<18}being compiled", style::dim("…"));
        let _ = std::io::stdout().flush();
    }
}

pub fn compiled() {
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[K");
    }
}

pub fn deployed(example: &Example, deployed: &Deployed) {
    let name = &example.function.name;
    let size = style::bytes(example.function.zip.len() as u64);
    let (runtime, took) = (&deployed.runtime, time(deployed.took));
    say!(
        "  {} {name:<18}{runtime:<18}{size:>10}   ready after {took}",
        style::good("✓")
    );
    // As far to the left as it can be: it is as long as a line.
    say!("  {}", style::dim(&deployed.url));
}

pub fn left_out(name: &str, why: &str) {
    say!("  {} {name:<18}left out: {why}", style::bad("–"));
}

pub fn answer(example: &Example, reply: &Reply, took: Duration) {
    let status = reply.status.as_u16().to_string();
    let status = match reply.status.is_success() {
        true => style::good(&status),
        false => style::bad(&status),
    };
    say!(
        "  POST {}  {status}  {}",
        style::bold(&example.function.name),
        time(took)
    );
    for line in pretty(&reply.body) {
        say!("    {line}");
    }
}

pub fn gap() {
    say!("");
}

pub fn latencies(names: &[&str], latencies: &[Latency]) {
    let rows: Vec<_> = names
        .iter()
        .zip(latencies)
        .map(|(name, latency)| vec![(*name).to_owned(), time(latency.cold), time(latency.warm)])
        .collect();
    let heading = [
        ("FUNCTION", Align::Left),
        ("COLD", Align::Right),
        ("WARM, MEDIAN", Align::Right),
    ];
    say!("{}", indented(&style::table(&heading, &rows)));
}

pub fn log(lines: &[String]) {
    for line in lines {
        let line = line.replace('\t', "  ");
        let mut pieces = wrapped(line.trim_end(), COLUMNS - 4);
        if pieces.len() > LOG_LINE_PIECES_MAX {
            pieces.truncate(LOG_LINE_PIECES_MAX);
            pieces.push(style::dim("    …"));
        }
        for piece in pieces.iter().map(|piece| piece.trim_end()) {
            say!(
                "  {}",
                match line.starts_with("REPORT") {
                    true => piece.to_owned(),
                    false => toned(piece),
                }
            );
        }
    }
}

pub fn burst(asked: usize, good: usize, environments: usize, took: Duration) {
    say!(
        "  {asked} requests at once: {good} answered in {}",
        time(took)
    );
    scaled(
        environments,
        "environments",
        &style::good(&bar("▪", environments)),
    );
}

pub fn frozen(environments: usize, after: Duration) {
    let what = format!("frozen {} later", time(after));
    scaled(environments, &what, &style::accent(&bar("▫", environments)));
}

pub fn zero(after: Duration) {
    scaled(0, &format!("left {} later", time(after)), "");
}

fn scaled(environments: usize, what: &str, bar: &str) {
    let line = format!("  {environments:>4} {what:<21}{bar}");
    say!("{}", line.trim_end());
}

/// One for each environment, as far as the line goes.
fn bar(one: &str, environments: usize) -> String {
    one.repeat(environments.min(COLUMNS - 29))
}

/// As they are to be pasted, with nothing before them.
pub fn next(address: SocketAddr, example: &Example, url: &str) {
    let name = &example.function.name;
    let id = url
        .trim_start_matches("http://")
        .split('.')
        .next()
        .unwrap_or_default();
    let request = shortest(&example.folder.join("request.json"));
    let program = program();
    let endpoint = match address.port() {
        4566 => String::new(),
        _ => format!("AWS_ENDPOINT_URL=http://{address} "),
    };
    heading(
        "Try next",
        "in another terminal; the platform stays until you press Ctrl-C",
    );
    say!("  curl -s http://{address}/_lambent/url/{id}/ \\");
    say!("    -d @{request}");
    say!("  {endpoint}{program} logs {name}");
    say!("  {endpoint}{program} usage");
    say!("");
    say!("  A function of your own:");
    say!("  {endpoint}{program} deploy DIR");
    say!("");
}

pub fn bill(bill: &str) {
    say!("{}", indented(bill));
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("  {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// JSON as one reads it, cut to what a screen can bear.
fn pretty(body: &[u8]) -> Vec<String> {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let mut lines: Vec<_> = text.lines().map(|line| cut(line, COLUMNS - 6)).collect();
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(style::dim(&format!("… {more} more lines")));
    }
    lines
}

fn cut(line: &str, columns: usize) -> String {
    match line.chars().count() > columns {
        true => line.chars().take(columns - 1).chain(['…']).collect(),
        false => line.to_owned(),
    }
}

/// Broken between words; a word that is longer than the line stays whole.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty()
            && lines[last].chars().count() + 1 + word.chars().count() > columns
        {
            lines.push(format!("    {word}"));
            continue;
        }
        if !lines[last].is_empty() {
            lines[last].push(' ');
        }
        lines[last].push_str(word);
    }
    lines
}

fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        0.0..10.0 => format!("{ms:.2} ms"),
        10.0..1_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// How this program is called from here.
fn program() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).any(|folder| folder.join("lambent").is_file());
    match std::env::current_exe() {
        Ok(own) if !installed => shortest(&own),
        _ => "lambent".to_owned(),
    }
}

/// A path as it is shortest from here.
fn shortest(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("ab cd ef", 5), ["ab cd", "    ef"]);
        assert_eq!(wrapped("abcdefgh", 5), ["abcdefgh"]);
        assert_eq!(cut("abcdef", 4), "abc…");
    }

    #[test]
    fn what_is_missing_for_one_reason_is_told_once() {
        let missing = ["a: why", "b: other", "c: why", "d"].map(str::to_owned);
        let expect = [
            ("why", vec!["a", "c"]),
            ("other", vec!["b"]),
            ("", vec!["d"]),
        ];
        assert_eq!(by_reason(&missing), expect);
    }

    #[test]
    fn times_have_as_many_digits_as_they_deserve() {
        for (us, expect) in [(420, "0.42 ms"), (12_345, "12 ms"), (2_500_000, "2.5 s")] {
            assert_eq!(time(Duration::from_micros(us)), expect);
        }
    }
}
