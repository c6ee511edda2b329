//! Expressions: what is computed of a record, or with aggregates of many.

use regex::Regex;

use super::{aggregate::Aggregate, functions::Function, value::Value};

#[derive(Debug, Clone)]
pub enum Expression {
    Literal(Value),
    Field(String),
    Unary(Unary, Box<Expression>),
    Binary(Binary, Box<Expression>, Box<Expression>),
    Call(Function, Vec<Expression>),
    /// `bin(5m)` and the like, in milliseconds.
    Bin(Rounding, Box<Expression>, i64),
    Like(Box<Expression>, Matcher),
    In(Box<Expression>, Vec<Expression>),
    /// Only in stats.
    Aggregate(Box<Aggregate>),
    /// A place among a stats command's aggregates, once it runs.
    Slot(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Not,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    Floor,
    Ceiling,
}

#[derive(Debug, Clone)]
pub enum Matcher {
    /// Is in it.
    Text(String),
    Regex(Regex),
}

impl Matcher {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(part) => text.contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl Expression {
    pub fn has_aggregate(&self) -> bool {
        match self {
            Self::Aggregate(_) => true,
            Self::Literal(_) | Self::Field(_) | Self::Slot(_) => false,
            Self::Unary(_, inner) | Self::Bin(_, inner, _) | Self::Like(inner, _) => {
                inner.has_aggregate()
            }
            Self::Binary(_, left, right) => left.has_aggregate() || right.has_aggregate(),
            Self::Call(_, arguments) => arguments.iter().any(Self::has_aggregate),
            Self::In(inner, all) => inner.has_aggregate() || all.iter().any(Self::has_aggregate),
        }
    }

    /// Takes the aggregates out of it, leaving their places.
    pub fn take_aggregates(self, taken: &mut Vec<Aggregate>) -> Self {
        let mut boxed = |inner: Box<Self>| Box::new(inner.take_aggregates(taken));
        match self {
            Self::Aggregate(aggregate) => {
                taken.push(*aggregate);
                Self::Slot(taken.len() - 1)
            }
            Self::Unary(operator, inner) => Self::Unary(operator, boxed(inner)),
            Self::Bin(rounding, inner, ms) => Self::Bin(rounding, boxed(inner), ms),
            Self::Like(inner, matcher) => Self::Like(boxed(inner), matcher),
            Self::Binary(operator, left, right) => {
                let left = boxed(left);
                Self::Binary(operator, left, boxed(right))
            }
            Self::Call(function, arguments) => {
                let arguments = arguments.into_iter();
                Self::Call(
                    function,
                    arguments.map(|one| one.take_aggregates(taken)).collect(),
                )
            }
            Self::In(inner, all) => {
                let inner = boxed(inner);
                let all = all.into_iter();
                Self::In(inner, all.map(|one| one.take_aggregates(taken)).collect())
            }
            other @ (Self::Literal(_) | Self::Field(_) | Self::Slot(_)) => other,
        }
    }
}
