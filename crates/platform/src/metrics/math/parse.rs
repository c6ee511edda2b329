//! From an expression's text to its tree. Depth is bounded.

use super::{Result, wrong};

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Number(f64),
    Text(String),
    /// Another query's id, or a word such as `REPEAT`.
    Name(String),
    /// `[m1, m2]`
    List(Vec<Expr>),
    Call(String, Vec<Expr>),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    LessOrEqual,
    GreaterOrEqual,
    Less,
    Greater,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

const DEPTH_MAX: usize = 32;

/// By how strongly they bind, the weakest first. Of two that begin alike the longer comes first.
const OPERATORS: [&[(&str, Operator)]; 6] = [
    &[("||", Operator::Or), ("OR", Operator::Or)],
    &[("&&", Operator::And), ("AND", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide)],
    &[("^", Operator::Power)],
];

pub fn parse(text: &str) -> Result<Expr> {
    let mut parser = Parser {
        rest: text,
        depth: 0,
    };
    let expr = parser.expression(0)?;
    match parser.rest.trim_start() {
        "" => Ok(expr),
        rest => wrong(format!("Unexpected input at '{rest:.40}'")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn expression(&mut self, level: usize) -> Result<Expr> {
        let Some(operators) = OPERATORS.get(level) else {
            return self.unary();
        };
        self.depth += 1;
        // Each pair of parentheses goes through all levels.
        if self.depth > DEPTH_MAX * (OPERATORS.len() + 1) {
            return wrong("The expression is nested too deeply");
        }
        let mut left = self.expression(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            // Powers bind to the right, all else to the left.
            let right = match operator {
                Operator::Power => self.expression(level)?,
                _ => self.expression(level + 1)?,
            };
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Option<Operator> {
        self.rest = self.rest.trim_start();
        for (text, operator) in operators {
            let Some(rest) = self.rest.strip_prefix(text) else {
                continue;
            };
            let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic());
            if is_word && rest.starts_with(is_of_name) {
                continue;
            }
            self.rest = rest;
            return Some(*operator);
        }
        None
    }

    fn unary(&mut self) -> Result<Expr> {
        let is_not = |rest: &str| rest.starts_with('!') && !rest.starts_with("!=");
        self.depth += 1;
        if self.depth > DEPTH_MAX * (OPERATORS.len() + 1) {
            return wrong("The expression is nested too deeply");
        }
        self.rest = self.rest.trim_start();
        let expr = if self.takes("-") {
            Expr::Negate(Box::new(self.unary()?))
        } else if is_not(self.rest) {
            self.rest = &self.rest[1..];
            Expr::Not(Box::new(self.unary()?))
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr> {
        self.rest = self.rest.trim_start();
        if self.takes("(") {
            let inner = self.expression(0)?;
            self.expects(")")?;
            return Ok(inner);
        }
        if self.takes("[") {
            return self.list("]").map(Expr::List);
        }
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.text(quote),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if is_of_name(c) => {
                let name = self.while_is(is_of_name);
                Ok(match self.takes("(") {
                    true => Expr::Call(name.to_ascii_uppercase(), self.list(")")?),
                    false => Expr::Name(name.to_owned()),
                })
            }
            _ => wrong(match self.rest {
                "" => "The expression ends too early".to_owned(),
                rest => format!("Unexpected input at '{rest:.40}'"),
            }),
        }
    }

    fn number(&mut self) -> Result<Expr> {
        let mut text = self.while_is(|c| c.is_ascii_digit() || c == '.').to_owned();
        // `1e3`, but no name that begins with an e.
        let exponent = self.rest.strip_prefix(['e', 'E']).filter(|rest| {
            let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            digits.starts_with(|c: char| c.is_ascii_digit())
        });
        if let Some(rest) = exponent {
            let sign = usize::from(rest.starts_with(['+', '-']));
            text.push('e');
            text.push_str(&rest[..sign]);
            self.rest = &rest[sign..];
            text.push_str(self.while_is(|c| c.is_ascii_digit()));
        }
        match text.parse() {
            Ok(number) => Ok(Expr::Number(number)),
            Err(_) => wrong(format!("'{text:.40}' is no number")),
        }
    }

    fn text(&mut self, quote: char) -> Result<Expr> {
        let inside = &self.rest[1..];
        let mut text = String::new();
        let mut chars = inside.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c if c == quote => {
                    self.rest = &inside[at + 1..];
                    return Ok(Expr::Text(text));
                }
                c => text.push(c),
            }
        }
        wrong("A text in the expression does not end")
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expr>> {
        let mut items = Vec::new();
        if self.takes(end) {
            return Ok(items);
        }
        loop {
            items.push(self.expression(0)?);
            if self.takes(end) {
                return Ok(items);
            }
            self.expects(",")?;
        }
    }

    fn takes(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expects(&mut self, token: &str) -> Result<()> {
        match self.takes(token) {
            true => Ok(()),
            false => wrong(format!("'{token}' is missing at '{:.40}'", self.rest)),
        }
    }

    fn while_is(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
