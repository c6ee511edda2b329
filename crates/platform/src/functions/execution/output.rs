//! An environment's stdout and stderr on their way into the log, with Lambda's own lines between
//! them, and the tail that `LogType=Tail` asks for.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::net::unix::pipe;
use wire::Timestamp;

use super::{
    application_level::level_of,
    definition::LowestLevels,
    log_frames::{LogEvent, LogFrames},
    report::Line,
};
use crate::{limits, logs::LogStream};

/// What one look takes at most: more than a pipe holds, so that all said before the look is seen,
/// and an environment that never stops talking does not keep us.
const TAKEN_MAX: usize = 256 * 1024;

pub struct Output {
    /// None where there never was a process to say anything.
    pipe: Option<pipe::Receiver>,
    lowest: LowestLevels,
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
    pub fn new(pipe: Option<OwnedFd>, stream: LogStream, lowest: LowestLevels) -> io::Result<Self> {
        let sink = Sink { stream, tail: None };
        let state = State {
            frames: LogFrames::default(),
            sink,
        };
        Ok(Self {
            pipe: pipe.map(pipe::Receiver::from_owned_fd).transpose()?,
            lowest,
            state: Mutex::new(state),
        })
    }

    /// From here on the tail is kept, or not.
    pub fn begin(&self, keep_tail: bool) {
        self.lock().sink.tail = keep_tail.then(Vec::new);
    }

    /// Waits for output and takes it; false when there will be no more.
    pub async fn attend(&self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        pipe.readable().await.is_ok() && self.take(|chunk| pipe.try_read(chunk))
    }

    /// Takes all that the environment has written so far, whether or not we were told of it yet.
    pub fn drain(&self) {
        if let Some(pipe) = &self.pipe {
            self.take(|chunk| Ok(rustix::io::read(pipe.as_fd(), chunk)?));
        }
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
                    frames.feed(&chunk[..len], |event| sink.hear(event, self.lowest));
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
        frames.finish(|event| sink.hear(event, self.lowest));
    }

    /// One of Lambda's own lines.
    pub fn say(&self, line: &Line) {
        if self.lowest.system.is_none_or(|lowest| line.level >= lowest) {
            self.lock().sink.take(LogEvent {
                timestamp_ms: None,
                message: line.text.as_bytes(),
            });
        }
    }

    pub fn take_tail(&self) -> Option<Vec<u8>> {
        self.lock().sink.tail.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Takes what the function says, unless it is less than what is wanted. An entry in a frame is
    /// from one of the runtimes' own loggers, which know what is.
    fn hear(&mut self, event: LogEvent<'_>, lowest: LowestLevels) {
        let framed = event.timestamp_ms.is_some();
        let wanted = |lowest| framed || level_of(event.message) >= lowest;
        if lowest.application.is_none_or(wanted) {
            self.take(event);
        }
    }

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
