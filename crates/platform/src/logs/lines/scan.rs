//! Reads a group's events in the order of their times, a page at a time, whatever the order in which
//! they came.
//!
//! Chunks are taken by the earliest time in them, and a page is full when no chunk that is left
//! can have anything for it. So memory holds a page and a chunk.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    io,
    ops::ControlFlow,
    rc::Rc,
};

use super::{
    Seq,
    frame::{Event, Frame, Kind},
    group::View,
    segment::{Open, Times},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// An event's place in an order: its time, then where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub time: i64,
    pub segment: u64,
    pub index: u32,
}

impl Order {
    pub fn rank(self, timestamp_ms: i64, at: Seq) -> Rank {
        let Seq { segment, index } = at;
        match self {
            Self::OldestFirst => Rank {
                time: timestamp_ms,
                segment,
                index,
            },
            Self::NewestFirst => Rank {
                time: -timestamp_ms,
                segment: !segment,
                index: !index,
            },
        }
    }

    fn earliest(self, times: Times) -> i64 {
        match self {
            Self::OldestFirst => times.min_ms,
            Self::NewestFirst => -times.max_ms,
        }
    }
}

impl Rank {
    /// Before everything of a time.
    fn before(time: i64) -> Self {
        Self {
            time: time.saturating_sub(1),
            segment: u64::MAX,
            index: u32::MAX,
        }
    }
}

/// Which streams' events are wanted.
#[derive(Debug, Clone)]
pub enum Wanted {
    All,
    Names(Vec<String>),
    Prefix(String),
}

impl Wanted {
    pub fn has(&self, stream: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|name| name == stream),
            Self::Prefix(prefix) => stream.starts_with(prefix.as_str()),
        }
    }

    fn has_bytes(&self, stream: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|name| name.as_bytes() == stream),
            Self::Prefix(prefix) => stream.starts_with(prefix.as_bytes()),
        }
    }
}

pub struct Query<'a> {
    pub order: Order,
    /// Not before.
    pub since_ms: i64,
    /// Before.
    pub until_ms: i64,
    /// Behind this one.
    pub after: Option<Rank>,
    pub wanted: &'a Wanted,
    pub count_max: usize,
    /// Of messages and what is counted with them; one event is given in any case.
    pub bytes_max: usize,
    /// Bytes that are looked at, about.
    pub looked_at_max: u64,
}

pub struct Page {
    /// In the order that was asked for.
    pub events: Vec<(Rank, Event)>,
    /// Where there is more, if there may be.
    pub next: Option<Rank>,
}

enum Source {
    Segment(usize),
    Chunk(Rc<Open>, usize),
}

impl View {
    pub fn page(
        &self,
        query: &Query<'_>,
        mut matches: impl FnMut(&Frame<'_>) -> bool,
    ) -> io::Result<Page> {
        let order = query.order;
        // What lies before the place where the page begins is not looked at.
        let (mut since_ms, mut until_ms) = (query.since_ms, query.until_ms);
        match (order, query.after) {
            (Order::OldestFirst, Some(after)) => since_ms = since_ms.max(after.time),
            (Order::NewestFirst, Some(after)) => {
                until_ms = until_ms.min(after.time.saturating_neg().saturating_add(1));
            }
            (_, None) => {}
        }
        let overlaps =
            |times: Times| !times.is_none() && times.max_ms >= since_ms && times.min_ms < until_ms;
        let mut sources = Sources::default();
        for (at, segment) in self.segments.iter().enumerate() {
            if overlaps(segment.times) {
                sources.push(order.earliest(segment.times), Source::Segment(at));
            }
        }
        let mut taken: BTreeMap<Rank, Event> = BTreeMap::new();
        let (mut bytes, mut is_full, mut looked_at) = (0, false, 0);
        let mut next = None;
        while let Some((time, source)) = sources.pop() {
            let last = taken.last_key_value().map(|(rank, _)| rank.time);
            if is_full && last.is_some_and(|last| time > last) {
                break;
            }
            // Not where the page before ended in this way, or there would be no end of it.
            let goes_on = |after: Rank| time > after.time.saturating_add(1);
            if looked_at > query.looked_at_max && query.after.is_none_or(goes_on) {
                let from = Rank::before(time);
                taken.retain(|rank, _| *rank <= from);
                next = Some(from);
                is_full = false;
                break;
            }
            let (open, chunk) = match source {
                Source::Chunk(open, chunk) => (open, chunk),
                Source::Segment(at) => {
                    if let Some(open) = self.open(at, query.wanted)? {
                        let open = Rc::new(open);
                        for (at, chunk) in open.chunks.iter().enumerate() {
                            if overlaps(chunk.times) {
                                let source = Source::Chunk(open.clone(), at);
                                sources.push(order.earliest(chunk.times), source);
                            }
                        }
                    }
                    continue;
                }
            };
            let chunk = &open.chunks[chunk];
            looked_at += u64::from(chunk.len);
            open.read(chunk)?.each(|index, frame| {
                let at = Seq {
                    segment: open.number,
                    index,
                };
                let rank = order.rank(frame.timestamp_ms, at);
                let is_in = frame.timestamp_ms >= query.since_ms
                    && frame.timestamp_ms < query.until_ms
                    && query.after.is_none_or(|after| rank > after)
                    && query.wanted.has_bytes(frame.stream)
                    && !(is_full && taken.last_key_value().is_some_and(|(last, _)| rank > *last));
                if !is_in || !self.shows(&frame, at) || !matches(&frame) {
                    return;
                }
                let event = frame.event(at);
                bytes += event.billed_bytes();
                taken.insert(rank, event);
                while taken.len() > query.count_max.max(1)
                    || (bytes > query.bytes_max && taken.len() > 1)
                {
                    if let Some((_, last)) = taken.pop_last() {
                        bytes -= last.billed_bytes();
                    }
                    is_full = true;
                }
            });
        }
        if is_full {
            next = taken.last_key_value().map(|(rank, _)| *rank);
        }
        let events = taken.into_iter().collect();
        Ok(Page { events, next })
    }

    /// Every event of a time, in no order, until told to stop. Blocking.
    pub fn each(
        &self,
        since_ms: i64,
        until_ms: i64,
        mut visit: impl FnMut(Seq, &Frame<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let overlaps =
            |times: Times| !times.is_none() && times.max_ms >= since_ms && times.min_ms < until_ms;
        for at in 0..self.segments.len() {
            if !overlaps(self.segments[at].times) {
                continue;
            }
            let Some(open) = self.open(at, &Wanted::All)? else {
                continue;
            };
            for chunk in open.chunks.iter().filter(|chunk| overlaps(chunk.times)) {
                let mut flow = ControlFlow::Continue(());
                open.read(chunk)?.each(|index, frame| {
                    let segment = open.number;
                    let at = Seq { segment, index };
                    let is_in = (since_ms..until_ms).contains(&frame.timestamp_ms);
                    if is_in && flow.is_continue() && self.shows(&frame, at) {
                        flow = visit(at, &frame);
                    }
                });
                if flow.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// None: it has been removed since.
    fn open(&self, at: usize, wanted: &Wanted) -> io::Result<Option<Open>> {
        match Open::new(&self.directory, &self.segments[at]) {
            Ok(mut open) => {
                if !matches!(wanted, Wanted::All) {
                    open.keep_streams(|stream| wanted.has(stream));
                }
                Ok(Some(open))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is an event of a stream that is there.
    pub fn shows(&self, frame: &Frame<'_>, at: Seq) -> bool {
        frame.kind == Kind::Event && !is_deleted(&self.deleted, frame, at)
    }
}

fn is_deleted(deleted: &HashMap<String, Seq>, frame: &Frame<'_>, at: Seq) -> bool {
    if deleted.is_empty() {
        return false;
    }
    let until = std::str::from_utf8(frame.stream).ok();
    let until = until.and_then(|stream| deleted.get(stream));
    until.is_some_and(|until| at < *until)
}

/// What is still to be looked at, the earliest first.
#[derive(Default)]
struct Sources {
    order: BinaryHeap<Reverse<(i64, usize)>>,
    all: Vec<Option<Source>>,
}

impl Sources {
    fn push(&mut self, time: i64, source: Source) {
        self.order.push(Reverse((time, self.all.len())));
        self.all.push(Some(source));
    }

    fn pop(&mut self) -> Option<(i64, Source)> {
        let Reverse((time, at)) = self.order.pop()?;
        Some((time, self.all[at].take()?))
    }
}
