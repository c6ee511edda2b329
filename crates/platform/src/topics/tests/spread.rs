//! Who gets what of a message.

use super::*;
use crate::deliveries::{Delivery, Sender};

#[tokio::test]
async fn a_message_is_with_all_who_want_it_when_it_is_acknowledged() {
    let world = World::new().await;
    let topic = world.topic("t", &[]).await;
    let (all, some, raw) = (
        world.queue("all").await,
        world.queue("some").await,
        world.queue("raw").await,
    );
    let subscription = world
        .subscribe(&topic, ("sqs", &queue_arn("all")), &[])
        .await;
    let filter = [("FilterPolicy", r#"{"kind": ["news"]}"#)];
    world
        .subscribe(&topic, ("sqs", &queue_arn("some")), &filter)
        .await;
    let as_it_is = [("RawMessageDelivery", "true")];
    world
        .subscribe(&topic, ("sqs", &queue_arn("raw")), &as_it_is)
        .await;
    let attribute = api::MessageAttributeValue {
        data_type: "String".into(),
        string_value: Some("news".into()),
        binary_value: None,
    };
    let published = world.publish_with(&topic, "first", |input| {
        input.subject = Some("s".into());
        let attributes = [("kind".to_owned(), attribute)];
        input.message_attributes = Some(attributes.into_iter().collect());
    });
    let id = published.await.unwrap().message_id.unwrap();
    world.publish(&topic, "second").await;
    let both = world.received(&all, 10).await;
    assert_eq!(both.len(), 2);
    let notification = json(&both[0]);
    assert_eq!(notification["MessageId"], Value::from(id));
    assert_eq!(notification["Message"], "first");
    assert_eq!(notification["Subject"], "s");
    assert_eq!(notification["MessageAttributes"]["kind"]["Value"], "news");
    let end = notification["UnsubscribeURL"].as_str().unwrap();
    assert!(end.ends_with(&subscription), "{end}");
    let filtered = world.received(&some, 10).await;
    assert_eq!(filtered.len(), 1);
    assert_eq!(json(&filtered[0])["Message"], "first");
    let plain = world.received(&raw, 10).await;
    assert_eq!(plain[0].content.body, "first");
    assert_eq!(plain[0].content.attributes[0].0, "kind");
    // Nothing waits in a lane.
    let waiting = world.parts.deliveries.waiting();
    assert_eq!(waiting, crate::deliveries::Waiting::default());
}

#[tokio::test]
async fn a_service_publishes_as_the_policy_says() {
    let world = World::new().await;
    let topic = world.topic("t", &[]).await;
    let queue = world.queue("q").await;
    world.subscribe(&topic, ("sqs", &queue_arn("q")), &[]).await;
    let send = async |principal: &str, role: Option<&str>| {
        let from = Sender {
            principal: principal.into(),
            source_arn: format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/r"),
            account_id: ACCOUNT.into(),
            region: "us-east-1".into(),
        };
        let delivery = Delivery {
            role: role.map(str::to_owned),
            ..Delivery::new(from, topic.as_str(), principal)
        };
        world.parts.deliveries.send(vec![delivery]).await.unwrap();
        world
            .received(&queue, 10)
            .await
            .iter()
            .map(json)
            .collect::<Vec<_>>()
    };
    assert!(send("events.amazonaws.com", None).await.is_empty());
    // Alarms of the topic's account need no statement.
    let alarm = send("cloudwatch.amazonaws.com", None).await;
    assert_eq!(alarm[0]["Message"], "cloudwatch.amazonaws.com");
    let role = format!("arn:aws:iam::{ACCOUNT}:role/r");
    assert_eq!(send("events.amazonaws.com", Some(&role)).await.len(), 1);
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"}, "Action": "sns:Publish",
        "Resource": "*", "Condition": {"ArnLike": {
            "aws:SourceArn": "arn:aws:events:us-east-1:111111111111:rule/*"}}}]}"#;
    let set = api::SetTopicAttributesInput {
        topic_arn: topic.clone(),
        attribute_name: "Policy".into(),
        attribute_value: Some(policy.into()),
    };
    world
        .parts
        .topics
        .set_topic_attributes(&cx(), set)
        .await
        .unwrap();
    assert_eq!(send("events.amazonaws.com", None).await.len(), 1);
}

#[tokio::test]
async fn what_a_queue_does_not_take_is_a_dead_letter() {
    let world = World::new().await;
    let topic = world.topic("t", &[]).await;
    let dead = world.queue("dead").await;
    let policy = format!(r#"{{"deadLetterTargetArn": "{}"}}"#, queue_arn("dead"));
    let redrive = [("RedrivePolicy", policy.as_str())];
    world
        .subscribe(&topic, ("sqs", &queue_arn("none")), &redrive)
        .await;
    world.publish(&topic, "lost").await;
    let found = std::sync::Mutex::new(None);
    until(async || {
        let mut received = world.received(&dead, 1).await;
        *found.lock().unwrap() = received.pop();
        found.lock().unwrap().is_some()
    })
    .await;
    let letter = found.into_inner().unwrap().unwrap();
    assert_eq!(json(&letter)["Message"], "lost");
}
