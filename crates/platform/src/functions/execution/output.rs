//! An environment's stdout and stderr on their way into the log, with Lambda's own lines between
//! them, and the tail that `LogType=Tail` asks for.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::net::unix::pipe;
use wire::Timestamp;

use super::{
    LogFormat,
    application_level::level_of,
    definition::LowestLevels,
    log_frames::{LogEvent, LogFrames},
    report::Line,
    telemetry::{Source, Telemetry},
};
use crate::{limits, logs::LogStream};

/// What one look takes at most: more than a pipe holds, so that all said before the look is seen,
/// and an environment that never stops talking does not keep us.
const TAKEN_MAX: usize = 256 * 1024;

pub struct Output {
    /// None where there never was a process to say anything.
    pipe: Option<Pipe>,
    /// What external extensions say, where that is apart.
    extension_pipe: Option<Pipe>,
    pub telemetry: Telemetry,
    format: LogFormat,
    lowest: LowestLevels,
    state: Mutex<State>,
}

struct Pipe {
    receiver: pipe::Receiver,
    source: Source,
    /// There will be no more.
    ended: AtomicBool,
}

struct State {
    frames: LogFrames,
    extension_frames: LogFrames,
    sink: Sink,
}

struct Sink {
    stream: LogStream,
    /// The last bytes of what was said since it was asked for.
    tail: Option<Vec<u8>>,
}

impl Output {
    /// `pipe` is the function's, `extension_pipe` that of its external extensions.
    pub fn new(
        pipe: Option<OwnedFd>,
        extension_pipe: Option<OwnedFd>,
        stream: LogStream,
        format: LogFormat,
        lowest: LowestLevels,
    ) -> io::Result<Self> {
        let sink = Sink { stream, tail: None };
        let state = State {
            frames: LogFrames::default(),
            extension_frames: LogFrames::default(),
            sink,
        };
        Ok(Self {
            pipe: Pipe::of(pipe, Source::Function)?,
            extension_pipe: Pipe::of(extension_pipe, Source::Extension)?,
            telemetry: Telemetry::new(format),
            format,
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
        // Extensions speak first: they are there first.
        let pipe = tokio::select! {
            biased;
            Some(pipe) = readable(self.extension_pipe.as_ref()) => pipe,
            Some(pipe) = readable(self.pipe.as_ref()) => pipe,
            else => return false,
        };
        self.take(pipe, |chunk| pipe.receiver.try_read(chunk));
        true
    }

    /// Takes all that the environment has written so far, whether or not we were told of it yet.
    pub fn drain(&self) {
        for pipe in [&self.extension_pipe, &self.pipe].into_iter().flatten() {
            self.take(pipe, |chunk| {
                Ok(rustix::io::read(pipe.receiver.as_fd(), chunk)?)
            });
        }
    }

    /// Takes what `read` gives until it has no more.
    fn take(&self, pipe: &Pipe, read: impl Fn(&mut [u8]) -> io::Result<usize>) {
        let mut state = self.lock();
        let State {
            frames,
            extension_frames,
            sink,
        } = &mut *state;
        let frames = match pipe.source {
            Source::Function => frames,
            Source::Extension => extension_frames,
        };
        let mut chunk = [0; 16 * 1024];
        let mut taken = 0;
        while taken < TAKEN_MAX {
            match read(&mut chunk) {
                Ok(0) => return pipe.ended.store(true, Ordering::Release),
                Ok(len) => {
                    taken += len;
                    frames.feed(&chunk[..len], |event| self.hear(sink, event, pipe.source));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Ends a line that has no end yet: an invocation's last words stay its own.
    pub fn finish(&self) {
        let mut state = self.lock();
        let State {
            frames,
            extension_frames,
            sink,
        } = &mut *state;
        frames.finish(|event| self.hear(sink, event, Source::Function));
        extension_frames.finish(|event| self.hear(sink, event, Source::Extension));
    }

    /// What is left out of the log is told to extensions all the same.
    fn hear(&self, sink: &mut Sink, event: LogEvent<'_>, source: Source) {
        if self.telemetry.is_on() {
            let at = event.timestamp_ms.map(Timestamp::from_millisecond);
            let at = at.and_then(Result::ok).unwrap_or_else(Timestamp::now);
            self.telemetry.hear(source, at, event.message);
        }
        sink.hear(event, self.lowest);
    }

    /// Some of Lambda's own lines, which `lines` makes in the format it is asked for.
    pub fn say<L: IntoIterator<Item = Line>>(&self, lines: impl Fn(LogFormat) -> L) {
        self.write(&lines);
        self.tell(&lines);
    }

    /// The same for the log alone.
    pub fn write<L: IntoIterator<Item = Line>>(&self, lines: impl Fn(LogFormat) -> L) {
        for line in lines(self.format) {
            if self.lowest.system.is_none_or(|lowest| line.level >= lowest) {
                self.lock().sink.take(LogEvent {
                    timestamp_ms: None,
                    message: line.text.as_bytes(),
                });
            }
        }
    }

    /// The same for extensions alone.
    pub fn tell<L: IntoIterator<Item = Line>>(&self, lines: impl Fn(LogFormat) -> L) {
        if self.telemetry.is_on() {
            for line in lines(LogFormat::Json) {
                self.telemetry.say(&line.text);
            }
        }
    }

    pub fn take_tail(&self) -> Option<Vec<u8>> {
        self.lock().sink.tail.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    fn of(fd: Option<OwnedFd>, source: Source) -> io::Result<Option<Self>> {
        let Some(fd) = fd else { return Ok(None) };
        Ok(Some(Self {
            receiver: pipe::Receiver::from_owned_fd(fd)?,
            source,
            ended: AtomicBool::new(false),
        }))
    }
}

/// Waits for a pipe to have something; none if it never will.
async fn readable(pipe: Option<&Pipe>) -> Option<&Pipe> {
    let pipe = pipe.filter(|pipe| !pipe.ended.load(Ordering::Acquire))?;
    let readable = pipe.receiver.readable().await;
    readable.is_ok().then_some(pipe)
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
