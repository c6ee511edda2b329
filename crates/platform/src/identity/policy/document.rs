//! A policy that was read, and what it says of a request.

use std::fmt;

use super::{
    condition::Condition,
    pattern::{Pattern, Resolved, is_match, is_match_by_segment},
    principals::Principals,
    request::Request,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub id: Option<String>,
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its place in the document, from 1.
    pub(super) number: usize,
    pub sid: Option<String>,
    pub effect: Effect,
    /// None in a policy of an identity, which is about that identity.
    pub(super) principals: Option<Principals>,
    pub(super) actions: Clause,
    /// None is the resource that the policy is attached to.
    pub(super) resources: Option<Clause>,
    pub(super) conditions: Vec<Condition>,
}

/// An element that has a negation: `Action` and `NotAction`, `Resource` and `NotResource`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    pub negated: bool,
    pub patterns: Vec<Pattern>,
}

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'p> {
    Denied(&'p Statement),
    Allowed(&'p Statement),
    /// No statement is about it.
    Silent,
}

impl Policy {
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Whether it lets in whoever comes: a statement that allows everybody something, whatever it
    /// asks for beside. S3 asks so before it lets a policy be public.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }

    /// Whether every statement is about this resource or what is in it: begins with its ARN, or may.
    pub fn is_about(&self, arn: &str) -> bool {
        self.statements.iter().all(|statement| {
            let resources = statement.resources.as_ref();
            resources.is_none_or(|clause| clause.patterns.iter().all(|p| p.may_begin_with(arn)))
        })
    }

    /// A statement that denies counts more than all that allow.
    pub fn verdict(&self, request: &Request<'_>) -> Verdict<'_> {
        let first = |effect| {
            let mut all = self.statements.iter();
            all.find(|statement| statement.effect == effect && statement.applies(request))
        };
        match first(Effect::Deny) {
            Some(statement) => Verdict::Denied(statement),
            None => first(Effect::Allow).map_or(Verdict::Silent, Verdict::Allowed),
        }
    }
}

impl Statement {
    pub fn applies(&self, request: &Request<'_>) -> bool {
        self.is_about_action(request)
            && self.is_about_resource(request)
            && self.is_about_principal(request)
            && self.meets_conditions(request)
    }

    fn is_public(&self) -> bool {
        let everybody = self
            .principals
            .as_ref()
            .is_some_and(Principals::is_everybody);
        let is_narrowed = self.conditions.iter().any(Condition::is_about_who);
        self.effect == Effect::Allow && everybody && !is_narrowed
    }

    fn is_about_action(&self, request: &Request<'_>) -> bool {
        // Actions are compared without regard to case and have no variables.
        let action = request.action.to_lowercase();
        let matches = |pattern: &Pattern| match pattern.resolve(request) {
            Resolved::Known(symbols) => is_match(&symbols, &action),
            Resolved::Unknown => false,
        };
        self.actions.negated != self.actions.patterns.iter().any(matches)
    }

    fn is_about_resource(&self, request: &Request<'_>) -> bool {
        let Some(resources) = &self.resources else {
            return true;
        };
        let mut unknown = false;
        let matches = resources
            .patterns
            .iter()
            .any(|pattern| match pattern.resolve(request) {
                Resolved::Known(symbols) => is_match_by_segment(&symbols, request.resource),
                Resolved::Unknown => {
                    unknown = true;
                    false
                }
            });
        match (resources.negated, matches, unknown) {
            // What an unknown variable leaves open is decided against the caller.
            (true, false, true) => self.effect == Effect::Deny,
            (negated, matches, _) => negated != matches,
        }
    }

    fn is_about_principal(&self, request: &Request<'_>) -> bool {
        let principals = self.principals.as_ref();
        principals.is_none_or(|named| named.include(request, self.effect))
    }

    fn meets_conditions(&self, request: &Request<'_>) -> bool {
        let mut all = self.conditions.iter();
        all.all(|condition| condition.is_met(request, self.effect))
    }
}

/// For the operator: the statement's Sid, or its place.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sid {
            Some(sid) => write!(f, "statement {sid}"),
            None => write!(f, "statement {}", self.number),
        }
    }
}
