//! Colours where somebody looks, none where a program reads; and tables.

use std::{
    borrow::Cow,
    env,
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

/// Prints a line, as `println!` does. A reader that has gone, such as `head`, has seen enough.
macro_rules! say {
    ($($text:tt)*) => {
        if $crate::commands::style::line(format_args!($($text)*)).is_err() {
            std::process::exit(0);
        }
    };
}
pub(crate) use say;

pub fn line(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn is_looked_at() -> bool {
    static LOOKED_AT: OnceLock<bool> = OnceLock::new();
    *LOOKED_AT.get_or_init(|| io::stdout().is_terminal())
}

fn coloured() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && is_looked_at()
}

/// What a function said, as it goes to a program; on a terminal it is [`harmless`].
pub fn shown(text: &str) -> Cow<'_, str> {
    match is_looked_at() {
        true => Cow::Owned(harmless(text)),
        false => Cow::Borrowed(text),
    }
}

/// A text that only prints: it moves no cursor, sets no title, fills no clipboard, and does not
/// turn the direction of what follows. Its control characters are written out; only colours stay,
/// and end with it.
fn harmless(text: &str) -> String {
    let (mut out, mut rest, mut painted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = colour(rest) {
            out.push_str(colour);
            (rest, painted) = (&rest[colour.len()..], true);
            continue;
        }
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() || turns(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    if painted {
        out.push_str("\x1b[0m");
    }
    out
}

/// The sequence that a text begins with, where it sets nothing but colour and weight.
fn colour(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let plain = |c: char| c.is_ascii_digit() || matches!(c, ';' | ':');
    let len = parameters.find(|c| !plain(c)).filter(|len| *len <= 32)?;
    parameters[len..].starts_with('m').then(|| &text[..len + 3])
}

/// Unicode's marks that turn the direction of writing.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn painted(code: &str, text: &str) -> String {
    match coloured() {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

pub fn bold(text: &str) -> String {
    painted("1", text)
}

pub fn dim(text: &str) -> String {
    painted("2", text)
}

pub fn good(text: &str) -> String {
    painted("32", text)
}

pub fn bad(text: &str) -> String {
    painted("31", text)
}

pub fn accent(text: &str) -> String {
    painted("36", text)
}

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table with a heading, its columns as wide as their widest cell.
pub fn table(heading: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(heading[column].0.chars().count())
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let cells = cells.iter().zip(heading).zip(&widths);
        let set = cells.map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        set.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let names: Vec<&str> = heading.iter().map(|(name, _)| *name).collect();
    let mut out = dim(&line(&names));
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        out.push('\n');
        out.push_str(&line(&cells));
    }
    out
}

/// An amount, with as many digits as it takes to see something.
pub fn money(currency: &str, amount: f64) -> String {
    let sign = match currency {
        "USD" => "$".to_owned(),
        other => format!("{other} "),
    };
    match amount {
        0.0 => format!("{sign}0"),
        amount if amount < 0.01 => format!("{sign}{amount:.8}"),
        amount => format!("{sign}{amount:.4}"),
    }
}

pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_says_does_nothing_to_the_terminal() {
        for (said, shown) in [
            (
                "plain\ttext, ünïcödé 🙂\nnext",
                "plain\ttext, ünïcödé 🙂\nnext",
            ),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
            ("\x1b[38;2;1;2;3mrgb", "\x1b[38;2;1;2;3mrgb\x1b[0m"),
            ("\x1b[2Jclear", "\\u{1b}[2Jclear"),
            ("\x1b[3", "\\u{1b}[3"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\x1b]52;c;cm0gLXJm\x1b\\", "\\u{1b}]52;c;cm0gLXJm\\u{1b}\\"),
            ("\u{9b}2J\0\x7f", "\\u{9b}2J\\u{0}\\u{7f}"),
            ("100 %\rREPORT forged", "100 %\\rREPORT forged"),
            ("a\u{202e}txt.exe", "a\\u{202e}txt.exe"),
        ] {
            assert_eq!(harmless(said), shown, "{said:?}");
        }
    }

    #[test]
    fn amounts_have_their_currency() {
        for (currency, amount, shown) in [
            ("USD", 0.0, "$0"),
            ("USD", 0.000_002, "$0.00000200"),
            ("USD", 12.3, "$12.3000"),
            ("EUR", 0.5, "EUR 0.5000"),
        ] {
            assert_eq!(money(currency, amount), shown);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "10".to_owned()],
            vec!["longer".into(), "7".into()],
        ];
        let made = table(&[("name", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(made, "name     n\na       10\nlonger   7");
    }
}
