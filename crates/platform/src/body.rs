//! An answer's body: whole, what a function writes as it writes it, or an object's bytes as they are
//! read.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::functions::execution::{Finished, InvokeError, Part, ResponseStream};

pub enum Body {
    Whole(Bytes),
    /// Much larger than the others, and much rarer.
    Stream(Box<Stream>),
    /// What somebody reads, as it is read: when they drop their end, that is the body's. Their queue is
    /// to be short, and whoever fills it to end when the client is gone.
    Object(mpsc::Receiver<Result<Bytes, Broken>>),
}

/// What a function writes, on its way to a client. Who drops it reads no more; the function runs on.
pub struct Stream {
    /// What goes before it.
    first: Option<Bytes>,
    /// None when all of it has been given.
    response: Option<ResponseStream>,
    form: Box<dyn Form>,
}

/// How a function's response looks to a client.
pub trait Form: Send {
    fn chunk(&self, chunk: Bytes) -> Bytes {
        chunk
    }

    /// What comes after the last chunk, or that the client is not to take what it has for the whole.
    fn end(&self, ended: Result<Finished, InvokeError>) -> Result<Option<Bytes>, Broken>;
}

/// Who wrote the body did not finish what they began.
#[derive(Debug, thiserror::Error)]
#[error("the response was not finished")]
pub struct Broken;

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl From<Stream> for Body {
    fn from(stream: Stream) -> Self {
        Self::Stream(Box::new(stream))
    }
}

impl Stream {
    /// `first` goes as it is, before what the form makes of the response.
    pub fn new(first: Option<Bytes>, response: ResponseStream, form: impl Form + 'static) -> Self {
        Self {
            first,
            response: Some(response),
            form: Box::new(form),
        }
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(response) = &mut self.response else {
            return Poll::Ready(None);
        };
        let ended = match ready!(response.poll_part(cx)) {
            Part::Chunk(chunk) => return Poll::Ready(Some(Ok(self.form.chunk(chunk)))),
            Part::End(ended) => ended,
        };
        self.response = None;
        Poll::Ready(self.form.end(ended).transpose())
    }
}
