//! A reader of a log group in the order in which the lines came: from a place on, in pieces of a
//! bounded size, and then along with whoever writes.
//!
//! What is read is what is in the files. So nothing is lost to a reader that is slow, and nothing
//! comes twice, whatever is written meanwhile.

use std::{io, sync::Arc};

use tokio::sync::watch;

use super::{
    Line, Seq,
    frame::Event,
    group::Group,
    segment::{Chunk, Open},
};

/// Bytes of one piece, about.
const PIECE_BYTES: usize = 512 * 1024;

/// Reads on where it is, until the end it knows of.
pub struct Reader {
    group: Arc<Group>,
    written: watch::Receiver<Seq>,
    from: Seq,
    end: Seq,
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

    /// Begins behind what was read up to a place, or at the end.
    pub(super) fn at(group: Arc<Group>, from: Option<Seq>) -> io::Result<Self> {
        let written = group.written();
        let end = group.end()?;
        Ok(Self {
            group,
            written,
            from: from.unwrap_or(end),
            end,
            since_ms: i64::MIN,
            last_ms: 0,
        })
    }

    /// Behind all that it gave.
    pub fn place(&self) -> Seq {
        self.from
    }

    /// Whether the group has been deleted; nothing comes any more then.
    pub fn is_gone(&self) -> bool {
        self.group.is_gone()
    }

    /// The next lines; none once all are read that there were at the last look. Blocking.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        let events = self.events()?;
        Ok(events.into_iter().map(Line::from).collect())
    }

    /// The same as events.
    pub fn events(&mut self) -> io::Result<Vec<Event>> {
        while self.from < self.end {
            let events = self.piece()?;
            if !events.is_empty() {
                return Ok(events);
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
    fn piece(&mut self) -> io::Result<Vec<Event>> {
        let Some((segment, view)) = self.group.segment_at(self.from)? else {
            self.from = self.end;
            return Ok(Vec::new());
        };
        if segment.number > self.from.segment {
            let was_read = self.from.index > 0 || self.from.segment > 0;
            let is_next = segment.number == self.from.segment + 1;
            self.from = Seq {
                segment: segment.number,
                index: 0,
            };
            if was_read && !is_next {
                return Ok(vec![self.skipped()]);
            }
        }
        let open = match Open::new(&view.directory, &segment) {
            Ok(open) => open,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.from = segment.end().min(self.end);
                return Ok(vec![self.skipped()]);
            }
            Err(error) => return Err(error),
        };
        let mut events = Vec::new();
        let (from, end, since_ms) = (self.from, self.end, self.since_ms);
        let is_left = |chunk: &&Chunk| chunk.first + chunk.frames > from.index;
        let mut bytes = 0;
        for chunk in open.chunks.iter().filter(is_left) {
            open.read(chunk)?.each(|index, frame| {
                let segment = open.number;
                let at = Seq { segment, index };
                let is_in = at >= from && at < end && frame.timestamp_ms >= since_ms;
                if is_in && view.shows(&frame, at) {
                    bytes += frame.message.len() + frame.stream.len();
                    events.push(frame.event(at));
                }
            });
            self.from.index = chunk.first + chunk.frames;
            if bytes > PIECE_BYTES {
                break;
            }
        }
        if self.from == from {
            // Damaged; what is written next begins behind it.
            self.from = segment.end();
        }
        self.from = self.from.min(self.end);
        if self.from.segment == segment.number && self.from >= segment.end() && self.from < self.end
        {
            self.from = Seq {
                segment: segment.number + 1,
                index: 0,
            };
        }
        self.last_ms = events
            .last()
            .map_or(self.last_ms, |event| event.timestamp_ms);
        Ok(events)
    }

    /// Says that there is a gap.
    fn skipped(&self) -> Event {
        Event {
            at: self.from,
            timestamp_ms: self.last_ms,
            ingested_ms: self.last_ms,
            stream: String::new(),
            message: b"[lambent: lines were removed before they were read]".to_vec(),
        }
    }
}

/// The event at a place; none if there is none any more.
pub fn event(group: &Group, at: Seq) -> io::Result<Option<Event>> {
    let Some((segment, view)) = group.segment_at(at)? else {
        return Ok(None);
    };
    if segment.number != at.segment {
        return Ok(None);
    }
    let open = match Open::new(&view.directory, &segment) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let has_it = |chunk: &&Chunk| (chunk.first..chunk.first + chunk.frames).contains(&at.index);
    let mut found = None;
    if let Some(chunk) = open.chunks.iter().find(has_it) {
        open.read(chunk)?.each(|index, frame| {
            if index == at.index && view.shows(&frame, at) {
                found = Some(frame.event(at));
            }
        });
    }
    Ok(found)
}

/// Where the newest `limit` lines since a time begin.
fn newest(group: &Group, end: Seq, since_ms: i64, limit: usize) -> io::Result<Seq> {
    let (mut from, mut left) = (end, limit);
    if limit == 0 {
        return Ok(end);
    }
    let view = group.view()?;
    for segment in view.segments.iter().rev() {
        let open = match Open::new(&view.directory, segment) {
            Ok(open) => open,
            // Removed since: there is nothing older either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        for chunk in open.chunks.iter().rev() {
            if chunk.times.max_ms < since_ms {
                continue;
            }
            let mut starts = Vec::new();
            open.read(chunk)?.each(|index, frame| {
                let segment = segment.number;
                let at = Seq { segment, index };
                if at < end && frame.timestamp_ms >= since_ms && view.shows(&frame, at) {
                    starts.push(at);
                }
            });
            if let Some(at) = starts.len().checked_sub(left).and_then(|at| starts.get(at)) {
                return Ok(*at);
            }
            from = starts.first().copied().unwrap_or(from);
            left -= starts.len();
        }
    }
    Ok(from)
}
