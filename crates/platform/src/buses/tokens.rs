//! The tokens that connections' credentials were exchanged for: kept in memory as long as they are
//! good, and asked for when they are needed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{
    Buses, limits,
    names::Named,
    request::token_request,
    tables::{AuthKind, ConnectionRecord},
};
use crate::{deliveries::Failure, outbound};

/// By the connection's id.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, Token>>);

#[derive(Clone)]
struct Token {
    text: String,
    good_until: Instant,
}

/// Before a token ends it is not used any more.
const EARLY: Duration = Duration::from_secs(30);
/// How long one is good of which that is not said.
const GOOD_FOR: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: Option<serde_json::Value>,
}

impl Tokens {
    pub fn forget(&self, uid: &str) {
        self.held().remove(uid);
    }

    fn get(&self, uid: &str, now: Instant) -> Option<String> {
        let held = self.held();
        let token = held.get(uid).filter(|token| token.good_until > now);
        token.map(|token| token.text.clone())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buses {
    /// What goes into the Authorization header; nothing for connections that need no token.
    pub(super) async fn token(&self, record: &ConnectionRecord) -> Result<Option<String>, Failure> {
        if record.kind != AuthKind::OAuth {
            return Ok(None);
        }
        if let Some(held) = self.0.tokens.get(&record.uid, Instant::now()) {
            return Ok(Some(held));
        }
        let auth = self.open_auth(record);
        let auth = auth.map_err(|error| Failure::again("INTERNAL_ERROR", error.to_string()))?;
        let no_auth = || Failure::last("CONNECTION_FAILURE", "The connection is not authorized");
        let oauth = auth.oauth.ok_or_else(no_auth)?;
        let request = token_request(&oauth);
        let request =
            request.map_err(|error| Failure::last("INVALID_PARAMETER", error.to_string()))?;
        let (within, bytes_max) = (limits::REQUEST_WITHIN, limits::ANSWER_BYTES_MAX);
        let answer = self.0.outbound.send(request, within, bytes_max).await;
        let answer = answer.map_err(outbound::failure)?;
        if !answer.status.is_success() {
            return Err(Failure::again(
                "CONNECTION_FAILURE",
                format!(
                    "The authorization endpoint answered with status {}",
                    answer.status
                ),
            ));
        }
        let given: Given = serde_json::from_slice(&answer.body).map_err(|_| {
            Failure::again(
                "CONNECTION_FAILURE",
                "The authorization endpoint's answer has no access_token",
            )
        })?;
        let seconds = given.expires_in.as_ref().and_then(|it| match it {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        let good_for = seconds.map_or(GOOD_FOR, Duration::from_secs);
        let token = Token {
            text: given.access_token.clone(),
            good_until: Instant::now() + good_for.saturating_sub(EARLY).min(GOOD_FOR * 144),
        };
        self.0.tokens.held().insert(record.uid.clone(), token);
        Ok(Some(given.access_token))
    }
}

/// How often API destinations may be sent to: when the next request of each may go.
#[derive(Default)]
pub struct Paces(Mutex<HashMap<Named, Instant>>);

impl Paces {
    /// How long to wait before a request may go, which is then taken to have gone. None if that is
    /// longer than so long.
    pub fn wait(&self, key: &Named, per_s: i32, now: Instant, most: Duration) -> Option<Duration> {
        let every = Duration::from_secs(1) / u32::try_from(per_s).unwrap_or(1).max(1);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = held.get(key).copied().unwrap_or(now).max(now);
        let wait = next - now;
        if wait > most {
            return None;
        }
        held.insert(key.clone(), next + every);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_one_after_the_other() {
        let (paces, now) = (Paces::default(), Instant::now());
        let key = Named::new("1", "r", "d");
        let most = Duration::from_millis(250);
        let wait = || paces.wait(&key, 10, now, most);
        assert_eq!(wait(), Some(Duration::ZERO));
        assert_eq!(wait(), Some(Duration::from_millis(100)));
        assert_eq!(wait(), Some(Duration::from_millis(200)));
        assert_eq!(wait(), None);
        let later = now + Duration::from_secs(9);
        assert_eq!(paces.wait(&key, 10, later, most), Some(Duration::ZERO));
    }
}
