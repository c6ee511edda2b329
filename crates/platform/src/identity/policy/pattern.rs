//! Texts of a policy with wildcards and variables: what they are in a request, and what they match.
//!
//! What a variable stands for is plain text, whatever is in it: a wildcard comes from the policy
//! alone.

use std::borrow::Cow;

use super::request::Request;

/// One place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Char(char),
    /// `*`
    Any,
    /// `?`
    One,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Fixed(Vec<Symbol>),
    Variable(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Fixed(Vec<Symbol>),
    Variable {
        /// In small letters.
        key: String,
        default: Option<String>,
    },
}

/// A pattern in a request.
#[derive(Debug)]
pub(super) enum Resolved<'p> {
    Known(Cow<'p, [Symbol]>),
    /// It has a variable that has no value in this request.
    Unknown,
}

/// What in a text is more than text; nothing, if not said otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Syntax {
    pub wildcards: bool,
    pub variables: bool,
}

impl Pattern {
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut fixed = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let (inside, after) = rest[2..]
                    .split_once('}')
                    .ok_or("a variable is without its closing brace")?;
                match variable(inside)? {
                    Variable::Literal(literal) => fixed.push(Symbol::Char(literal)),
                    Variable::Key(part) => {
                        parts.push(Part::Fixed(std::mem::take(&mut fixed)));
                        parts.push(part);
                    }
                }
                rest = after;
                continue;
            }
            fixed.push(match next {
                '*' if syntax.wildcards => Symbol::Any,
                '?' if syntax.wildcards => Symbol::One,
                other => Symbol::Char(other),
            });
            rest = &rest[next.len_utf8()..];
        }
        if parts.is_empty() {
            return Ok(Pattern::Fixed(fixed));
        }
        parts.push(Part::Fixed(fixed));
        Ok(Pattern::Variable(parts))
    }

    /// Whether what it matches can begin with this text: it does so as far as both are fixed.
    pub fn may_begin_with(&self, text: &str) -> bool {
        let fixed = match self {
            Pattern::Fixed(symbols) => symbols.as_slice(),
            Pattern::Variable(parts) => match parts.first() {
                Some(Part::Fixed(symbols)) => symbols.as_slice(),
                _ => &[],
            },
        };
        let mut rest = text.chars();
        for symbol in fixed {
            match (symbol, rest.next()) {
                (_, None) | (Symbol::Any, _) => return true,
                (Symbol::Char(own), Some(other)) if *own != other => return false,
                _ => {}
            }
        }
        self.has_variables() || rest.next().is_none()
    }

    pub fn has_variables(&self) -> bool {
        matches!(self, Pattern::Variable(_))
    }

    pub fn resolve(&self, request: &Request<'_>) -> Resolved<'_> {
        let parts = match self {
            Pattern::Fixed(symbols) => return Resolved::Known(Cow::Borrowed(symbols)),
            Pattern::Variable(parts) => parts,
        };
        let mut symbols = Vec::new();
        for part in parts {
            match part {
                Part::Fixed(fixed) => symbols.extend_from_slice(fixed),
                Part::Variable { key, default } => {
                    let value = request.single(key);
                    let Some(value) = value.or(default.as_deref().map(Cow::Borrowed)) else {
                        return Resolved::Unknown;
                    };
                    symbols.extend(value.chars().map(Symbol::Char));
                }
            }
        }
        Resolved::Known(Cow::Owned(symbols))
    }
}

enum Variable {
    /// `${*}`, `${?}` and `${$}` are the characters themselves.
    Literal(char),
    Key(Part),
}

fn variable(inside: &str) -> Result<Variable, &'static str> {
    match inside {
        "*" => return Ok(Variable::Literal('*')),
        "?" => return Ok(Variable::Literal('?')),
        "$" => return Ok(Variable::Literal('$')),
        _ => {}
    }
    let (key, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            let quoted = default.trim();
            let text = quoted.strip_prefix('\'').and_then(|d| d.strip_suffix('\''));
            let text = text.ok_or("a variable's default is not in single quotes")?;
            (key.trim_end(), Some(text.to_owned()))
        }
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":/-_.+=@".contains(c);
    match key {
        "" => Err("a variable is empty"),
        // The rest of a tag's key may be any text.
        key if !key.contains('/') && !key.chars().all(allowed) => {
            Err("a variable has characters that no key has")
        }
        key => Ok(Variable::Key(Part::Variable {
            key: key.to_lowercase(),
            default,
        })),
    }
}

/// Whether a pattern matches all of a text. Takes time of the product of both lengths at most: only
/// the last `*` is ever gone back to, as an earlier one could not do what it cannot.
pub(super) fn is_match(pattern: &[Symbol], text: &str) -> bool {
    let (mut at, mut rest) = (0, text);
    let mut back: Option<(usize, &str)> = None;
    loop {
        let next = rest.chars().next();
        match (pattern.get(at), next) {
            (Some(Symbol::Any), _) => {
                at += 1;
                back = Some((at, rest));
            }
            (Some(Symbol::One), Some(c)) => {
                at += 1;
                rest = &rest[c.len_utf8()..];
            }
            (Some(Symbol::Char(wanted)), Some(c)) if *wanted == c => {
                at += 1;
                rest = &rest[c.len_utf8()..];
            }
            (None, None) => return true,
            _ => {
                let Some((after_star, from)) = back else {
                    return false;
                };
                let Some(skipped) = from.chars().next() else {
                    return false;
                };
                rest = &from[skipped.len_utf8()..];
                at = after_star;
                back = Some((after_star, rest));
            }
        }
    }
}

/// The same for ARNs, of which a wildcard stays within its segment; the last segment is the
/// resource with all the colons that it has. A pattern of fewer segments has the rest in its last.
pub(super) fn is_match_by_segment(pattern: &[Symbol], text: &str) -> bool {
    const SEGMENTS: usize = 6;
    let patterns: Vec<_> = pattern
        .splitn(SEGMENTS, |symbol| *symbol == Symbol::Char(':'))
        .collect();
    let texts: Vec<_> = text.splitn(patterns.len(), ':').collect();
    let pairs = || patterns.iter().zip(&texts);
    patterns.len() == texts.len() && pairs().all(|(pattern, text)| is_match(pattern, text))
}
