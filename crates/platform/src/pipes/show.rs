//! Pipes as their clients see them: describing and listing, and tags.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use wire::{Context, pipes as api};

use super::{
    Pipes,
    error::{Error, Result},
    held::Pipe,
    limits,
    tables::{HttpRecord, PipeKey, PipeRecord},
};

impl Pipes {
    pub(super) fn find(&self, cx: &Context, name: &str) -> Result<Arc<Pipe>> {
        let key = PipeKey {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: name.to_owned(),
        };
        let found = self.0.pipes.get(&key);
        found.ok_or_else(|| Error::NoPipe(name.to_owned()))
    }

    /// The caller's own pipe, by its ARN.
    pub(super) fn find_by_arn(&self, cx: &Context, arn: &str) -> Result<Arc<Pipe>> {
        let key = PipeKey::of(arn);
        let key = key.filter(|it| it.account_id == cx.account_id && it.region == cx.region);
        let found = key.and_then(|key| self.0.pipes.get(&key));
        found.ok_or_else(|| Error::NoPipe(arn.to_owned()))
    }

    pub(super) fn described(&self, cx: &Context, name: &str) -> Result<api::DescribePipeResponse> {
        let pipe = self.find(cx, name)?;
        let record = PipeRecord::clone(&pipe.record());
        let filters = record.source.filters.map(|filters| {
            let filters = filters.into_iter();
            api::FilterCriteria {
                filters: Some(
                    filters
                        .map(|it| api::Filter { pattern: Some(it) })
                        .collect(),
                ),
            }
        });
        let source_parameters = api::PipeSourceParameters {
            filter_criteria: filters,
            sqs_queue_parameters: Some(api::PipeSourceSqsQueueParameters {
                batch_size: Some(record.source.batch_size.unwrap_or(10)),
                maximum_batching_window_in_seconds: record.source.window_s,
            }),
            ..Default::default()
        };
        Ok(api::DescribePipeResponse {
            arn: Some(record.key.arn()),
            name: Some(record.key.name),
            description: record.description,
            desired_state: Some(record.wanted.as_str().to_owned()),
            current_state: Some(pipe.phase().as_str().to_owned()),
            state_reason: pipe.problem(),
            source: Some(record.queue.arn().to_string()),
            source_parameters: Some(source_parameters),
            enrichment: record.enrichment,
            enrichment_parameters: record.enriching.map(|it| api::PipeEnrichmentParameters {
                input_template: it.template,
                http_parameters: it.http.map(|http| {
                    let HttpRecord {
                        path,
                        headers,
                        query,
                    } = http;
                    api::PipeEnrichmentHttpParameters {
                        path_parameter_values: path,
                        header_parameters: headers.map(|all| all.into_iter().collect()),
                        query_string_parameters: query.map(|all| all.into_iter().collect()),
                    }
                }),
            }),
            target: Some(record.target),
            target_parameters: Some(targeting(record.targeting)),
            role_arn: Some(record.role),
            tags: (!record.tags.is_empty()).then(|| record.tags.into_iter().collect()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            ..Default::default()
        })
    }

    pub(super) fn listed(
        &self,
        cx: &Context,
        input: &api::ListPipesRequest,
    ) -> Result<api::ListPipesResponse> {
        let after = input.next_token.as_deref().map(read_token).transpose()?;
        let begins = |text: &str, prefix: &Option<String>| {
            prefix
                .as_deref()
                .is_none_or(|prefix| text.starts_with(prefix))
        };
        let is_asked = |pipe: &Arc<Pipe>| {
            let record = pipe.record();
            let (wanted, phase) = (record.wanted.as_str(), pipe.phase().as_str());
            begins(&record.key.name, &input.name_prefix)
                && begins(&record.queue.arn().to_string(), &input.source_prefix)
                && begins(&record.target, &input.target_prefix)
                && input.desired_state.as_deref().is_none_or(|it| it == wanted)
                && input.current_state.as_deref().is_none_or(|it| it == phase)
                && after
                    .as_deref()
                    .is_none_or(|after| *record.key.name > *after)
        };
        let all = self.0.pipes.under(&cx.account_id, &cx.region);
        let mut all = all.into_iter().filter(is_asked).peekable();
        let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(limits::PAGE_MAX).clamp(1, limits::PAGE_MAX);
        let page: Vec<Arc<Pipe>> = all.by_ref().take(limit).collect();
        let last = page.last().filter(|_| all.peek().is_some());
        let next_token = last.map(|last| STANDARD.encode(&last.record().key.name));
        let shown = page.iter().map(|pipe| {
            let record = PipeRecord::clone(&pipe.record());
            api::Pipe {
                arn: Some(record.key.arn()),
                name: Some(record.key.name),
                desired_state: Some(record.wanted.as_str().to_owned()),
                current_state: Some(pipe.phase().as_str().to_owned()),
                state_reason: pipe.problem(),
                creation_time: Some(record.created),
                last_modified_time: Some(record.modified),
                source: Some(record.queue.arn().to_string()),
                target: Some(record.target),
                enrichment: record.enrichment,
            }
        });
        Ok(api::ListPipesResponse {
            pipes: Some(shown.collect()),
            next_token,
        })
    }
}

fn targeting(given: super::tables::TargetingRecord) -> api::PipeTargetParameters {
    api::PipeTargetParameters {
        input_template: given.template,
        lambda_function_parameters: given.invocation.map(|it| {
            api::PipeTargetLambdaFunctionParameters {
                invocation_type: Some(it),
            }
        }),
        sqs_queue_parameters: given.queue.map(|it| api::PipeTargetSqsQueueParameters {
            message_group_id: it.group,
            message_deduplication_id: it.deduplication_id,
        }),
        event_bridge_event_bus_parameters: given.bus.map(|it| {
            api::PipeTargetEventBridgeEventBusParameters {
                endpoint_id: None,
                detail_type: it.detail_type,
                source: it.source,
                resources: it.resources,
                time: it.time,
            }
        }),
        cloud_watch_logs_parameters: given
            .logs
            .map(|it| api::PipeTargetCloudWatchLogsParameters {
                log_stream_name: it.stream,
                timestamp: it.timestamp,
            }),
        http_parameters: given.http.map(|http| api::PipeTargetHttpParameters {
            path_parameter_values: http.path,
            header_parameters: http.headers.map(|all| all.into_iter().collect()),
            query_string_parameters: http.query.map(|all| all.into_iter().collect()),
        }),
        ..Default::default()
    }
}

fn read_token(token: &str) -> Result<String> {
    let decoded = STANDARD.decode(token).ok();
    let name = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Error::invalid("The NextToken is none of this operation."))
}
