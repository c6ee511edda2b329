//! Function URLs: from a request to the function behind its URL, and back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, request::Parts};
use jiff::Timestamp;
use wire::{lambda, sigv4::AuthError};

use super::{
    address::Address,
    streamed,
    url::{self, Ask, Client},
};
use crate::{
    body::Body,
    functions::{
        AuthType, Functions, InvokeMode, UrlTarget,
        execution::{Invocation, Invoked},
        is_url_id,
    },
    identity::{Caller, Identity, Sender},
};

pub struct FunctionUrls {
    functions: Functions,
    identity: Arc<Identity>,
}

/// A request to a function URL, all of it.
pub struct UrlRequest {
    pub parts: Parts,
    pub body: Bytes,
    pub client: Client,
    pub sender: Sender,
    pub request_id: String,
    pub now: Timestamp,
}

impl FunctionUrls {
    pub fn new(functions: Functions, identity: Arc<Identity>) -> Self {
        Self {
            functions,
            identity,
        }
    }

    /// Whether more than a small body is worth reading: not from somebody who will be refused
    /// whatever it is.
    pub fn may_send(
        &self,
        address: &Address,
        sender: &Sender,
        parts: &Parts,
        now: Timestamp,
    ) -> bool {
        let target = self.functions.url_target(&address.url_id);
        target.is_some_and(|target| {
            target.auth_type == AuthType::None || self.identity.may_be_known(sender, parts, now)
        })
    }

    pub async fn answer(&self, address: &Address, request: UrlRequest) -> Response<Body> {
        let Some(target) = self.functions.url_target(&address.url_id) else {
            let is_id = is_url_id(&address.url_id);
            return url::forbidden(is_id, &request.request_id).map(Body::from);
        };
        let Some(cors) = cors(&target) else {
            return self.run(address, &target, request).await;
        };
        if let Some(mut answer) = wire::events::url::preflight(&cors, &request.parts) {
            url::identify(&mut answer, &request.request_id);
            return answer.map(Body::from);
        }
        let asked = request.parts.headers.clone();
        let mut answer = self.run(address, &target, request).await;
        wire::events::url::apply_cors(&cors, &asked, &mut answer);
        answer
    }

    async fn run(
        &self,
        address: &Address,
        target: &UrlTarget,
        request: UrlRequest,
    ) -> Response<Body> {
        let UrlRequest {
            mut parts,
            body,
            client,
            sender,
            request_id,
            now,
        } = request;
        let caller = match self.caller(target, &sender, &parts, &body, now) {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(request_id, "a function URL refused: {error}");
                return url::forbidden(true, &request_id).map(Body::from);
            }
        };
        if !target.allows(caller.as_ref().map(|caller| caller.account_id.as_str())) {
            return url::forbidden(true, &request_id).map(Body::from);
        }
        // The signature was of the path as it came.
        address.rewrite(&mut parts);
        let trace_id = url::trace_id(&parts, now);
        let ask = Ask {
            request_id: &request_id,
            trace_id: &trace_id,
            url_id: &address.url_id,
            region: &target.key.region,
            caller: caller.as_ref(),
            client,
            now,
        };
        let Some(payload) = url::event(&mut parts, &body, &ask) else {
            return url::too_large(&request_id).map(Body::from);
        };
        let invocation = Invocation {
            request_id: request_id.clone(),
            payload,
            client_context: None,
            cognito_identity: None,
            invoked_function_arn: target.function_arn.clone(),
            trace_id: Some(trace_id),
            log_tail: false,
        };
        let (key, qualifier) = (&target.key, target.qualifier.as_deref());
        let run = match target.invoke_mode {
            InvokeMode::Buffered => self.functions.run(key, qualifier, invocation).await,
            InvokeMode::ResponseStream => {
                let run = self
                    .functions
                    .run_streaming(key, qualifier, invocation)
                    .await;
                match run {
                    Ok(Invoked::Streamed(response)) => {
                        return streamed::answer(response, &request_id).await;
                    }
                    Ok(Invoked::Whole(outcome)) => Ok(outcome),
                    Err(error) => Err(error),
                }
            }
        };
        url::answer(run, target.invoke_mode, &request_id).map(Body::from)
    }

    /// Who calls a URL that wants to know; a URL for everybody does not look.
    fn caller(
        &self,
        target: &UrlTarget,
        sender: &Sender,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<Caller>, AuthError> {
        if target.auth_type == AuthType::None {
            return Ok(None);
        }
        let caller = self.identity.caller(sender, parts, body, now)?;
        if caller.service != lambda::SERVICE.signing_name {
            return Err(AuthError::wrong_service(lambda::SERVICE.signing_name));
        }
        Ok(Some(caller))
    }
}

fn cors(target: &UrlTarget) -> Option<lambda::Cors> {
    target.cors.clone().map(|cors| lambda::Cors {
        allow_credentials: cors.allow_credentials,
        allow_headers: cors.allow_headers,
        allow_methods: cors.allow_methods,
        allow_origins: cors.allow_origins,
        expose_headers: cors.expose_headers,
        max_age: cors.max_age,
    })
}
