//! Schedules and groups as Scheduler shows them.

use wire::{
    Timestamp,
    scheduler::{
        DeadLetterConfig, EventBridgeParameters, FlexibleTimeWindow, GetScheduleGroupOutput,
        GetScheduleOutput, RetryPolicy, ScheduleGroupSummary, ScheduleSummary, SqsParameters,
        Target, TargetSummary,
    },
};

use super::{
    key::{GroupKey, ScheduleKey},
    tables::{self, Group, Schedule},
};

pub fn schedule(key: ScheduleKey, schedule: Schedule) -> GetScheduleOutput {
    let state = state(&schedule);
    let (created, modified) = (schedule.created_ms, schedule.modified_ms);
    let asked = schedule.asked;
    let window = asked.window_minutes;
    let mode = if window.is_some() { "FLEXIBLE" } else { "OFF" };
    let action = if asked.deletes_itself {
        "DELETE"
    } else {
        "NONE"
    };
    GetScheduleOutput {
        arn: Some(key.arn()),
        group_name: Some(key.group),
        name: Some(key.name),
        schedule_expression: Some(asked.expression),
        start_date: asked.start_ms.map(time),
        end_date: asked.end_ms.map(time),
        description: asked.description,
        schedule_expression_timezone: Some(asked.zone),
        state: Some(state),
        creation_date: Some(time(created)),
        last_modification_date: Some(time(modified)),
        kms_key_arn: None,
        target: Some(target(asked.target)),
        flexible_time_window: Some(FlexibleTimeWindow {
            mode: mode.to_owned(),
            maximum_window_in_minutes: window.and_then(|minutes| i32::try_from(minutes).ok()),
        }),
        action_after_completion: Some(action.to_owned()),
    }
}

pub fn summary(key: ScheduleKey, schedule: Schedule) -> ScheduleSummary {
    ScheduleSummary {
        arn: Some(key.arn()),
        name: Some(key.name),
        group_name: Some(key.group),
        state: Some(state(&schedule)),
        creation_date: Some(time(schedule.created_ms)),
        last_modification_date: Some(time(schedule.modified_ms)),
        target: Some(TargetSummary {
            arn: schedule.asked.target.arn,
        }),
    }
}

pub fn group(key: GroupKey, group: &Group) -> GetScheduleGroupOutput {
    GetScheduleGroupOutput {
        arn: Some(key.arn()),
        name: Some(key.name),
        state: Some(group_state(group)),
        creation_date: Some(time(group.created_ms)),
        last_modification_date: Some(time(group.modified_ms)),
    }
}

pub fn group_summary(key: GroupKey, group: &Group) -> ScheduleGroupSummary {
    ScheduleGroupSummary {
        arn: Some(key.arn()),
        name: Some(key.name),
        state: Some(group_state(group)),
        creation_date: Some(time(group.created_ms)),
        last_modification_date: Some(time(group.modified_ms)),
    }
}

fn target(target: tables::Target) -> Target {
    let counted = |number: u32| i32::try_from(number).ok();
    Target {
        arn: target.arn,
        role_arn: target.role_arn,
        dead_letter_config: target
            .dead_letter_arn
            .map(|arn| DeadLetterConfig { arn: Some(arn) }),
        retry_policy: Some(RetryPolicy {
            maximum_event_age_in_seconds: counted(target.age_max_s),
            maximum_retry_attempts: counted(target.retries_max),
        }),
        input: target.input,
        event_bridge_parameters: target.bus.map(|bus| EventBridgeParameters {
            detail_type: bus.detail_type,
            source: bus.source,
        }),
        sqs_parameters: target.message_group.map(|group| SqsParameters {
            message_group_id: Some(group),
        }),
        ..Target::default()
    }
}

fn state(schedule: &Schedule) -> String {
    let state = match schedule.is_enabled {
        true => "ENABLED",
        false => "DISABLED",
    };
    state.to_owned()
}

fn group_state(group: &Group) -> String {
    let state = match group.is_deleting {
        true => "DELETING",
        false => "ACTIVE",
    };
    state.to_owned()
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
