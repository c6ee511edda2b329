//! The elements Principal and NotPrincipal: whom they name, and whether a request is from one.

use super::{document::Effect, request::Request};
use crate::identity::Principal;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals {
    pub negated: bool,
    pub named: Vec<Named>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// `*`: everybody, also who says nothing of himself.
    Everybody,
    /// All of an account.
    Account(String),
    /// A user, a role, or a session of one.
    Arn(String),
    /// What stands in place of an ARN once its user or role is deleted.
    UniqueId(String),
    Service(String),
    /// Who signed in elsewhere, and users by S3's older ids: nobody is known by these here.
    Federated,
    CanonicalUser,
}

impl Principals {
    /// Whether anybody at all is among those it names.
    pub fn is_everybody(&self) -> bool {
        self.negated || self.named.contains(&Named::Everybody)
    }

    /// Whether a statement with this effect is about the one whose request it is.
    pub fn include(&self, request: &Request<'_>, effect: Effect) -> bool {
        let chain = Chain::of(request);
        let named = |link: &Link<'_>| self.named.iter().any(|named| link.is(named));
        match (self.negated, effect) {
            (false, _) => chain.0.iter().any(named),
            // Who is exempt from a denial has to be named in full: a session with its role and its
            // account, as otherwise the account is denied and with it all in it.
            (true, Effect::Deny) => !chain.0.iter().all(named),
            (true, Effect::Allow) => !chain.0.iter().any(named),
        }
    }
}

/// Everything that a principal is: a session is of a role, both are of an account.
struct Chain<'a>(Vec<Link<'a>>);

enum Link<'a> {
    Nobody,
    Account(&'a str),
    Identity {
        arn: String,
        unique_id: Option<String>,
    },
    Service(&'a str),
}

impl<'a> Chain<'a> {
    fn of(request: &Request<'a>) -> Self {
        let (principal, partition) = (request.principal, request.partition());
        let identity = |arn: Option<String>, unique_id| {
            let arn = arn?;
            Some(Link::Identity { arn, unique_id })
        };
        let account = principal.account_id().map(Link::Account);
        let unique_id = principal.unique_id(partition);
        let links = match principal {
            Principal::Anonymous => vec![Some(Link::Nobody)],
            Principal::Service(name) => vec![Some(Link::Service(name))],
            Principal::Account { .. } => vec![account],
            Principal::User { .. } => {
                let user = identity(principal.arn(partition), unique_id);
                vec![user, account]
            }
            Principal::Session { .. } => {
                let session = identity(principal.arn(partition), None);
                let role = identity(principal.principal_arn(partition), unique_id);
                vec![session, role, account]
            }
        };
        Chain(links.into_iter().flatten().collect())
    }
}

impl Link<'_> {
    fn is(&self, named: &Named) -> bool {
        match (named, self) {
            (Named::Everybody, _) => true,
            (Named::Account(named), Link::Account(account)) => named == account,
            (Named::Arn(named), Link::Identity { arn, .. }) => named == arn,
            (Named::UniqueId(named), Link::Identity { unique_id, .. }) => {
                unique_id.as_ref() == Some(named)
            }
            (Named::Service(named), Link::Service(service)) => named == service,
            _ => false,
        }
    }
}
