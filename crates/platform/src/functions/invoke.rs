//! Invoke. No store on this path: a definition in memory, the checks, and over to the executor.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use wire::{
    Context,
    lambda::{FunctionName, InvocationRequest, InvocationResponse},
};

use super::{
    Functions, durable,
    error::{Error, Result},
    execution::{FunctionKey, Invocation, InvokeError, Invoked, Outcome, VersionKey},
    json_text, key_of, limits, not_found,
    qualifier::{LATEST, configured, resolve},
    tables::State,
};
use crate::identity::{Principal, session::assumed};

/// An asynchronous invocation that was checked.
#[derive(Debug, Clone)]
pub struct AsyncEvent {
    pub key: FunctionKey,
    /// Which function of that name it was.
    pub born: i64,
    pub qualifier: Option<String>,
    pub invocation: Invocation,
}

impl Functions {
    pub(super) async fn invoke_function(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: InvocationRequest,
    ) -> Result<InvocationResponse> {
        let invocation_type = input.invocation_type.clone();
        if invocation_type.as_deref() != Some("DryRun") {
            let key = key_of(cx, &name.name);
            if let Some(target) = self.durable_target(&key, name.qualifier.as_deref())? {
                let payload = checked_payload(input.payload.clone())?;
                return self.invoke_durably(cx, target, (input, payload)).await;
            }
            durable::refuse_name(&input, name)?;
        }
        let (key, invocation) = self.checked(cx, name, input)?;
        match invocation_type.as_deref() {
            Some("DryRun") => return Ok(answered(204)),
            // Whoever keeps them asks for `accepted_event`.
            Some("Event") => {
                return Err(Error::Unsupported {
                    what: "An event without a queue",
                });
            }
            _ => {}
        }
        let qualifier = name.qualifier.as_deref();
        let outcome = self.run_at(&key, qualifier, random, invocation).await?;
        Ok(InvocationResponse {
            function_error: outcome.error.map(|error| error.as_str().to_owned()),
            log_result: outcome.log_tail.map(|tail| BASE64_STANDARD.encode(tail)),
            payload: Some(outcome.payload),
            executed_version: Some(outcome.executed_version.to_string()),
            ..answered(200)
        })
    }

    /// What is to be run, if it may be.
    pub(super) fn checked(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: InvocationRequest,
    ) -> Result<(FunctionKey, Invocation)> {
        let key = key_of(cx, &name.name);
        self.check_invocable(&key, name.qualifier.as_deref())?;
        refuse_unsupported(&input)?;
        let payload = checked_payload(input.payload)?;
        let client_context = input.client_context.map(|given| client_context(&given));
        let invocation = Invocation {
            request_id: cx.request_id.clone(),
            payload,
            client_context: client_context.transpose()?,
            cognito_identity: None,
            invoked_function_arn: name.arn(cx),
            trace_id: cx.trace_header.clone(),
            log_tail: input.log_type.as_deref() == Some("Tail"),
        };
        Ok((key, invocation))
    }

    /// The same for one that nobody waits for.
    pub(super) fn accepted_event(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: InvocationRequest,
    ) -> Result<AsyncEvent> {
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.as_deref();
        self.check_invocable(&key, qualifier)?;
        refuse_unsupported(&input)?;
        // InvokeAsync names no qualifier, which a durable function has to have.
        self.durable_target(&key, qualifier)?;
        durable::refuse_name(&input, name)?;
        let (bytes, max) = (
            input.payload.as_ref().map_or(0, Bytes::len),
            limits::EVENT_BYTES_MAX,
        );
        if bytes > max {
            return Err(Error::EventTooLarge { bytes, max });
        }
        let client_context = input.client_context.map(|given| client_context(&given));
        Ok(AsyncEvent {
            born: self.find(&key)?.record.born,
            qualifier: name.qualifier.clone(),
            invocation: Invocation {
                request_id: cx.request_id.clone(),
                payload: checked_payload(input.payload)?,
                client_context: client_context.transpose()?,
                cognito_identity: None,
                invoked_function_arn: name.arn(cx),
                trace_id: cx.trace_header.clone(),
                log_tail: false,
            },
            key,
        })
    }

    /// Runs an invocation that has been checked, from the API, a function URL or a trigger, in the
    /// version that the qualifier leads to. One that is active but not deployed, as after a
    /// restart, is deployed first. One that is durable is an execution, whose end is waited for.
    pub async fn run(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        invocation: Invocation,
    ) -> Result<Outcome> {
        match self.run_if_durable(key, qualifier, &invocation).await {
            Some(done) => done,
            None => self.run_at(key, qualifier, random, invocation).await,
        }
    }

    /// Runs one invocation of a version, whether or not the function is durable.
    pub async fn run_version(
        &self,
        key: &FunctionKey,
        version: &str,
        invocation: Invocation,
    ) -> Result<Outcome> {
        self.run_at(key, Some(version), random, invocation).await
    }

    /// The same; `random` decides between the versions of an alias.
    pub(super) async fn run_at(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        random: impl FnOnce() -> f64,
        mut invocation: Invocation,
    ) -> Result<Outcome> {
        let version = self.version_for(key, qualifier, random)?;
        invocation.trace_id = Some(self.traced(key, invocation.trace_id.as_deref())?);
        let executor = &self.0.executor;
        let again = match executor.invoke(&version, invocation.clone()).await {
            Err(InvokeError::NotDeployed) => invocation,
            done => return done.map_err(|error| refused(&version, error)),
        };
        self.ensure_deployed(&version).await?;
        let done = executor.invoke(&version, again).await;
        done.map_err(|error| refused(&version, error))
    }

    /// As `run`, for a caller who takes the response piece by piece.
    pub async fn run_streaming(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        mut invocation: Invocation,
    ) -> Result<Invoked> {
        self.refuse_durable(key, qualifier)?;
        let version = self.version_for(key, qualifier, random)?;
        invocation.trace_id = Some(self.traced(key, invocation.trace_id.as_deref())?);
        let executor = &self.0.executor;
        let again = match executor.stream(&version, invocation.clone()).await {
            Err(InvokeError::NotDeployed) => invocation,
            done => return done.map_err(|error| refused(&version, error)),
        };
        self.ensure_deployed(&version).await?;
        let done = executor.stream(&version, again).await;
        done.map_err(|error| refused(&version, error))
    }

    /// The version that answers one request to a qualifier.
    pub(super) fn version_for(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        random: impl FnOnce() -> f64,
    ) -> Result<VersionKey> {
        let entry = self.0.definitions.get(key);
        let version = entry.and_then(|entry| resolve(&entry, qualifier, random));
        let version = version.ok_or_else(|| not_found(key, qualifier.or(Some(LATEST))))?;
        Ok(VersionKey {
            function: key.clone(),
            version,
        })
    }

    /// What a trigger has to know of a function that it is to invoke; none where there is no such.
    pub fn timeout_s(&self, key: &FunctionKey, qualifier: Option<&str>) -> Option<u32> {
        let entry = self.0.definitions.get(key)?;
        Some(configured(&entry, qualifier)?.spec().timeout_s)
    }

    /// Who a function is to others, also what Lambda does for it: its role, in a session of its own.
    pub fn principal(&self, key: &FunctionKey, qualifier: Option<&str>) -> Option<Principal> {
        let entry = self.0.definitions.get(key)?;
        let role = assumed(configured(&entry, qualifier)?.role(), &key.name);
        Some(Principal::of(&key.account_id, Some(&role)))
    }

    /// The ARN of the role that a function acts in.
    pub fn role_arn(&self, key: &FunctionKey, qualifier: Option<&str>) -> Option<String> {
        let entry = self.0.definitions.get(key)?;
        Some(configured(&entry, qualifier)?.role().to_owned())
    }

    pub(super) fn check_invocable(&self, key: &FunctionKey, qualifier: Option<&str>) -> Result<()> {
        // Lambda names the version that it looked for, asked or not.
        let unknown = || not_found(key, qualifier.or(Some(LATEST)));
        let entry = self.0.definitions.get(key).ok_or_else(unknown)?;
        let configured = configured(&entry, qualifier).ok_or_else(unknown)?;
        match configured.state() {
            State::Active => Ok(()),
            State::Pending if configured.waits_for_snapshot() => Err(Error::SnapStartNotReady),
            state @ (State::Pending | State::Failed) => Err(Error::NotActive {
                state: state.as_str(),
            }),
        }
    }
}

fn refuse_unsupported(input: &InvocationRequest) -> Result<()> {
    if input.tenant_id.is_some() {
        return Err(Error::Unsupported {
            what: "Tenant isolation (TenantId)",
        });
    }
    Ok(())
}

/// The event: JSON of bounded size. Without one the function gets an empty object.
fn checked_payload(payload: Option<Bytes>) -> Result<Bytes> {
    let payload = payload.unwrap_or_default();
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if payload.len() > limits::PAYLOAD_BYTES_MAX {
        return Err(Error::PayloadTooLarge {
            max: limits::PAYLOAD_BYTES_MAX,
        });
    }
    json_text::check(&payload).map_err(Error::PayloadNotJson)?;
    Ok(payload)
}

fn client_context(given: &str) -> Result<String> {
    let unreadable = || {
        Error::PayloadNotJson("Client context must be a valid Base64-encoded JSON object.".into())
    };
    if given.len() > limits::CLIENT_CONTEXT_BYTES_MAX {
        return Err(unreadable());
    }
    let decoded = BASE64_STANDARD.decode(given).map_err(|_| unreadable())?;
    json_text::check(&decoded).map_err(|_| unreadable())?;
    String::from_utf8(decoded).map_err(|_| unreadable())
}

/// From 0 up to 1, and not 1 itself.
pub(super) fn random() -> f64 {
    #[cfg(test)]
    if let Some(drawn) = super::testing::drawn() {
        return drawn;
    }
    let mut bytes = [0_u8; 4];
    // Without randomness the first version has all requests.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 1.0,
    }
}

fn refused(key: &VersionKey, error: InvokeError) -> Error {
    match error {
        InvokeError::Throttled(throttle) => Error::Throttled {
            reason: throttle.reason(),
        },
        // Deleted between the look and the call.
        InvokeError::NotDeployed => not_found(&key.function, Some(&key.version)),
        InvokeError::SnapStart(why) => Error::SnapStart(why),
        InvokeError::SnapStartTimeout => Error::SnapStartTimeout,
        InvokeError::ShuttingDown => Error::Platform {
            caller: "The platform is shutting down.",
            source: std::sync::Arc::new(error),
        },
        InvokeError::NoEnvironment(_) => Error::Platform {
            caller: "The platform could not make an execution environment.",
            source: std::sync::Arc::new(error),
        },
    }
}

fn answered(status_code: i32) -> InvocationResponse {
    InvocationResponse {
        status_code: Some(status_code),
        ..InvocationResponse::default()
    }
}
