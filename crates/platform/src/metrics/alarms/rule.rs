//! Rules of composite alarms: states of other alarms, with AND, OR and NOT.

use super::record::StateValue;

#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    Constant(bool),
    /// An alarm, by name or ARN as it was given, is in a state.
    Is(StateValue, String),
    Not(Box<Rule>),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
}

/// What is wrong with a rule's text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(pub String);

/// CloudWatch's quotas: elements of a rule, and alarms in it.
const ELEMENTS_MAX: usize = 500;
const ALARMS_MAX: usize = 100;
const DEPTH_MAX: usize = 64;

impl Rule {
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let mut parser = Parser {
            rest: text,
            elements: 0,
            depth: 0,
        };
        let rule = parser.any()?;
        if !parser.rest.trim_start().is_empty() {
            return parser.unexpected();
        }
        if rule.alarms().len() > ALARMS_MAX {
            return Err(RuleError(format!(
                "A rule may have {ALARMS_MAX} alarms at most"
            )));
        }
        Ok(rule)
    }

    /// Whether it holds, given the states of alarms as they are named in it.
    pub fn holds(&self, state: &impl Fn(&str) -> Option<StateValue>) -> bool {
        match self {
            Self::Constant(constant) => *constant,
            Self::Is(wanted, alarm) => state(alarm) == Some(*wanted),
            Self::Not(rule) => !rule.holds(state),
            Self::And(one, other) => one.holds(state) && other.holds(state),
            Self::Or(one, other) => one.holds(state) || other.holds(state),
        }
    }

    /// The alarms that are named, each once, in the order of the text.
    pub fn alarms(&self) -> Vec<&str> {
        let mut all = Vec::new();
        self.gather(&mut all);
        all
    }

    fn gather<'a>(&'a self, all: &mut Vec<&'a str>) {
        match self {
            Self::Constant(_) => {}
            Self::Is(_, alarm) if all.contains(&alarm.as_str()) => {}
            Self::Is(_, alarm) => all.push(alarm),
            Self::Not(rule) => rule.gather(all),
            Self::And(one, other) | Self::Or(one, other) => {
                one.gather(all);
                other.gather(all);
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    elements: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Rule, RuleError> {
        let mut rule = self.all()?;
        while self.word("OR") {
            rule = Rule::Or(Box::new(rule), Box::new(self.all()?));
        }
        Ok(rule)
    }

    fn all(&mut self) -> Result<Rule, RuleError> {
        let mut rule = self.one()?;
        while self.word("AND") {
            rule = Rule::And(Box::new(rule), Box::new(self.one()?));
        }
        Ok(rule)
    }

    fn one(&mut self) -> Result<Rule, RuleError> {
        self.elements += 1;
        self.depth += 1;
        if self.elements > ELEMENTS_MAX || self.depth > DEPTH_MAX {
            return Err(RuleError("The rule has too many elements".to_owned()));
        }
        let rule = self.element();
        self.depth -= 1;
        rule
    }

    fn element(&mut self) -> Result<Rule, RuleError> {
        if self.word("NOT") {
            return Ok(Rule::Not(Box::new(self.one()?)));
        }
        if self.mark('(') {
            let rule = self.any()?;
            return match self.mark(')') {
                true => Ok(rule),
                false => self.unexpected(),
            };
        }
        for (word, constant) in [("TRUE", true), ("FALSE", false)] {
            if self.word(word) {
                return Ok(Rule::Constant(constant));
            }
        }
        for value in [
            StateValue::Alarm,
            StateValue::Ok,
            StateValue::InsufficientData,
        ] {
            if self.word(value.name()) {
                if !self.mark('(') {
                    return self.unexpected();
                }
                let alarm = self.alarm()?;
                return match self.mark(')') {
                    true => Ok(Rule::Is(value, alarm)),
                    false => self.unexpected(),
                };
            }
        }
        self.unexpected()
    }

    /// A name or an ARN, in quotes or without.
    fn alarm(&mut self) -> Result<String, RuleError> {
        self.rest = self.rest.trim_start();
        let (name, rest) = match self.rest.strip_prefix('"') {
            Some(inside) => match inside.split_once('"') {
                Some(found) => found,
                None => return self.unexpected(),
            },
            None => {
                let end = self.rest.find(')').unwrap_or(self.rest.len());
                let (name, rest) = self.rest.split_at(end);
                (name.trim_end(), rest)
            }
        };
        if name.is_empty() {
            return self.unexpected();
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        let Some(after) = rest.strip_prefix(word) else {
            return false;
        };
        let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if ends {
            self.rest = after;
        }
        ends
    }

    fn mark(&mut self, mark: char) -> bool {
        let after = self.rest.trim_start().strip_prefix(mark);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn unexpected<T>(&self) -> Result<T, RuleError> {
        Err(RuleError(match self.rest.trim_start() {
            "" => "The rule ends too early".to_owned(),
            rest => format!("Unexpected input at '{rest:.60}'"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let state = |name: &str| match name {
            "up" => Some(StateValue::Ok),
            "down" => Some(StateValue::Alarm),
            "new" => Some(StateValue::InsufficientData),
            _ => None,
        };
        Rule::parse(text).unwrap().holds(&state)
    }

    #[test]
    fn rules_hold_by_the_states_of_alarms() {
        for yes in [
            "TRUE",
            "ALARM(down)",
            "ALARM(\"down\") AND OK(up)",
            "NOT ALARM(up)",
            "FALSE OR (OK(up) AND INSUFFICIENT_DATA(new))",
            "ALARM(down) OR TRUE AND FALSE",
            "NOT OK(gone)",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            "FALSE",
            "ALARM( up )",
            "NOT (TRUE)",
            "(ALARM(down) OR TRUE) AND FALSE",
        ] {
            assert!(!holds(no), "{no}");
        }
        let rule = Rule::parse("ALARM(a) OR (NOT OK(\"b c\") AND ALARM(a))").unwrap();
        assert_eq!(rule.alarms(), ["a", "b c"]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "ALARM",
            "ALARM(",
            "ALARM()",
            "ALARM(\"a)",
            "TRUE TRUE",
            "TRUE AND",
            "(TRUE",
            "TRUE)",
            "alarm(a)",
            "ALARM(a) XOR TRUE",
            &"NOT ".repeat(1000),
        ] {
            assert!(Rule::parse(text).is_err(), "{text:.30}");
        }
    }
}
