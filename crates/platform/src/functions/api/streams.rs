//! The operations whose answers are streams.

use http::Response;
use wire::{Call, lambda as api};

use super::{Answer, refusal};
use crate::{
    body::Body,
    functions::{Functions, execution::Invoked, response_stream},
    services::LambdaStreams,
};

impl LambdaStreams for Functions {
    async fn invoke_with_response_stream(&self, call: Call<'_>) -> Response<Body> {
        match self.stream_of(call).await {
            Ok(invoked) => response_stream::answer(call, invoked),
            Err(refusal) => call.refuse(&refusal).map(Body::from),
        }
    }
}

impl Functions {
    async fn stream_of(&self, call: Call<'_>) -> Answer<Option<Invoked>> {
        let input: api::InvokeWithResponseStreamRequest = call.input()?;
        let (cx, name) = self.shared(
            call.cx,
            "lambda:InvokeFunction",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        self.begin_stream(&cx, &name, input).await.map_err(refusal)
    }
}
