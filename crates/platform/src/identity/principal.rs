//! Who somebody is, in the terms of IAM: what policies name, messages of refusal show and condition
//! keys are filled from. It is decided elsewhere (a signature, or where a request came from); here
//! is only what follows from it. Users and roles are names so far, as there is no IAM yet.

use aws_lc_rs::digest;
use wire::{RoleSession, arn::Arn};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Nobody who says who he is.
    Anonymous,
    /// An account by credentials of its own: its root user.
    Account { account_id: String },
    /// `user` is with its path, e.g. `team/bob`.
    User { account_id: String, user: String },
    /// Whoever took on a role, such as a function. `role` is with its path.
    Session {
        account_id: String,
        role: String,
        session: String,
    },
    /// One of AWS's services by its name as a principal, e.g. `sns.amazonaws.com`.
    Service(String),
}

impl Principal {
    /// A session of a role that is known by its ARN. None if that is no role's.
    pub fn session_of(role_arn: &str, session: &str) -> Option<Self> {
        let arn: Arn = role_arn.parse().ok()?;
        let role = arn.resource.strip_prefix("role/")?;
        let is_role = arn.service == "iam" && !arn.account_id.is_empty() && !role.is_empty();
        is_role.then(|| Principal::Session {
            account_id: arn.account_id.clone(),
            role: role.to_owned(),
            session: session.to_owned(),
        })
    }

    /// Who calls with credentials of this account, in this role if it is one.
    pub fn of(account_id: &str, role: Option<&RoleSession>) -> Self {
        let account_id = account_id.to_owned();
        match role {
            None => Principal::Account { account_id },
            Some(RoleSession { role, session }) => Principal::Session {
                account_id,
                role: role.clone(),
                session: session.clone(),
            },
        }
    }

    pub fn account_id(&self) -> Option<&str> {
        match self {
            Principal::Account { account_id }
            | Principal::User { account_id, .. }
            | Principal::Session { account_id, .. } => Some(account_id),
            Principal::Anonymous | Principal::Service(_) => None,
        }
    }

    /// Its own ARN, as GetCallerIdentity and messages of refusal show it; of a session that is not
    /// the role's. None for whoever has none.
    pub fn arn(&self, partition: &str) -> Option<String> {
        match self {
            Principal::Session {
                account_id,
                role,
                session,
            } => {
                // A session's ARN is without the role's path.
                let name = role.rsplit('/').next().unwrap_or(role);
                Some(format!(
                    "arn:{partition}:sts::{account_id}:assumed-role/{name}/{session}"
                ))
            }
            _ => self.principal_arn(partition),
        }
    }

    /// The condition key `aws:PrincipalArn`: of a session its role.
    pub fn principal_arn(&self, partition: &str) -> Option<String> {
        let (account_id, resource) = match self {
            Principal::Account { account_id } => (account_id, "root".to_owned()),
            Principal::User { account_id, user } => (account_id, format!("user/{user}")),
            Principal::Session {
                account_id, role, ..
            } => (account_id, format!("role/{role}")),
            Principal::Anonymous | Principal::Service(_) => return None,
        };
        Some(format!("arn:{partition}:iam::{account_id}:{resource}"))
    }

    /// The condition key `aws:userid`. The ids of users and roles are made of their names: there is
    /// nothing yet that would hand out others.
    pub fn user_id(&self, partition: &str) -> Option<String> {
        match self {
            Principal::Anonymous => Some("anonymous".to_owned()),
            Principal::Account { account_id } => Some(account_id.clone()),
            Principal::User { .. } | Principal::Session { .. } => {
                let id = self.unique_id(partition)?;
                match self {
                    Principal::Session { session, .. } => Some(format!("{id}:{session}")),
                    _ => Some(id),
                }
            }
            Principal::Service(_) => None,
        }
    }

    /// A user's or role's unique id, which stands in policies for one that was deleted.
    pub fn unique_id(&self, partition: &str) -> Option<String> {
        let prefix = match self {
            Principal::User { .. } => "AIDA",
            Principal::Session { .. } => "AROA",
            _ => return None,
        };
        Some(id_of(prefix, &self.principal_arn(partition)?))
    }

    /// The condition key `aws:PrincipalType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Principal::Anonymous => "Anonymous",
            Principal::Account { .. } => "Account",
            Principal::User { .. } => "User",
            Principal::Session { .. } => "AssumedRole",
            Principal::Service(_) => "Service",
        }
    }
}

/// An id in AWS's form that is always the same for the same text and does not tell it.
pub fn id_of(prefix: &str, text: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte & 31)]);
    let letters = digest.as_ref().iter().take(17).map(letter);
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_own_arn_and_by_its_roles() {
        let role = "arn:aws:iam::123456789012:role/service-role/worker";
        let session = Principal::session_of(role, "resize").expect("a role");
        assert_eq!(session.principal_arn("aws").as_deref(), Some(role));
        assert_eq!(
            session.arn("aws").as_deref(),
            Some("arn:aws:sts::123456789012:assumed-role/worker/resize")
        );
        let id = session.user_id("aws").expect("it has one");
        assert!(id.starts_with("AROA") && id.ends_with(":resize"), "{id}");
        for other in [
            "worker",
            "arn:aws:iam::123456789012:user/worker",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:s3:::role/x",
        ] {
            assert_eq!(Principal::session_of(other, "s"), None, "{other}");
        }
    }

    #[test]
    fn an_account_is_its_root() {
        let account = Principal::Account {
            account_id: "123456789012".into(),
        };
        let arn = account.arn("aws-cn").expect("it has one");
        assert_eq!(arn, "arn:aws-cn:iam::123456789012:root");
        assert_eq!(account.user_id("aws").as_deref(), Some("123456789012"));
    }
}
