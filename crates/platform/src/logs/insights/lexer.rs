//! A query's text as tokens, each with where it is.

use super::SyntaxError;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A name, perhaps of a command or function.
    Name(String),
    /// A name in backticks, which is a field's.
    Quoted(String),
    Number(f64),
    /// In milliseconds, such as `5m`.
    Period(i64),
    Text(String),
    Symbol(&'static str),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Spanned {
    pub token: Token,
    /// In bytes.
    pub start: usize,
    pub end: usize,
}

/// Longer before shorter.
const SYMBOLS: [&str; 21] = [
    "!=", "<=", ">=", "=~", "==", "|", "(", ")", "[", "]", ",", "=", "<", ">", "+", "-", "*", "/",
    "%", "^", ".",
];

#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn error(&self, message: impl Into<String>, start: usize, end: usize) -> SyntaxError {
        let characters = |bytes: usize| {
            let before = self.text.get(..bytes).unwrap_or(self.text);
            before.chars().count()
        };
        SyntaxError {
            message: message.into(),
            start: characters(start),
            end: characters(end),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    pub fn next(&mut self) -> Result<Spanned, SyntaxError> {
        self.skip();
        let (start, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else {
            return Ok(Spanned {
                token: Token::End,
                start,
                end: start,
            });
        };
        let token = match first {
            '"' | '\'' => self.string(first)?,
            '`' => match rest[1..].split_once('`') {
                Some((name, _)) => {
                    self.at += name.len() + 2;
                    Token::Quoted(name.to_owned())
                }
                None => return Err(self.error("a name without an end", start, self.text.len())),
            },
            '0'..='9' => self.number()?,
            '@' | '_' | '$' | 'a'..='z' | 'A'..='Z' => {
                let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | '$'));
                let len = rest.find(ends).unwrap_or(rest.len());
                self.at += len;
                Token::Name(rest[..len].to_owned())
            }
            other => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let Some(symbol) = symbol else {
                    let end = start + other.len_utf8();
                    return Err(self.error(format!("unexpected symbol found {other}"), start, end));
                };
                self.at += symbol.len();
                Token::Symbol(symbol)
            }
        };
        Ok(Spanned {
            token,
            start,
            end: self.at,
        })
    }

    fn string(&mut self, quote: char) -> Result<Token, SyntaxError> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, next)) if next == quote || next == '\\' => text.push(next),
                    Some((_, next)) => text.extend(['\\', next]),
                    None => break,
                },
                _ if character == quote => {
                    self.at += at + 1;
                    return Ok(Token::Text(text));
                }
                other => text.push(other),
            }
        }
        Err(self.error("a string without an end", start, self.text.len()))
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let (start, rest) = (self.at, self.rest());
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let unit = rest[digits..].find(|c: char| !c.is_ascii_alphanumeric());
        let end = digits + unit.unwrap_or(rest.len() - digits);
        let (number, unit) = (&rest[..digits], &rest[digits..end]);
        self.at += end;
        let wrong =
            |lexer: &Self| lexer.error(format!("{} is no number", &rest[..end]), start, lexer.at);
        if unit.is_empty() || unit.starts_with(['e', 'E']) {
            let number = rest[..end].parse().map_err(|_| wrong(self))?;
            return Ok(Token::Number(number));
        }
        let count: f64 = number.parse().map_err(|_| wrong(self))?;
        let ms = period_ms(unit).ok_or_else(|| wrong(self))?;
        Ok(Token::Period((count * ms as f64) as i64))
    }

    /// What is between slashes, if that is next.
    pub fn regex(&mut self) -> Result<Option<(String, usize, usize)>, SyntaxError> {
        self.skip();
        let (start, rest) = (self.at, self.rest());
        if !rest.starts_with('/') {
            return Ok(None);
        }
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '/' => {
                    self.at += at + 1;
                    return Ok(Some((text, start, self.at)));
                }
                '\\' => match characters.next() {
                    Some((_, '/')) => text.push('/'),
                    Some((_, next)) => text.extend(['\\', next]),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err(self.error(
            "a regular expression without an end",
            start,
            self.text.len(),
        ))
    }
}

fn period_ms(unit: &str) -> Option<i64> {
    Some(match unit {
        "ms" | "msec" | "msecs" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        "mo" | "mon" | "month" | "months" => 30 * 86_400_000,
        "q" | "qtr" | "quarter" | "quarters" => 91 * 86_400_000,
        "y" | "yr" | "yrs" | "year" | "years" => 365 * 86_400_000,
        _ => return None,
    })
}
