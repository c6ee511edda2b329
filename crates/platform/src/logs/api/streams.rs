//! Log streams: making, listing and deleting them.

use std::ops::Bound;

use tokio::task::spawn_blocking;
use wire::{Context, cloudwatch_logs as api};

use super::{groups::limit, identified, named, token};
use crate::logs::{
    LogService,
    error::{Error, Result},
    limits,
    lines::{GroupKey, Stream, Streams},
};

impl LogService {
    pub(super) async fn create_stream(
        &self,
        cx: &Context,
        input: api::CreateLogStreamRequest,
    ) -> Result<()> {
        let key = named(cx, &input.log_group_name);
        self.set_stream(cx, key, input.log_stream_name, true).await
    }

    pub(super) async fn delete_stream(
        &self,
        cx: &Context,
        input: api::DeleteLogStreamRequest,
    ) -> Result<()> {
        let key = named(cx, &input.log_group_name);
        self.set_stream(cx, key, input.log_stream_name, false).await
    }

    async fn set_stream(
        &self,
        cx: &Context,
        key: GroupKey,
        stream: String,
        is_there: bool,
    ) -> Result<()> {
        self.groups.get(&key).await?;
        let (logs, now_ms) = (self.groups.logs().clone(), cx.now.as_millisecond());
        let set = spawn_blocking(move || logs.set_stream(&key, &stream, is_there, now_ms));
        Ok(set.await.map_err(Error::platform)??)
    }

    pub(super) async fn describe_streams(
        &self,
        cx: &Context,
        input: api::DescribeLogStreamsRequest,
    ) -> Result<api::DescribeLogStreamsResponse> {
        let name = input.log_group_name.as_deref();
        let key = identified(cx, name, input.log_group_identifier.as_deref())?;
        let by_time = input.order_by.as_deref() == Some("LastEventTime");
        let prefix = input.log_stream_name_prefix;
        if by_time && prefix.is_some() {
            return Err(Error::parameter(
                "Cannot order by LastEventTime with a logStreamNamePrefix.",
            ));
        }
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        let descending = input.descending == Some(true);
        let limit = limit(input.limit, limits::STREAMS_LISTED_MAX);
        self.groups.get(&key).await?;
        let logs = self.groups.logs().clone();
        let listed = spawn_blocking(move || {
            let group = logs.group(&key);
            group
                .streams(|streams| match by_time {
                    true => list_by_time(streams, descending, after.as_deref(), limit),
                    false => {
                        let prefix = prefix.unwrap_or_default();
                        list_by_name(streams, descending, &prefix, after.as_deref(), limit)
                    }
                })
                .map(|found| found.map(|found| (key, found)))
        });
        let (key, found) = listed.await.map_err(Error::platform)???;
        let (page, next_token) = found;
        Ok(api::DescribeLogStreamsResponse {
            log_streams: Some(
                page.iter()
                    .map(|(name, stream)| shown(&key, name, stream))
                    .collect(),
            ),
            next_token,
        })
    }
}

type Listed = (Vec<(String, Stream)>, Option<String>);

fn list_by_name(
    streams: &Streams,
    descending: bool,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Listed> {
    let own = |(name, stream): (&String, &Stream)| (name.clone(), stream.clone());
    let has_prefix = |(name, _): &(&String, &Stream)| name.starts_with(prefix);
    let found: Vec<_> = match descending {
        false => {
            let from = match after {
                Some(after) => Bound::Excluded(after),
                None => Bound::Included(prefix),
            };
            let range = streams.by_name.range::<str, _>((from, Bound::Unbounded));
            range
                .take_while(has_prefix)
                .take(limit + 1)
                .map(own)
                .collect()
        }
        true => {
            let to = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = streams.by_name.range::<str, _>((Bound::Unbounded, to));
            range
                .rev()
                .filter(has_prefix)
                .take(limit + 1)
                .map(own)
                .collect()
        }
    };
    Ok(token::page(found, limit, |(name, _)| name.clone()))
}

/// The tokens of this order are a time and a name.
fn list_by_time(
    streams: &Streams,
    descending: bool,
    after: Option<&str>,
    limit: usize,
) -> Result<Listed> {
    let last = |stream: &Stream| match stream.times.is_none() {
        true => 0,
        false => stream.times.max_ms,
    };
    let after = after.map(|after| {
        let (time, name) = after.split_once(' ')?;
        Some((time.parse::<i64>().ok()?, name.to_owned()))
    });
    let after = match after {
        Some(None) => return Err(token::invalid()),
        after => after.flatten(),
    };
    let mut all: Vec<(i64, &String)> = streams
        .by_name
        .iter()
        .map(|(name, stream)| (last(stream), name))
        .filter(|(time, name)| {
            after.as_ref().is_none_or(|(then, known)| match descending {
                false => (*time, *name) > (*then, known),
                true => (*time, *name) < (*then, known),
            })
        })
        .collect();
    all.sort_unstable();
    if descending {
        all.reverse();
    }
    all.truncate(limit + 1);
    let own = |(_, name): (i64, &String)| (name.clone(), streams.by_name[name].clone());
    let found = all.into_iter().map(own).collect();
    let token = |(name, stream): &(String, Stream)| format!("{} {name}", last(stream));
    Ok(token::page(found, limit, token))
}

fn shown(key: &GroupKey, name: &str, stream: &Stream) -> api::LogStream {
    let has_events = !stream.times.is_none();
    api::LogStream {
        log_stream_name: Some(name.to_owned()),
        creation_time: Some(stream.created_ms),
        first_event_timestamp: has_events.then_some(stream.times.min_ms),
        last_event_timestamp: has_events.then_some(stream.times.max_ms),
        last_ingestion_time: has_events.then_some(stream.last_ingested_ms),
        // Nobody has to send it any more, and it is still shown.
        upload_sequence_token: has_events.then(|| super::events::sequence_token(stream.last)),
        arn: Some(key.stream_arn(name)),
        // Of streams it is no longer counted.
        stored_bytes: Some(0),
    }
}
