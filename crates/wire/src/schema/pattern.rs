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

/// Java reads `[` inside a character class as a nested class and `&&` as an intersection, as Rust
/// does; a `-` after a range (`[a-z0-9-_]`) is a plain dash in Java and an error in Rust.
fn java_to_rust(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let chars: Vec<char> = pattern.chars().collect();
    let mut in_class = false;
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        match c {
            '\\' => {
                out.push(c);
                i += 1;
                if let Some(&next) = chars.get(i) {
                    out.push(next);
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push(c);
            }
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            '-' if in_class && is_plain_dash(&chars, i) => out.push_str("\\-"),
            _ => out.push(c),
        }
        i += 1;
    }
    out
}

/// A dash is plain where the character before it ended a range (`a-z-_`) or was a class (`\w-.`).
fn is_plain_dash(chars: &[char], at: usize) -> bool {
    let ends_range = at >= 3 && chars[at - 2] == '-' && chars[at - 3] != '[';
    let after_class = at >= 2
        && chars[at - 2] == '\\'
        && matches!(chars[at - 1], 'w' | 'd' | 's' | 'W' | 'D' | 'S');
    ends_range || after_class
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
        check(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Größe 1", true);
    }
}
