//! The query language of CloudWatch Logs Insights: parsed, and run over events.
//!
//! Pure: a [`Query`] is made of text, a [`Run`] takes events one by one, in any order, and has rows in
//! the end. What it holds meanwhile is bounded. Language: AWS, "CloudWatch Logs Insights language
//! query syntax"; commands and functions that are not built are refused by name.

mod aggregate;
mod discover;
mod evaluate;
mod expression;
mod functions;
mod lexer;
mod parser;
mod run;
mod stages;
#[cfg(test)]
mod tests;
mod value;

pub use discover::{Record, Source};
pub use run::{Row, Run, Statistics};

use expression::Expression;
use regex::Regex;

/// Rows of an answer; CloudWatch Logs' figure.
pub const ROWS_MAX: usize = 10_000;

/// A query, understood.
#[derive(Debug, Clone)]
pub struct Query {
    pub commands: Vec<Command>,
}

#[derive(Debug, Clone)]
pub enum Command {
    Fields(Vec<Column>),
    Display(Vec<Column>),
    Filter(Expression),
    Parse {
        from: Expression,
        by: ParseBy,
    },
    Stats {
        columns: Vec<Column>,
        by: Vec<Column>,
    },
    Sort(Vec<(Expression, Direction)>),
    Limit(usize),
    Dedup(Vec<Expression>),
}

#[derive(Debug, Clone)]
pub enum ParseBy {
    /// What the stars of a glob are.
    Glob(Regex, Vec<String>),
    Regex(Regex),
}

/// An expression and the name that its value has.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub expression: Expression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// Why text is no query, and where in it, in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    pub message: String,
    pub start: usize,
    pub end: usize,
}

impl Query {
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        parser::parse(text)
    }
}
