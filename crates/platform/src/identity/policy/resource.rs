//! Whether a request for a resource may go on: the resource's policy, and whose it is.
//!
//! A denial ends it, for the resource's own account too. The account itself needs no permission for
//! what is its own, as there are no identity policies yet; everybody else needs a statement that
//! allows it.

use std::fmt;

use super::{
    document::{Policy, Statement, Verdict},
    request::Request,
};

/// Why a request may go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed<'p> {
    /// The resource is the caller's own account's.
    Own,
    By(&'p Statement),
}

/// Why it may not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refused<'p> {
    Denied(&'p Statement),
    /// Nothing allows it.
    NotAllowed,
}

pub fn decide<'p>(
    request: &Request<'_>,
    policy: Option<&'p Policy>,
) -> Result<Allowed<'p>, Refused<'p>> {
    let verdict = policy.map_or(Verdict::Silent, |policy| policy.verdict(request));
    let is_own = request.principal.account_id() == Some(request.owner);
    match verdict {
        Verdict::Denied(statement) => Err(Refused::Denied(statement)),
        Verdict::Allowed(statement) => Ok(Allowed::By(statement)),
        Verdict::Silent if is_own => Ok(Allowed::Own),
        Verdict::Silent => Err(Refused::NotAllowed),
    }
}

impl Refused<'_> {
    /// AWS's sentence for the caller, which does not name the statement. None for one without an
    /// ARN, to whom services say less. `action` is as the service shows it: SQS in small letters.
    pub fn sentence(&self, request: &Request<'_>, action: &str) -> Option<String> {
        let user = request.principal.arn(request.partition())?;
        let resource = request.resource;
        let reason = match self {
            Refused::Denied(_) => "with an explicit deny in a resource-based policy".to_owned(),
            Refused::NotAllowed => {
                format!("because no resource-based policy allows the {action} action")
            }
        };
        Some(format!(
            "User: {user} is not authorized to perform: {action} on resource: {resource} {reason}"
        ))
    }
}

/// For the operator.
impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Denied(statement) => write!(f, "denied by {statement}"),
            Refused::NotAllowed => f.write_str("no statement allows it"),
        }
    }
}
