//! From a policy's text to a [`Policy`]: grammar, and what every element may hold.

use std::collections::HashSet;

use super::{
    condition::{Condition, Operator},
    document::{Clause, Effect, Policy, Statement},
    error::PolicyError,
    json::Json,
    pattern::{Pattern, Syntax},
    principals::{Named, Principals},
};

/// What a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Says whom it is about; may leave out Resource, which then is what it is attached to.
    Resource,
    /// Is about its identity, and has to say which resources.
    Identity,
}

/// How large a policy may be; services differ.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub bytes_max: usize,
    pub statements_max: usize,
}

impl Policy {
    pub fn parse(text: &str, kind: Kind, bounds: Bounds) -> Result<Self, PolicyError> {
        if text.len() > bounds.bytes_max {
            let max = bounds.bytes_max;
            return Err(PolicyError::TooLong { max });
        }
        let json = serde_json::from_str(text);
        let json = json.map_err(|error| PolicyError::Json(error.to_string()))?;
        let mut document = Elements::of(json, "Policy")?;
        let variables = match document.text("Version")?.as_deref() {
            Some("2012-10-17") => true,
            // Before there were variables.
            Some("2008-10-17") | None => false,
            Some(_) => return Err(PolicyError::at("Version", "is not one that there is")),
        };
        let id = document.text("Id")?;
        let statements = match document.take("Statement") {
            Some(Json::List(list)) => list,
            Some(one @ Json::Object(_)) => vec![one],
            Some(_) => return Err(PolicyError::at("Statement", "is no object")),
            None => return Err(PolicyError::at("Statement", "is missing")),
        };
        document.end()?;
        let (count, max) = (statements.len(), bounds.statements_max);
        if count == 0 {
            return Err(PolicyError::at("Statement", "is empty"));
        }
        if count > max {
            return Err(PolicyError::TooManyStatements { count, max });
        }
        let statements = (1..).zip(statements).map(|(number, json)| {
            let statement = statement(number, json, kind, variables);
            statement.map_err(|error| error.within(&format!("Statement {number}")))
        });
        let policy = Policy {
            id,
            statements: statements.collect::<Result<_, _>>()?,
        };
        policy.check_sids()?;
        Ok(policy)
    }

    fn check_sids(&self) -> Result<(), PolicyError> {
        let mut seen = HashSet::new();
        for statement in &self.statements {
            // An empty one is none.
            let sid = statement.sid.as_deref().filter(|sid| !sid.is_empty());
            if sid.is_some_and(|sid| !seen.insert(sid)) {
                let at = format!("Statement {}, Sid", statement.number);
                return Err(PolicyError::at(at, "is another statement's too"));
            }
        }
        Ok(())
    }
}

fn statement(
    number: usize,
    json: Json,
    kind: Kind,
    variables: bool,
) -> Result<Statement, PolicyError> {
    let mut elements = Elements::of(json, "Statement")?;
    let sid = elements.text("Sid")?;
    let effect = match elements.text("Effect")?.as_deref() {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        Some(_) => return Err(PolicyError::at("Effect", "is neither Allow nor Deny")),
        None => return Err(PolicyError::at("Effect", "is missing")),
    };
    let principals = match (elements.either("Principal", "NotPrincipal")?, kind) {
        (None, Kind::Identity) => None,
        (Some(_), Kind::Identity) => {
            return Err(PolicyError::at("Principal", "is the policy's identity"));
        }
        (None, Kind::Resource) => return Err(PolicyError::at("Principal", "is missing")),
        (Some((name, negated, json)), Kind::Resource) => {
            let named = named(json).map_err(|what| PolicyError::at(name, what))?;
            Some(Principals { negated, named })
        }
    };
    let Some(actions) = elements.clause("Action", "NotAction", action)? else {
        return Err(PolicyError::at("Action", "is missing"));
    };
    let resource = |text: &str| resource(text, kind, variables);
    let resources = elements.clause("Resource", "NotResource", resource)?;
    if resources.is_none() && kind == Kind::Identity {
        return Err(PolicyError::at("Resource", "is missing"));
    }
    let conditions = match elements.take("Condition") {
        Some(block) => conditions(block, variables)?,
        None => Vec::new(),
    };
    elements.end()?;
    Ok(Statement {
        number,
        sid,
        effect,
        principals,
        actions,
        resources,
        conditions,
    })
}

/// `*`, or a service and its actions. Compared without regard to case.
fn action(text: &str) -> Result<Pattern, &'static str> {
    let text = text.to_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_*?".contains(c);
    let (service, name) = text.split_once(':').unwrap_or(("", &text));
    let is_service = !service.is_empty() && service.chars().all(allowed);
    if text != "*" && (!is_service || name.is_empty() || !name.chars().all(allowed)) {
        return Err("is no action: a service, a colon and a name");
    }
    let syntax = Syntax {
        wildcards: true,
        variables: false,
    };
    Pattern::parse(&text, syntax)
}

fn resource(text: &str, kind: Kind, variables: bool) -> Result<Pattern, &'static str> {
    let is_arn = text.starts_with("arn:") && text.split(':').count() >= 4;
    let may_be = text == "*" || is_arn || variables && text.starts_with("${");
    match (may_be, kind) {
        (false, Kind::Identity) => Err("is no ARN"),
        // SQS takes it, e.g. a template's name that was never filled in. It is no resource's.
        (false, Kind::Resource) => Pattern::parse(text, Syntax::default()),
        (true, _) => {
            let wildcards = true;
            Pattern::parse(
                text,
                Syntax {
                    wildcards,
                    variables,
                },
            )
        }
    }
}

fn conditions(block: Json, variables: bool) -> Result<Vec<Condition>, PolicyError> {
    let Json::Object(operators) = block else {
        return Err(PolicyError::at("Condition", "is no object"));
    };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let at = format!("Condition {name:.80}");
        let Some(operator) = Operator::parse(&name) else {
            return Err(PolicyError::at(at, "is no operator"));
        };
        let Json::Object(keys) = keys else {
            return Err(PolicyError::at(at, "is no object"));
        };
        for (key, values) in keys {
            let wrong = |what: &str| PolicyError::at(format!("{at}, {key:.80}"), what);
            if !key.contains(':') {
                return Err(wrong("is no condition key"));
            }
            let values = values.texts(true).ok_or_else(|| wrong("has no values"))?;
            let condition = Condition::new(operator, &key, &values, variables);
            conditions.push(condition.map_err(wrong)?);
        }
    }
    Ok(conditions)
}

fn named(json: Json) -> Result<Vec<Named>, String> {
    let kinds = match json {
        Json::Text(text) if text == "*" => return Ok(vec![Named::Everybody]),
        Json::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err("is neither * nor an object of principals".to_owned()),
    };
    let mut all = Vec::new();
    for (kind, json) in kinds {
        let texts = json.texts(false).filter(|texts| !texts.is_empty());
        let texts = texts.ok_or_else(|| format!("names nobody by {kind:.40}"))?;
        for text in texts {
            let named = match kind.as_str() {
                "AWS" => aws(&text),
                "Service" => service(&text),
                "Federated" if !text.is_empty() => Some(Named::Federated),
                "CanonicalUser" if !text.is_empty() => Some(Named::CanonicalUser),
                _ => None,
            };
            all.push(named.ok_or_else(|| format!("{text:.200} is no principal by {kind:.40}"))?);
        }
    }
    Ok(all)
}

/// An account, by its number or its root, a user, a role or a session, or what is left of one.
fn aws(text: &str) -> Option<Named> {
    if text == "*" {
        return Some(Named::Everybody);
    }
    if is_account(text) {
        return Some(Named::Account(text.to_owned()));
    }
    let is_id = text.len() > 16 && (text.starts_with("AIDA") || text.starts_with("AROA"));
    if is_id && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Some(Named::UniqueId(text.to_owned()));
    }
    let arn: wire::arn::Arn = text.parse().ok()?;
    let is_whole = arn.region.is_empty() && is_account(&arn.account_id);
    if !is_whole || !arn.partition.starts_with("aws") || text.contains(['*', '?']) {
        return None;
    }
    let (kind, name) = arn.resource.split_once('/').unwrap_or((&arn.resource, ""));
    match (arn.service.as_str(), kind, name) {
        ("iam", "root", "") => Some(Named::Account(arn.account_id)),
        ("iam", "user" | "role", name) if !name.is_empty() => Some(Named::Arn(text.to_owned())),
        ("sts", "assumed-role", name) if name.contains('/') => Some(Named::Arn(text.to_owned())),
        ("sts", "federated-user", name) if !name.is_empty() => Some(Named::Arn(text.to_owned())),
        _ => None,
    }
}

fn service(text: &str) -> Option<Named> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let is_name = text.contains('.') && text.bytes().all(allowed);
    is_name.then(|| Named::Service(text.to_owned()))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

impl Json {
    /// A text or a list of texts; numbers and booleans too where those are `bare`.
    fn texts(self, bare: bool) -> Option<Vec<String>> {
        let text = |json| match json {
            Json::Text(text) => Some(text),
            Json::Bare(text) if bare => Some(text),
            _ => None,
        };
        match self {
            Json::List(list) => list.into_iter().map(text).collect(),
            one => Some(vec![text(one)?]),
        }
    }
}

/// The elements of an object that are not read yet; none may be left.
struct Elements(Vec<(String, Json)>);

impl Elements {
    fn of(json: Json, what: &str) -> Result<Self, PolicyError> {
        match json {
            Json::Object(elements) => Ok(Elements(elements)),
            _ => Err(PolicyError::at(what, "is no object")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(held, _)| held == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, PolicyError> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(PolicyError::at(name, "is no text")),
        }
    }

    /// An element or its negation; with which of them it is.
    fn either(
        &mut self,
        name: &'static str,
        negation: &'static str,
    ) -> Result<Option<(&'static str, bool, Json)>, PolicyError> {
        match (self.take(name), self.take(negation)) {
            (Some(_), Some(_)) => Err(PolicyError::at(
                name,
                format!("is there together with {negation}"),
            )),
            (Some(json), None) => Ok(Some((name, false, json))),
            (None, Some(json)) => Ok(Some((negation, true, json))),
            (None, None) => Ok(None),
        }
    }

    fn clause(
        &mut self,
        name: &'static str,
        negation: &'static str,
        pattern: impl Fn(&str) -> Result<Pattern, &'static str>,
    ) -> Result<Option<Clause>, PolicyError> {
        let Some((name, negated, json)) = self.either(name, negation)? else {
            return Ok(None);
        };
        let texts = json.texts(false).filter(|texts| !texts.is_empty());
        let texts = texts.ok_or_else(|| PolicyError::at(name, "is neither a text nor a list"))?;
        let patterns = texts.iter().map(|text| {
            let read = pattern(text);
            read.map_err(|what| PolicyError::at(name, format!("{text:.200} {what}")))
        });
        Ok(Some(Clause {
            negated,
            patterns: patterns.collect::<Result<_, _>>()?,
        }))
    }

    fn end(self) -> Result<(), PolicyError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(PolicyError::at(
                format!("{name:.80}"),
                "is no element of a policy",
            )),
        }
    }
}
