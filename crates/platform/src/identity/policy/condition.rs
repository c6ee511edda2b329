//! The element Condition: operators, what they compare, and when a request meets them.
//!
//! A missing key fails an operator and satisfies its negation; `IfExists` satisfies either. Several
//! values of a condition are alternatives; under a negation none may match.

use jiff::Timestamp;

use super::{
    document::Effect,
    pattern::{Pattern, Resolved, Symbol, Syntax, is_match, is_match_by_segment},
    request::Request,
    values::{Decimal, Network, base64, timestamp},
};

/// One key under one operator; all of a statement's have to be met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    operator: Operator,
    /// In small letters.
    key: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    quantifier: Quantifier,
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
}

/// Which of a key's values have to match, if it has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// `ForAllValues:`, met also by a key that is not there.
    All,
    /// `ForAnyValue:`, never met by a key that is not there.
    Any,
    /// Meant for keys of one value.
    Single,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Text,
    TextIgnoringCase,
    Like,
    Arn,
    Numeric(Order),
    Date(Order),
    Bool,
    Binary,
    Ip,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A condition's values, read for its comparison.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Texts(Vec<Pattern>),
    Numbers(Vec<Decimal>),
    Dates(Vec<Timestamp>),
    Bytes(Vec<Vec<u8>>),
    Networks(Vec<Network>),
    /// Whether the key has to be absent.
    Absent(Vec<bool>),
}

/// Whether a value of the request is one of those that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// A variable has no value.
    Unknown,
}

impl Operator {
    /// By its name, such as `ForAnyValue:StringNotLikeIfExists`.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let (quantifier, rest) = match name.split_once(':') {
            None => (Quantifier::Single, name.as_str()),
            Some(("forallvalues", rest)) => (Quantifier::All, rest),
            Some(("foranyvalue", rest)) => (Quantifier::Any, rest),
            Some(_) => return None,
        };
        let (base, if_exists) = match rest.strip_suffix("ifexists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (comparison, negated) = comparison(base)?;
        let is_null = comparison == Comparison::Null;
        if is_null && (if_exists || quantifier != Quantifier::Single) {
            return None;
        }
        Some(Operator {
            quantifier,
            comparison,
            negated,
            if_exists,
        })
    }
}

fn comparison(name: &str) -> Option<(Comparison, bool)> {
    use Comparison as C;
    let (base, negated) = match name {
        "stringnotequals" => ("stringequals", true),
        "stringnotequalsignorecase" => ("stringequalsignorecase", true),
        "stringnotlike" => ("stringlike", true),
        "numericnotequals" => ("numericequals", true),
        "datenotequals" => ("dateequals", true),
        "notipaddress" => ("ipaddress", true),
        "arnnotequals" => ("arnequals", true),
        "arnnotlike" => ("arnlike", true),
        other => (other, false),
    };
    let comparison = match base {
        "stringequals" => C::Text,
        "stringequalsignorecase" => C::TextIgnoringCase,
        "stringlike" => C::Like,
        "arnequals" | "arnlike" => C::Arn,
        "bool" => C::Bool,
        "binaryequals" => C::Binary,
        "ipaddress" => C::Ip,
        "null" => C::Null,
        other => match (other.strip_prefix("numeric"), other.strip_prefix("date")) {
            (Some(order), _) => C::Numeric(Order::parse(order)?),
            (_, Some(order)) => C::Date(Order::parse(order)?),
            _ => return None,
        },
    };
    Some((comparison, negated))
}

impl Order {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "equals" => Order::Equal,
            "lessthan" => Order::Less,
            "lessthanequals" => Order::LessOrEqual,
            "greaterthan" => Order::Greater,
            "greaterthanequals" => Order::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds<T: Ord>(self, found: &T, wanted: &T) -> bool {
        match self {
            Order::Equal => found == wanted,
            Order::Less => found < wanted,
            Order::LessOrEqual => found <= wanted,
            Order::Greater => found > wanted,
            Order::GreaterOrEqual => found >= wanted,
        }
    }
}

/// Keys by which a condition narrows whom a statement is about.
const WHO: [&str; 10] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
];

impl Condition {
    /// Whether it asks for somebody, not only for how something is asked.
    pub fn is_about_who(&self) -> bool {
        WHO.contains(&self.key.as_str()) && !self.operator.negated
    }

    /// `variables` says whether the policy's version has variables.
    pub fn new(
        operator: Operator,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, &'static str> {
        Ok(Condition {
            wanted: Wanted::parse(operator.comparison, values, variables)?,
            operator,
            key: key.to_lowercase(),
        })
    }

    pub fn is_met(&self, request: &Request<'_>, effect: Effect) -> bool {
        let Operator {
            quantifier,
            negated,
            if_exists,
            ..
        } = self.operator;
        let found = request.values(&self.key);
        if let Wanted::Absent(wanted) = &self.wanted {
            return wanted.contains(&found.is_empty());
        }
        let passes = |value: &str| match (self.matches(value, request), negated) {
            (Match::Yes, negated) => !negated,
            (Match::No, negated) => negated,
            // What an unknown variable leaves open is decided against the caller.
            (Match::Unknown, negated) => negated && effect == Effect::Deny,
        };
        let mut found_values = found.iter();
        match quantifier {
            Quantifier::All => found_values.all(|value| passes(value)),
            Quantifier::Any => found_values.any(|value| passes(value)),
            Quantifier::Single if found.is_empty() => negated || if_exists,
            // None of several values may be what the negation is about.
            Quantifier::Single if negated => found_values.all(|value| passes(value)),
            Quantifier::Single => found_values.any(|value| passes(value)),
        }
    }

    fn matches(&self, found: &str, request: &Request<'_>) -> Match {
        let is = |yes: bool| if yes { Match::Yes } else { Match::No };
        match (&self.wanted, self.operator.comparison) {
            (Wanted::Numbers(wanted), Comparison::Numeric(order)) => {
                let found = Decimal::parse(found);
                is(found.is_some_and(|found| wanted.iter().any(|w| order.holds(&found, w))))
            }
            (Wanted::Dates(wanted), Comparison::Date(order)) => {
                let found = timestamp(found);
                is(found.is_some_and(|found| wanted.iter().any(|w| order.holds(&found, w))))
            }
            (Wanted::Bytes(wanted), _) => {
                is(base64(found).is_some_and(|found| wanted.contains(&found)))
            }
            (Wanted::Networks(wanted), _) => {
                let found = found.parse().ok();
                is(found.is_some_and(|ip| wanted.iter().any(|network| network.contains(ip))))
            }
            (Wanted::Texts(wanted), comparison) => text_matches(comparison, wanted, found, request),
            // Others are never made, and match nothing.
            (Wanted::Numbers(_) | Wanted::Dates(_) | Wanted::Absent(_), _) => Match::No,
        }
    }
}

fn text_matches(
    comparison: Comparison,
    wanted: &[Pattern],
    found: &str,
    request: &Request<'_>,
) -> Match {
    let ignores_case = matches!(comparison, Comparison::TextIgnoringCase | Comparison::Bool);
    let folded = ignores_case.then(|| found.to_lowercase());
    let found = folded.as_deref().unwrap_or(found);
    let mut result = Match::No;
    for pattern in wanted {
        let Resolved::Known(symbols) = pattern.resolve(request) else {
            result = Match::Unknown;
            continue;
        };
        let is_match = match comparison {
            Comparison::Arn => is_match_by_segment(&symbols, found),
            _ if ignores_case => is_match(&in_small_letters(&symbols), found),
            _ => is_match(&symbols, found),
        };
        if is_match {
            return Match::Yes;
        }
    }
    result
}

fn in_small_letters(symbols: &[Symbol]) -> Vec<Symbol> {
    let mut small = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        match symbol {
            Symbol::Char(c) => small.extend(c.to_lowercase().map(Symbol::Char)),
            other => small.push(*other),
        }
    }
    small
}

impl Wanted {
    fn parse(
        comparison: Comparison,
        values: &[String],
        variables: bool,
    ) -> Result<Self, &'static str> {
        let texts = |wildcards| {
            let syntax = Syntax {
                wildcards,
                variables,
            };
            let patterns = values.iter().map(|value| Pattern::parse(value, syntax));
            patterns.collect::<Result<Vec<_>, _>>()
        };
        Ok(match comparison {
            Comparison::Text | Comparison::TextIgnoringCase => Wanted::Texts(texts(false)?),
            Comparison::Like | Comparison::Arn => Wanted::Texts(texts(true)?),
            Comparison::Bool => {
                let patterns = texts(false)?;
                let all = values.iter().zip(&patterns);
                for (value, pattern) in all {
                    if !pattern.has_variables() {
                        truth(value)?;
                    }
                }
                Wanted::Texts(patterns)
            }
            Comparison::Null => {
                Wanted::Absent(values.iter().map(|v| truth(v)).collect::<Result<_, _>>()?)
            }
            Comparison::Numeric(_) => Wanted::Numbers(each(values, Decimal::parse, "no number")?),
            Comparison::Date(_) => Wanted::Dates(each(values, timestamp, "no date")?),
            Comparison::Binary => Wanted::Bytes(each(values, base64, "not Base64")?),
            Comparison::Ip => Wanted::Networks(each(values, Network::parse, "no IP address")?),
        })
    }
}

fn truth(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither true nor false"),
    }
}

fn each<T>(
    values: &[String],
    parse: impl Fn(&str) -> Option<T>,
    otherwise: &'static str,
) -> Result<Vec<T>, &'static str> {
    let all = values.iter().map(|value| parse(value));
    all.collect::<Option<Vec<T>>>().ok_or(otherwise)
}
