//! The whole platform behind one handle: every request that is AWS's comes in here, as a head and a
//! body, and leaves as an answer.
//!
//! Knows no socket. The listener asks first where a request goes ([`Platform::target`]), so that
//! it knows how much of a body to read, and then for the answer.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, request::Parts};
use jiff::Timestamp;
use wire::{
    Call, Context, Error, Protocol, Route, Router,
    lambda::{self, Lambda},
    sigv4::{self, AuthError},
};

use crate::{
    gateway::{
        address::{self, Address},
        url::{self, Client},
    },
    identity::{Caller, Credential, Identity},
};

/// What a platform is started with.
pub struct PlatformConfig {
    /// Code, logs and the use not yet billed lie below it.
    pub data_dir: PathBuf,
    /// A directory, or `postgres://…`.
    pub store: String,
    pub backend: Arc<dyn sandbox::Backend>,
    /// None: development mode.
    pub credentials: Vec<Credential>,
    /// Environments that an account may have busy at once.
    pub account_concurrency: u32,
    /// How long an environment without work is kept.
    pub keep_alive: Duration,
    /// Where the platform is reached; function URLs name it.
    pub port: u16,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    router: Router,
    identity: Identity,
}

/// Where a request goes.
#[derive(Debug)]
pub enum Target {
    Url(Address),
    Api(Route),
    /// Nowhere.
    Unknown(Error),
}

impl Target {
    /// The longest body it takes.
    pub fn body_bytes_max(&self) -> usize {
        match self {
            Target::Url(_) => url::EVENT_BYTES_MAX,
            Target::Api(route) => lambda::body_bytes_max(route.operation),
            // Read so that the client reads the answer; only its hash is of interest.
            Target::Unknown(_) => url::EVENT_BYTES_MAX,
        }
    }

    /// What a longer one gets.
    pub fn too_large(&self, request_id: &str) -> Response<Bytes> {
        match self {
            Target::Url(_) => url::too_large(request_id),
            Target::Api(route) => {
                refuse(route, &lambda::body_too_large(route.operation), request_id)
            }
            Target::Unknown(error) => {
                wire::encode_error(Protocol::RestJson1, None, error, request_id)
            }
        }
    }
}

impl Platform {
    /// Opens the store, deploys what it holds, and is ready to answer.
    pub async fn start(config: PlatformConfig) -> Result<Self, StartError> {
        let inner = Inner {
            router: Router::new(&[&lambda::SERVICE]),
            identity: Identity::new(&config.credentials),
        };
        Ok(Platform {
            inner: Arc::new(inner),
        })
    }

    /// Takes no more invocations, waits for those that run, and closes everything.
    pub async fn stop(&self, within: Duration) {
        let _ = within;
    }

    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub fn target(&self, parts: &Parts) -> Target {
        if let Some(address) = address::of(parts) {
            return Target::Url(address);
        }
        match self.inner.router.route(parts) {
            Ok(route) => Target::Api(route),
            Err(error) => Target::Unknown(self.unknown(parts, error)),
        }
    }

    /// Answers a request. To be run to its end, even if the client has gone: what has begun is
    /// finished, as in AWS.
    pub async fn answer(
        &self,
        target: Target,
        parts: Parts,
        body: Bytes,
        client: Client,
        request_id: String,
    ) -> Response<Bytes> {
        let now = Timestamp::now();
        match target {
            Target::Url(address) => {
                self.url(address, parts, body, client, request_id, now)
                    .await
            }
            Target::Api(route) => self.api(&route, &parts, &body, request_id, now).await,
            Target::Unknown(error) => {
                wire::encode_error(Protocol::RestJson1, None, &error, &request_id)
            }
        }
    }

    async fn api(
        &self,
        route: &Route,
        parts: &Parts,
        body: &Bytes,
        request_id: String,
        now: Timestamp,
    ) -> Response<Bytes> {
        let caller = match self.caller(route, parts, body, now) {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(request_id, "refused: {error}");
                return refuse(route, &error.to_error(route.protocol), &request_id);
            }
        };
        let cx = Context {
            request_id,
            account_id: caller.account_id,
            region: caller.region,
            access_key_id: caller.access_key_id,
            now,
        };
        let call = Call {
            cx: &cx,
            route,
            parts,
            body,
        };
        lambda::dispatch(&NotYet, call).await
    }

    fn caller(
        &self,
        route: &Route,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        let caller = self.inner.identity.caller(parts, body, now)?;
        let service = route.service.signing_name;
        if caller.service != service {
            return Err(AuthError::wrong_service(service));
        }
        Ok(caller)
    }

    async fn url(
        &self,
        address: Address,
        mut parts: Parts,
        body: Bytes,
        client: Client,
        request_id: String,
        now: Timestamp,
    ) -> Response<Bytes> {
        let _ = (address, &mut parts, body, client, now);
        url::forbidden(false, &request_id)
    }

    /// A request for a service that is not there says so, rather than that its path is unknown.
    fn unknown(&self, parts: &Parts, error: Error) -> Error {
        match sigv4::parse(parts) {
            Some(claimed) if claimed.service != lambda::SERVICE.signing_name => Error::new(
                "NotImplemented",
                http::StatusCode::NOT_IMPLEMENTED,
                format!(
                    "Lambent does not serve {:.50} yet; it serves lambda",
                    claimed.service
                ),
            ),
            _ => error,
        }
    }
}

fn refuse(route: &Route, error: &Error, request_id: &str) -> Response<Bytes> {
    wire::encode_error(route.protocol, Some(route.service), error, request_id)
}

struct NotYet;

impl Lambda for NotYet {}

/// Why the platform does not start, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("open the store: {0}")]
    Store(#[from] store::Error),
}
