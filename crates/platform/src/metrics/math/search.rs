//! `SEARCH`: which metrics it finds, by words, and by exact values in quotes.

use super::{Expr, Result, wrong};
use crate::metrics::series::Metric;

/// A search as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// `{AWS/Lambda,FunctionName}`: namespace, and all dimensions that there are.
    schema: Option<(String, Vec<String>)>,
    terms: Terms,
    pub statistic: String,
    pub period_s: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Terms {
    Any,
    All(Vec<Terms>),
    Some(Vec<Terms>),
    Not(Box<Terms>),
    /// In a property that is named, or in any.
    Term {
        property: Option<String>,
        text: String,
        exact: bool,
    },
}

/// Reads the arguments of a call of `SEARCH`.
pub fn search(arguments: &[Expr]) -> Result<Search> {
    let (text, statistic, period) = match arguments {
        [Expr::Text(text), Expr::Text(statistic)] => (text, statistic, None),
        [
            Expr::Text(text),
            Expr::Text(statistic),
            Expr::Number(period),
        ] => (text, statistic, Some(*period)),
        _ => return wrong("SEARCH takes a text, a statistic and a period"),
    };
    let (schema, rest) = schema(text)?;
    let tokens = tokens(rest)?;
    let mut parser = Parser {
        tokens: &tokens,
        depth: 0,
    };
    let terms = parser.any_of()?;
    if !parser.tokens.is_empty() {
        return wrong("The search has a parenthesis too many");
    }
    // Whole and in range: periods are multiples of a second, and at most days.
    #[allow(clippy::cast_possible_truncation)]
    let period_s = period.map(|period| period.clamp(1.0, 1e7) as i64);
    Ok(Search {
        schema,
        terms,
        statistic: statistic.clone(),
        period_s,
    })
}

impl Search {
    pub fn takes(&self, metric: &Metric) -> bool {
        let in_schema = self.schema.as_ref().is_none_or(|(namespace, dimensions)| {
            *namespace == metric.namespace
                && dimensions.len() == metric.dimensions.len()
                && dimensions
                    .iter()
                    .all(|name| metric.dimensions.contains_key(name))
        });
        in_schema && self.terms.take(metric)
    }
}

impl Terms {
    fn take(&self, metric: &Metric) -> bool {
        match self {
            Self::Any => true,
            Self::All(all) => all.iter().all(|terms| terms.take(metric)),
            Self::Some(some) => some.iter().any(|terms| terms.take(metric)),
            Self::Not(terms) => !terms.take(metric),
            Self::Term {
                property,
                text,
                exact,
            } => match property.as_deref() {
                Some("Namespace") => is(&metric.namespace, text, *exact),
                Some("MetricName") => is(&metric.name, text, *exact),
                // `:aws.AccountId` and the like are not told apart here.
                Some(name) if name.starts_with(':') => true,
                Some(name) => {
                    let value = metric.dimensions.get(name);
                    value.is_some_and(|value| is(value, text, *exact))
                }
                None => {
                    let dimensions = metric.dimensions.iter();
                    let mut all = [&metric.namespace, &metric.name]
                        .into_iter()
                        .chain(dimensions.flat_map(|(name, value)| [name, value]));
                    all.any(|found| is(found, text, *exact))
                }
            },
        }
    }
}

/// Words are parts in either case, also where capitals and marks divide them; what is in quotes is
/// all of it.
fn is(found: &str, wanted: &str, exact: bool) -> bool {
    if exact {
        return found == wanted;
    }
    let plain = |text: &str| text.to_ascii_lowercase();
    plain(found).contains(&plain(wanted))
}

type Schema = Option<(String, Vec<String>)>;

fn schema(text: &str) -> Result<(Schema, &str)> {
    let Some(rest) = text.trim_start().strip_prefix('{') else {
        return Ok((None, text));
    };
    let Some((inside, rest)) = rest.split_once('}') else {
        return wrong("The schema of a search ends with }");
    };
    let mut names = inside
        .split(',')
        .map(|name| name.trim().trim_matches('"').to_owned());
    let namespace = names.next().unwrap_or_default();
    Ok((
        Some((namespace, names.filter(|name| !name.is_empty()).collect())),
        rest,
    ))
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Quoted(String),
    /// A property's name, before its `=`.
    Property(String),
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '(' => {
                tokens.push(Token::Open);
                after
            }
            ')' => {
                tokens.push(Token::Close);
                after
            }
            '"' => {
                let Some((inside, after)) = after.split_once('"') else {
                    return wrong("A text in the search does not end");
                };
                match after.strip_prefix('=') {
                    Some(after) => {
                        tokens.push(Token::Property(inside.to_owned()));
                        after
                    }
                    None => {
                        tokens.push(Token::Quoted(inside.to_owned()));
                        after
                    }
                }
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()\"=".contains(c));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                match after.strip_prefix('=') {
                    Some(after) => {
                        tokens.push(Token::Property(word.to_owned()));
                        after
                    }
                    None => {
                        tokens.push(Token::Word(word.to_owned()));
                        after
                    }
                }
            }
        }
        .trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn any_of(&mut self) -> Result<Terms> {
        self.depth += 1;
        if self.depth > 16 {
            return wrong("The search is nested too deeply");
        }
        let mut some = vec![self.all_of()?];
        while self.word("OR") {
            some.push(self.all_of()?);
        }
        self.depth -= 1;
        Ok(match some.len() {
            1 => some.remove(0),
            _ => Terms::Some(some),
        })
    }

    fn all_of(&mut self) -> Result<Terms> {
        let mut all = Vec::new();
        loop {
            match self.tokens.first() {
                None | Some(Token::Close) => break,
                Some(Token::Word(word)) if word == "OR" => break,
                Some(Token::Word(word)) if word == "AND" => self.tokens = &self.tokens[1..],
                Some(_) => all.push(self.term()?),
            }
        }
        Ok(match all.len() {
            0 => Terms::Any,
            1 => all.remove(0),
            _ => Terms::All(all),
        })
    }

    fn term(&mut self) -> Result<Terms> {
        if self.word("NOT") {
            return Ok(Terms::Not(Box::new(self.term()?)));
        }
        let Some((first, rest)) = self.tokens.split_first() else {
            return wrong("The search ends too early");
        };
        self.tokens = rest;
        match first {
            Token::Open => {
                let inner = self.any_of()?;
                match self.tokens.split_first() {
                    Some((Token::Close, rest)) => self.tokens = rest,
                    _ => return wrong("A parenthesis in the search does not end"),
                }
                Ok(inner)
            }
            Token::Property(name) => self.valued(name.clone()),
            Token::Word(text) => Ok(term(None, text, false)),
            Token::Quoted(text) => Ok(term(None, text, true)),
            Token::Close => wrong("The search has a parenthesis too many"),
        }
    }

    /// What a property is to be: one value, or `(a OR b)`.
    fn valued(&mut self, property: String) -> Result<Terms> {
        let Some((first, rest)) = self.tokens.split_first() else {
            return wrong("A property in the search has no value");
        };
        self.tokens = rest;
        match first {
            Token::Word(text) => Ok(term(Some(property), text, false)),
            Token::Quoted(text) => Ok(term(Some(property), text, true)),
            Token::Open => {
                let mut some = Vec::new();
                loop {
                    let Some((next, rest)) = self.tokens.split_first() else {
                        return wrong("A parenthesis in the search does not end");
                    };
                    self.tokens = rest;
                    match next {
                        Token::Close => return Ok(Terms::Some(some)),
                        Token::Word(word) if word == "OR" => {}
                        Token::Word(text) => some.push(term(Some(property.clone()), text, false)),
                        Token::Quoted(text) => some.push(term(Some(property.clone()), text, true)),
                        _ => return wrong("A property's values are words with OR between them"),
                    }
                }
            }
            _ => wrong("A property in the search has no value"),
        }
    }

    fn word(&mut self, wanted: &str) -> bool {
        match self.tokens.split_first() {
            Some((Token::Word(word), rest)) if word == wanted => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

fn term(property: Option<String>, text: &str, exact: bool) -> Terms {
    Terms::Term {
        property,
        text: text.to_owned(),
        exact,
    }
}
