//! From a request's head and body to its answer: who calls, where it goes, and what is known of the request.

use std::sync::Weak;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Response, header, request::Parts};
use jiff::Timestamp;
use wire::{
    Call, Context, Error, Head, Origin, Route,
    sigv4::{self, AuthError},
};

use super::{Inner, Platform};
use crate::{
    body::Body,
    buckets::front::{self, Pieces},
    compression::unpacked,
    gateway::{
        UrlRequest, address,
        url::{self, Client},
    },
    identity::{Caller, Sender},
    schedules, services,
    target::{Nowhere, Target},
};

/// A request as it came in.
pub struct Request {
    pub parts: Parts,
    /// All of it, or nothing of one that is read piece by piece.
    pub body: Bytes,
    pub client: Client,
    pub request_id: String,
    pub sender: Sender,
}

impl Platform {
    /// Where a request goes; what [`Platform::answer`] is given.
    pub fn target(&self, parts: &Parts) -> Target {
        Target::of(parts, &self.inner.router)
    }

    /// Whether more than a small body is worth reading: not from somebody who will be refused
    /// whatever it is.
    pub fn may_send(&self, target: &Target, sender: &Sender, parts: &Parts) -> bool {
        let (identity, now) = (&self.inner.identity, Timestamp::now());
        match target {
            Target::Api(_) => identity.may_be_known(sender, parts, now),
            Target::Url(address) => self.inner.urls.may_send(address, sender, parts, now),
            Target::Unknown(_) => false,
        }
    }

    /// Answers a request. To be run to its end, even if the client has gone: what has begun is
    /// finished, as in AWS.
    pub async fn answer(&self, target: Target, request: Request) -> Response<Body> {
        let now = Timestamp::now();
        match target {
            Target::Url(address) => {
                let Request {
                    parts,
                    body,
                    client,
                    request_id,
                    sender,
                } = request;
                let request = UrlRequest {
                    parts,
                    body,
                    client,
                    sender,
                    request_id,
                    now,
                };
                self.inner.urls.answer(&address, request).await
            }
            Target::Api(head) => {
                let plain = match unpacked(&head, &request.parts, &request.body) {
                    Ok(plain) => plain,
                    Err(error) => {
                        let (protocol, service) = (head.protocol(), head.service());
                        let id = &request.request_id;
                        return wire::encode_error(protocol, Some(service), &error, id)
                            .map(Body::from);
                    }
                };
                match head.route(&request.parts, &plain) {
                    Ok(route) => self.api(&route, request, &plain, now).await,
                    Err(unrouted) => {
                        let nowhere = Nowhere::from(unrouted);
                        nowhere.answer(&request.request_id).map(Body::from)
                    }
                }
            }
            Target::Unknown(nowhere) => nowhere.answer(&request.request_id).map(Body::from),
        }
    }

    /// Answers a request whose body is read as it comes ([`Target::is_streamed`]). To be run to its
    /// end too: a body that broke off is no end.
    pub async fn answer_streamed(
        &self,
        target: Target,
        request: Request,
        pieces: Box<dyn Pieces>,
    ) -> Response<Body> {
        let now = Timestamp::now();
        let Target::Api(Head::Operation(route)) = target else {
            return self.answer(target, request).await;
        };
        let (identity, sender) = (&self.inner.identity, request.sender.clone());
        let who = front::caller(identity, &sender, &route, &request.parts, now);
        let (caller, signer) = match who {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(request.request_id, "refused: {error}");
                let error = error.to_error(route.protocol);
                let refused = wire::refuse(&route, &request.parts, &error, &request.request_id);
                return refused.map(Body::from);
            }
        };
        let (parts, cx) = context(caller, request, now);
        let asked = front::Asked {
            cx: &cx,
            route: &route,
            parts,
            pieces,
            signer,
            identity,
            sender: &sender,
        };
        front::answer(&self.inner.services.buckets, asked).await
    }

    /// `plain` is the request's body as it is read.
    async fn api(
        &self,
        route: &Route,
        request: Request,
        plain: &Bytes,
        now: Timestamp,
    ) -> Response<Body> {
        let Request {
            parts,
            body,
            request_id,
            sender,
            ..
        } = &request;
        let caller = match self.caller(route, sender, parts, body, now) {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(request_id, "refused: {error}");
                return refuse(route, &error.to_error(route.protocol), request_id).map(Body::from);
            }
        };
        let (parts, cx) = context(caller, request, now);
        let call = Call {
            cx: &cx,
            route,
            parts: &parts,
            body: plain,
        };
        self.inner.services.dispatch(call).await
    }

    fn caller(
        &self,
        route: &Route,
        sender: &Sender,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        if services::is_open(route) && sigv4::parse(parts).is_none() {
            return Ok(Caller::nobody(route.service.signing_name));
        }
        let caller = self.inner.identity.caller(sender, parts, body, now)?;
        let service = route.service.signing_name;
        if caller.service != service {
            return Err(AuthError::wrong_service(service));
        }
        Ok(caller)
    }
}
fn context(caller: Caller, request: Request, now: Timestamp) -> (Parts, Context) {
    let Request {
        parts,
        request_id,
        sender,
        client,
        ..
    } = request;
    let host = address::host(&parts).unwrap_or_default().into_owned();
    let origin = origin(&parts, client, &sender);
    let cx = Context {
        request_id,
        account_id: caller.account_id,
        region: caller.region,
        access_key_id: caller.access_key_id,
        role: caller.role,
        host,
        origin,
        trace_header: url::trace_header(&parts).map(str::to_owned),
        now,
    };
    (parts, cx)
}

/// The operations of all services, for targets that are one.
pub struct Operations(pub Weak<Inner>);

#[async_trait]
impl schedules::Operations for Operations {
    async fn run(&self, call: Call<'_>) -> Response<Body> {
        match self.0.upgrade() {
            Some(inner) => inner.services.dispatch(call).await,
            None => refuse(call.route, &Error::internal(), &call.cx.request_id).map(Body::from),
        }
    }
}

/// What policies may ask about where a request came from. There is no TLS here: what never leaves
/// this machine is as good, and so is what a proxy on it has taken in.
fn origin(parts: &Parts, client: Client, sender: &Sender) -> Origin {
    let text = |name: HeaderName| {
        let value = parts.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let ip = client.ip.to_canonical();
    Origin {
        ip: Some(ip),
        is_secure: ip.is_loopback() || matches!(sender, Sender::Environment(_)),
        user_agent: text(header::USER_AGENT),
        referer: text(header::REFERER),
    }
}

fn refuse(route: &Route, error: &Error, request_id: &str) -> Response<Bytes> {
    wire::encode_error(route.protocol, Some(route.service), error, request_id)
}
