//! Where a request goes, as far as its head tells: what the listener has to know before it reads the
//! body.

use bytes::Bytes;
use http::{Response, request::Parts};
use wire::{Error, Head, Protocol, Router, Unrouted, lambda, schema::Service, sigv4};

use crate::{
    gateway::{
        address::{self, Address},
        url,
    },
    services,
};

/// Where a request goes.
#[derive(Debug)]
pub enum Target {
    Url(Address),
    Api(Head),
    /// Nowhere.
    Unknown(Nowhere),
}

/// Why a request goes nowhere, and what its client can read.
#[derive(Debug)]
pub struct Nowhere {
    service: Option<&'static Service>,
    protocol: Protocol,
    error: Error,
}

impl Nowhere {
    pub fn answer(&self, request_id: &str) -> Response<Bytes> {
        wire::encode_error(self.protocol, self.service, &self.error, request_id)
    }
}

impl From<Unrouted> for Nowhere {
    fn from(unrouted: Unrouted) -> Self {
        let Unrouted {
            service,
            protocol,
            error,
        } = unrouted;
        Nowhere {
            service,
            protocol,
            error,
        }
    }
}

impl Target {
    pub fn of(parts: &Parts, router: &Router) -> Self {
        if let Some(address) = address::of(parts) {
            return Target::Url(address);
        }
        // Not AWS's, whatever else the request says.
        let ours = parts.uri.path().starts_with("/_lambent/");
        match router.head(parts) {
            Ok(head) if !ours => Target::Api(head),
            Ok(_) => Target::Unknown(unknown_path()),
            Err(unrouted) => Target::Unknown(nowhere(parts, unrouted)),
        }
    }

    /// The longest body it takes.
    pub fn body_bytes_max(&self) -> usize {
        match self {
            Target::Api(head) => services::body_bytes_max(head),
            // Of what goes nowhere only the hash is of interest; it is read so that the client
            // reads the answer.
            Target::Url(_) | Target::Unknown(_) => url::EVENT_BYTES_MAX,
        }
    }

    /// Whether a function's code comes with it: the largest bodies, and work of seconds.
    pub fn is_code(&self) -> bool {
        matches!(self, Target::Api(head) if services::takes_code(head))
    }

    /// Whether its body is read as it comes, however long it is.
    pub fn is_streamed(&self) -> bool {
        matches!(self, Target::Api(head) if services::streams(head))
    }

    /// The same once the body is there, which may have to say the operation.
    pub fn with_body(self, parts: &Parts, body: &[u8]) -> Self {
        match self {
            // Unpacked only where it is answered.
            Target::Api(head) if services::takes_compressed(&head) => Target::Api(head),
            Target::Api(head) => match head.route(parts, body) {
                Ok(route) => Target::Api(Head::Operation(route)),
                Err(unrouted) => Target::Unknown(unrouted.into()),
            },
            other => other,
        }
    }

    /// Whether it may wait for something to happen, and should not when its client has gone: a
    /// message would be received by nobody.
    pub fn is_wait(&self) -> bool {
        matches!(self, Target::Api(head) if services::waits(head))
    }

    /// What a longer body gets.
    pub fn too_large(&self, request_id: &str) -> Response<Bytes> {
        match self {
            Target::Url(_) => url::too_large(request_id),
            Target::Api(head) => {
                let error = services::body_too_large(head);
                wire::encode_error(head.protocol(), Some(head.service()), &error, request_id)
            }
            Target::Unknown(nowhere) => nowhere.answer(request_id),
        }
    }
}

fn unknown_path() -> Nowhere {
    Nowhere {
        service: None,
        protocol: Protocol::RestJson1,
        error: Error::unknown_path(),
    }
}

/// A request for a service that is not there says so, rather than that its path is unknown, and in
/// a form that the service's client reads.
fn nowhere(parts: &Parts, unrouted: Unrouted) -> Nowhere {
    let claimed = sigv4::parse(parts);
    let other = claimed.filter(|claimed| claimed.service != lambda::SERVICE.signing_name);
    let (Some(service), None) = (other.map(|claimed| claimed.service), unrouted.service) else {
        return unrouted.into();
    };
    let error = Error::new(
        "NotImplemented",
        http::StatusCode::NOT_IMPLEMENTED,
        format!(
            "Lambent does not serve {service:.50} yet; it serves {}",
            services::names()
        ),
    );
    Nowhere {
        service: None,
        protocol: wire::spoken(parts, &service),
        error,
    }
}
