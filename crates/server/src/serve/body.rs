//! Bodies: a request's, read whole within bounds, and an answer's, whole or as it comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use platform::Broken;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::listen::Running;
use crate::limits;

/// An answer's body.
pub enum Body {
    Whole(Bytes),
    Stream(mpsc::Receiver<Bytes>),
    /// An object's bytes, as they are read.
    Object(mpsc::Receiver<Result<Bytes, Broken>>),
    /// What a function writes, as it writes it. The request runs for as long.
    Function {
        stream: Box<platform::Stream>,
        _running: Option<Running>,
    },
}

impl Body {
    /// Keeps the request among those that run for as long as its body comes from a function.
    pub fn during(self, running: Running) -> Self {
        match self {
            Body::Function { stream, .. } => Body::Function {
                stream,
                _running: Some(running),
            },
            // It is there: what is left is to write it.
            other => other,
        }
    }
}

impl From<platform::Body> for Body {
    fn from(body: platform::Body) -> Self {
        match body {
            platform::Body::Whole(bytes) => Body::Whole(bytes),
            platform::Body::Object(pieces) => Body::Object(pieces),
            platform::Body::Stream(stream) => Body::Function {
                stream,
                _running: None,
            },
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Whole(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Whole(bytes)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let next = match &mut *self {
            Body::Whole(bytes) if bytes.is_empty() => None,
            Body::Whole(bytes) => Some(std::mem::take(bytes)),
            Body::Stream(pieces) => std::task::ready!(pieces.poll_recv(cx)),
            Body::Object(pieces) => {
                let next = std::task::ready!(pieces.poll_recv(cx));
                return Poll::Ready(next.map(|bytes| bytes.map(Frame::data)));
            }
            Body::Function { stream, .. } => {
                let next = std::task::ready!(stream.poll_next(cx));
                return Poll::Ready(next.map(|bytes| bytes.map(Frame::data)));
            }
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(_) | Body::Object(_) | Body::Function { .. } => SizeHint::default(),
        }
    }
}

/// A whole body. Large ones have a place, of which there are few.
#[derive(Default)]
pub struct Read {
    pub bytes: Bytes,
    pub place: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    TooLarge,
    /// The client sends nothing any more.
    Slow,
    /// The connection ended before the body did.
    Cut,
}

/// How long a body of up to `bytes_max` may take.
pub fn time_for(bytes_max: usize) -> Duration {
    let at_least_pace = bytes_max / limits::BODY_BYTES_PER_S_MIN;
    limits::BODY_WITHIN + Duration::from_secs(at_least_pace as u64)
}

/// Reads a body of up to `bytes_max`. Who sends a byte now and then has no more than `within`.
pub async fn read<B>(
    body: B,
    bytes_max: usize,
    within: Duration,
    large: &Arc<Semaphore>,
) -> Result<Read, Unread>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let read = timeout(within, read_all(body, bytes_max, large)).await;
    read.unwrap_or(Err(Unread::Slow))
}

async fn read_all<B>(mut body: B, bytes_max: usize, large: &Arc<Semaphore>) -> Result<Read, Unread>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let declared = body.size_hint().exact();
    if declared.is_some_and(|length| length > bytes_max as u64) {
        spill(body).await;
        return Err(Unread::TooLarge);
    }
    let first = next(&mut body).await?.unwrap_or_default();
    if declared == Some(first.len() as u64) {
        // All of it at once, as most are: no copy.
        let place = None;
        return Ok(Read {
            bytes: first,
            place,
        });
    }
    let mut whole = BytesMut::from(first);
    let mut place = None;
    while let Some(piece) = next(&mut body).await? {
        let length = whole.len() + piece.len();
        if length > bytes_max {
            drop(whole);
            spill(body).await;
            return Err(Unread::TooLarge);
        }
        if place.is_none() && length > limits::BODY_SMALL_BYTES {
            place = large.clone().acquire_owned().await.ok();
            // What was declared is within the bound, or it would not have come here.
            let left = declared.unwrap_or(0).saturating_sub(whole.len() as u64);
            whole.reserve(usize::try_from(left).unwrap_or(0));
        }
        whole.extend_from_slice(&piece);
    }
    let bytes = whole.freeze();
    Ok(Read { bytes, place })
}

/// The next piece; trailers are passed over.
async fn next<B>(body: &mut B) -> Result<Option<Bytes>, Unread>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    loop {
        let frame = timeout(limits::BODY_PIECE_WITHIN, body.frame()).await;
        match frame.map_err(|_| Unread::Slow)? {
            None => return Ok(None),
            Some(Err(_)) => return Err(Unread::Cut),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads on for a while without keeping anything: who is still writing would otherwise see the
/// connection break instead of the answer.
pub async fn spill<B>(mut body: B)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let read = async {
        let mut left = limits::BODY_SPILL_BYTES;
        while let Ok(Some(piece)) = next(&mut body).await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(limits::BODY_SPILL_WITHIN, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pieces(sizes: &[usize], bytes_max: usize) -> Result<usize, Unread> {
        let (sender, pieces) = mpsc::channel(sizes.len().max(1));
        for &size in sizes {
            let piece = Bytes::from(vec![b'x'; size]);
            sender.send(piece).await.expect("there is room");
        }
        drop(sender);
        let large = Arc::new(Semaphore::new(1));
        let within = time_for(bytes_max);
        let read = read(Body::Stream(pieces), bytes_max, within, &large).await?;
        assert_eq!(read.place.is_some(), large.available_permits() == 0);
        Ok(read.bytes.len())
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_their_bound() {
        assert_eq!(pieces(&[], 0).await, Ok(0));
        assert_eq!(pieces(&[3, 4], 7).await, Ok(7));
        assert_eq!(pieces(&[3, 5], 7).await, Err(Unread::TooLarge));
        let large = limits::BODY_SMALL_BYTES;
        assert_eq!(pieces(&[large, large], 2 * large).await, Ok(2 * large));
    }

    #[tokio::test]
    async fn a_declared_length_is_believed_before_anything_is_read() {
        let large = Arc::new(Semaphore::new(1));
        let body = Body::Whole(Bytes::from_static(b"12345678"));
        let refused = read(body, 7, time_for(7), &large).await.err();
        assert_eq!(refused, Some(Unread::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let (sender, pieces) = mpsc::channel(1);
        let endless = tokio::spawn(async move { while sender.send(Bytes::new()).await.is_ok() {} });
        let large = Arc::new(Semaphore::new(1));
        let within = Duration::from_millis(10);
        let refused = read(Body::Stream(pieces), 7, within, &large).await.err();
        assert_eq!(refused, Some(Unread::Slow));
        endless.await.expect("nobody reads any more");
    }
}
