//! Rules for Rust: module documentation, `unsafe`, and what is not finished.
//!
//! They look at code without its comments and literals, found by a small scanner; this is no
//! parser, and clippy has the last word on `unsafe`.

use super::{File, Finding};

/// Where `unsafe` may be.
const UNSAFE_CRATES: [&str; 2] = ["crates/sandbox/", "crates/guest/"];

/// Written so that this file does not contain them.
const UNFINISHED: [&str; 4] = ["todo!", "unimplemented!", "dbg!", concat!("FIX", "ME")];

/// Modules open with what they are for.
pub fn module_docs(file: &File) -> Option<Finding> {
    let text = file.rust()?;
    let in_source = ["crates/", "xtask/"]
        .iter()
        .any(|dir| file.path.starts_with(dir))
        && file.path.contains("/src/")
        && !file.is_test();
    let opens_with_docs = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(is_inner_doc);
    (in_source && !opens_with_docs).then(|| {
        Finding::new(
            file,
            1,
            "does not open with `//!`: what it is for, what it refuses",
        )
    })
}

fn is_inner_doc(line: &str) -> bool {
    line.starts_with("//! ")
}

pub fn unfinished(file: &File) -> Vec<Finding> {
    let Some(text) = file.rust() else {
        return Vec::new();
    };
    let code = code_only(text);
    let mut findings = Vec::new();
    for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        for word in UNFINISHED {
            // A marker is found in comments too; a macro only where it is code.
            let place = if word.ends_with('!') { code } else { line };
            if has_word(place, word) && !file.path.starts_with("xtask/src/tidy/") {
                findings.push(Finding::new(file, index + 1, format!("`{word}`")));
            }
        }
    }
    findings
}

/// `unsafe` only in two crates, and there each block and each `unsafe impl` below its reason.
pub fn unsafe_code(file: &File) -> Vec<Finding> {
    let Some(text) = file.rust() else {
        return Vec::new();
    };
    let code = code_only(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (index, code) in code
        .lines()
        .enumerate()
        .filter(|(_, code)| has_word(code, "unsafe"))
    {
        let number = index + 1;
        if !UNSAFE_CRATES.iter().any(|dir| file.path.starts_with(dir)) {
            findings.push(Finding::new(
                file,
                number,
                "`unsafe` outside the sandbox and guest crates",
            ));
        } else if needs_reason(code) && !has_reason(&lines, index) {
            findings.push(Finding::new(
                file,
                number,
                "`unsafe` without a SAFETY comment above it",
            ));
        }
    }
    findings
}

/// A declaration (`unsafe fn`, `unsafe extern`, an attribute) states a contract; a block or an
/// `impl` keeps one.
fn needs_reason(code: &str) -> bool {
    code.match_indices("unsafe").any(|(at, word)| {
        let rest = code[at + word.len()..].trim_start();
        rest.is_empty() || rest.starts_with('{') || rest.starts_with("impl")
    })
}

/// The reason stands above the statement, which may itself span a few lines.
fn has_reason(lines: &[&str], index: usize) -> bool {
    const STATEMENT_LINES_MAX: usize = 6;
    let mut statement_lines = 0;
    for line in lines[..=index].iter().rev() {
        if line.contains("SAFETY") {
            return true;
        }
        if !line.trim_start().starts_with("//") {
            statement_lines += 1;
        }
        if statement_lines > STATEMENT_LINES_MAX {
            return false;
        }
    }
    false
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let after = line[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

/// The text with the contents of comments, strings and character literals made blank; lines stay
/// where they are.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = token(rest, first);
        let (token, after) = rest.split_at(length);
        if is_code {
            code.push_str(token);
        } else {
            code.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// The length of the next piece and whether it is code.
fn token(rest: &str, first: char) -> (usize, bool) {
    match first {
        '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        '/' if rest.starts_with("/*") => (block_comment(rest), false),
        '"' => (string(rest), false),
        'r' if raw_string(rest).is_some() => (raw_string(rest).unwrap_or(1), false),
        '\'' => match character(rest) {
            Some(length) => (length, false),
            None => (1, true),
        },
        // A whole word at once, so that the `r` of `for` begins no raw string.
        c if c.is_alphanumeric() || c == '_' => (
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
            true,
        ),
        c => (c.len_utf8(), true),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and so on.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let open = 1 + hashes;
    rest[open..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let body = open + 1;
    Some(
        rest[body..]
            .find(&close)
            .map_or(rest.len(), |at| body + at + close.len()),
    )
}

/// A character literal, and not a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    let (at, close) = chars.next()?;
    (close == '\'').then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{file, lines},
        *,
    };

    #[test]
    fn code_only_blanks_comments_and_literals() {
        let check = |text, expect: &str| assert_eq!(code_only(text), expect);
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check(r#"x("a\"b", y)"#, "x(      , y)");
        check(r##"x(r#"a"b"#, y)"##, "x(        , y)");
        check("x('a', '\\'', 'b)", "x(   ,     , 'b)");
        check("for x in y", "for x in y");
    }

    #[test]
    fn modules_open_with_their_purpose() {
        let check = |path, text| lines(module_docs(&file(path, text)));
        assert_eq!(
            check("crates/a/src/lib.rs", "//! What it is for.\n"),
            [0; 0]
        );
        assert_eq!(check("crates/a/src/b.rs", "use x;\n"), [1]);
        assert_eq!(check("crates/a/src/tests.rs", "use x;\n"), [0; 0]);
        assert_eq!(check("crates/a/src/generated.rs", "use x;\n"), [0; 0]);
        assert_eq!(check("crates/a/tests/b.rs", "use x;\n"), [0; 0]);
    }

    #[test]
    fn finds_what_is_not_finished() {
        let text = "fn a() { todo!() }\n\"todo!\"\n// todo!\nmy_todo!()\n// FIX\u{4d}E later\n";
        assert_eq!(lines(unfinished(&file("crates/a/src/b.rs", text))), [1, 5]);
    }

    #[test]
    fn unsafe_is_only_where_it_may_be() {
        let text = "// SAFETY: fine\nunsafe { a() }\n";
        assert_eq!(lines(unsafe_code(&file("crates/wire/src/a.rs", text))), [2]);
        assert_eq!(
            lines(unsafe_code(&file("crates/guest/src/a.rs", text))),
            [0; 0]
        );
        assert_eq!(
            lines(unsafe_code(&file(
                "crates/wire/src/a.rs",
                "unsafe_code = 1\n"
            ))),
            [0; 0]
        );
    }

    #[test]
    fn unsafe_blocks_give_their_reason() {
        let check = |text| lines(unsafe_code(&file("crates/sandbox/src/a.rs", text)));
        assert_eq!(check("unsafe { a() }\n"), [1]);
        assert_eq!(check("unsafe impl Send for A {}\n"), [1]);
        assert_eq!(check("unsafe fn a() {}\n"), [0; 0]);
        assert_eq!(
            check("// SAFETY: a\nlet b = c(\n    d,\n    unsafe { e() },\n);\n"),
            [0; 0]
        );
        assert_eq!(check("/// `unsafe { }`\nfn a() {}\n"), [0; 0]);
    }
}
