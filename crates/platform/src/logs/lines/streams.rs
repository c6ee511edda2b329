//! A group's streams: when each was made, and of which times it has events.
//!
//! What is known comes from the group's own files, in their order, so that nothing else has to be
//! stored when a function writes into a stream that nobody has heard of. A snapshot stands for the
//! segments before the tail.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Seq,
    frame::{Frame, Kind},
    segment::{self, Times},
};

const FILE: &str = "streams";
const VERSION: u32 = 1;
/// The longest snapshot that is read, plain; some million streams.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    pub created_ms: i64,
    /// By CreateLogStream; others go with their last event.
    pub is_asked_for: bool,
    pub times: Times,
    pub last_ingested_ms: i64,
    /// Where its newest event is.
    pub last: Option<Seq>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Streams {
    version: u32,
    /// The snapshot knows all before this segment.
    pub before: u64,
    pub by_name: BTreeMap<String, Stream>,
    /// Events of these that lie before are gone.
    #[serde(with = "shared")]
    pub deleted: Arc<HashMap<String, Seq>>,
}

impl Streams {
    pub fn load(directory: &Path) -> io::Result<Self> {
        let packed = match std::fs::read(file(directory)) {
            Ok(packed) => packed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut plain = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(packed.as_slice())?;
        decoder.take(SNAPSHOT_BYTES_MAX).read_to_end(&mut plain)?;
        serde_json::from_slice(&plain).map_err(io::Error::other)
    }

    /// Stores what is known of all segments before one.
    pub fn store(&mut self, directory: &Path, before: u64) -> io::Result<()> {
        self.version = VERSION;
        self.before = before;
        let plain = serde_json::to_vec(self).map_err(io::Error::other)?;
        segment::write_whole(&file(directory), &zstd::bulk::compress(&plain, 1)?)
    }

    pub fn take(&mut self, at: Seq, frame: &Frame<'_>) {
        let name = String::from_utf8_lossy(frame.stream);
        match frame.kind {
            Kind::Deleted => {
                self.by_name.remove(&*name);
                Arc::make_mut(&mut self.deleted).insert(name.into_owned(), at);
            }
            Kind::Created | Kind::Event => {
                let is_new = !self.by_name.contains_key(&*name);
                if is_new {
                    let stream = Stream {
                        created_ms: frame.ingested_ms,
                        is_asked_for: frame.kind == Kind::Created,
                        times: Times::default(),
                        last_ingested_ms: 0,
                        last: None,
                    };
                    self.by_name.insert(name.clone().into_owned(), stream);
                }
                if let (Kind::Event, Some(stream)) = (frame.kind, self.by_name.get_mut(&*name)) {
                    stream.times.take(frame.timestamp_ms);
                    stream.last_ingested_ms = stream.last_ingested_ms.max(frame.ingested_ms);
                    stream.last = Some(at);
                }
            }
        }
    }

    /// What was before a segment has been removed; the rest has no event before a time.
    pub fn removed_before(&mut self, segment: u64, first_ms: i64) {
        let is_left = |last: Option<Seq>| last.is_some_and(|last| last.segment >= segment);
        self.by_name.retain(|_, stream| {
            if !is_left(stream.last) && stream.last.is_some() {
                stream.times = Times::default();
                stream.last = None;
                return stream.is_asked_for;
            }
            if !stream.times.is_none() {
                stream.times.min_ms = stream.times.min_ms.max(first_ms.min(stream.times.max_ms));
            }
            true
        });
        if self.deleted.values().any(|at| at.segment < segment) {
            Arc::make_mut(&mut self.deleted).retain(|_, at| at.segment >= segment);
        }
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// As what is shared.
mod shared {
    use std::{collections::HashMap, sync::Arc};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Seq;

    pub fn serialize<S: Serializer>(
        map: &Arc<HashMap<String, Seq>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (**map).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<HashMap<String, Seq>>, D::Error> {
        HashMap::deserialize(deserializer).map(Arc::new)
    }
}
