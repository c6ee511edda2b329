//! Who is calling: from a request's signature, and where it came from, to a [`Caller`].
//!
//! With credentials every signature is verified. Without, in development mode, any credentials
//! pass and an access key id of twelve digits names the account; the server binds that mode to
//! loopback. A browser is no caller in development mode: any page that is open in it could send
//! requests to loopback, and here that would be running programs.
//!
//! Functions have credentials of their own ([`session`]), which are verified in both modes. In
//! development a call from within an environment is its function's whatever it is signed with: no
//! function becomes another account by naming it. What a caller may do is not decided here.

mod api;
mod browser;
mod credentials;
pub mod policy;
mod principal;
pub mod session;

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use http::request::Parts;
use jiff::Timestamp;
use wire::{
    RoleSession, arn,
    sigv4::{self, AuthError, ChunkSigner, Claimed, KeyCache, Secret},
};

pub use api::Tokens;
pub use credentials::{Credential, CredentialsError, read_file};
pub use principal::{Principal, id_of};
pub use session::{Session, Sessions};

/// The account of callers that name none.
pub const DEFAULT_ACCOUNT: &str = "000000000000";
/// The region of requests whose signature names none.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Who a request is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub access_key_id: String,
    pub account_id: String,
    /// The role that a function acts in.
    pub role: Option<Arc<RoleSession>>,
    pub region: String,
    /// The service that the signature is for.
    pub service: String,
}

impl Caller {
    /// Whoever has not signed, where that is not asked for. Has no account.
    pub fn nobody(service: &str) -> Self {
        Self {
            access_key_id: String::new(),
            account_id: String::new(),
            role: None,
            region: DEFAULT_REGION.to_owned(),
            service: service.to_owned(),
        }
    }

    pub fn principal(&self) -> Principal {
        Principal::of(&self.account_id, self.role.as_deref())
    }

    /// The ARN that events know the caller by.
    pub fn arn(&self) -> String {
        let partition = arn::partition(&self.region);
        // Whoever has signed has one.
        self.principal().arn(partition).unwrap_or_default()
    }

    /// The id that events know the caller by: a role's with its session, or the account's.
    pub fn user_id(&self) -> String {
        let partition = arn::partition(&self.region);
        self.principal().user_id(partition).unwrap_or_default()
    }
}

/// Who sent a request, as far as the connection tells.
#[derive(Debug, Clone)]
pub enum Sender {
    /// Whoever its signature says.
    Signature,
    /// A process in the environment of this session, whatever it signs with.
    Environment(Arc<Session>),
}

/// Knows the callers.
#[derive(Debug)]
pub struct Identity {
    mode: Mode,
    sessions: Sessions,
    keys: KeyCache,
}

#[derive(Debug)]
enum Mode {
    Development,
    Credentials(HashMap<String, Known>),
}

#[derive(Debug, Clone)]
struct Known {
    secret: Secret,
    account_id: String,
    role: Option<Arc<RoleSession>>,
}

impl Identity {
    /// Development mode if there are no credentials.
    pub fn new(credentials: &[Credential], sessions: Sessions) -> Self {
        let known = |credential: &Credential| {
            let secret = Secret {
                secret_access_key: Arc::from(credential.secret_access_key.as_str()),
                session_token: None,
            };
            let account_id = credential.account_id.clone();
            let known = Known {
                secret,
                account_id,
                role: None,
            };
            (credential.access_key_id.clone(), known)
        };
        let mode = match credentials {
            [] => Mode::Development,
            some => Mode::Credentials(some.iter().map(known).collect()),
        };
        Identity {
            mode,
            sessions,
            keys: KeyCache::new(),
        }
    }

    pub fn is_development(&self) -> bool {
        matches!(self.mode, Mode::Development)
    }

    /// The caller of a request. `body` is all of it.
    pub fn caller(
        &self,
        sender: &Sender,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        let found = self.caller_with(sender, parts, Some(body), now);
        found.map(|(caller, _)| caller)
    }

    /// The caller of a request to S3 whose body is still to come: what its head says of that is
    /// signed, and is to be checked by whoever reads it, with what checks the signatures of chunks.
    pub fn caller_by_head(
        &self,
        sender: &Sender,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<(Caller, Option<ChunkSigner>), AuthError> {
        self.caller_with(sender, parts, None, now)
    }

    /// The caller of something that is signed in another way than requests are now: `verify` says
    /// whether it is, by the secrets of the one it claims to be.
    pub fn caller_of(
        &self,
        sender: &Sender,
        parts: &Parts,
        claimed: Claimed<'_>,
        token: Option<&str>,
        verify: impl FnOnce(&Secret, &KeyCache) -> Result<(), AuthError>,
    ) -> Result<Caller, AuthError> {
        let id = claimed.access_key_id.as_ref();
        let known = match &self.mode {
            Mode::Credentials(known) => known.get(id).cloned(),
            Mode::Development if self.sessions.made(id) => None,
            Mode::Development => return self.by_claim(sender, parts, claimed),
        };
        let Some(known) = known.or_else(|| self.of_session(id)) else {
            return Err(match self.sessions.made(id) {
                true => AuthError::ExpiredToken,
                false => AuthError::UnknownAccessKey,
            });
        };
        sigv4::check_token(&known.secret, token)?;
        verify(&known.secret, &self.keys)?;
        Ok(Caller {
            account_id: known.account_id,
            role: known.role,
            access_key_id: claimed.access_key_id.into_owned(),
            region: claimed.region.into_owned(),
            service: claimed.service.into_owned(),
        })
    }

    fn caller_with(
        &self,
        sender: &Sender,
        parts: &Parts,
        body: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(Caller, Option<ChunkSigner>), AuthError> {
        let Mode::Credentials(known) = &self.mode else {
            return self.in_development(sender, parts, body, now);
        };
        self.verified(parts, body, now, &|id| {
            known.get(id).cloned().or_else(|| self.of_session(id))
        })
    }

    /// Any credentials pass, but that a function's are verified: nobody is a role by saying so. One
    /// that signs with other credentials is still itself.
    fn in_development(
        &self,
        sender: &Sender,
        parts: &Parts,
        body: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(Caller, Option<ChunkSigner>), AuthError> {
        let claimed = sigv4::claim(parts);
        let is_session = |id: &str| self.sessions.made(id);
        if claimed.as_ref().is_ok_and(|c| is_session(&c.access_key_id)) {
            return self.verified(parts, body, now, &|id| self.of_session(id));
        }
        // A page is refused before anything else is said to it.
        if matches!(sender, Sender::Signature) && browser::is_foreign(parts) {
            return Err(foreign_page());
        }
        self.by_claim(sender, parts, claimed?)
            .map(|caller| (caller, None))
    }

    /// Any credentials pass, and only name the account.
    fn by_claim(
        &self,
        sender: &Sender,
        parts: &Parts,
        claimed: Claimed<'_>,
    ) -> Result<Caller, AuthError> {
        if matches!(sender, Sender::Signature) && browser::is_foreign(parts) {
            return Err(foreign_page());
        }
        let (account_id, role) = match sender {
            Sender::Environment(session) => (&*session.account_id, Some(session.role.clone())),
            Sender::Signature => (claimed.account_id().unwrap_or(DEFAULT_ACCOUNT), None),
        };
        Ok(Caller {
            account_id: account_id.to_owned(),
            role,
            access_key_id: claimed.access_key_id.into_owned(),
            region: claimed.region.into_owned(),
            service: claimed.service.into_owned(),
        })
    }

    /// Whether there could be a body with which a request's signature is good.
    pub fn may_be_known(&self, sender: &Sender, parts: &Parts, now: Timestamp) -> bool {
        matches!(
            self.caller(sender, parts, b"", now),
            Ok(_) | Err(AuthError::Mismatch | AuthError::PayloadMismatch)
        )
    }

    /// Whether an administrative request may be answered: signed where there are credentials, not
    /// from a foreign web page where there are none. No function's credentials are an operator's.
    pub fn admits(&self, parts: &Parts, now: Timestamp) -> Result<(), AuthError> {
        match &self.mode {
            Mode::Development if browser::is_foreign(parts) => Err(foreign_page()),
            Mode::Development => Ok(()),
            Mode::Credentials(known) => {
                let operators = |id: &str| known.get(id).cloned();
                self.verified(parts, Some(b""), now, &operators).map(|_| ())
            }
        }
    }

    /// The caller of a request that is signed with the secret of one that `find` knows.
    fn verified(
        &self,
        parts: &Parts,
        body: Option<&[u8]>,
        now: Timestamp,
        find: &dyn Fn(&str) -> Option<Known>,
    ) -> Result<(Caller, Option<ChunkSigner>), AuthError> {
        let found = RefCell::new(None);
        let secret = |id: &str| {
            let known = find(id)?;
            let secret = known.secret.clone();
            found.replace(Some(known));
            Some(secret)
        };
        let signed = match body {
            Some(body) => {
                let signed = sigv4::verify(parts, body, &secret, now, &self.keys);
                signed.map(|signed| (signed, None))
            }
            None => sigv4::verify_head(parts, &secret, now, &self.keys),
        };
        let (signed, chunks) = signed.map_err(|error| match (error, sigv4::parse(parts)) {
            (AuthError::UnknownAccessKey, Some(claimed))
                if found.borrow().is_none() && self.sessions.made(&claimed.access_key_id) =>
            {
                AuthError::ExpiredToken
            }
            (error, _) => error,
        })?;
        let known = found.into_inner().ok_or(AuthError::UnknownAccessKey)?;
        let caller = Caller {
            account_id: known.account_id,
            role: known.role,
            access_key_id: signed.access_key_id,
            region: signed.region,
            service: signed.service,
        };
        Ok((caller, chunks))
    }

    fn of_session(&self, access_key_id: &str) -> Option<Known> {
        let session = self.sessions.find(access_key_id)?;
        Some(Known {
            secret: session.secret(),
            account_id: session.account_id.clone(),
            role: Some(session.role.clone()),
        })
    }
}

fn foreign_page() -> AuthError {
    AuthError::Invalid(
        "Without credentials a request from a web page is refused, as any page could send it. \
         Start lambent with --credentials."
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/2015-03-31/functions");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a valid request").into_parts().0
    }

    fn authorization(key: &str, region: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/lambda/aws4_request, \
             SignedHeaders=host, Signature={}",
            "0".repeat(64)
        )
    }

    fn sessions() -> Sessions {
        Sessions::new().expect("there is randomness")
    }

    fn development(headers: &[(&str, &str)]) -> Result<Caller, AuthError> {
        let mut all = vec![("x-amz-date", "20260101T000000Z")];
        all.extend_from_slice(headers);
        let identity = Identity::new(&[], sessions());
        identity.caller(&Sender::Signature, &parts(&all), b"", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn in_development_a_key_of_twelve_digits_names_the_account() {
        for (key, account) in [
            ("123456789012", "123456789012"),
            ("test", DEFAULT_ACCOUNT),
            ("12345678901", DEFAULT_ACCOUNT),
        ] {
            let authorization = authorization(key, "eu-west-1");
            let caller = development(&[("authorization", &authorization)]).expect("it passes");
            assert_eq!(caller.account_id, account);
            assert_eq!(caller.region, "eu-west-1");
        }
    }

    #[test]
    fn in_development_a_request_still_has_to_be_signed() {
        assert_eq!(development(&[]), Err(AuthError::Missing));
        let basic = development(&[("authorization", "Basic eDp5")]);
        assert!(matches!(basic, Err(AuthError::Incomplete(_))), "{basic:?}");
        let odd = authorization("test", "../x");
        assert!(development(&[("authorization", &odd)]).is_err());
        let longer = authorization("test", "us-east-1") + "0";
        let refused = development(&[("authorization", &longer)]);
        assert_eq!(refused, Err(AuthError::Mismatch));
    }

    #[test]
    fn in_development_a_foreign_page_is_refused() {
        let authorization = authorization("test", "us-east-1");
        let page = development(&[
            ("authorization", &authorization),
            ("origin", "https://evil.example"),
        ]);
        assert!(matches!(page, Err(AuthError::Invalid(_))));
    }

    #[test]
    fn in_development_a_function_is_itself_whatever_it_signs_with() {
        let sessions = sessions();
        let granted = sessions
            .grant("111122223333", "arn:aws:iam::111122223333:role/r", "f")
            .expect("it is granted");
        let own = granted.session().access_key_id.clone();
        let identity = Identity::new(&[], sessions);
        let within = Sender::Environment(granted.session().clone());
        let ask = |by: &Sender, key: &str| {
            let authorization = authorization(key, "us-east-1");
            let headers = [
                ("x-amz-date", "20260101T000000Z"),
                ("authorization", authorization.as_str()),
                ("origin", "https://evil.example"),
            ];
            let at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
            identity.caller(by, &parts(&headers), b"", at)
        };
        for key in ["test", "999999999999", "ASIAIOSFODNN7EXAMPLE"] {
            let caller = ask(&within, key).expect("it passes");
            assert_eq!(caller.account_id, "111122223333");
            assert!(caller.role.is_some());
        }
        // Its own credentials are no mere claim, wherever they are used.
        assert!(matches!(
            ask(&within, &own),
            Err(AuthError::UnknownAccessKey)
        ));
        let outside = ask(&Sender::Signature, &own);
        assert_eq!(
            outside,
            Err(AuthError::UnknownAccessKey),
            "there is no token"
        );
        drop((granted, within));
        assert_eq!(ask(&Sender::Signature, &own), Err(AuthError::ExpiredToken));
    }

    #[test]
    fn credentials_leave_nobody_else_in() {
        let credential = Credential {
            access_key_id: "AKIA".into(),
            secret_access_key: "secret".into(),
            account_id: "123456789012".into(),
        };
        let identity = Identity::new(&[credential], sessions());
        let by = &Sender::Signature;
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let authorization = authorization("test", "us-east-1");
        let headers = [
            ("x-amz-date", "20260101T000000Z"),
            ("authorization", authorization.as_str()),
        ];
        let unknown = identity.caller(by, &parts(&headers), b"", at);
        assert_eq!(unknown, Err(AuthError::UnknownAccessKey));
        assert!(!identity.may_be_known(by, &parts(&headers), at));
        assert_eq!(identity.admits(&parts(&[]), at), Err(AuthError::Missing));
    }
}
