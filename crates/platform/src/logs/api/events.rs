//! Log events: putting them, and reading them by stream or by what is in them.

use tokio::task::spawn_blocking;
use wire::{Context, cloudwatch_logs as api};

use super::{
    identified, named,
    token::{self, Place},
};
use crate::logs::{
    LogService,
    error::{Error, Result},
    ingest, limits,
    lines::{
        Event, GroupKey, Needs, Seq,
        frame::{Frame, Kind},
        scan::{Order, Query, Wanted},
    },
    pattern::Pattern,
};

impl LogService {
    pub(super) async fn put_events(
        &self,
        cx: &Context,
        input: api::PutLogEventsRequest,
    ) -> Result<api::PutLogEventsResponse> {
        let key = named(cx, &input.log_group_name);
        let group = self.groups.get(&key).await?;
        let now_ms = cx.now.as_millisecond();
        let events = input.log_events;
        let sizes: Vec<(i64, usize)> = events
            .iter()
            .map(|event| (event.timestamp, event.message.len()))
            .collect();
        let verdict = ingest::judge(&sizes, now_ms, group.kept_since_ms(now_ms))?;
        let (logs, stream) = (self.groups.logs().clone(), input.log_stream_name);
        let taken = verdict.from..verdict.to;
        let put = spawn_blocking(move || {
            let frames: Vec<Frame<'_>> = events[taken]
                .iter()
                .map(|event| Frame {
                    kind: Kind::Event,
                    timestamp_ms: event.timestamp,
                    ingested_ms: now_ms,
                    stream: stream.as_bytes(),
                    message: event.message.as_bytes(),
                })
                .collect();
            logs.put(&key, &stream, Needs::Stream, &frames)
        });
        put.await.map_err(Error::platform)??;
        let index = |at: Option<usize>| at.and_then(|at| i32::try_from(at).ok());
        let rejected = api::RejectedLogEventsInfo {
            too_new_log_event_start_index: index(verdict.too_new_start),
            too_old_log_event_end_index: index(verdict.too_old_end),
            expired_log_event_end_index: index(verdict.expired_end),
        };
        let has_rejected = rejected != api::RejectedLogEventsInfo::default();
        Ok(api::PutLogEventsResponse {
            next_sequence_token: Some(sequence_token(None)),
            rejected_log_events_info: has_rejected.then_some(rejected),
            rejected_entity_info: None,
        })
    }

    pub(super) async fn get_events(
        &self,
        cx: &Context,
        input: api::GetLogEventsRequest,
    ) -> Result<api::GetLogEventsResponse> {
        let name = input.log_group_name.as_deref();
        let key = identified(cx, name, input.log_group_identifier.as_deref())?;
        let given = input
            .next_token
            .as_deref()
            .map(token::read_events)
            .transpose()?;
        let (order, from) = match given {
            Some((order, place)) => (order, Some(place)),
            None if input.start_from_head == Some(true) => (Order::OldestFirst, None),
            None => (Order::NewestFirst, None),
        };
        let ask = Ask {
            order,
            from,
            since_ms: input.start_time.unwrap_or(0),
            until_ms: input.end_time.unwrap_or(i64::MAX),
            wanted: Wanted::Names(vec![input.log_stream_name]),
            pattern: Pattern::parse("")?,
            limit: input.limit,
            // A stream's page is whole, or else its tokens would lie.
            looked_at_max: u64::MAX,
        };
        let Found { mut events, .. } = self.read(cx, key, ask).await?;
        if order == Order::NewestFirst {
            events.reverse();
        }
        let place = from.unwrap_or(Place::START);
        let (first, last) = match (events.first(), events.last()) {
            (Some(first), Some(last)) => (
                Place::before(first.timestamp_ms, first.at),
                Place::behind(last.timestamp_ms, last.at),
            ),
            // The same token again says that there is no more.
            _ => (place, place),
        };
        let shown = |event: Event| api::OutputLogEvent {
            timestamp: Some(event.timestamp_ms),
            message: Some(event.text()),
            ingestion_time: Some(event.ingested_ms),
        };
        Ok(api::GetLogEventsResponse {
            events: Some(events.into_iter().map(shown).collect()),
            next_forward_token: Some(token::events(Order::OldestFirst, last)),
            next_backward_token: Some(token::events(Order::NewestFirst, first)),
        })
    }

    pub(super) async fn filter_events(
        &self,
        cx: &Context,
        input: api::FilterLogEventsRequest,
    ) -> Result<api::FilterLogEventsResponse> {
        let name = input.log_group_name.as_deref();
        let key = identified(cx, name, input.log_group_identifier.as_deref())?;
        let wanted = match (input.log_stream_names, input.log_stream_name_prefix) {
            (Some(_), Some(_)) => {
                return Err(Error::parameter(
                    "logStreamNamePrefix and logStreamNames are mutually exclusive parameters.",
                ));
            }
            (Some(names), None) => Wanted::Names(names),
            (None, Some(prefix)) => Wanted::Prefix(prefix),
            (None, None) => Wanted::All,
        };
        let from = match &input.next_token {
            Some(token) => {
                let place = token::read(token)?;
                Some(token::read_events(&place)?.1)
            }
            None => None,
        };
        let ask = Ask {
            order: Order::OldestFirst,
            from,
            since_ms: input.start_time.unwrap_or(0),
            // Up to this time and at it.
            until_ms: input.end_time.map_or(i64::MAX, |end| end.saturating_add(1)),
            wanted,
            pattern: Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default())?,
            limit: input.limit,
            looked_at_max: limits::LOOKED_AT_BYTES_MAX,
        };
        let Found { events, next } = self.read(cx, key, ask).await?;
        let shown = |event: Event| api::FilteredLogEvent {
            event_id: Some(event_id(&event)),
            timestamp: Some(event.timestamp_ms),
            message: Some(event.text()),
            ingestion_time: Some(event.ingested_ms),
            log_stream_name: Some(event.stream),
        };
        let next = next.map(|place| token::of(&token::events(Order::OldestFirst, place)));
        Ok(api::FilterLogEventsResponse {
            events: Some(events.into_iter().map(shown).collect()),
            // AWS says no more here since it searches all of them.
            searched_log_streams: Some(Vec::new()),
            next_token: next,
        })
    }

    async fn read(&self, cx: &Context, key: GroupKey, ask: Ask) -> Result<Found> {
        let group = self.groups.get(&key).await?;
        let since_ms = ask
            .since_ms
            .max(group.kept_since_ms(cx.now.as_millisecond()));
        let logs = self.groups.logs().clone();
        let read = spawn_blocking(move || {
            let group = logs.group(&key);
            if let Wanted::Names(names) = &ask.wanted {
                let is_there = |name: &String, all: &crate::logs::lines::Streams| {
                    all.by_name.contains_key(name)
                };
                let all = group.streams(|all| names.iter().all(|name| is_there(name, all)))?;
                if !all {
                    return Err(Error::NoStream);
                }
            }
            let query = Query {
                order: ask.order,
                since_ms,
                until_ms: ask.until_ms,
                after: ask.from.map(|place| place.rank(ask.order)),
                wanted: &ask.wanted,
                count_max: ask
                    .limit
                    .and_then(|limit| usize::try_from(limit).ok())
                    .unwrap_or(limits::EVENTS_ANSWERED_MAX)
                    .min(limits::EVENTS_ANSWERED_MAX),
                bytes_max: limits::EVENTS_ANSWERED_BYTES_MAX,
                looked_at_max: ask.looked_at_max,
            };
            let matches = |frame: &Frame<'_>| ask.pattern.matches(frame.message);
            let page = group.view()?.page(&query, matches)?;
            Ok(Found {
                events: page.events.into_iter().map(|(_, event)| event).collect(),
                next: page.next.map(Place::behind_rank),
            })
        });
        read.await.map_err(Error::platform)?
    }
}

/// What is read of a group.
struct Ask {
    order: Order,
    from: Option<Place>,
    since_ms: i64,
    until_ms: i64,
    wanted: Wanted,
    pattern: Pattern,
    limit: Option<i32>,
    looked_at_max: u64,
}

struct Found {
    /// In the order in which they were asked for.
    events: Vec<Event>,
    next: Option<Place>,
}

/// 56 digits that no other event of the group has.
pub fn event_id(event: &Event) -> String {
    Place::before(event.timestamp_ms, event.at).digits()
}

/// Clients of old sent these back. Nobody looks at them.
pub(super) fn sequence_token(last: Option<Seq>) -> String {
    let last = last.unwrap_or_default();
    format!("49{:044}{:010}", last.segment, last.index)
}
