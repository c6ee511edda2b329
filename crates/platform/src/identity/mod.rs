//! Who is calling: from a request's signature to a [`Caller`].
//!
//! With credentials every signature is verified. Without, in development mode, any credentials
//! pass and an access key id of twelve digits names the account; the server binds that mode to
//! loopback. A browser is no caller in development mode: any page that is open in it could send
//! requests to loopback, and here that would be running programs. What a caller may do is not
//! decided here.

mod browser;
mod credentials;
mod principal;

use std::{collections::HashMap, sync::Arc};

use http::request::Parts;
use jiff::Timestamp;
use wire::sigv4::{self, AuthError, KeyCache, Secret};

pub use credentials::{Credential, CredentialsError, read_file};
pub use principal::{Principal, id_of};

/// The account of callers that name none.
pub const DEFAULT_ACCOUNT: &str = "000000000000";
/// The region of requests whose signature names none.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Who a request is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub access_key_id: String,
    pub account_id: String,
    pub region: String,
    /// The service that the signature is for.
    pub service: String,
}

impl Caller {
    /// The ARN that events and policies know the caller by: the account itself.
    pub fn arn(&self) -> String {
        let partition = wire::arn::partition(&self.region);
        format!("arn:{partition}:iam::{}:root", self.account_id)
    }
}

/// Knows the callers.
#[derive(Debug)]
pub struct Identity {
    mode: Mode,
    keys: KeyCache,
}

#[derive(Debug)]
enum Mode {
    Development,
    Credentials(HashMap<String, Known>),
}

#[derive(Debug)]
struct Known {
    secret: Secret,
    account_id: String,
}

impl Identity {
    /// Development mode if there are no credentials.
    pub fn new(credentials: &[Credential]) -> Self {
        let known = |credential: &Credential| {
            let secret = Secret {
                secret_access_key: Arc::from(credential.secret_access_key.as_str()),
                session_token: None,
            };
            let account_id = credential.account_id.clone();
            let known = Known { secret, account_id };
            (credential.access_key_id.clone(), known)
        };
        let mode = match credentials {
            [] => Mode::Development,
            some => Mode::Credentials(some.iter().map(known).collect()),
        };
        Identity {
            mode,
            keys: KeyCache::new(),
        }
    }

    pub fn is_development(&self) -> bool {
        matches!(self.mode, Mode::Development)
    }

    /// The caller of a request. `body` is all of it.
    pub fn caller(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<Caller, AuthError> {
        match &self.mode {
            Mode::Development => anybody(parts),
            Mode::Credentials(known) => self.verified(known, parts, body, now),
        }
    }

    /// Whether there could be a body with which a request's signature is good.
    pub fn may_be_known(&self, parts: &Parts, now: Timestamp) -> bool {
        matches!(
            self.caller(parts, b"", now),
            Ok(_) | Err(AuthError::Mismatch | AuthError::PayloadMismatch)
        )
    }

    /// Whether an administrative request may be answered: signed where there are credentials, not
    /// from a foreign web page where there are none.
    pub fn admits(&self, parts: &Parts, now: Timestamp) -> Result<(), AuthError> {
        match &self.mode {
            Mode::Development if browser::is_foreign(parts) => Err(foreign_page()),
            Mode::Development => Ok(()),
            Mode::Credentials(known) => self.verified(known, parts, b"", now).map(|_| ()),
        }
    }

    fn verified(
        &self,
        known: &HashMap<String, Known>,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        let secret = |id: &str| known.get(id).map(|known| known.secret.clone());
        let signed = sigv4::verify(parts, body, &secret, now, &self.keys)?;
        let known = known
            .get(&signed.access_key_id)
            .ok_or(AuthError::UnknownAccessKey)?;
        Ok(Caller {
            account_id: known.account_id.clone(),
            access_key_id: signed.access_key_id,
            region: signed.region,
            service: signed.service,
        })
    }
}

/// Development: whoever the request says it is from.
fn anybody(parts: &Parts) -> Result<Caller, AuthError> {
    if browser::is_foreign(parts) {
        return Err(foreign_page());
    }
    let claimed = sigv4::claim(parts)?;
    Ok(Caller {
        account_id: claimed.account_id().unwrap_or(DEFAULT_ACCOUNT).to_owned(),
        access_key_id: claimed.access_key_id.into_owned(),
        region: claimed.region.into_owned(),
        service: claimed.service.into_owned(),
    })
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

    fn development(headers: &[(&str, &str)]) -> Result<Caller, AuthError> {
        let mut all = vec![("x-amz-date", "20260101T000000Z")];
        all.extend_from_slice(headers);
        Identity::new(&[]).caller(&parts(&all), b"", Timestamp::UNIX_EPOCH)
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
    fn credentials_leave_nobody_else_in() {
        let identity = Identity::new(&[Credential {
            access_key_id: "AKIA".into(),
            secret_access_key: "secret".into(),
            account_id: "123456789012".into(),
        }]);
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let authorization = authorization("test", "us-east-1");
        let headers = [
            ("x-amz-date", "20260101T000000Z"),
            ("authorization", authorization.as_str()),
        ];
        let unknown = identity.caller(&parts(&headers), b"", at);
        assert_eq!(unknown, Err(AuthError::UnknownAccessKey));
        assert!(!identity.may_be_known(&parts(&headers), at));
        assert_eq!(identity.admits(&parts(&[]), at), Err(AuthError::Missing));
    }
}
