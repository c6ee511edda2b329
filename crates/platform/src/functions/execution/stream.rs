//! A response that goes to the caller as the function writes it: from the Runtime API's connection
//! over a short queue of pieces to whoever reads it, and what came of it at the end.
//!
//! A reader that is slow holds the function up; one that is gone does not, and the function runs to
//! its end, as in Lambda.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderValue;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinHandle},
};

use super::{
    InvokeError, Outcome,
    fault::STREAM_BYTES_MAX,
    link::{Link, Refusal},
};

/// What is done when a response begins.
#[derive(Debug)]
pub struct Begin {
    pub begun: oneshot::Sender<Begun>,
    pub trace_id: String,
}

/// A response that has begun.
#[derive(Debug)]
pub struct Begun {
    pub content_type: Option<HeaderValue>,
    pub trace_id: String,
    pub chunks: mpsc::Receiver<Bytes>,
}

/// How one ended.
#[derive(Debug)]
pub enum End {
    Whole,
    /// The runtime says in the trailers that it came to grief. To Lambda it is a success.
    Reported(StreamError),
    TooLarge,
    Truncated,
}

/// What a runtime says of an error after the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// Any text.
    pub kind: String,
    /// An error object, most likely.
    pub details: Bytes,
}

/// The Runtime API's side of a response that goes on.
pub struct Flow<'a> {
    link: &'a Link,
    request_id: String,
    pieces: mpsc::Sender<Bytes>,
    bytes: usize,
    ended: bool,
}

/// It is longer than a response may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl<'a> Flow<'a> {
    pub fn new(link: &'a Link, request_id: &str, pieces: mpsc::Sender<Bytes>) -> Self {
        Self {
            link,
            request_id: request_id.to_owned(),
            pieces,
            bytes: 0,
            ended: false,
        }
    }

    /// Hands a piece on, and waits while the reader is behind. Where there is no reader any more it
    /// is dropped.
    pub async fn hand_on(&mut self, piece: Bytes) -> Result<(), TooLarge> {
        let bytes = self.bytes + piece.len();
        if bytes > STREAM_BYTES_MAX {
            return Err(TooLarge);
        }
        self.bytes = bytes;
        let _ = self.pieces.send(piece).await;
        Ok(())
    }

    pub fn end(mut self, end: End) -> Result<(), Refusal> {
        self.ended = true;
        self.link.ended(&self.request_id, self.bytes, end)
    }
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.link.cut(&self.request_id, self.bytes);
        }
    }
}

/// What came of an invocation whose caller takes the response piece by piece.
pub enum Invoked {
    /// It did not come in pieces, or there is nothing but an error.
    Whole(Outcome),
    Streamed(ResponseStream),
}

/// A response as its reader has it. Who drops it reads no more of it; the function runs on.
pub struct ResponseStream {
    pub content_type: Option<HeaderValue>,
    pub executed_version: String,
    pub trace_id: String,
    chunks: mpsc::Receiver<Bytes>,
    request: JoinHandle<Result<Finished, InvokeError>>,
}

/// A response's next part. After the end there is none.
pub enum Part {
    Chunk(Bytes),
    End(Result<Finished, InvokeError>),
}

/// The end of a request.
pub struct Finished {
    /// Of a response that was streamed it has no payload, but that of an error.
    pub outcome: Outcome,
    pub reported: Option<StreamError>,
}

impl ResponseStream {
    pub fn new(
        begun: Begun,
        executed_version: String,
        request: JoinHandle<Result<Finished, InvokeError>>,
    ) -> Self {
        Self {
            content_type: begun.content_type,
            executed_version,
            trace_id: begun.trace_id,
            chunks: begun.chunks,
            request,
        }
    }

    /// Not to be polled after the end.
    pub fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        if let Some(chunk) = ready!(self.chunks.poll_recv(cx)) {
            return Poll::Ready(Part::Chunk(chunk));
        }
        let ended = ready!(Pin::new(&mut self.request).poll(cx));
        Poll::Ready(Part::End(joined(ended)))
    }

    pub async fn part(&mut self) -> Part {
        std::future::poll_fn(|cx| self.poll_part(cx)).await
    }
}

pub fn joined(
    ended: Result<Result<Finished, InvokeError>, JoinError>,
) -> Result<Finished, InvokeError> {
    ended.unwrap_or_else(|error| Err(InvokeError::NoEnvironment(error.to_string())))
}
