//! What is delivered at an occurrence.

use jiff::Timestamp;
use serde_json::json;

use super::{
    key::ScheduleKey,
    tables::{Schedule, Target},
    tick::Occurrence,
};
use crate::deliveries::{
    Attribute, Backoff, DeadLetter, Delivery, Parameters, Retry, Sender, ToBus, ToQueue,
};

/// Who delivers, for policies of targets.
pub const PRINCIPAL: &str = "scheduler.amazonaws.com";

/// `id` is of this occurrence: `<aws.scheduler.execution-id>`.
pub fn delivery(
    key: &ScheduleKey,
    schedule: &Schedule,
    occurrence: Occurrence,
    id: &str,
) -> Delivery {
    let target = &schedule.target;
    let time = time_of(occurrence.scheduled_ms);
    let body = match &target.input {
        Some(input) => with_keywords(input, key, &time, id),
        None => notification(key, &time, id),
    };
    let age_max_ms = i64::from(target.age_max_s) * 1000;
    Delivery {
        id: id.to_owned(),
        from: Sender {
            principal: PRINCIPAL.to_owned(),
            source_arn: key.arn(),
            account_id: key.account_id.clone(),
            region: key.region.clone(),
        },
        role: Some(target.role_arn.clone()),
        target: target.arn.clone(),
        body,
        parameters: parameters(key, target),
        retry: Retry {
            retries_max: target.retries_max,
            age_max_ms: (age_max_ms - occurrence.late_ms).max(1),
            backoff: Backoff::default(),
        },
        dead_letter: dead_letter(key, target, &time, id),
        ordered_by: None,
        trace_header: None,
    }
}

fn parameters(key: &ScheduleKey, target: &Target) -> Parameters {
    if let Some(bus) = &target.bus {
        return Parameters::Events(ToBus {
            source: bus.source.clone(),
            detail_type: bus.detail_type.clone(),
            resources: vec![key.arn()],
            time_ms: None,
        });
    }
    match &target.message_group {
        Some(group) => Parameters::Sqs(ToQueue {
            group: Some(group.clone()),
            ..ToQueue::default()
        }),
        None => Parameters::None,
    }
}

/// In Scheduler's words; what says why is added when it is known.
fn dead_letter(key: &ScheduleKey, target: &Target, time: &str, id: &str) -> Option<DeadLetter> {
    let arn = target.dead_letter_arn.clone()?;
    Some(DeadLetter {
        arn,
        body: None,
        attributes: vec![
            Attribute::text("SCHEDULE_ARN", key.arn()),
            Attribute::text("TARGET_ARN", &target.arn),
            Attribute::text("SCHEDULED_TIME", time),
            Attribute::text("EXECUTION_ID", id),
            Attribute::text("IS_PAYLOAD_TRUNCATED", "false"),
        ],
        says_why: true,
        group: None,
    })
}

/// What a target gets that was given no input.
fn notification(key: &ScheduleKey, time: &str, id: &str) -> String {
    json!({
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": key.account_id,
        "time": time,
        "region": key.region,
        "resources": [key.arn()],
        "detail": "{}",
    })
    .to_string()
}

/// The input with what it asks about itself. None of it needs to be escaped in JSON.
fn with_keywords(input: &str, key: &ScheduleKey, time: &str, id: &str) -> String {
    if !input.contains("<aws.scheduler.") {
        return input.to_owned();
    }
    input
        .replace("<aws.scheduler.schedule-arn>", &key.arn())
        .replace("<aws.scheduler.scheduled-time>", time)
        .replace("<aws.scheduler.execution-id>", id)
        .replace("<aws.scheduler.attempt-number>", "1")
}

/// In whole seconds.
fn time_of(ms: i64) -> String {
    let at = Timestamp::from_second(ms.div_euclid(1000));
    at.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
