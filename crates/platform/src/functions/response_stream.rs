//! InvokeWithResponseStream: the checks of Invoke, and an answer of events that leave as the function
//! writes, the last of which tells of its end.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response};
use wire::{
    Call, Context, EVENT_STREAM, encode_event,
    lambda::{
        FunctionName, InvocationRequest, InvokeResponseStreamUpdate,
        InvokeWithResponseStreamCompleteEvent as Complete, InvokeWithResponseStreamRequest,
        InvokeWithResponseStreamResponse, InvokeWithResponseStreamResponseEvent as Event,
    },
    schema::{Operation, Service},
};

use super::{
    Functions,
    error::Result,
    execution::{Finished, FunctionError, InvokeError, Invoked, Outcome, StreamError},
};
use crate::body::{Body, Broken, Form, Stream};

const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

impl Functions {
    /// None of a dry run, which is all of it.
    pub(super) async fn begin_stream(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: InvokeWithResponseStreamRequest,
    ) -> Result<Option<Invoked>> {
        let is_dry_run = input.invocation_type.as_deref() == Some("DryRun");
        let input = InvocationRequest {
            log_type: input.log_type,
            client_context: input.client_context,
            payload: input.payload,
            tenant_id: input.tenant_id,
            ..InvocationRequest::default()
        };
        let (key, invocation) = self.checked(cx, name, input)?;
        if is_dry_run {
            return Ok(None);
        }
        let qualifier = name.qualifier.as_deref();
        self.run_streaming(&key, qualifier, invocation)
            .await
            .map(Some)
    }
}

/// The answer to a call, for what came of it.
pub(super) fn answer(call: Call<'_>, invoked: Option<Invoked>) -> Response<Body> {
    let Some(invoked) = invoked else {
        return call.respond(head(204, None)).map(Body::from);
    };
    let form = Events {
        service: call.route.service,
        operation: call.route.operation,
    };
    let (executed_version, trace_id, body) = match invoked {
        Invoked::Whole(outcome) => {
            let (version, trace_id) = (
                outcome.executed_version.to_string(),
                outcome.trace_id.clone(),
            );
            (version, trace_id, form.whole(outcome).into())
        }
        Invoked::Streamed(response) => {
            let version = response.executed_version.clone();
            let trace_id = response.trace_id.clone();
            (version, trace_id, Stream::new(None, response, form).into())
        }
    };
    let mut answer = call
        .respond(head(200, Some(executed_version)))
        .map(|_| body);
    if let Ok(trace_id) = HeaderValue::try_from(trace_id) {
        answer.headers_mut().insert(TRACE_ID, trace_id);
    }
    answer
}

/// What comes before the events.
fn head(status: i32, executed_version: Option<String>) -> InvokeWithResponseStreamResponse {
    let content_type = executed_version.is_some().then(|| EVENT_STREAM.to_owned());
    InvokeWithResponseStreamResponse {
        status_code: Some(status),
        executed_version,
        response_stream_content_type: content_type,
        event_stream: None,
    }
}

struct Events {
    service: &'static Service,
    operation: &'static Operation,
}

impl Events {
    fn event(&self, event: Event) -> Bytes {
        encode_event(self.service, self.operation, event)
    }

    fn complete(&self, complete: Complete) -> Bytes {
        self.event(Event {
            invoke_complete: Some(complete),
            ..Event::default()
        })
    }

    /// All events of a response that did not come in pieces. Of an error there is no chunk.
    fn whole(&self, mut outcome: Outcome) -> Bytes {
        let mut events = BytesMut::new();
        if outcome.error.is_none() {
            events.extend(self.chunk(std::mem::take(&mut outcome.payload)));
        }
        events.extend(self.complete(complete(outcome, None)));
        events.freeze()
    }
}

impl Form for Events {
    fn chunk(&self, chunk: Bytes) -> Bytes {
        self.event(Event {
            payload_chunk: Some(InvokeResponseStreamUpdate {
                payload: Some(chunk),
            }),
            ..Event::default()
        })
    }

    fn end(&self, ended: Result<Finished, InvokeError>) -> Result<Option<Bytes>, Broken> {
        // The platform itself came to grief.
        let Ok(finished) = ended else {
            return Err(Broken);
        };
        let Finished { outcome, reported } = finished;
        Ok(Some(self.complete(complete(outcome, reported))))
    }
}

/// The last event. Of an error that the runtime reported after its first byte it has the runtime's
/// own words; all others are known by the error object.
fn complete(outcome: Outcome, reported: Option<StreamError>) -> Complete {
    let error = outcome.error.map(|error: FunctionError| StreamError {
        kind: error.as_str().to_owned(),
        details: outcome.payload,
    });
    let (error_code, error_details) = match error.or(reported) {
        Some(StreamError { kind, details }) => {
            let details = String::from_utf8_lossy(&details).into_owned();
            (Some(kind), Some(details))
        }
        None => (None, None),
    };
    let tail = outcome.log_tail;
    Complete {
        error_code,
        error_details,
        log_result: tail.map(|tail| BASE64_STANDARD.encode(tail)),
    }
}
