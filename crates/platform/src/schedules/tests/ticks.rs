//! What happens when, and what does not.

use std::collections::HashMap;

use serde_json::Value;
use wire::scheduler::{
    CreateScheduleGroupInput, DeadLetterConfig, DeleteScheduleGroupInput, GetScheduleGroupInput,
    UpdateScheduleInput,
};

use super::*;
use crate::queues::message::AttributeValue;

#[tokio::test]
async fn one_point_in_time_comes_when_it_is_there_in_its_zone() {
    let world = World::new().await;
    world.queue("q").await;
    world
        .create("once", "at(2027-03-28T03:00:00)", |input| {
            input.schedule_expression_timezone = Some("Europe/Berlin".into());
            input.target.input =
                Some(r#"{"of": "<aws.scheduler.schedule-arn>", "at": "<aws.scheduler.scheduled-time>", "try": <aws.scheduler.attempt-number>, "id": "<aws.scheduler.execution-id>"}"#.into());
        })
        .await;
    // The clocks there go from 02:00 to 03:00, which is 01:00 in UTC.
    world.pass(HOUR, HOUR).await;
    assert_eq!(world.bodies("q").await, [""; 0]);
    world.pass(30_000, 30_000).await;
    let bodies = world.bodies("q").await;
    let body: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(body["at"], "2027-03-28T01:00:00Z");
    assert_eq!(body["try"], 1);
    assert_eq!(
        body["of"],
        "arn:aws:scheduler:us-east-1:111111111111:schedule/default/once"
    );
    assert!(!body["id"].as_str().unwrap().is_empty());
    // It stays, and comes no more.
    world.pass(10 * HOUR, HOUR).await;
    assert_eq!(world.bodies("q").await.len(), 0);
    assert_eq!(world.get("once").await.unwrap().state.unwrap(), "ENABLED");
    assert_eq!(world.parts.timers.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_rate_begins_at_once_and_a_cron_skips_what_the_clocks_leave_out() {
    let world = World::new().await;
    world.queue("q").await;
    world.queue("nights").await;
    world.create("often", "rate(1 minute)", |_| {}).await;
    world
        .create("nightly", "cron(30 2 * * ? *)", |input| {
            input.schedule_expression_timezone = Some("Europe/Berlin".into());
            input.target.arn = arn("nights");
        })
        .await;
    world.settle().await;
    world.pass(4 * MINUTE, MINUTE).await;
    assert_eq!(
        world.minutes("q").await,
        [
            "2027-03-27T23:59",
            "2027-03-28T00:00",
            "2027-03-28T00:01",
            "2027-03-28T00:02",
            "2027-03-28T00:03"
        ]
    );
    world.delete("often").await.unwrap();
    world.pass(60 * HOUR, HOUR).await;
    assert_eq!(
        world.bodies("nights").await,
        ["2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z"]
    );
}

#[tokio::test]
async fn what_is_disabled_deleted_or_over_does_not_come() {
    let world = World::new().await;
    world.queue("q").await;
    let end = ms(START) + 2 * MINUTE + 30_000;
    world
        .create("ends", "rate(1 minute)", |input| {
            input.end_date = Some(Timestamp::from_millisecond(end).unwrap());
            input.action_after_completion = Some("DELETE".into());
            input.target.input = Some("ends".into());
        })
        .await;
    world
        .create("off", "rate(1 minute)", |input| {
            input.state = Some("DISABLED".into());
        })
        .await;
    world.create("gone", "cron(* * * * ? *)", |_| {}).await;
    world.delete("gone").await.unwrap();
    world.settle().await;
    world.pass(5 * MINUTE, MINUTE).await;
    assert_eq!(world.bodies("q").await, ["ends"; 3]);
    let gone = world.get("ends").await.unwrap_err();
    assert_eq!(gone.code, "ResourceNotFoundException");
    assert_eq!(gone.message, "Schedule ends does not exist.");
    assert_eq!(world.get("off").await.unwrap().state.unwrap(), "DISABLED");
    assert_eq!(world.parts.timers.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_change_that_leaves_the_times_alone_keeps_the_rhythm() {
    let world = World::new().await;
    world.queue("q").await;
    world.queue("other").await;
    world.create("often", "rate(10 minutes)", |_| {}).await;
    world.settle().await;
    world.pass(4 * MINUTE, MINUTE).await;
    let change = |expression: &str| {
        let input = input("often", expression);
        UpdateScheduleInput {
            name: input.name,
            schedule_expression: input.schedule_expression,
            flexible_time_window: input.flexible_time_window,
            target: Target {
                arn: arn("other"),
                ..input.target
            },
            ..UpdateScheduleInput::default()
        }
    };
    let update = async |input| world.parts.schedules.update_schedule(&cx(), input).await;
    update(change("rate(10 minutes)")).await.unwrap();
    world.pass(6 * MINUTE, MINUTE).await;
    assert_eq!(world.minutes("q").await, ["2027-03-27T23:59"]);
    assert_eq!(world.minutes("other").await, ["2027-03-28T00:09"]);
    // Another rate begins at once.
    update(change("rate(20 minutes)")).await.unwrap();
    world.settle().await;
    assert_eq!(world.minutes("other").await, ["2027-03-28T00:09"]);
}

#[tokio::test]
async fn what_cannot_be_delivered_is_a_dead_letter_in_schedulers_words() {
    let world = World::new().await;
    world.queue("dead").await;
    world
        .create("lost", "rate(1 day)", |input| {
            input.target.arn = arn("nowhere");
            input.target.dead_letter_config = Some(DeadLetterConfig {
                arn: Some(arn("dead")),
            });
        })
        .await;
    world.settle().await;
    let letter = loop {
        if let Some(letter) = world.received("dead").await.pop() {
            break letter;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(body_of(&letter).starts_with("2027-03-27T23:59:"));
    let attributes: HashMap<&str, &str> = letter
        .content
        .attributes
        .iter()
        .filter_map(|(name, held)| match &held.value {
            AttributeValue::Text(text) => Some((name.as_str(), text.as_str())),
            AttributeValue::Binary(_) => None,
        })
        .collect();
    let schedule = "arn:aws:scheduler:us-east-1:111111111111:schedule/default/lost";
    assert_eq!(attributes["SCHEDULE_ARN"], schedule);
    assert_eq!(attributes["TARGET_ARN"], arn("nowhere"));
    assert_eq!(attributes["SCHEDULED_TIME"], body_of(&letter));
    assert_eq!(attributes["IS_PAYLOAD_TRUNCATED"], "false");
    assert_eq!(attributes["RETRY_ATTEMPTS"], "0");
    assert!(attributes.contains_key("EXECUTION_ID"));
    assert!(attributes.contains_key("ERROR_CODE"));
    assert!(attributes.contains_key("ERROR_MESSAGE"));
}

#[tokio::test]
async fn a_group_goes_with_all_that_is_in_it() {
    let world = World::new().await;
    world.queue("q").await;
    let schedules = &world.parts.schedules;
    let group = || CreateScheduleGroupInput {
        name: "many".into(),
        ..CreateScheduleGroupInput::default()
    };
    schedules
        .create_schedule_group(&cx(), group())
        .await
        .unwrap();
    let mut made = tokio::task::JoinSet::new();
    for n in 0..1_100 {
        let schedules = schedules.clone();
        made.spawn(async move {
            let mut input = input(&format!("s{n}"), "cron(0 0 1 1 ? *)");
            input.group_name = Some("many".into());
            schedules.create_schedule(&cx(), input).await.unwrap();
        });
    }
    made.join_all().await;
    world.create("stays", "cron(0 0 1 1 ? *)", |_| {}).await;
    assert_eq!(world.parts.timers.count().await.unwrap(), 1_101);
    let delete = DeleteScheduleGroupInput {
        name: "many".into(),
        client_token: None,
    };
    schedules
        .delete_schedule_group(&cx(), delete)
        .await
        .unwrap();
    loop {
        let get = GetScheduleGroupInput {
            name: "many".into(),
        };
        match schedules.get_schedule_group(&cx(), get).await {
            Ok(group) => assert_eq!(group.state.unwrap(), "DELETING"),
            Err(error) => break assert_eq!(error.message, "Schedule group many does not exist."),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.parts.timers.count().await.unwrap(), 1);
    schedules
        .create_schedule_group(&cx(), group())
        .await
        .unwrap();
}
