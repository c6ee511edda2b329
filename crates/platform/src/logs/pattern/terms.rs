//! `ERROR "not found" -Exiting ?WARN %code [0-9]+%`: terms that are to be there, are not to be, or
//! of which one is to be.

use regex::Regex;

use super::{
    PatternError,
    condition::{self},
    scanner::Scanner,
};

#[derive(Debug, Clone, Default)]
pub struct Terms {
    required: Vec<Term>,
    excluded: Vec<Term>,
    optional: Vec<Term>,
}

#[derive(Debug, Clone)]
enum Term {
    Text(String),
    Regex(Regex),
}

pub fn parse(text: &str) -> Result<Terms, PatternError> {
    let mut scanner = Scanner::new(text);
    let mut terms = Terms::default();
    loop {
        scanner.space();
        let Some(next) = scanner.peek() else { break };
        let kind = match next {
            '-' => &mut terms.excluded,
            '?' => &mut terms.optional,
            _ => &mut terms.required,
        };
        if matches!(next, '-' | '?') {
            scanner.next();
        }
        kind.push(term(&mut scanner)?);
    }
    Ok(terms)
}

fn term(scanner: &mut Scanner<'_>) -> Result<Term, PatternError> {
    match scanner.peek() {
        Some('"') => Ok(Term::Text(scanner.quoted()?)),
        Some('%') => Ok(Term::Regex(condition::regex(scanner.regex()?)?)),
        _ => {
            let word = scanner.word(char::is_whitespace);
            // What means something elsewhere has to be in quotes.
            let is_wrong = |c: char| c.is_ascii_punctuation() && !"_.-*@/#+$~'".contains(c);
            if word.is_empty() {
                return Err(PatternError::Invalid);
            }
            match word.contains(is_wrong) {
                true => Err(PatternError::Characters(word.to_owned())),
                false => Ok(Term::Text(word.to_owned())),
            }
        }
    }
}

impl Terms {
    pub fn matches(&self, message: &str) -> bool {
        let is_in = |term: &Term| match term {
            Term::Text(text) => message.contains(text.as_str()),
            Term::Regex(regex) => regex.is_match(message),
        };
        if self.excluded.iter().any(is_in) {
            return false;
        }
        // Beside a term that has to be there, those that may be say nothing.
        match self.required.is_empty() && !self.optional.is_empty() {
            true => self.optional.iter().any(is_in),
            false => self.required.iter().all(is_in),
        }
    }
}
