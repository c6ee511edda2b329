//! A connection whose peer has to take what it is sent: an answer is held in memory until it is
//! read, and who asks and does not read would hold it for ever.
//!
//! Time counts while an answer waits for its reader, not while it is made.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::limits;

pub struct Paced<S> {
    stream: S,
    /// What a reader may take in any case; beyond it, by the pace.
    within: Duration,
    behind: Option<Behind>,
}

/// The reader was behind once since all was last written.
struct Behind {
    since: Instant,
    written: usize,
    due: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    pub fn new(stream: S) -> Self {
        Self::within(stream, limits::ANSWER_WITHIN)
    }

    fn within(stream: S, within: Duration) -> Self {
        Self {
            stream,
            within,
            behind: None,
        }
    }

    fn wrote(&mut self, bytes: usize) {
        if let Some(behind) = &mut self.behind {
            behind.written += bytes;
        }
    }

    /// Ready when the reader has had its time.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let within = self.within;
        let behind = self.behind.get_or_insert_with(|| {
            let since = Instant::now();
            let due = Box::pin(sleep_until(since + within));
            Behind {
                since,
                written: 0,
                due,
            }
        });
        let at_least_pace = behind.written / limits::ANSWER_BYTES_PER_S_MIN;
        let due = behind.since + within + Duration::from_secs(at_least_pace as u64);
        behind.due.as_mut().reset(due);
        behind.due.as_mut().poll(cx)
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => self.wrote(bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.poll_due(cx));
                let reason = "the answer is not read";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when there is nothing more to be written for now.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.behind = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (ours, _theirs) = duplex(16);
        let mut ours = Paced::within(ours, SOON);
        ours.write_all(&[0; 16]).await.expect("it has room");
        let refused = ours.write_all(&[0; 16]).await.expect_err("it is full");
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_on_is_sent_all() {
        let (ours, mut theirs) = duplex(limits::ANSWER_BYTES_PER_S_MIN);
        let mut ours = Paced::new(ours);
        let answer = vec![0; 8 * limits::ANSWER_BYTES_PER_S_MIN];
        let length = answer.len();
        let writing = tokio::spawn(async move {
            ours.write_all(&answer).await?;
            ours.flush().await?;
            assert!(ours.behind.is_none(), "what comes next has its own time");
            io::Result::Ok(ours)
        });
        let mut read = vec![0; length];
        theirs.read_exact(&mut read).await.expect("it is whole");
        writing.await.expect("it ends").expect("all was written");
    }
}
