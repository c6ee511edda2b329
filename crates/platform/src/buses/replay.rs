//! Replays: the events of an archive once more, in the order of their times, to the rules of the bus
//! that they came from.
//!
//! A page of events, what they fire and how far that has come are one transaction: after a restart a
//! replay goes on where it was, and sends nothing twice.

use std::sync::Arc;

use jiff::Timestamp;
use store::{ReadTx, Tx};
use wire::{Context, event_bridge as api};

use super::{
    Buses,
    error::{Error, Result},
    event::Event,
    held::{Bus, Rule},
    limits,
    names::{Named, rule_of},
    paging::{begins, page},
    put::fired,
    tables::{REPLAYS, ReplayRecord, ReplayState},
};

const KIND: &str = "replay";

impl Buses {
    pub(super) async fn start_replay_of(
        &self,
        cx: &Context,
        input: api::StartReplayRequest,
    ) -> Result<api::StartReplayResponse> {
        let bus = self.bus_of_arn(cx, "Destination.Arn", &input.destination.arn)?;
        let archive = Named::of(&input.event_source_arn, "archive")
            .ok_or_else(|| Error::parameter("EventSourceArn", "Must contain an archive ARN."))?;
        self.assure_default(&bus, cx.now).await?;
        let _changing = self.0.changing.lock().await;
        let held = self.bus(&bus)?;
        if input.event_start_time >= input.event_end_time {
            return Err(Error::parameter(
                "EventEndTime",
                "EventStartTime must be before EventEndTime.",
            ));
        }
        if archive.account_id != cx.account_id || archive.region != cx.region {
            return Err(Error::NoSuch {
                what: "Archive",
                name: archive.name,
            });
        }
        let archived = self.archive(&archive)?;
        if archived.record.bus != bus {
            return Err(Error::parameter(
                "Destination.Arn",
                "Cross event bus replay is not permitted.",
            ));
        }
        let filters = input
            .destination
            .filter_arns
            .filter(|arns| !arns.is_empty());
        check_filters(&held, filters.as_deref())?;
        let key = Named::new(&cx.account_id, &cx.region, &input.replay_name);
        if self.0.replays.get(&key).is_some() {
            return Err(Error::Exists {
                what: "Replay",
                name: key.name,
            });
        }
        let all = self.0.replays.under(&cx.account_id, &cx.region);
        let running = all.iter().filter(|it| !it.state.is_over()).count();
        if all.len() >= limits::REPLAYS_MAX || running >= limits::REPLAYS_RUNNING_MAX {
            return Err(Error::OverLimit);
        }
        let record = ReplayRecord {
            archive_uid: archived.record.uid.clone(),
            key: key.clone(),
            archive,
            bus,
            filters,
            description: input.description,
            from: input.event_start_time,
            to: input.event_end_time,
            state: ReplayState::Starting,
            started: cx.now,
            ended: None,
            reached: None,
        };
        self.store_replay(record).await?;
        self.0.replays_wake.wake();
        Ok(api::StartReplayResponse {
            replay_arn: Some(key.arn(KIND)),
            state: Some(ReplayState::Starting.as_str().to_owned()),
            state_reason: None,
            replay_start_time: Some(cx.now),
        })
    }

    pub(super) async fn cancel_replay_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::CancelReplayResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let _changing = self.0.changing.lock().await;
        let mut record = ReplayRecord::clone(&*self.replay(&key)?);
        if !matches!(record.state, ReplayState::Starting | ReplayState::Running) {
            return Err(Error::IllegalStatus(format!(
                "Replay {name} is not in a valid state for this operation."
            )));
        }
        record.state = ReplayState::Cancelling;
        self.store_replay(record).await?;
        self.0.replays_wake.wake();
        Ok(api::CancelReplayResponse {
            replay_arn: Some(key.arn(KIND)),
            state: Some(ReplayState::Cancelling.as_str().to_owned()),
            state_reason: None,
        })
    }

    pub(super) fn describe_replay_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DescribeReplayResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let record = self.replay(&key)?;
        Ok(api::DescribeReplayResponse {
            replay_arn: Some(key.arn(KIND)),
            replay_name: Some(key.name),
            description: record.description.clone(),
            state: Some(record.state.as_str().to_owned()),
            state_reason: None,
            event_source_arn: Some(record.archive.arn("archive")),
            destination: Some(api::ReplayDestination {
                arn: record.bus.arn(),
                filter_arns: record.filters.clone(),
            }),
            event_start_time: Some(record.from),
            event_end_time: Some(record.to),
            event_last_replayed_time: last_time(&record),
            replay_start_time: Some(record.started),
            replay_end_time: record.ended,
        })
    }

    pub(super) fn list_replays_of(
        &self,
        cx: &Context,
        input: &api::ListReplaysRequest,
    ) -> Result<api::ListReplaysResponse> {
        let prefix = input.name_prefix.as_deref();
        let (source, state) = (input.event_source_arn.as_deref(), input.state.as_deref());
        let is_asked = |record: &Arc<ReplayRecord>| {
            begins(&record.key.name, prefix)
                && source.is_none_or(|source| record.archive.arn("archive") == source)
                && state.is_none_or(|state| state == record.state.as_str())
        };
        let all = self.0.replays.under(&cx.account_id, &cx.region);
        let (listed, next_token) = page(
            all.into_iter().filter(is_asked),
            |record| record.key.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let shown = listed.iter().map(|record| api::Replay {
            replay_name: Some(record.key.name.clone()),
            event_source_arn: Some(record.archive.arn("archive")),
            state: Some(record.state.as_str().to_owned()),
            state_reason: None,
            event_start_time: Some(record.from),
            event_end_time: Some(record.to),
            event_last_replayed_time: last_time(record),
            replay_start_time: Some(record.started),
            replay_end_time: record.ended,
        });
        Ok(api::ListReplaysResponse {
            replays: Some(shown.collect()),
            next_token,
        })
    }

    fn replay(&self, key: &Named) -> Result<Arc<ReplayRecord>> {
        self.0.replays.get(key).ok_or_else(|| Error::NoSuch {
            what: "Replay",
            name: key.name.clone(),
        })
    }

    async fn store_replay(&self, record: ReplayRecord) -> Result<()> {
        let stored = record.clone();
        let put = move |tx: &mut Tx| REPLAYS.put(tx, &stored.key.parts(), &stored);
        self.0.store.write(put).await?;
        self.0.replays.put(record.key.clone(), record);
        Ok(())
    }

    /// Brings every replay a page further, until all are over.
    pub(super) async fn keep_replaying(&self) -> Result<()> {
        loop {
            let all = self.0.replays.all();
            let open: Vec<_> = all.iter().filter(|it| !it.state.is_over()).collect();
            if open.is_empty() {
                return Ok(());
            }
            for record in open {
                self.replay_page(&record.key).await?;
            }
        }
    }

    async fn replay_page(&self, key: &Named) -> Result<()> {
        let Some(record) = self.0.replays.get(key) else {
            return Ok(());
        };
        let events = match record.state {
            ReplayState::Cancelling => Vec::new(),
            _ => self.next_events(&record).await?,
        };
        let _changing = self.0.changing.lock().await;
        // It may have been cancelled meanwhile.
        let mut record = ReplayRecord::clone(&*self.replay(key)?);
        let (mut deliveries, now_ms) = (Vec::new(), self.0.clock.now_ms());
        match (record.state, events.last()) {
            (ReplayState::Cancelling, _) => record.end(ReplayState::Cancelled, now_ms),
            (_, None) => record.end(ReplayState::Completed, now_ms),
            (_, Some((_, last))) => {
                record.state = ReplayState::Running;
                record.reached = Some(*last);
                if let Some(bus) = self.0.buses.get(&record.bus) {
                    let named = events.into_iter().map(|(event, _)| event);
                    let named = named.map(|event| event.replayed_by(&record.key.name));
                    deliveries = named
                        .flat_map(|event| replayed(&bus, &record, &event))
                        .collect();
                }
            }
        }
        let stored = record.clone();
        self.store_with(deliveries, move |tx| {
            REPLAYS.put(tx, &stored.key.parts(), &stored).map(drop)
        })
        .await?;
        self.0.replays.put(key.clone(), record);
        Ok(())
    }

    /// The next page of a replay's events, each with its place.
    async fn next_events(&self, record: &ReplayRecord) -> Result<Vec<(Event, (i64, i64))>> {
        let uid = record.archive_uid.clone();
        let (from, to) = (record.from.as_millisecond(), record.to.as_millisecond());
        let (at, seq) = record.reached.unwrap_or((from, i64::MIN));
        let read = self.0.store.read(move |tx: &mut ReadTx| {
            tx.query(
                "SELECT at_ms, seq, event FROM archived_events WHERE archive = $1 \
                 AND (at_ms > $2 OR (at_ms = $3 AND seq > $4)) AND at_ms < $5 \
                 ORDER BY at_ms, seq LIMIT $6",
                store::params![&uid, at, at, seq, to, i64::from(limits::REPLAY_PAGE)],
            )
        });
        let mut events = Vec::new();
        for row in read.await? {
            let (at_ms, seq): (i64, i64) = (row.get("at_ms")?, row.get("seq")?);
            let sealed: String = row.get("event")?;
            let text = self.0.secrets.open_sealed(&record.archive_uid, &sealed);
            let text = String::from_utf8(text.map_err(Error::platform)?);
            let text = text.map_err(Error::platform)?;
            let came = Timestamp::from_microsecond(seq).unwrap_or(Timestamp::UNIX_EPOCH);
            events.extend(Event::read(text, came, None).map(|event| (event, (at_ms, seq))));
        }
        Ok(events)
    }
}

impl ReplayRecord {
    fn end(&mut self, state: ReplayState, now_ms: i64) {
        self.state = state;
        self.ended = Timestamp::from_millisecond(now_ms).ok();
    }
}

fn last_time(record: &ReplayRecord) -> Option<Timestamp> {
    let (at_ms, _) = record.reached?;
    Timestamp::from_millisecond(at_ms).ok()
}

fn replayed(bus: &Bus, record: &ReplayRecord, event: &Event) -> Vec<crate::deliveries::Delivery> {
    let is_asked = |rule: &Rule| {
        let filters = record.filters.as_ref();
        filters.is_none_or(|filters| filters.contains(&rule.arn))
    };
    let rules = bus.matching(&event.value).into_iter();
    rules
        .filter(|rule| is_asked(rule))
        .flat_map(|rule| fired(rule, event))
        .collect()
}

fn check_filters(bus: &Bus, filters: Option<&[String]>) -> Result<()> {
    for filter in filters.unwrap_or_default() {
        let rule = filter.parse().ok().as_ref().and_then(rule_of);
        let (on, name) = rule
            .ok_or_else(|| Error::parameter("Destination.FilterArns", "Must contain rule ARNs."))?;
        if on != bus.record.key {
            return Err(Error::parameter(
                "Destination.FilterArns",
                "The rules must be on the destination's event bus.",
            ));
        }
        bus.rule(&name)?;
    }
    Ok(())
}
