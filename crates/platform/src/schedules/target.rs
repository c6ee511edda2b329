//! What a schedule may have as its target.

use serde_json::value::RawValue;
use wire::{
    arn::Arn,
    scheduler::{self as api},
};

use super::{
    error::{Error, Result},
    limits,
    tables::{BusEvent, Target},
    universal,
};
use crate::{functions::function_at, queues::definition::QueueKey};

/// What an ARN names, of that which can be a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Queue,
    Topic,
    Bus,
    /// A universal target.
    Operation,
}

/// Checks what was asked for.
pub fn asked(given: api::Target) -> Result<Target> {
    let kind = kind_of(&given.arn)?;
    let refused = [
        ("EcsParameters", given.ecs_parameters.is_some()),
        ("KinesisParameters", given.kinesis_parameters.is_some()),
        (
            "SageMakerPipelineParameters",
            given.sage_maker_pipeline_parameters.is_some(),
        ),
        (
            "EventBridgePutEventsV2Parameters",
            given.event_bridge_put_events_v2_parameters.is_some(),
        ),
        (
            "EventBridgePutRawEventsParameters",
            given.event_bridge_put_raw_events_parameters.is_some(),
        ),
    ];
    if let Some((name, _)) = refused.iter().find(|(_, is_given)| *is_given) {
        return Err(Error::unsupported(*name));
    }
    let bus = bus_event(kind, given.event_bridge_parameters)?;
    if let Some(input) = &given.input {
        check_input(kind, input)?;
    }
    let retry = given.retry_policy.unwrap_or_default();
    let counted = |given: Option<i32>, default| {
        given.map_or(default, |given| u32::try_from(given).unwrap_or(default))
    };
    Ok(Target {
        arn: given.arn,
        role_arn: given.role_arn,
        dead_letter_arn: dead_letter(given.dead_letter_config)?,
        retries_max: counted(retry.maximum_retry_attempts, limits::RETRIES_DEFAULT),
        age_max_s: counted(retry.maximum_event_age_in_seconds, limits::AGE_S_DEFAULT),
        input: given.input,
        message_group: given.sqs_parameters.and_then(|sqs| sqs.message_group_id),
        bus,
    })
}

fn kind_of(text: &str) -> Result<Kind> {
    let malformed = || Error::invalid("Provided Arn is not in correct format.");
    let arn: Arn = text.parse().map_err(|_| malformed())?;
    let resource = arn.resource.as_str();
    let (kind, fits) = match arn.service.as_str() {
        "lambda" => (Kind::Function, function_at(&arn).is_some()),
        "sqs" => (Kind::Queue, text.parse::<QueueKey>().is_ok()),
        "sns" => (Kind::Topic, !resource.contains([':', '/'])),
        "events" => (Kind::Bus, resource.starts_with("event-bus/")),
        "states" => return Err(Error::unsupported("A state machine as a target")),
        "scheduler" => {
            universal::named(text).ok_or_else(malformed)??;
            (Kind::Operation, true)
        }
        "batch" | "codebuild" | "codepipeline" | "ecs" | "firehose" | "inspector" | "kinesis"
        | "sagemaker" | "ssm" | "redshift" => {
            return Err(Error::Unsupported {
                what: format!("A target of {}", arn.service),
            });
        }
        _ => return Err(malformed()),
    };
    match fits {
        true => Ok(kind),
        false => Err(malformed()),
    }
}

fn bus_event(kind: Kind, given: Option<api::EventBridgeParameters>) -> Result<Option<BusEvent>> {
    let Some(given) = given else {
        return match kind {
            Kind::Bus => Err(Error::invalid(
                "EventBridgeParameters have to be given for a target that is an event bus.",
            )),
            _ => Ok(None),
        };
    };
    if kind != Kind::Bus {
        return Err(Error::invalid(
            "EventBridgeParameters are for a target that is an event bus.",
        ));
    }
    if given.source.starts_with('$') {
        return Err(Error::unsupported("A source that is a JSON path"));
    }
    Ok(Some(BusEvent {
        source: given.source,
        detail_type: given.detail_type,
    }))
}

fn check_input(kind: Kind, input: &str) -> Result<()> {
    if input.len() > limits::INPUT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "The input is longer than {} bytes.",
            limits::INPUT_BYTES_MAX
        )));
    }
    let is_json = matches!(kind, Kind::Function | Kind::Bus | Kind::Operation);
    if is_json && serde_json::from_str::<&RawValue>(input).is_err() {
        return Err(Error::invalid(
            "The input of this target has to be well-formed JSON.",
        ));
    }
    Ok(())
}

fn dead_letter(given: Option<api::DeadLetterConfig>) -> Result<Option<String>> {
    let Some(arn) = given.and_then(|given| given.arn) else {
        return Ok(None);
    };
    // The model's pattern has no place for the ending of a FIFO queue's name.
    match arn.parse::<QueueKey>() {
        Ok(_) => Ok(Some(arn)),
        Err(_) => Err(Error::invalid("Provided Arn is not in correct format.")),
    }
}
