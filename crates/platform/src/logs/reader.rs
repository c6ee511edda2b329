//! A reader of a log group: through the segments from a position on, in pieces of a bounded size,
//! and then along with whoever writes.
//!
//! What is read is what is in the files, up to where the writer says that it is whole. So nothing
//! is lost to a reader that is slow, and nothing comes twice, whatever is written meanwhile.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use tokio::sync::watch;

use super::{
    file::{self, Frame, Line},
    group::Group,
};

/// Bytes of one piece; the longest line is shorter.
const PIECE_BYTES: usize = 512 * 1024;

/// A place between two lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    pub at: u64,
}

/// Reads on where it is, until the end it knows of.
pub struct Reader {
    group: Arc<Group>,
    written: watch::Receiver<Position>,
    from: Position,
    end: Position,
    /// Older lines are left out.
    since_ms: i64,
    /// Of the last line read.
    last_ms: i64,
}

impl Reader {
    /// Begins at the newest `limit` lines since a time. Blocking, as it reads files.
    pub(super) fn open(group: Arc<Group>, since_ms: i64, limit: usize) -> io::Result<Self> {
        // Subscribed before the look, so that nothing is between them.
        let written = group.written();
        let end = group.end()?;
        let from = newest(&group, end, since_ms, limit)?;
        Ok(Self {
            group,
            written,
            from,
            end,
            since_ms,
            last_ms: since_ms,
        })
    }

    /// The next lines; none once all are read that there were at the last look. Blocking.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        while self.from < self.end {
            let lines = self.piece()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        Ok(Vec::new())
    }

    /// Waits until there is more to read.
    pub async fn more(&mut self) {
        // What comes from now on is told whatever it says of its time.
        self.since_ms = i64::MIN;
        // The group, and with it the sender, lives as long as we do.
        let _ = self.written.changed().await;
        self.end = *self.written.borrow_and_update();
    }

    /// The lines of one piece, which may all be older than those wanted.
    fn piece(&mut self) -> io::Result<Vec<Line>> {
        let path = file::segment_path(self.group.directory(), self.from.segment);
        let segment = match File::open(path) {
            Ok(segment) => segment,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.skip(),
            Err(error) => return Err(error),
        };
        let is_last = self.from.segment == self.end.segment;
        let until = if is_last {
            self.end.at
        } else {
            segment.metadata()?.len()
        };
        let wanted = until.saturating_sub(self.from.at);
        let mut bytes = vec![0; PIECE_BYTES.min(usize::try_from(wanted).unwrap_or(PIECE_BYTES))];
        let len = read_full(&segment, &mut bytes, self.from.at)?;
        let bytes = &bytes[..len];
        let whole = file::whole_len(bytes);
        if whole > 0 {
            self.from.at += whole;
        } else if is_last {
            // Torn or damaged; what is written next begins behind it.
            self.from = self.end;
        } else {
            self.from = Position {
                segment: self.from.segment + 1,
                at: 0,
            };
        }
        let frames = file::frames(bytes).map(|(_, frame)| frame);
        let wanted = frames.filter(|frame| frame.timestamp_ms >= self.since_ms);
        let lines: Vec<Line> = wanted.map(|frame| frame.line()).collect();
        self.last_ms = lines.last().map_or(self.last_ms, |line| line.timestamp_ms);
        Ok(lines)
    }

    /// Goes on at the oldest segment there still is, and says that there is a gap.
    fn skip(&mut self) -> io::Result<Vec<Line>> {
        let segments = file::segments(self.group.directory())?;
        let mut later = segments.iter().map(|(number, _)| *number);
        let next = later.find(|number| *number > self.from.segment);
        self.from = match next {
            Some(segment) if segment <= self.end.segment => Position { segment, at: 0 },
            _ => self.end,
        };
        Ok(vec![Line {
            timestamp_ms: self.last_ms,
            stream: String::new(),
            message: b"[lambent: lines were removed before they were read]".to_vec(),
        }])
    }
}

/// Where the newest `limit` lines since a time begin.
fn newest(group: &Group, end: Position, since_ms: i64, limit: usize) -> io::Result<Position> {
    let (mut from, mut left) = (end, limit);
    if limit == 0 {
        return Ok(end);
    }
    for (number, path) in file::segments(group.directory())?.into_iter().rev() {
        if number > end.segment {
            continue;
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            // Removed since: there is nothing older either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let is_before = |at: u64| number < end.segment || at < end.at;
        let starts: Vec<u64> = file::frames(&bytes)
            .filter(|(at, frame)| is_before(*at) && frame.timestamp_ms >= since_ms)
            .map(|(at, _)| at)
            .collect();
        if let Some(at) = starts.len().checked_sub(left).and_then(|at| starts.get(at)) {
            let (segment, at) = (number, *at);
            return Ok(Position { segment, at });
        }
        if let Some(at) = starts.first() {
            let (segment, at) = (number, *at);
            from = Position { segment, at };
        }
        left -= starts.len();
    }
    Ok(from)
}

fn read_full(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], at + len as u64) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

impl Frame<'_> {
    fn line(&self) -> Line {
        Line {
            timestamp_ms: self.timestamp_ms,
            stream: String::from_utf8_lossy(self.stream).into_owned(),
            message: self.message.to_vec(),
        }
    }
}
