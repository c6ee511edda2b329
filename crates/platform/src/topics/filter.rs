//! Filter policies: which messages a subscription is for.
//!
//! The language is that of `patterns`; SNS has fewer operators, limits of its own, and words of its
//! own for what is wrong (`check`).

mod check;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{
    error::{Error, Result},
    limits,
    message::Message,
};
use crate::patterns::{Operators, Pattern};

const OPERATORS: Operators = Operators(&[
    "exists",
    "prefix",
    "suffix",
    "equals-ignore-case",
    "anything-but",
    "numeric",
    "cidr",
]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    MessageAttributes,
    MessageBody,
}

/// A filter policy that can be asked.
#[derive(Debug, Clone)]
pub struct Filter {
    pattern: Pattern,
    scope: Scope,
}

/// What is asked about a message, read once for all subscriptions.
pub struct Asked {
    attributes: Value,
    body: Option<Value>,
}

impl Filter {
    /// `at` is what comes before SNS's words: the attribute alone, or that it was one of several.
    pub fn compile(text: &str, scope: Scope, at: &str) -> Result<Self> {
        if text.len() > limits::FILTER_BYTES_MAX {
            return Err(Error::parameter(format!(
                "{at}FilterPolicy: Filter policy is too long"
            )));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::parameter(format!("{at}FilterPolicy: failed to parse JSON. {error}"))
        })?;
        check::check(&value, scope, at)?;
        let pattern = Pattern::compile(text, OPERATORS)
            .map_err(|error| Error::parameter(format!("{at}FilterPolicy: {error}")))?;
        Ok(Self { pattern, scope })
    }

    pub fn takes(&self, asked: &Asked) -> bool {
        match self.scope {
            Scope::MessageAttributes => self.pattern.matches(&asked.attributes),
            Scope::MessageBody => asked
                .body
                .as_ref()
                .is_some_and(|body| self.pattern.matches(body)),
        }
    }
}

impl Asked {
    /// `wants_body`: some filter asks about it.
    pub fn of(message: &Message, wants_body: bool) -> Self {
        let mut attributes = Map::new();
        for attribute in &message.attributes {
            if let Some(value) = attribute.asked() {
                attributes.insert(attribute.name.clone(), value);
            }
        }
        let body = || {
            let body: Value = serde_json::from_str(&message.body).ok()?;
            body.is_object().then_some(body)
        };
        Self {
            attributes: Value::Object(attributes),
            body: wants_body.then(body).flatten(),
        }
    }
}

impl Filter {
    pub fn asks_body(&self) -> bool {
        self.scope == Scope::MessageBody
    }
}
