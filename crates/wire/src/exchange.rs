//! One call of an operation, from the request's bytes to the answer's: decode, validate, run,
//! encode. The generated dispatchers are nothing but calls of [`Call::answer`].

use bytes::Bytes;
use http::{Response, request};

use crate::{
    context::Context,
    error::Error,
    protocol,
    router::Route,
    validate::validate,
    value::{FromValue, IntoValue, Value},
};

/// A request that has been routed.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub cx: &'a Context,
    pub route: &'a Route,
    pub parts: &'a request::Parts,
    pub body: &'a Bytes,
}

impl Call<'_> {
    /// Runs an operation and makes its answer, good or bad.
    pub async fn answer<I, O, F>(self, run: impl FnOnce(I) -> F) -> Response<Bytes>
    where
        I: FromValue,
        O: IntoValue,
        F: Future<Output = Result<O, Error>>,
    {
        let input = match self.input() {
            Ok(input) => input,
            Err(error) => return self.refuse(&error),
        };
        match run(input).await {
            Ok(output) => self.respond(output),
            Err(error) => self.refuse(&error),
        }
    }

    /// The answer of an operation that has run. Events of a stream are none of it: they follow, by
    /// [`crate::encode_event`].
    pub fn respond(self, output: impl IntoValue) -> Response<Bytes> {
        let Route {
            service,
            protocol,
            operation,
            ..
        } = self.route;
        let (output, id) = (output.into_value(), &self.cx.request_id);
        protocol::encode_response(*protocol, service, operation, output, id)
    }

    /// The answer for an operation that has no code.
    pub fn not_implemented(self) -> Response<Bytes> {
        self.refuse(&Error::not_implemented(
            self.route.service,
            self.route.operation.name,
        ))
    }

    pub fn refuse(self, error: &Error) -> Response<Bytes> {
        protocol::refuse(self.route, self.parts, error, &self.cx.request_id)
    }

    /// What was sent, decoded and validated.
    pub fn input<I: FromValue>(&self) -> Result<I, Error> {
        let Route {
            service,
            protocol,
            operation,
            labels,
        } = self.route;
        let input =
            protocol::decode_request(*protocol, service, operation, labels, self.parts, self.body)?;
        if let (Some(shape), Value::Structure(members)) = (operation.input, &input) {
            validate(service, shape, members)?;
        }
        Ok(I::from_value(Some(input)))
    }
}
