//! Rules for text of any kind: size, blanks, and words that have no place here.

use anyhow::{Context, Result};

use super::{File, Finding};

/// Past this look for the second noun in a file.
const LINES_MAX: usize = 700;
/// A repository is no place for binaries and recordings.
const BYTES_MAX: u64 = 1_000_000;

pub fn too_big(file: &File) -> Option<Finding> {
    // The models are AWS's own facts, the lock files' size is not ours to choose.
    let exempt = file.is_generated();
    (file.bytes > BYTES_MAX && !exempt)
        .then(|| Finding::whole(file, format!("{} bytes, more than {BYTES_MAX}", file.bytes)))
}

/// Files over the limit must be in the ratchet, and may not outgrow it; what the ratchet names must
/// still be over the limit.
pub fn too_long(files: &[File], ratchet: &[(String, usize)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_source(file)) {
        let lines = file.written().map_or(0, |text| text.lines().count());
        let allowed = ratchet
            .iter()
            .find(|(path, _)| *path == file.path)
            .map(|(_, lines)| *lines);
        if lines > allowed.unwrap_or(LINES_MAX) {
            let max = allowed.unwrap_or(LINES_MAX);
            findings.push(Finding::whole(
                file,
                format!("{lines} lines, more than {max}"),
            ));
        } else if lines <= LINES_MAX && allowed.is_some() {
            findings.push(Finding::whole(
                file,
                "no longer too long: remove it from ratchet.txt",
            ));
        }
    }
    for (path, _) in ratchet
        .iter()
        .filter(|(path, _)| files.iter().all(|file| file.path != *path))
    {
        let what = "is in ratchet.txt but not in the repository".to_owned();
        findings.push(Finding {
            path: path.clone(),
            line: 0,
            what,
        });
    }
    findings
}

/// No tabs and no blanks at a line's end, and a newline at a file's.
pub fn blanks(file: &File) -> Vec<Finding> {
    let Some(text) = file.written().filter(|_| is_source(file)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(
                file,
                index + 1,
                "blank at the end of the line",
            ));
        } else if line.contains('\t') {
            findings.push(Finding::new(file, index + 1, "tab"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::whole(file, "no newline at the end"));
    }
    findings
}

/// A word that has no place here, why, and what on the same line makes it another matter.
#[derive(Debug, PartialEq, Eq)]
pub struct Forbidden {
    word: String,
    reason: String,
    except: Option<String>,
}

impl Forbidden {
    fn is_in(&self, line: &str) -> bool {
        let excepted = self
            .except
            .as_ref()
            .is_some_and(|except| line.contains(except));
        line.contains(&self.word) && !excepted
    }
}

pub fn forbidden(file: &File, words: &[Forbidden]) -> Vec<Finding> {
    let exempt = file.is_test() || file.path.starts_with("xtask/");
    let Some(text) = file.written().filter(|_| !exempt) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_end().ends_with("tidy: allow") {
            continue;
        }
        for Forbidden { word, reason, .. } in words.iter().filter(|word| word.is_in(line)) {
            findings.push(Finding::new(file, index + 1, format!("`{word}`: {reason}")));
        }
    }
    findings
}

fn is_source(file: &File) -> bool {
    const KINDS: [&str; 13] = [
        "rs", "py", "js", "mjs", "cjs", "ts", "sh", "md", "toml", "sql", "yml", "yaml", "txt",
    ];
    KINDS.contains(&file.extension()) || file.path == ".ci/run"
}

/// `path lines` on each line; `#` begins a comment.
pub fn parse_ratchet(text: &str) -> Result<Vec<(String, usize)>> {
    entries(text)
        .map(|line| {
            let (path, lines) = line.split_once(' ').context("ratchet.txt: `path lines`")?;
            Ok((
                path.to_owned(),
                lines.trim().parse().context("ratchet.txt: read a number")?,
            ))
        })
        .collect()
}

/// `word | reason` or `word | reason | except` on each line; `#` begins a comment.
pub fn parse_forbidden(text: &str) -> Result<Vec<Forbidden>> {
    entries(text)
        .map(|line| {
            let mut parts = line.split(" | ").map(str::to_owned);
            let word = parts.next().context("forbidden.txt: read a word")?;
            let reason = parts.next().context("forbidden.txt: `word | reason`")?;
            Ok(Forbidden {
                word,
                reason,
                except: parts.next(),
            })
        })
        .collect()
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{file, lines},
        *,
    };

    fn long(path: &str, count: usize) -> File {
        file(path, &"x\n".repeat(count))
    }

    #[test]
    fn long_files_need_the_ratchet() {
        let check = |count, ratchet: &[(String, usize)]| {
            too_long(&[long("a.rs", count)], ratchet)
                .into_iter()
                .map(|f| f.what)
                .collect::<Vec<_>>()
        };
        let listed = [("a.rs".to_owned(), 900)];
        assert_eq!(check(700, &[]), [""; 0]);
        assert_eq!(check(701, &[]), ["701 lines, more than 700"]);
        assert_eq!(check(900, &listed), [""; 0]);
        assert_eq!(check(901, &listed), ["901 lines, more than 900"]);
        assert_eq!(
            check(600, &listed),
            ["no longer too long: remove it from ratchet.txt"]
        );
    }

    #[test]
    fn the_ratchet_names_only_what_is_there() {
        let findings = too_long(&[], &[("gone.rs".to_owned(), 900)]);
        assert_eq!(findings[0].path, "gone.rs");
    }

    #[test]
    fn generated_files_may_be_long_and_big() {
        assert!(too_long(&[long("models/lambda.json", 2000)], &[]).is_empty());
        let mut model = file("models/lambda.json", "");
        model.bytes = 2_000_000;
        assert_eq!(too_big(&model), None);
        let mut picture = file("docs/picture.png", "");
        picture.bytes = 2_000_000;
        assert!(too_big(&picture).is_some());
    }

    #[test]
    fn finds_blanks() {
        assert_eq!(lines(blanks(&file("a.rs", "good\nbad \n\tbad\n"))), [2, 3]);
        assert_eq!(lines(blanks(&file("a.md", "no newline"))), [0]);
        assert!(blanks(&file("Makefile", "\tgood\n")).is_empty());
    }

    #[test]
    fn finds_forbidden_words() {
        let words = "# why\n/root/ | one machine's path | except here\n";
        let words = parse_forbidden(words).expect("it parses");
        let check = |path, text| lines(forbidden(&file(path, text), &words));
        assert_eq!(check("crates/a/src/lib.rs", "a\n\"/root/x\"\n"), [2]);
        assert_eq!(
            check("crates/a/src/lib.rs", "\"/root/x\" // tidy: allow\n"),
            [0; 0]
        );
        assert_eq!(
            check("crates/a/src/lib.rs", "\"/root/except here\"\n"),
            [0; 0]
        );
        assert_eq!(check("crates/a/tests/escape.rs", "\"/root/x\"\n"), [0; 0]);
    }

    #[test]
    fn lists_are_checked_when_read() {
        assert_eq!(
            parse_ratchet("# c\n\na.rs 800\n").expect("it parses"),
            [("a.rs".into(), 800)]
        );
        assert!(parse_ratchet("a.rs\n").is_err());
        assert!(parse_forbidden("word\n").is_err());
    }
}
