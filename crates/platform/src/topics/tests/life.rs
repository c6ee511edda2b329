//! Subscriptions from their beginning to their end, with what strangers may.

use super::*;

#[tokio::test]
async fn an_endpoint_is_asked_before_and_told_after() {
    let world = World::new().await;
    let endpoint = Arc::new(Endpoint::default());
    world.parts.deliveries.register("http", endpoint.clone());
    let topic = world.topic("t", &[]).await;
    let topics = &world.parts.topics;
    let url = "http://example.com/x";
    let subscription = world.subscribe(&topic, ("http", url), &[]).await;
    world.publish(&topic, "too soon").await;
    until(async || endpoint.count() == 1).await;
    let (headers, asked) = endpoint.0.lock().unwrap()[0].clone();
    assert_eq!(
        headers["x-amz-sns-message-type"],
        "SubscriptionConfirmation"
    );
    let token = asked["Token"].as_str().unwrap().to_owned();
    let confirm = async |token: &str| {
        let input = api::ConfirmSubscriptionInput {
            topic_arn: topic.clone(),
            token: token.into(),
            authenticate_on_unsubscribe: None,
        };
        topics.confirm_subscription(&nobody(), input).await
    };
    assert!(confirm("other").await.is_err());
    let confirmed = confirm(&token).await.unwrap();
    assert_eq!(confirmed.subscription_arn.as_deref(), Some(&*subscription));
    assert_eq!(confirm(&token).await.unwrap(), confirmed);
    world.publish(&topic, "now").await;
    until(async || endpoint.count() == 2).await;
    let (headers, told) = endpoint.0.lock().unwrap()[1].clone();
    assert_eq!(headers["x-amz-sns-subscription-arn"], subscription);
    assert_eq!(told["Message"], "now");
    let end = api::UnsubscribeInput {
        subscription_arn: subscription.clone(),
    };
    SNS::unsubscribe(topics, &nobody(), end.clone())
        .await
        .unwrap();
    SNS::unsubscribe(topics, &nobody(), end).await.unwrap();
    until(async || endpoint.count() == 3).await;
    let (_, told) = endpoint.0.lock().unwrap()[2].clone();
    assert_eq!(told["Type"], "UnsubscribeConfirmation");
    // It can come back.
    let back = confirm(told["Token"].as_str().unwrap()).await.unwrap();
    assert_ne!(back.subscription_arn.as_deref(), Some(&*subscription));
    world.publish(&topic, "again").await;
    until(async || endpoint.count() == 4).await;
}

#[tokio::test]
async fn what_nobody_confirms_goes_and_what_is_stored_stays() {
    let world = World::new().await;
    let endpoint = Arc::new(Endpoint::default());
    world.parts.deliveries.register("http", endpoint);
    let topic = world.topic("t", &[("DisplayName", "d")]).await;
    world.queue("q").await;
    let filter = [("FilterPolicy", r#"{"a": ["b"]}"#)];
    let kept = world
        .subscribe(&topic, ("sqs", &queue_arn("q")), &filter)
        .await;
    world
        .subscribe(&topic, ("http", "http://example.com/"), &[])
        .await;
    let world = world.crashed().await;
    let list = async || {
        let input = api::ListSubscriptionsByTopicInput {
            topic_arn: topic.clone(),
            next_token: None,
        };
        let cx = cx();
        let listed = world.parts.topics.list_subscriptions_by_topic(&cx, input);
        let listed = listed.await.unwrap().subscriptions.unwrap();
        let arns = listed.into_iter().map(|it| it.subscription_arn.unwrap());
        arns.collect::<Vec<_>>()
    };
    let mut both = vec![kept.clone(), "PendingConfirmation".to_owned()];
    let mut listed = list().await;
    both.sort();
    listed.sort();
    assert_eq!(listed, both);
    world.parts.clock.advance(limits::PENDING_MS_MAX);
    world.parts.topics.tidy().await.unwrap();
    assert_eq!(list().await, std::slice::from_ref(&kept));
    let input = api::GetSubscriptionAttributesInput {
        subscription_arn: kept,
    };
    let cx = cx();
    let shown = world.parts.topics.get_subscription_attributes(&cx, input);
    let shown = shown.await.unwrap().attributes.unwrap();
    assert_eq!(shown["FilterPolicy"], filter[0].1);
    assert_eq!(shown["FilterPolicyScope"], "MessageAttributes");
    let input = api::GetTopicAttributesInput { topic_arn: topic };
    let shown = world.parts.topics.get_topic_attributes(&cx, input);
    assert_eq!(shown.await.unwrap().attributes.unwrap()["DisplayName"], "d");
}

#[tokio::test]
async fn another_account_may_what_the_policy_says() {
    let world = World::new().await;
    let topic = world.topic("t", &[]).await;
    let other = Context {
        account_id: "222222222222".into(),
        ..cx()
    };
    let publish = async || {
        let input = api::PublishInput {
            topic_arn: Some(topic.clone()),
            message: "m".into(),
            ..Default::default()
        };
        SNS::publish(&world.parts.topics, &other, input).await
    };
    let refused = publish().await.expect_err("it is refused");
    assert_eq!(refused.code, "AuthorizationErrorException");
    assert!(
        refused.message.contains("SNS:Publish"),
        "{}",
        refused.message
    );
    let permission = api::AddPermissionInput {
        topic_arn: topic.clone(),
        label: "l".into(),
        aws_account_id: vec![other.account_id.clone()],
        action_name: vec!["Publish".into()],
    };
    let topics = &world.parts.topics;
    SNS::add_permission(topics, &cx(), permission)
        .await
        .unwrap();
    assert!(publish().await.is_ok());
    let input = api::DeleteTopicInput {
        topic_arn: topic.clone(),
    };
    assert!(topics.delete_topic(&other, input.clone()).await.is_err());
    topics.delete_topic(&cx(), input).await.unwrap();
    assert_eq!(
        publish().await.expect_err("it is gone").code,
        "NotFoundException"
    );
}
