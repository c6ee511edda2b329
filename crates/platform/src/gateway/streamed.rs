//! A function URL's answer that its client reads while the function writes.

use bytes::{Bytes, BytesMut};
use http::Response;
use wire::events::url as events;

use super::url;
use crate::{
    body::{Body, Broken, Form, Stream},
    functions::execution::{Finished, InvokeError, Part, ResponseStream},
    limits::RESPONSE_HEAD_BYTES_MAX,
};

/// The answer, once it is known how it begins. A stream of the media type that says so begins with
/// status and headers; of any other it is all body.
pub async fn answer(mut response: ResponseStream, request_id: &str) -> Response<Body> {
    let trace_id = response.trace_id.clone();
    let content_type = response.content_type.take();
    let has_head = content_type.as_ref().is_some_and(|content_type| {
        let given = content_type.as_bytes().split(|byte| *byte == b';').next();
        given.is_some_and(|given| {
            let given = given.trim_ascii();
            given.eq_ignore_ascii_case(events::HTTP_INTEGRATION.as_bytes())
        })
    });
    let answer = if has_head {
        headed(response).await
    } else {
        let body = Stream::new(None, response, Plain);
        Some(events::stream_plain(
            content_type.as_ref(),
            Body::from(body),
        ))
    };
    let broken = || events::internal_server_error().map(Body::from);
    let mut answer = answer.unwrap_or_else(broken);
    url::trace(&mut answer, &trace_id);
    url::identify(&mut answer, request_id);
    answer
}

/// None where it has no head that is one.
async fn headed(mut response: ResponseStream) -> Option<Response<Body>> {
    let (head, rest) = head(&mut response).await?;
    let headed = events::stream_headed(&head, ())?;
    let first = (!rest.is_empty()).then_some(rest);
    let body = Stream::new(first, response, Plain);
    Some(headed.map(|()| body.into()))
}

/// Reads to the end of a stream's head; gives it, and what has been read beyond it.
async fn head(response: &mut ResponseStream) -> Option<(Bytes, Bytes)> {
    let mut read = BytesMut::new();
    while let Part::Chunk(chunk) = response.part().await {
        read.extend_from_slice(&chunk);
        if let Some((end, begin)) = events::stream_head_end(&read) {
            let read = read.freeze();
            return Some((read.slice(..end), read.slice(begin..)));
        }
        if read.len() > RESPONSE_HEAD_BYTES_MAX {
            return None;
        }
    }
    None
}

/// The bytes as they are. An error after the first of them can only break them off, so that nobody
/// takes a part for the whole.
struct Plain;

impl Form for Plain {
    fn end(&self, ended: Result<Finished, InvokeError>) -> Result<Option<Bytes>, Broken> {
        match ended {
            Ok(Finished { outcome, reported }) if outcome.error.is_none() && reported.is_none() => {
                Ok(None)
            }
            _ => Err(Broken),
        }
    }
}
