//! Reads a pattern's text from left to right.

use super::PatternError;

#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    rest: &'a str,
    /// Regular expressions so far.
    pub regexes: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            regexes: 0,
        }
    }

    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    pub fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes a text if it is next.
    pub fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The same whatever its case.
    pub fn take_keyword(&mut self, keyword: &str) -> bool {
        let Some((start, rest)) = self.rest.split_at_checked(keyword.len()) else {
            return false;
        };
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_it = start.eq_ignore_ascii_case(keyword) && ends;
        if is_it {
            self.rest = rest;
        }
        is_it
    }

    pub fn expect(&mut self, text: &str) -> Result<(), PatternError> {
        match self.take(text) {
            true => Ok(()),
            false => Err(PatternError::Invalid),
        }
    }

    /// Up to a character that ends it.
    pub fn word(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word
    }

    /// What is between quotes; a backslash takes a quote in.
    pub fn quoted(&mut self) -> Result<String, PatternError> {
        self.expect("\"")?;
        let mut text = String::new();
        loop {
            match self.next().ok_or(PatternError::Invalid)? {
                '"' => return Ok(text),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => text.extend(self.next()),
                other => text.push(other),
            }
        }
    }

    /// What is between percent signs.
    pub fn regex(&mut self) -> Result<&'a str, PatternError> {
        self.expect("%")?;
        self.regexes += 1;
        if self.regexes > super::REGEX_MAX {
            return Err(PatternError::TooManyRegexes);
        }
        let text = self.word(|c| c == '%');
        self.expect("%")?;
        Ok(text)
    }
}
