//! Reads what CreateSchedule and UpdateSchedule ask for.

use wire::{
    Timestamp,
    scheduler::{CreateScheduleInput, UpdateScheduleInput},
};

use super::{
    error::{Error, Result},
    expression::{self, Dialect, Expression},
    limits,
    tables::Asked,
    target,
};

/// UpdateSchedule asks for all that CreateSchedule does.
pub fn as_created(input: UpdateScheduleInput) -> CreateScheduleInput {
    CreateScheduleInput {
        name: input.name,
        group_name: input.group_name,
        schedule_expression: input.schedule_expression,
        start_date: input.start_date,
        end_date: input.end_date,
        description: input.description,
        schedule_expression_timezone: input.schedule_expression_timezone,
        state: input.state,
        kms_key_arn: input.kms_key_arn,
        target: input.target,
        flexible_time_window: input.flexible_time_window,
        client_token: input.client_token,
        action_after_completion: input.action_after_completion,
    }
}

/// `held_start_ms`: the start date of the schedule that is changed, which may lie in the past.
pub fn asked(input: CreateScheduleInput, now_ms: i64, held_start_ms: Option<i64>) -> Result<Asked> {
    let text = input.schedule_expression;
    let expression = Expression::parse(&text, Dialect::Scheduler);
    let expression =
        expression.map_err(|_| Error::invalid(format!("Invalid Schedule Expression {text}.")))?;
    let zone = input.schedule_expression_timezone;
    let zone = zone.unwrap_or_else(|| "UTC".to_owned());
    if expression::zone(&zone).is_none() {
        return Err(Error::invalid(format!(
            "Invalid Schedule Expression Timezone {zone}."
        )));
    }
    let start_ms = input.start_date.map(Timestamp::as_millisecond);
    let end_ms = input.end_date.map(Timestamp::as_millisecond);
    if !expression.is_once() {
        let held = start_ms.is_some() && start_ms == held_start_ms;
        check_dates(start_ms.filter(|_| !held), start_ms, end_ms, now_ms)?;
    }
    if input.kms_key_arn.is_some() {
        return Err(Error::unsupported("KmsKeyArn"));
    }
    let window = input.flexible_time_window;
    let window_minutes = match (window.mode.as_str(), window.maximum_window_in_minutes) {
        ("FLEXIBLE", None) => {
            return Err(Error::invalid(
                "MaximumWindowInMinutes has to be given where Mode is FLEXIBLE.",
            ));
        }
        ("FLEXIBLE", Some(minutes)) => u32::try_from(minutes).ok(),
        _ => None,
    };
    Ok(Asked {
        expression: text,
        zone,
        start_ms,
        end_ms,
        description: input.description,
        is_enabled: input.state.is_none_or(|state| state != "DISABLED"),
        window_minutes,
        deletes_itself: input
            .action_after_completion
            .is_some_and(|action| action == "DELETE"),
        target: target::asked(input.target)?,
    })
}

fn check_dates(
    new_start_ms: Option<i64>,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    now_ms: i64,
) -> Result<()> {
    if new_start_ms.is_some_and(|start| start < now_ms - limits::START_AGE_MS_MAX) {
        return Err(Error::invalid(
            "The StartDate you specify cannot be earlier than 5 minutes ago.",
        ));
    }
    let Some(end_ms) = end_ms else { return Ok(()) };
    if end_ms < now_ms {
        return Err(Error::invalid(
            "The EndDate you specify cannot be in the past.",
        ));
    }
    match start_ms {
        Some(start_ms) if start_ms >= end_ms => Err(Error::invalid(
            "The StartDate you specify must come before the EndDate.",
        )),
        _ => Ok(()),
    }
}
