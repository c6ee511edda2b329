//! StartLiveTail: events of a session, as they come.
//!
//! An update is sent each second, as AWS does; it says that the connection lives where nothing came.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    task::{JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at},
};
use uuid::Uuid;
use wire::{
    Call, Context, EVENT_STREAM, cloudwatch_logs as api, encode_event, encode_initial_response,
    schema::{Operation, Service},
};

use super::{by_identifier, refusal};
use crate::{
    body::Body,
    logs::{
        LogService,
        error::{Error, Result},
        limits,
        lines::{Event, GroupKey, Reader, scan::Wanted},
        pattern::Pattern,
    },
    services::CloudWatchLogsStreams,
};

/// CloudWatch Logs' own.
const SESSION_MAX: Duration = Duration::from_secs(3 * 3600);
const UPDATE_EVERY: Duration = Duration::from_secs(1);
/// Updates that wait for a slow reader.
const PIECES_MAX: usize = 4;

impl CloudWatchLogsStreams for LogService {
    async fn start_live_tail(&self, call: Call<'_>) -> Response<Body> {
        match self.session_of(call).await {
            Ok((session, place)) => {
                let (sender, pieces) = mpsc::channel(PIECES_MAX);
                let head = call.respond(api::StartLiveTailResponse::default());
                let is_stopping = self.is_stopping.subscribe();
                tokio::spawn(session.run(sender, is_stopping, place));
                let mut answer = head.map(|_| Body::Object(pieces));
                let kind = HeaderValue::from_static(EVENT_STREAM);
                answer.headers_mut().insert(header::CONTENT_TYPE, kind);
                answer.headers_mut().remove(header::CONTENT_LENGTH);
                answer
            }
            Err(refused) => call.refuse(&refused).map(Body::from),
        }
    }
}

impl LogService {
    async fn session_of(
        &self,
        call: Call<'_>,
    ) -> std::result::Result<(Session, OwnedSemaphorePermit), wire::Error> {
        let input: api::StartLiveTailRequest = call.input()?;
        let place = self.tails.clone().try_acquire_owned();
        let place = place.map_err(|_| refusal(Error::OverLimit))?;
        let form = (call.route.service, call.route.operation);
        let session = self.session(call.cx, form, input).await.map_err(refusal)?;
        Ok((session, place))
    }

    async fn session(
        &self,
        cx: &Context,
        (service, operation): (&'static Service, &'static Operation),
        input: api::StartLiveTailRequest,
    ) -> Result<Session> {
        let identifiers = &input.log_group_identifiers;
        let parts = (&input.log_stream_names, &input.log_stream_name_prefixes);
        if identifiers.len() > limits::TAIL_GROUPS_MAX {
            return Err(Error::parameter("Too many log group identifiers."));
        }
        if identifiers.len() > 1 && (parts.0.is_some() || parts.1.is_some()) {
            return Err(Error::parameter(
                "Log stream names and prefixes can be specified for one log group only.",
            ));
        }
        let wanted = match (
            input.log_stream_names.clone(),
            input.log_stream_name_prefixes.clone(),
        ) {
            (Some(_), Some(_)) => {
                return Err(Error::parameter(
                    "logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.",
                ));
            }
            (Some(names), None) => vec![Wanted::Names(names)],
            (None, Some(prefixes)) => prefixes.into_iter().map(Wanted::Prefix).collect(),
            (None, None) => vec![Wanted::All],
        };
        let pattern = Pattern::parse(
            input
                .log_event_filter_pattern
                .as_deref()
                .unwrap_or_default(),
        )?;
        let mut readers = Vec::new();
        for identifier in identifiers {
            let key = by_identifier(cx, identifier)?;
            self.groups.get(&key).await?;
            let (logs, group) = (self.groups.logs().clone(), key.clone());
            let reader = spawn_blocking(move || logs.reader_at(&group, None)).await;
            readers.push((key, reader.map_err(Error::platform)??));
        }
        Ok(Session {
            service,
            operation,
            start: api::LiveTailSessionStart {
                request_id: Some(cx.request_id.clone()),
                session_id: Some(Uuid::new_v4().to_string()),
                log_group_identifiers: Some(input.log_group_identifiers),
                log_stream_names: input.log_stream_names,
                log_stream_name_prefixes: input.log_stream_name_prefixes,
                log_event_filter_pattern: input.log_event_filter_pattern,
            },
            readers,
            wanted,
            pattern,
        })
    }
}

struct Session {
    service: &'static Service,
    operation: &'static Operation,
    start: api::LiveTailSessionStart,
    readers: Vec<(GroupKey, Reader)>,
    wanted: Vec<Wanted>,
    pattern: Pattern,
}

type Sender = mpsc::Sender<std::result::Result<Bytes, crate::Broken>>;
type Stream = api::StartLiveTailResponseStream;

impl Session {
    async fn run(
        mut self,
        sender: Sender,
        mut is_stopping: watch::Receiver<bool>,
        _place: OwnedSemaphorePermit,
    ) {
        let (service, operation) = (self.service, self.operation);
        let event = |event: Stream| encode_event(service, operation, event);
        let begun = Stream {
            session_start: Some(std::mem::take(&mut self.start)),
            ..Stream::default()
        };
        let head =
            encode_initial_response(service, operation, api::StartLiveTailResponse::default());
        for piece in [head, event(begun)] {
            if sender.send(Ok(piece)).await.is_err() {
                return;
            }
        }
        let (found, mut events) = mpsc::channel(PIECES_MAX);
        let mut following = JoinSet::new();
        for (key, reader) in self.readers {
            let follower = Follower {
                key,
                reader,
                wanted: self.wanted.clone(),
                pattern: self.pattern.clone(),
            };
            following.spawn(follower.run(found.clone()));
        }
        drop(found);
        let until = Instant::now() + SESSION_MAX;
        let mut ticks = interval_at(Instant::now() + UPDATE_EVERY, UPDATE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut update = Update::default();
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = stopped(&mut is_stopping) => return,
                () = tokio::time::sleep_until(until) => {
                    let ended = Stream {
                        session_timeout_exception: Some(api::SessionTimeoutException {
                            message: Some("The session has timed out.".to_owned()),
                        }),
                        ..Stream::default()
                    };
                    let _ = sender.send(Ok(event(ended))).await;
                    return;
                }
                Some(found) = events.recv() => update.take(found),
                _ = ticks.tick() => {
                    let update = std::mem::take(&mut update).event();
                    if sender.send(Ok(event(update))).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn stopped(is_stopping: &mut watch::Receiver<bool>) {
    let _ = is_stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// What is sent next.
#[derive(Default)]
struct Update {
    events: Vec<api::LiveTailSessionLogEvent>,
    is_sampled: bool,
}

impl Update {
    fn take(&mut self, mut found: Vec<api::LiveTailSessionLogEvent>) {
        let room = limits::TAIL_EVENTS_MAX.saturating_sub(self.events.len());
        self.is_sampled |= found.len() > room;
        found.truncate(room);
        self.events.append(&mut found);
    }

    fn event(self) -> Stream {
        Stream {
            session_update: Some(api::LiveTailSessionUpdate {
                session_metadata: Some(api::LiveTailSessionMetadata {
                    sampled: Some(self.is_sampled),
                }),
                session_results: Some(self.events),
            }),
            ..Stream::default()
        }
    }
}

/// Follows one group.
struct Follower {
    key: GroupKey,
    reader: Reader,
    wanted: Vec<Wanted>,
    pattern: Pattern,
}

impl Follower {
    async fn run(mut self, found: mpsc::Sender<Vec<api::LiveTailSessionLogEvent>>) {
        let identifier = format!("{}:{}", self.key.account_id, self.key.name);
        while !self.reader.is_gone() {
            let read = spawn_blocking(move || {
                let events = self.reader.events();
                (self, events)
            });
            let Ok((back, events)) = read.await else {
                return;
            };
            self = back;
            let events = match events {
                Ok(events) => events,
                Err(error) => {
                    tracing::error!(%error, "follow a log group");
                    return;
                }
            };
            if events.is_empty() {
                self.reader.more().await;
                continue;
            }
            let is_wanted = |event: &Event| {
                self.wanted.iter().any(|wanted| wanted.has(&event.stream))
                    && self.pattern.matches(&event.message)
            };
            let shown =
                events
                    .into_iter()
                    .filter(is_wanted)
                    .map(|event| api::LiveTailSessionLogEvent {
                        log_group_identifier: Some(identifier.clone()),
                        message: Some(event.text()),
                        timestamp: Some(event.timestamp_ms),
                        ingestion_time: Some(event.ingested_ms),
                        log_stream_name: Some(event.stream),
                    });
            if found.send(shown.collect()).await.is_err() {
                return;
            }
        }
    }
}
