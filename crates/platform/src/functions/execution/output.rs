//! An environment's stdout and stderr on their way into the log, with Lambda's own lines between
//! them, and the tail that `LogType=Tail` asks for.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::net::unix::pipe;
use wire::Timestamp;

use super::log_frames::{LogEvent, LogFrames};
use crate::{limits, logs::LogStream};

/// What one look takes at most: more than a pipe holds, so that all said before the look is seen,
/// and an environment that never stops talking does not keep us.
const TAKEN_MAX: usize = 256 * 1024;

pub struct Output {
    pipe: pipe::Receiver,
    state: Mutex<State>,
}

struct State {
    frames: LogFrames,
    sink: Sink,
}

struct Sink {
    stream: LogStream,
    /// The last bytes of what was said since it was asked for.
    tail: Option<Vec<u8>>,
}

impl Output {
    pub fn new(pipe: OwnedFd, stream: LogStream) -> io::Result<Self> {
        let sink = Sink { stream, tail: None };
        let state = State {
            frames: LogFrames::default(),
            sink,
        };
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(pipe)?,
            state: Mutex::new(state),
        })
    }

    /// From here on the tail is kept, or not.
    pub fn begin(&self, keep_tail: bool) {
        self.lock().sink.tail = keep_tail.then(Vec::new);
    }

    /// Waits for output and takes it; false when there will be no more.
    pub async fn attend(&self) -> bool {
        self.pipe.readable().await.is_ok() && self.take(|chunk| self.pipe.try_read(chunk))
    }

    /// Takes all that the environment has written so far, whether or not we were told of it yet.
    pub fn drain(&self) {
        self.take(|chunk| Ok(rustix::io::read(self.pipe.as_fd(), chunk)?));
    }

    /// Takes what `read` gives until it has no more; false when its end has come.
    fn take(&self, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut state = self.lock();
        let State { frames, sink } = &mut *state;
        let mut chunk = [0; 16 * 1024];
        let mut taken = 0;
        while taken < TAKEN_MAX {
            match read(&mut chunk) {
                Ok(0) => return false,
                Ok(len) => {
                    taken += len;
                    frames.feed(&chunk[..len], |event| sink.take(event));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        true
    }

    /// Ends a line that has no end yet: an invocation's last words stay its own.
    pub fn finish(&self) {
        let mut state = self.lock();
        let State { frames, sink } = &mut *state;
        frames.finish(|event| sink.take(event));
    }

    /// One of Lambda's own lines.
    pub fn say(&self, line: &str) {
        self.lock().sink.take(LogEvent {
            timestamp_ms: None,
            message: line.as_bytes(),
        });
    }

    pub fn take_tail(&self) -> Option<Vec<u8>> {
        self.lock().sink.tail.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    fn take(&mut self, event: LogEvent<'_>) {
        let now_ms = || Timestamp::now().as_millisecond();
        let at = event.timestamp_ms.unwrap_or_else(now_ms);
        self.stream.append(at, event.message);
        let Some(tail) = &mut self.tail else { return };
        tail.extend_from_slice(event.message);
        if event.message.last() != Some(&b'\n') {
            tail.push(b'\n');
        }
        let excess = tail.len().saturating_sub(limits::LOG_TAIL_BYTES);
        tail.drain(..excess);
    }
}
