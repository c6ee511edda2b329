//! Queries of Insights, those that have a name, and the fields they find.

use std::collections::HashMap;

use store::Page;
use tokio::task::spawn_blocking;
use uuid::Uuid;
use wire::{Context, Map, cloudwatch_logs as api};

use super::{groups::limit, identified, named, token};
use crate::logs::{
    LogService,
    error::{Error, Result},
    insights::{self, Query, Record, Source},
    limits,
    lines::{
        Event, GroupKey, Seq,
        scan::{Order, Query as Scan, Wanted},
    },
    queries::Asked,
    tables::{QUERY_DEFINITIONS, QueryDefinitionRecord},
};

const LANGUAGE: &str = "CWLI";
/// Events that are looked at for their fields.
const SAMPLED_MAX: usize = 1000;
const SAMPLED_WITHIN_MS: i64 = 15 * 60 * 1000;

impl LogService {
    pub(super) async fn start_query_of(
        &self,
        cx: &Context,
        input: api::StartQueryRequest,
    ) -> Result<api::StartQueryResponse> {
        if let Some(language) = input.query_language.filter(|language| language != LANGUAGE) {
            return Err(Error::unsupported(format_args!("queries in {language}")));
        }
        let keys = asked_groups(
            cx,
            input.log_group_name,
            input.log_group_names,
            input.log_group_identifiers,
        )?;
        let query = Query::parse(&input.query_string).map_err(malformed)?;
        let now_ms = cx.now.as_millisecond();
        let mut groups = Vec::new();
        for key in keys {
            let group = self.groups.get(&key).await.map_err(|error| match error {
                Error::NoGroup => no_group(cx, &key),
                other => other,
            })?;
            groups.push((key, group.kept_since_ms(now_ms)));
        }
        let (start, end) = (input.start_time, input.end_time);
        if end < start {
            return Err(Error::parameter("The end time is before the start time."));
        }
        let names: Vec<String> = groups
            .iter()
            .map(|(key, _)| format!("\"{}\"", key.name))
            .collect();
        let id = Uuid::new_v4().to_string();
        let asked = Asked {
            id: id.clone(),
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            groups,
            text: format!(
                "SOURCE {} START={start}000 END={end}999 | {}",
                names.join(" "),
                input.query_string
            ),
            query,
            limit: input.limit.and_then(|limit| usize::try_from(limit).ok()),
            since_ms: start.saturating_mul(1000),
            until_ms: end.saturating_add(1).saturating_mul(1000),
            now_ms,
        };
        self.queries.start(self.groups.logs().clone(), asked)?;
        Ok(api::StartQueryResponse { query_id: Some(id) })
    }

    pub(super) async fn query_results(
        &self,
        cx: &Context,
        input: api::GetQueryResultsRequest,
    ) -> Result<api::GetQueryResultsResponse> {
        let entry = self
            .queries
            .find(&cx.account_id, &cx.region, &input.query_id);
        let entry = entry.ok_or_else(|| no_query(&input.query_id))?;
        let from = match &input.next_token {
            Some(token) => token::read(token)?.parse().map_err(|_| token::invalid())?,
            None => 0_usize,
        };
        let most = input.max_items.and_then(|most| usize::try_from(most).ok());
        let state = entry.state();
        let to = most.map_or(usize::MAX, |most| from.saturating_add(most));
        let page = state
            .rows
            .get(from..to.min(state.rows.len()))
            .unwrap_or_default();
        let field = |(name, value): &(String, String)| api::ResultField {
            field: Some(name.clone()),
            value: Some(value.clone()),
        };
        let rows = page.iter().map(|row| row.iter().map(field).collect());
        let statistics = state.statistics;
        Ok(api::GetQueryResultsResponse {
            query_language: Some(LANGUAGE.to_owned()),
            results: Some(rows.collect()),
            statistics: Some(api::QueryStatistics {
                records_matched: Some(statistics.matched as f64),
                records_scanned: Some(statistics.scanned as f64),
                estimated_records_skipped: Some(0.0),
                bytes_scanned: Some(statistics.scanned_bytes as f64),
                estimated_bytes_skipped: Some(0.0),
                log_groups_scanned: Some(entry.asked.groups.len() as f64),
                result_count: None,
            }),
            status: Some(state.status.as_str().to_owned()),
            encryption_key: None,
            next_token: (to < state.rows.len()).then(|| token::of(&to.to_string())),
        })
    }

    pub(super) async fn stop_query_of(
        &self,
        cx: &Context,
        input: api::StopQueryRequest,
    ) -> Result<api::StopQueryResponse> {
        let entry = self
            .queries
            .find(&cx.account_id, &cx.region, &input.query_id);
        let entry = entry.ok_or_else(|| no_query(&input.query_id))?;
        match entry.cancel() {
            true => Ok(api::StopQueryResponse {
                success: Some(true),
            }),
            false => Err(Error::Parameter(format!(
                "The query {} has ended already.",
                input.query_id
            ))),
        }
    }

    pub(super) async fn list_queries(
        &self,
        cx: &Context,
        input: api::DescribeQueriesRequest,
    ) -> Result<api::DescribeQueriesResponse> {
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        let mut all = self.queries.list(&cx.account_id, &cx.region);
        if let Some(after) = after {
            let at = all.iter().position(|entry| entry.asked.id == after);
            all.drain(..at.map_or(0, |at| at + 1));
        }
        all.retain(|entry| {
            let is_of = |name: &String| entry.asked.groups.iter().any(|(key, _)| key.name == *name);
            let has = |status: &String| entry.state().status.as_str() == status;
            input.log_group_name.as_ref().is_none_or(is_of)
                && input.status.as_ref().is_none_or(has)
                && input
                    .query_language
                    .as_ref()
                    .is_none_or(|language| language == LANGUAGE)
        });
        let (page, next_token) = token::page(all, limit(input.max_results, 1000), |entry| {
            entry.asked.id.clone()
        });
        let shown = page.iter().map(|entry| api::QueryInfo {
            query_language: Some(LANGUAGE.to_owned()),
            query_id: Some(entry.asked.id.clone()),
            query_string: Some(entry.asked.text.clone()),
            status: Some(entry.state().status.as_str().to_owned()),
            create_time: Some(entry.asked.now_ms),
            log_group_name: entry.asked.groups.first().map(|(key, _)| key.name.clone()),
            ..Default::default()
        });
        Ok(api::DescribeQueriesResponse {
            queries: Some(shown.collect()),
            next_token,
        })
    }

    pub(super) async fn record_at(
        &self,
        cx: &Context,
        input: api::GetLogRecordRequest,
    ) -> Result<api::GetLogRecordResponse> {
        let invalid = || Error::parameter("The specified log record pointer is invalid.");
        let (name, at) = read_pointer(&input.log_record_pointer).ok_or_else(invalid)?;
        let key = named(cx, &name);
        self.groups.get(&key).await?;
        let (logs, found) = (self.groups.logs().clone(), key.clone());
        let event = spawn_blocking(move || logs.event(&found, at)).await;
        let event = event.map_err(Error::platform)??;
        let event = event.ok_or_else(|| {
            Error::NotFound("The specified log record does not exist.".to_owned())
        })?;
        let mut record = Map::new();
        let mut add = |name: &str, value: String| record.insert(name.to_owned(), value);
        add("@ptr", input.log_record_pointer);
        add("@timestamp", event.timestamp_ms.to_string());
        add("@ingestionTime", event.ingested_ms.to_string());
        add("@log", format!("{}:{}", key.account_id, key.name));
        add("@logStream", event.stream.clone());
        add("@message", event.text());
        for (name, value) in Record::new(source(&key, event)).discovered() {
            add(name, value.to_string());
        }
        Ok(api::GetLogRecordResponse {
            log_record: Some(record),
        })
    }

    pub(super) async fn fields_of_group(
        &self,
        cx: &Context,
        input: api::GetLogGroupFieldsRequest,
    ) -> Result<api::GetLogGroupFieldsResponse> {
        let name = input.log_group_name.as_deref();
        let key = identified(cx, name, input.log_group_identifier.as_deref())?;
        let group = self.groups.get(&key).await?;
        let now_ms = cx.now.as_millisecond();
        let (since_ms, until_ms) = match input.time {
            Some(at) => {
                let at = at.saturating_mul(1000);
                (at - SAMPLED_WITHIN_MS / 2, at + SAMPLED_WITHIN_MS / 2)
            }
            None => (now_ms - SAMPLED_WITHIN_MS, now_ms + 1),
        };
        let since_ms = since_ms.max(group.kept_since_ms(now_ms));
        let logs = self.groups.logs().clone();
        let counted = spawn_blocking(move || {
            let scan = Scan {
                order: Order::NewestFirst,
                since_ms,
                until_ms,
                after: None,
                wanted: &Wanted::All,
                count_max: SAMPLED_MAX,
                bytes_max: limits::EVENTS_ANSWERED_BYTES_MAX,
                looked_at_max: limits::LOOKED_AT_BYTES_MAX,
            };
            let page = logs.group(&key).view()?.page(&scan, |_| true)?;
            let mut counts: HashMap<String, usize> = HashMap::new();
            let total = page.events.len();
            for (_, event) in page.events {
                let record = Record::new(source(&key, event));
                let builtin = [
                    "@timestamp",
                    "@message",
                    "@logStream",
                    "@log",
                    "@ingestionTime",
                    "@ptr",
                ];
                let builtin = builtin.into_iter().map(str::to_owned);
                let found = record.discovered().iter().map(|(name, _)| name.clone());
                for name in builtin.chain(found) {
                    *counts.entry(name).or_default() += 1;
                }
            }
            Ok::<_, std::io::Error>((counts, total))
        });
        let (counts, total) = counted.await.map_err(Error::platform)??;
        let mut fields: Vec<(String, usize)> = counts.into_iter().collect();
        fields.sort_by(|(left, a), (right, b)| b.cmp(a).then(left.cmp(right)));
        let shown = fields.into_iter().map(|(name, count)| api::LogGroupField {
            name: Some(name),
            percent: i32::try_from(count * 100 / total.max(1)).ok(),
        });
        Ok(api::GetLogGroupFieldsResponse {
            log_group_fields: Some(shown.collect()),
        })
    }

    pub(super) async fn put_definition(
        &self,
        cx: &Context,
        input: api::PutQueryDefinitionRequest,
    ) -> Result<api::PutQueryDefinitionResponse> {
        if let Some(language) = input.query_language.filter(|language| language != LANGUAGE) {
            return Err(Error::unsupported(format_args!("queries in {language}")));
        }
        if input
            .parameters
            .is_some_and(|parameters| !parameters.is_empty())
        {
            return Err(Error::unsupported("parameters of queries"));
        }
        let is_new = input.query_definition_id.is_none();
        let id = input
            .query_definition_id
            .unwrap_or_else(|| Uuid::new_v4().to_string());
        let definition = QueryDefinitionRecord {
            id: id.clone(),
            name: input.name,
            query: input.query_string,
            groups: input.log_group_names.unwrap_or_default(),
            modified_ms: cx.now.as_millisecond(),
        };
        let (account_id, region, stored) = (cx.account_id.clone(), cx.region.clone(), id.clone());
        let put = self.groups.store().try_write(move |tx| {
            let key = [&*account_id, &*region, &*stored];
            if !is_new {
                QUERY_DEFINITIONS.get(tx, &key)?.ok_or_else(no_definition)?;
            } else if QUERY_DEFINITIONS.count(tx, &key[..2])?
                >= limits::QUERY_DEFINITIONS_MAX as u64
            {
                return Err(Error::OverLimit);
            }
            QUERY_DEFINITIONS.put(tx, &key, &definition)?;
            Ok::<_, Error>(())
        });
        put.await?;
        Ok(api::PutQueryDefinitionResponse {
            query_definition_id: Some(id),
        })
    }

    pub(super) async fn delete_definition(
        &self,
        cx: &Context,
        input: api::DeleteQueryDefinitionRequest,
    ) -> Result<api::DeleteQueryDefinitionResponse> {
        let (account_id, region) = (cx.account_id.clone(), cx.region.clone());
        let id = input.query_definition_id;
        let deleted = self
            .groups
            .store()
            .write(move |tx| QUERY_DEFINITIONS.delete(tx, &[&account_id, &region, &id]));
        match deleted.await? {
            true => Ok(api::DeleteQueryDefinitionResponse {
                success: Some(true),
            }),
            false => Err(no_definition()),
        }
    }

    pub(super) async fn describe_definitions(
        &self,
        cx: &Context,
        input: api::DescribeQueryDefinitionsRequest,
    ) -> Result<api::DescribeQueryDefinitionsResponse> {
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        let (account_id, region) = (cx.account_id.clone(), cx.region.clone());
        let all = self.groups.store().read(move |tx| {
            let page = Page {
                prefix: &[&account_id, &region],
                after: None,
                limit: limits::QUERY_DEFINITIONS_MAX as u32,
            };
            QUERY_DEFINITIONS.list(tx, page)
        });
        let prefix = input.query_definition_name_prefix.unwrap_or_default();
        let order = |one: &QueryDefinitionRecord| format!("{}\n{}", one.name, one.id);
        let mut found: Vec<QueryDefinitionRecord> =
            all.await?.into_iter().map(|stored| stored.record).collect();
        found.retain(|one| {
            one.name.starts_with(&prefix) && after.as_ref().is_none_or(|after| order(one) > *after)
        });
        found.sort_by_cached_key(order);
        let (page, next_token) = token::page(found, limit(input.max_results, 1000), order);
        let shown = page.into_iter().map(|one| api::QueryDefinition {
            query_language: Some(LANGUAGE.to_owned()),
            query_definition_id: Some(one.id),
            name: Some(one.name),
            query_string: Some(one.query),
            last_modified: Some(one.modified_ms),
            log_group_names: Some(one.groups),
            parameters: None,
        });
        Ok(api::DescribeQueryDefinitionsResponse {
            query_definitions: Some(shown.collect()),
            next_token,
        })
    }
}

fn asked_groups(
    cx: &Context,
    name: Option<String>,
    names: Option<Vec<String>>,
    identifiers: Option<Vec<String>>,
) -> Result<Vec<GroupKey>> {
    let mut ways = 0;
    let mut keys = Vec::new();
    if let Some(name) = name {
        ways += 1;
        keys.push(named(cx, &name));
    }
    if let Some(names) = names {
        ways += 1;
        keys.extend(names.iter().map(|name| named(cx, name)));
    }
    if let Some(identifiers) = identifiers {
        ways += 1;
        for identifier in identifiers {
            keys.push(super::by_identifier(cx, &identifier)?);
        }
    }
    if ways != 1 || keys.is_empty() {
        return Err(Error::parameter(
            "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be specified.",
        ));
    }
    if keys.len() > limits::QUERY_GROUPS_MAX {
        return Err(Error::OverLimit);
    }
    Ok(keys)
}

fn malformed(error: insights::SyntaxError) -> Error {
    Error::Query {
        message: error.message,
        start: error.start,
        end: error.end,
    }
}

/// In the words of what is behind AWS's own front.
fn no_group(cx: &Context, key: &GroupKey) -> Error {
    Error::NotFound(format!(
        "Log group '{}' does not exist for account ID '{}' (Service: AWSLogs; Status Code: 400; Error \
         Code: ResourceNotFoundException; Request ID: {}; Proxy: null)",
        key.name, key.account_id, cx.request_id
    ))
}

fn no_query(id: &str) -> Error {
    Error::NotFound(format!("The query {id} does not exist."))
}

fn no_definition() -> Error {
    Error::NotFound("The specified query definition does not exist.".to_owned())
}

fn source(key: &GroupKey, event: Event) -> Source {
    Source {
        timestamp_ms: event.timestamp_ms,
        ingested_ms: event.ingested_ms,
        message: event.text(),
        log: format!("{}:{}", key.account_id, key.name).into(),
        place: (0, event.at),
        stream: event.stream,
    }
}

/// By which an event of a group is found again.
pub fn pointer(key: &GroupKey, at: Seq) -> String {
    token::of(&format!("{}/{}/{}", at.segment, at.index, key.name))
}

fn read_pointer(pointer: &str) -> Option<(String, Seq)> {
    let text = token::read(pointer).ok()?;
    let (segment, rest) = text.split_once('/')?;
    let (index, name) = rest.split_once('/')?;
    let at = Seq {
        segment: segment.parse().ok()?,
        index: index.parse().ok()?,
    };
    Some((name.to_owned(), at))
}
