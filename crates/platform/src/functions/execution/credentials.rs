//! Credentials by request, for environments that come from a snapshot: what a snapshot has in its
//! variables all have, so theirs lead here. AWS's SDKs ask as they ask a container's provider.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use wire::Timestamp;

use crate::identity::Session;

/// On the Runtime API's own address.
pub const PATH: &str = "/2021-04-23/credentials";
pub const URI_VARIABLE: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
pub const TOKEN_VARIABLE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

/// An SDK asks again for what ends so soon, each time: what an init was given, no environment uses.
const OF_AN_INIT: Duration = Duration::from_secs(60);
const OF_AN_ENVIRONMENT: Duration = Duration::from_secs(3600);

/// What one environment is given when it asks.
pub struct Offer {
    session: Arc<Session>,
    token: Arc<str>,
    good_for: Duration,
}

impl Offer {
    pub fn of_init(session: Arc<Session>, token: Arc<str>) -> Self {
        Self {
            session,
            token,
            good_for: OF_AN_INIT,
        }
    }

    pub fn of_environment(session: Arc<Session>, token: Arc<str>) -> Self {
        Self {
            session,
            token,
            good_for: OF_AN_ENVIRONMENT,
        }
    }

    /// Whether a request has the token: a function may be made to fetch an address, but not with it.
    pub fn is_for(&self, authorization: Option<&str>) -> bool {
        let given = authorization.unwrap_or_default().as_bytes();
        aws_lc_rs::constant_time::verify_slices_are_equal(given, self.token.as_bytes()).is_ok()
    }

    pub fn shown(&self, now: Timestamp) -> String {
        let ends = now.saturating_add(self.good_for).unwrap_or(now);
        json!({
            "AccessKeyId": self.session.access_key_id,
            "SecretAccessKey": &*self.session.secret_access_key,
            "Token": &*self.session.session_token,
            "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        })
        .to_string()
    }
}
