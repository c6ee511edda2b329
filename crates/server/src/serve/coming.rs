//! A request's body that is given on as it comes, and not held: an object on its way in.
//!
//! Whoever sends has to keep a pace. Only the waiting for them counts, not what is done with a piece.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use platform::{Cut, Pieces};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::body;
use crate::limits;

pub struct Coming<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// None when it has ended.
    body: Option<B>,
    read: u64,
    /// How long it has been waited for.
    waited: Duration,
    /// The client asked whether it may send, and has been told so by nothing yet.
    is_asking: Arc<AtomicBool>,
}

impl<B> Coming<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// `is_asking`: the client waits to be told that it may send (`Expect`).
    pub fn new(body: B, is_asking: bool) -> Self {
        Self {
            body: Some(body),
            read: 0,
            waited: Duration::ZERO,
            is_asking: Arc::new(AtomicBool::new(is_asking)),
        }
    }

    /// Whether it still waits to be told, as long as that is.
    pub fn is_asking(&self) -> Arc<AtomicBool> {
        self.is_asking.clone()
    }

    /// How long may still be waited, at the pace that has been kept.
    fn left(&self) -> Duration {
        let at_pace = Duration::from_secs(self.read / limits::BODY_BYTES_PER_S_MIN as u64);
        (limits::BODY_WITHIN + at_pace).saturating_sub(self.waited)
    }
}

#[async_trait]
impl<B> Pieces for Coming<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
{
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        let within = self.left().min(limits::BODY_PIECE_WITHIN);
        self.is_asking.store(false, Ordering::Relaxed);
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let since = Instant::now();
        let piece = timeout(within, async {
            loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(_)) => return Err(Cut::Gone),
                    // Trailers of HTTP are none of S3's.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            }
        });
        let piece = piece.await.unwrap_or(Err(Cut::Slow));
        self.waited += since.elapsed();
        match &piece {
            Ok(Some(bytes)) => self.read += bytes.len() as u64,
            Ok(None) | Err(_) => self.body = None,
        }
        piece
    }
}

/// Who is answered before all has been read may still be sending: it is read on for a while, or they
/// would see the connection break and no answer. Who asked first is told, and sends nothing.
impl<B> Drop for Coming<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
{
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        if self.is_asking.load(Ordering::Relaxed) || body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(body::spill(body));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::serve::Body;

    #[tokio::test]
    async fn pieces_come_as_they_are_sent() {
        let (sender, pieces) = mpsc::channel(2);
        let mut coming = Coming::new(Body::Stream(pieces), false);
        for text in ["a", "b"] {
            let piece = Bytes::from_static(text.as_bytes());
            sender.send(piece.clone()).await.expect("there is room");
            assert_eq!(coming.next().await, Ok(Some(piece)));
        }
        drop(sender);
        assert_eq!(coming.next().await, Ok(None));
        assert_eq!(coming.next().await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_is_given_up() {
        let (_sender, pieces) = mpsc::channel(1);
        let mut coming = Coming::new(Body::Stream(pieces), false);
        assert_eq!(coming.next().await, Err(Cut::Slow));
        assert_eq!(coming.next().await, Ok(None), "there is no more of it");
    }

    #[tokio::test]
    async fn what_nobody_wants_is_read_on_unless_it_was_asked_for() {
        for (is_asking, expect) in [(false, true), (true, false)] {
            let (sender, pieces) = mpsc::channel(1);
            sender
                .send(Bytes::from_static(b"a"))
                .await
                .expect("there is room");
            drop(Coming::new(Body::Stream(pieces), is_asking));
            let taken = sender.send(Bytes::from_static(b"b")).await.is_ok();
            assert_eq!(taken, expect);
        }
    }
}
