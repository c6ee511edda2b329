//! One SQL text for two engines: the dialect, overrides, the words of table definitions, and the
//! check of the parameters' numbers.
//!
//! SQLite takes `$1` for a name and numbers parameters by first appearance: `VALUES ($2, $1)`
//! would bind swapped there and rightly in PostgreSQL. Such a text is refused in both.

use std::borrow::Cow;

use crate::error::Error;
use crate::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement: one text for both engines, or one for each.
#[derive(Debug, Clone, Copy)]
pub enum Sql<'a> {
    Both(&'a str),
    Each { sqlite: &'a str, postgres: &'a str },
}

impl<'a> Sql<'a> {
    pub const fn each(sqlite: &'a str, postgres: &'a str) -> Self {
        Self::Each { sqlite, postgres }
    }

    pub fn text(self, dialect: Dialect) -> &'a str {
        match (self, dialect) {
            (Self::Both(text), _) => text,
            (Self::Each { sqlite, .. }, Dialect::Sqlite) => sqlite,
            (Self::Each { postgres, .. }, Dialect::Postgres) => postgres,
        }
    }
}

impl<'a> From<&'a str> for Sql<'a> {
    fn from(text: &'a str) -> Self {
        Self::Both(text)
    }
}

impl<'a> From<&'a String> for Sql<'a> {
    fn from(text: &'a String) -> Self {
        Self::Both(text)
    }
}

/// The words a table definition may use where the engines' names differ. Texts compare by bytes
/// in both, so that paging by key has one order.
const WORDS: [(&str, &str, &str); 7] = [
    ("{int}", "INTEGER", "BIGINT"),
    ("{real}", "REAL", "DOUBLE PRECISION"),
    ("{text}", "TEXT", "TEXT COLLATE \"C\""),
    ("{blob}", "BLOB", "BYTEA"),
    ("{bool}", "INTEGER", "BOOLEAN"),
    ("{strict}", "STRICT", ""),
    ("{clustered}", "STRICT, WITHOUT ROWID", ""),
];

/// Puts the engine's own words into a table definition.
pub(crate) fn define(text: &str, dialect: Dialect) -> String {
    WORDS
        .iter()
        .fold(text.to_owned(), |text, (word, sqlite, postgres)| {
            text.replace(
                word,
                if dialect == Dialect::Sqlite {
                    sqlite
                } else {
                    postgres
                },
            )
        })
}

/// Says what is wrong with the parameters of a statement, if anything is.
pub(crate) fn check_parameters(sql: &str, given: usize) -> Result<(), Cow<'static, str>> {
    let mut highest = 0;
    for number in Parameters::of(sql) {
        match number {
            None => return Err("parameters are written $1, $2, ..., not ?".into()),
            Some(number) if number == highest + 1 => highest = number,
            Some(number) if number >= 1 && number <= highest => {}
            Some(number) => {
                return Err(format!(
                    "${number} appears where ${} is due: parameters are numbered by their first \
                     appearance",
                    highest + 1
                )
                .into());
            }
        }
    }
    if highest == given {
        return Ok(());
    }
    Err(format!("it has {highest} parameters and was given {given}").into())
}

/// PostgreSQL has no NUL in texts, so a statement must not depend on it in SQLite.
pub(crate) fn check_values(values: &[Value]) -> Result<(), Error> {
    match values
        .iter()
        .any(|value| matches!(value, Value::Text(text) if text.contains('\0')))
    {
        false => Ok(()),
        true => Err(Error::Statement {
            reason: "a text has a NUL character".into(),
        }),
    }
}

/// The parameters of a text in the order they appear; `None` for one written `?`.
struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn of(sql: &'a str) -> Self {
        Self {
            rest: sql.as_bytes(),
        }
    }

    fn skip_past(&mut self, end: &[u8]) {
        let found = self
            .rest
            .windows(end.len())
            .position(|window| window == end);
        self.rest = found.map_or(&[], |at| &self.rest[at + end.len()..]);
    }

    fn number(&mut self) -> usize {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let text = std::str::from_utf8(&self.rest[..digits]).unwrap_or_default();
        self.rest = &self.rest[digits..];
        // No digits (a name) or too many of them: a number that is never due.
        text.parse().unwrap_or(usize::MAX)
    }
}

impl Iterator for Parameters<'_> {
    type Item = Option<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'$' => return Some(Some(self.number())),
                b'?' => return Some(None),
                // A doubled quote inside a literal reads as two literals side by side.
                b'\'' => self.skip_past(b"'"),
                b'"' => self.skip_past(b"\""),
                b'-' if rest.first() == Some(&b'-') => self.skip_past(b"\n"),
                b'/' if rest.first() == Some(&b'*') => self.skip_past(b"*/"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_by_first_appearance() {
        let cases: [(&str, usize, bool); 12] = [
            ("SELECT 1", 0, true),
            ("SELECT $1, $2, $1", 2, true),
            ("INSERT INTO t VALUES ($2, $1)", 2, false),
            ("SELECT $1", 2, false),
            ("SELECT $1, $2", 1, false),
            ("SELECT $1, $3", 3, false),
            ("SELECT ?", 1, false),
            ("SELECT $name", 1, false),
            ("SELECT '$2 ?', \"$3\" -- $4 ?\n, $1 /* $9 */", 1, true),
            ("SELECT 'it''s $5', $1", 1, true),
            ("SELECT $0", 0, false),
            ("SELECT $99999999999999999999999", 1, false),
        ];
        for (sql, given, right) in cases {
            assert_eq!(check_parameters(sql, given).is_ok(), right, "{sql}");
        }
    }

    #[test]
    fn definitions_use_the_engine_s_words() {
        let text = "CREATE TABLE t (a {text} PRIMARY KEY, b {int}) {clustered}";
        assert_eq!(
            define(text, Dialect::Sqlite),
            "CREATE TABLE t (a TEXT PRIMARY KEY, b INTEGER) STRICT, WITHOUT ROWID"
        );
        assert_eq!(
            define(text, Dialect::Postgres),
            "CREATE TABLE t (a TEXT COLLATE \"C\" PRIMARY KEY, b BIGINT) "
        );
    }
}
