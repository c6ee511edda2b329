//! Functions as callers: each environment has temporary credentials of its function's role, which
//! are good for as long as it lives, wherever they are used.
//!
//! Kept in memory only, like environments. An access key id carries a mark by which it is known as
//! one of ours after its environment has gone, so that whoever still uses it is told so.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::{
    hmac,
    rand::{self, SystemRandom},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use wire::{RoleSession, sigv4::Secret};

/// What AWS's temporary access keys begin with.
const PREFIX: &str = "ASIA";
const ID_RANDOM_LETTERS: usize = 10;
const ID_MARK_LETTERS: usize = 6;
/// In base64 forty characters, like AWS's.
const SECRET_BYTES: usize = 30;
const TOKEN_BYTES: usize = 96;

/// The sessions of all environments that live. A cheap handle.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    random: SystemRandom,
    /// Makes the marks.
    mark: hmac::Key,
    alive: RwLock<HashMap<String, Arc<Session>>>,
}

/// Who an environment is to the platform, and the credentials that say so.
pub struct Session {
    pub access_key_id: String,
    pub secret_access_key: Arc<str>,
    pub session_token: Arc<str>,
    pub account_id: String,
    pub role: Arc<RoleSession>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("access_key_id", &self.access_key_id)
            .field("account_id", &self.account_id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn secret(&self) -> Secret {
        Secret {
            secret_access_key: self.secret_access_key.clone(),
            session_token: Some(self.session_token.clone()),
        }
    }
}

/// A session for as long as this is held.
pub struct Granted {
    sessions: Sessions,
    session: Arc<Session>,
}

impl Granted {
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let mut alive = self.sessions.alive_mut();
        alive.remove(&self.session.access_key_id);
    }
}

/// The machine gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("there is no randomness for credentials")]
pub struct NoRandomness;

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    pub fn new() -> Result<Self, NoRandomness> {
        let random = SystemRandom::new();
        let mark = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| NoRandomness)?;
        Ok(Self {
            inner: Arc::new(Inner {
                random,
                mark,
                alive: RwLock::default(),
            }),
        })
    }

    /// Credentials for an environment of the function `name` of this account, in the role of this
    /// name; the account that the ARN names is not looked at.
    pub fn grant(
        &self,
        account_id: &str,
        role_arn: &str,
        name: &str,
    ) -> Result<Granted, NoRandomness> {
        let mut bytes = [0; ID_RANDOM_LETTERS + SECRET_BYTES + TOKEN_BYTES];
        rand::SecureRandom::fill(&self.inner.random, &mut bytes).map_err(|_| NoRandomness)?;
        let (id, rest) = bytes.split_at(ID_RANDOM_LETTERS);
        let (secret, token) = rest.split_at(SECRET_BYTES);
        let id = letters(id);
        let session = Arc::new(Session {
            access_key_id: format!("{PREFIX}{id}{}", self.mark(&id)),
            secret_access_key: BASE64_STANDARD.encode(secret).into(),
            session_token: BASE64_STANDARD.encode(token).into(),
            account_id: account_id.to_owned(),
            role: Arc::new(assumed(role_arn, name)),
        });
        let id = session.access_key_id.clone();
        self.alive_mut().insert(id, session.clone());
        Ok(Granted {
            sessions: self.clone(),
            session,
        })
    }

    pub(super) fn find(&self, access_key_id: &str) -> Option<Arc<Session>> {
        let alive = self.inner.alive.read();
        let alive = alive.unwrap_or_else(PoisonError::into_inner);
        alive.get(access_key_id).cloned()
    }

    /// Whether an access key id was made here, be its environment alive or not.
    pub(super) fn made(&self, access_key_id: &str) -> bool {
        let Some(rest) = access_key_id.strip_prefix(PREFIX) else {
            return false;
        };
        let split = rest.split_at_checked(ID_RANDOM_LETTERS);
        split.is_some_and(|(id, mark)| self.mark(id) == mark)
    }

    fn mark(&self, id: &str) -> String {
        let tag = hmac::sign(&self.inner.mark, id.as_bytes());
        letters(&tag.as_ref()[..ID_MARK_LETTERS])
    }

    fn alive_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Arc<Session>>> {
        // Every change is one insertion or removal, so a panic elsewhere leaves a whole map.
        let alive = self.inner.alive.write();
        alive.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The role as the function's account has it: one of another account would not be that account's
/// to give.
pub fn assumed(role_arn: &str, session: &str) -> RoleSession {
    let role = role_arn.split_once(":role/").map_or(role_arn, |(_, r)| r);
    RoleSession {
        role: role.to_owned(),
        session: session.to_owned(),
    }
}

/// Five bits of each byte, as the letters of AWS's ids.
fn letters(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte & 31)]);
    bytes.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Principal;

    const ROLE: &str = "arn:aws:iam::999999999999:role/service-role/resize";

    fn sessions() -> Sessions {
        Sessions::new().expect("there is randomness")
    }

    #[test]
    fn a_session_is_its_functions_role_in_its_functions_account() {
        let granted = sessions()
            .grant("111122223333", ROLE, "thumbnails")
            .expect("it is granted");
        let session = granted.session();
        let (id, account) = (&session.access_key_id, &session.account_id);
        assert!(id.starts_with("ASIA") && id.len() == 20, "{id}");
        assert_eq!(session.secret_access_key.len(), 40);
        let principal = Principal::of(account, Some(&session.role));
        assert_eq!(
            principal.arn("aws").as_deref(),
            Some("arn:aws:sts::111122223333:assumed-role/resize/thumbnails")
        );
        assert_eq!(
            principal.principal_arn("aws").as_deref(),
            Some("arn:aws:iam::111122223333:role/service-role/resize")
        );
    }

    #[test]
    fn it_ends_with_its_environment_and_is_remembered_as_ours() {
        let sessions = sessions();
        let granted = sessions
            .grant("111122223333", ROLE, "f")
            .expect("it is granted");
        let id = granted.session().access_key_id.clone();
        assert!(sessions.find(&id).is_some());
        drop(granted);
        assert!(sessions.find(&id).is_none() && sessions.made(&id));
        for other in [
            "ASIA",
            "ASIAIOSFODNN7EXAMPLE",
            "test",
            "ASIA\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert!(!sessions.made(other), "{other}");
        }
    }
}
