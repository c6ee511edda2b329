//! Regular expressions of the models, in Java's dialect.

use std::sync::OnceLock;

use fancy_regex::{Regex, RegexBuilder};

/// A regular expression of the model. AWS checks with Java's `matches()`: the whole value, with
/// look-around.
#[derive(Debug)]
pub struct Pattern {
    pub text: &'static str,
    compiled: OnceLock<Option<Box<Regex>>>,
}

/// How far a pattern may backtrack before the value counts as not matching. Only patterns with
/// look-around backtrack at all, and none of AWS's needs more than a few steps for each character.
const BACKTRACK_STEPS: usize = 200_000;

impl Pattern {
    pub const fn new(text: &'static str) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }

    pub fn matches(&self, value: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            RegexBuilder::new(&format!(r"\A(?:{})\z", java_to_rust(self.text)))
                .backtrack_limit(BACKTRACK_STEPS)
                .build()
                .ok()
                .map(Box::new)
        });
        match compiled {
            Some(regex) => regex.is_match(value).unwrap_or(false),
            // A test compiles every pattern of every service, so this is one of a test's own.
            None => true,
        }
    }

    /// Whether the regex engine takes the pattern at all.
    pub fn compiles(&self) -> bool {
        self.matches("");
        self.compiled.get().is_some_and(Option::is_some)
    }
}

/// Java's `\d`, `\s` and `\w` are of ASCII, Rust's of all scripts. As nested classes they mean the
/// same inside of a class and outside.
fn java_to_rust(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[a-zA-Z0-9_]"),
            Some('W') => out.push_str("[^a-zA-Z0-9_]"),
            Some('s') => out.push_str(r"[ \t\n\x0B\f\r]"),
            Some('S') => out.push_str(r"[^ \t\n\x0B\f\r]"),
            escaped => out.extend(std::iter::once('\\').chain(escaped)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_java_reads_them() {
        let check = |pattern, value: &str, expect: bool| {
            assert_eq!(
                Pattern::new(pattern).matches(value),
                expect,
                "{pattern} on {value}"
            );
        };
        check("[a-zA-Z0-9-_]+", "a-b_c9", true);
        check("[a-zA-Z0-9-_]+", "a.b", false);
        check(r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12", false);
        check(r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12a", true);
        check(r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket.", false);
        check("a|b", "ab", false);
        check(r"\d{3}", "123", true);
        check(r"\d{3}", "١٢٣", false);
        check(r"[\w-.]+", "a-b.c", true);
        check(r"[^\s]+", "a b", false);
        check(r"\S+\\d", r"ab\d", true);
        check(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 1", true);
    }
}
