//! The counts of tests that ran, read from what cargo's and pytest's runners print.
//!
//! Only the runners' closing lines count; a run that ends without one did not finish, and that is a
//! failure of its own.

use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Counts {
    /// The closing line, which tools that read such output know.
    pub fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }

    /// The counts in such a line.
    pub fn from_closing_line(line: &str) -> Option<Self> {
        words_and_numbers(line.trim())
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// One line of the summary: a test program and its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    pub name: String,
    pub counts: Counts,
}

/// Follows the output of `cargo test`, program by program.
#[derive(Debug, Default)]
pub struct CargoOutput {
    current: Option<String>,
    /// A program with a harness of its own may give several results: as root, and as somebody else.
    last: String,
    pub suites: Vec<Suite>,
}

impl CargoOutput {
    pub fn line(&mut self, line: &str) {
        if let Some(name) = cargo_program(line) {
            self.close_unfinished();
            self.last = format!("{name}, again");
            self.current = Some(name);
        } else if let Some(counts) = cargo_result(line) {
            let name = self.current.take().unwrap_or_else(|| self.last.clone());
            self.suites.push(Suite { name, counts });
        }
    }

    /// Everything that ran. A program that printed no result, or a cargo that failed with no test
    /// failing (it did not build), counts as one failure.
    pub fn finish(mut self, succeeded: bool) -> Vec<Suite> {
        self.close_unfinished();
        if !succeeded && self.suites.iter().all(|suite| suite.counts.failed == 0) {
            self.suites
                .push(unfinished("cargo test: did not build or did not finish"));
        }
        self.suites
    }

    fn close_unfinished(&mut self) {
        if let Some(name) = self.current.take() {
            self.suites
                .push(unfinished(&format!("{name}: did not finish")));
        }
    }
}

/// A suite that came to no result: one failure with its name.
pub fn unfinished(name: &str) -> Suite {
    Suite {
        name: name.to_owned(),
        counts: Counts {
            failed: 1,
            ..Counts::default()
        },
    }
}

/// `     Running unittests src/lib.rs (target/debug/deps/lambent_store-0f2a)` and
/// `   Doc-tests lambent_store`.
fn cargo_program(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} doc-tests"));
    }
    let (what, file) = line.strip_prefix("Running ")?.split_once(" (")?;
    let program = file.trim_end_matches(')').rsplit('/').next()?;
    let name = program
        .rsplit_once('-')
        .map_or(program, |(name, _hash)| name);
    Some(match what.strip_prefix("unittests ") {
        Some(source) => format!("{name} {source}"),
        None => what.to_owned(),
    })
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s`
fn cargo_result(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for part in numbers.split("; ") {
        match number_and_word(part) {
            Some((number, "passed")) => counts.passed = number,
            Some((number, "failed")) => counts.failed = number,
            Some((number, "ignored")) => counts.skipped = number,
            _ => {}
        }
    }
    Some(counts)
}

/// pytest's closing line, with or without its rule: `=== 1 failed, 12 passed, 2 errors in 3.21s ===`.
pub fn pytest_result(line: &str) -> Option<Counts> {
    let line = line.trim_matches(|c| c == '=' || c == ' ');
    let (numbers, time) = line.rsplit_once(" in ")?;
    time.trim_end_matches(')')
        .split_once('s')?
        .0
        .parse::<f64>()
        .ok()?;
    if numbers == "no tests ran" {
        return Some(Counts::default());
    }
    words_and_numbers(numbers)
}

/// `1 failed, 12 passed, 2 errors`
fn words_and_numbers(numbers: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    for part in numbers.split(", ") {
        let (number, word) = number_and_word(part)?;
        match word {
            "passed" | "xfailed" => counts.passed += number,
            "failed" | "error" | "errors" | "xpassed" => counts.failed += number,
            "skipped" => counts.skipped += number,
            "warning" | "warnings" | "deselected" | "rerun" => {}
            _ => return None,
        }
    }
    Some(counts)
}

fn number_and_word(part: &str) -> Option<(u64, &str)> {
    let (number, word) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, word))
}

/// The table of suites that ran anything, and the sum.
pub fn summary(suites: &[Suite]) -> (String, Counts) {
    let mut total = Counts::default();
    let mut table = String::new();
    let width = suites
        .iter()
        .map(|suite| suite.name.len())
        .max()
        .unwrap_or(0);
    for Suite { name, counts } in suites {
        total += *counts;
        if *counts == Counts::default() {
            continue;
        }
        table += &format!(
            "  {name:width$}  {:>5} passed  {:>3} failed",
            counts.passed, counts.failed
        );
        if counts.skipped > 0 {
            table += &format!("  {:>3} skipped", counts.skipped);
        }
        table.push('\n');
    }
    (table, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn reads_cargo_result() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; \
                    finished in 0.01s";
        assert_eq!(cargo_result(line), Some(counts(12, 2, 1)));
        assert_eq!(cargo_result("test a::b ... ok"), None);
    }

    #[test]
    fn names_cargo_programs() {
        let check = |line, name: &str| assert_eq!(cargo_program(line).as_deref(), Some(name));
        check(
            "     Running unittests src/lib.rs (target/debug/deps/xtask-0f2a)",
            "xtask src/lib.rs",
        );
        check(
            "     Running tests/crash.rs (target/debug/deps/crash-0f2a)",
            "tests/crash.rs",
        );
        check("   Doc-tests lambent_store", "lambent_store doc-tests");
        assert_eq!(cargo_program("   Compiling xtask v0.1.0 (xtask)"), None);
    }

    #[test]
    fn follows_a_whole_cargo_run() {
        let mut output = CargoOutput::default();
        for line in [
            "     Running unittests src/lib.rs (target/debug/deps/a-1)",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
            "     Running unittests src/lib.rs (target/debug/deps/b-1)",
            "     Running tests/c.rs (target/debug/deps/c-1)",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        ] {
            output.line(line);
        }
        let suites = output.finish(false);
        let got: Vec<_> = suites.iter().map(|s| (s.name.as_str(), s.counts)).collect();
        assert_eq!(
            got,
            [
                ("a src/lib.rs", counts(3, 0, 0)),
                ("b src/lib.rs: did not finish", counts(0, 1, 0)),
                ("tests/c.rs", counts(1, 0, 0)),
            ]
        );
    }

    #[test]
    fn what_does_not_build_is_a_failure() {
        let suites = CargoOutput::default().finish(false);
        assert_eq!(summary(&suites).1, counts(0, 1, 0));
        assert_eq!(CargoOutput::default().finish(true), []);
    }

    #[test]
    fn reads_pytest_result() {
        let check = |line, expect| assert_eq!(pytest_result(line), expect, "{line}");
        check(
            "===== 1 failed, 12 passed, 2 errors in 3.21s =====",
            Some(counts(12, 3, 0)),
        );
        check("12 passed in 0.51s", Some(counts(12, 0, 0)));
        check(
            "= 12 passed, 1 skipped, 3 warnings in 75.00s (0:01:15) =",
            Some(counts(12, 0, 1)),
        );
        check("no tests ran in 0.01s", Some(counts(0, 0, 0)));
        check("===== 3 deselected in 0.10s =====", Some(counts(0, 0, 0)));
        check("lambent is ready in 3s", None);
        check("tests/e2e/test_invoke.py ....", None);
    }

    #[test]
    fn sums_up() {
        let suites = [
            Suite {
                name: "a".into(),
                counts: counts(1, 0, 0),
            },
            Suite {
                name: "empty".into(),
                counts: counts(0, 0, 0),
            },
            Suite {
                name: "b".into(),
                counts: counts(2, 1, 1),
            },
        ];
        let (table, total) = summary(&suites);
        assert_eq!(total.closing_line(), "3 passed, 1 failed");
        assert_eq!(
            Counts::from_closing_line("3 passed, 1 failed"),
            Some(counts(3, 1, 0))
        );
        assert!(!table.contains("empty"));
        assert!(table.contains("1 skipped"));
    }
}
