//! Colours where somebody looks, none where a program reads; and tables.

use std::{
    borrow::Cow,
    env, fmt,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use super::harmless::harmless;

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
