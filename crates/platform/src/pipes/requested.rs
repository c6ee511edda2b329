//! What a request asks of a pipe, checked and in the form in which it is stored. What Pipes has and
//! this platform has not is refused here, by its name. Pure.

use wire::{arn::Arn, pipes as api};

use super::{
    error::{Error, Result},
    tables::{
        EnrichingRecord, HttpRecord, SourceRecord, TargetingRecord, ToBusRecord, ToLogsRecord,
        ToQueueRecord, Wanted,
    },
};
use crate::{
    patterns::{Operators, Pattern},
    queues::definition::QueueKey,
};

pub fn wanted(given: Option<&str>) -> Wanted {
    match given {
        Some("STOPPED") => Wanted::Stopped,
        // The model lets nothing else through.
        _ => Wanted::Running,
    }
}

/// The queue that a pipe reads.
pub fn queue(source: &str, account_id: &str, region: &str) -> Result<QueueKey> {
    let arn: Option<Arn> = source.parse().ok();
    let service = arn.as_ref().map_or("", |arn| &arn.service);
    match service {
        "sqs" => {}
        "" => return Err(Error::invalid(format!("Invalid source: {source}"))),
        "kinesis" => return Err(unsupported("A Kinesis stream as a pipe's source")),
        "dynamodb" => return Err(unsupported("A DynamoDB stream as a pipe's source")),
        other => {
            let what = format!("A source of the service {other}");
            return Err(Error::Unsupported(what));
        }
    }
    let key = source.parse::<QueueKey>();
    let key = key.map_err(|_| Error::invalid(format!("Invalid source: {source}")))?;
    match key.account_id == account_id && key.region == region {
        true => Ok(key),
        false => Err(Error::invalid(
            "The source must be in the pipe's account and region.",
        )),
    }
}

pub fn source(given: Option<api::PipeSourceParameters>) -> Result<SourceRecord> {
    let given = given.unwrap_or_default();
    let others = [
        given.kinesis_stream_parameters.is_some(),
        given.dynamo_db_stream_parameters.is_some(),
        given.active_mq_broker_parameters.is_some(),
        given.rabbit_mq_broker_parameters.is_some(),
        given.managed_streaming_kafka_parameters.is_some(),
        given.self_managed_kafka_parameters.is_some(),
    ];
    let queue = given.sqs_queue_parameters;
    let queue = queue.map(|it| (it.batch_size, it.maximum_batching_window_in_seconds));
    checked_source(others, given.filter_criteria, queue)
}

pub fn updated_source(given: api::UpdatePipeSourceParameters) -> Result<SourceRecord> {
    let others = [
        given.kinesis_stream_parameters.is_some(),
        given.dynamo_db_stream_parameters.is_some(),
        given.active_mq_broker_parameters.is_some(),
        given.rabbit_mq_broker_parameters.is_some(),
        given.managed_streaming_kafka_parameters.is_some(),
        given.self_managed_kafka_parameters.is_some(),
    ];
    let queue = given.sqs_queue_parameters;
    let queue = queue.map(|it| (it.batch_size, it.maximum_batching_window_in_seconds));
    checked_source(others, given.filter_criteria, queue)
}

fn checked_source(
    others: [bool; 6],
    filters: Option<api::FilterCriteria>,
    queue: Option<(Option<i32>, Option<i32>)>,
) -> Result<SourceRecord> {
    if others.contains(&true) {
        return Err(unsupported("A pipe's source other than a queue"));
    }
    let (batch_size, window_s) = queue.unwrap_or_default();
    if batch_size.is_some_and(|size| size > 10) && window_s.unwrap_or(0) == 0 {
        return Err(Error::invalid(
            "MaximumBatchingWindowInSeconds must be at least 1 where BatchSize is more than 10.",
        ));
    }
    let filters = filters.and_then(|it| it.filters);
    let filters: Option<Vec<String>> =
        filters.map(|all| all.into_iter().filter_map(|it| it.pattern).collect());
    for filter in filters.iter().flatten() {
        Pattern::compile(filter, Operators::LAMBDA)
            .map_err(|error| Error::invalid(format!("Invalid filter pattern: {error}")))?;
    }
    Ok(SourceRecord {
        batch_size,
        window_s,
        filters: filters.filter(|filters| !filters.is_empty()),
    })
}

/// A function, or an API destination.
pub fn enrichment(arn: Option<String>) -> Result<Option<String>> {
    let Some(arn) = arn.filter(|arn| !arn.is_empty()) else {
        return Ok(None);
    };
    match kind(&arn) {
        Some(Kind::Function | Kind::Destination) => Ok(Some(arn)),
        Some(Kind::Other(service)) => Err(Error::Unsupported(format!(
            "An enrichment of the service {service}"
        ))),
        _ => Err(Error::invalid(format!("Invalid enrichment: {arn}"))),
    }
}

pub fn enriching(given: Option<api::PipeEnrichmentParameters>) -> Option<EnrichingRecord> {
    given.map(|given| EnrichingRecord {
        template: given.input_template,
        http: given.http_parameters.map(|it| HttpRecord {
            path: it.path_parameter_values,
            headers: it.header_parameters.map(|map| map.into_iter().collect()),
            query: it
                .query_string_parameters
                .map(|map| map.into_iter().collect()),
        }),
    })
}

/// What a pipe's enrichment or target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Function,
    Queue,
    Bus,
    Topic,
    Logs,
    Destination,
    Other(String),
}

pub fn kind(arn: &str) -> Option<Kind> {
    let arn: Arn = arn.parse().ok()?;
    Some(match (arn.service.as_str(), arn.resource.as_str()) {
        ("lambda", _) => Kind::Function,
        ("sqs", _) => Kind::Queue,
        ("events", resource) if resource.starts_with("event-bus/") => Kind::Bus,
        ("events", resource) if resource.starts_with("api-destination/") => Kind::Destination,
        ("sns", _) => Kind::Topic,
        ("logs", _) => Kind::Logs,
        (service, _) => Kind::Other(service.to_owned()),
    })
}

pub fn target(arn: &str, takes: impl Fn(&str) -> bool) -> Result<()> {
    match kind(arn) {
        None => Err(Error::invalid(format!("Invalid target: {arn}"))),
        Some(Kind::Other(service)) => Err(Error::Unsupported(format!(
            "A target of the service {service}"
        ))),
        Some(_) if !takes(arn) => Err(Error::Unsupported(format!("The target {arn}"))),
        Some(_) => Ok(()),
    }
}

pub fn targeting(given: Option<api::PipeTargetParameters>) -> Result<TargetingRecord> {
    let given = given.unwrap_or_default();
    let others = [
        (
            "StepFunctionStateMachineParameters",
            given.step_function_state_machine_parameters.is_some(),
        ),
        (
            "KinesisStreamParameters",
            given.kinesis_stream_parameters.is_some(),
        ),
        ("EcsTaskParameters", given.ecs_task_parameters.is_some()),
        ("BatchJobParameters", given.batch_job_parameters.is_some()),
        (
            "RedshiftDataParameters",
            given.redshift_data_parameters.is_some(),
        ),
        (
            "SageMakerPipelineParameters",
            given.sage_maker_pipeline_parameters.is_some(),
        ),
        (
            "TimestreamParameters",
            given.timestream_parameters.is_some(),
        ),
    ];
    if let Some((name, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Error::Unsupported(format!("A target with {name}")));
    }
    let bus = given.event_bridge_event_bus_parameters;
    if bus.as_ref().is_some_and(|bus| bus.endpoint_id.is_some()) {
        return Err(unsupported("A global endpoint"));
    }
    Ok(TargetingRecord {
        template: given.input_template,
        invocation: given
            .lambda_function_parameters
            .and_then(|it| it.invocation_type),
        queue: given.sqs_queue_parameters.map(|it| ToQueueRecord {
            group: it.message_group_id,
            deduplication_id: it.message_deduplication_id,
        }),
        bus: bus.map(|it| ToBusRecord {
            detail_type: it.detail_type,
            source: it.source,
            resources: it.resources,
            time: it.time,
        }),
        logs: given.cloud_watch_logs_parameters.map(|it| ToLogsRecord {
            stream: it.log_stream_name,
            timestamp: it.timestamp,
        }),
        http: given.http_parameters.map(|it| HttpRecord {
            path: it.path_parameter_values,
            headers: it.header_parameters.map(|map| map.into_iter().collect()),
            query: it
                .query_string_parameters
                .map(|map| map.into_iter().collect()),
        }),
    })
}

/// What nobody has yet: logs of pipes, and keys of KMS.
pub fn refuse(log: Option<&api::PipeLogConfigurationParameters>, key: Option<&str>) -> Result<()> {
    if log.is_some_and(|log| log.level != "OFF") {
        return Err(unsupported("A pipe's LogConfiguration"));
    }
    match key.is_some_and(|key| !key.is_empty()) {
        true => Err(unsupported("A KmsKeyIdentifier")),
        false => Ok(()),
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported(what.to_owned())
}
