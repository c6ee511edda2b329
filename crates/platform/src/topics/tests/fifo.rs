//! FIFO topics: order, and messages that are known from before.

use super::*;

#[tokio::test]
async fn duplicates_are_answered_and_not_sent_also_after_a_restart() {
    let world = World::new().await;
    let fifo = [("FifoTopic", "true"), ("ContentBasedDeduplication", "true")];
    let topic = world.topic("t.fifo", &fifo).await;
    let queue = world.queue("q.fifo").await;
    let raw = [("RawMessageDelivery", "true")];
    world
        .subscribe(&topic, ("sqs", &queue_arn("q.fifo")), &raw)
        .await;
    let publish = async |world: &World, message: &str| {
        let group = Some("g".to_owned());
        let published = world.publish_with(&topic, message, |it| it.message_group_id = group);
        published.await.unwrap()
    };
    let first = publish(&world, "1").await;
    assert_eq!(publish(&world, "1").await, first);
    let second = publish(&world, "2").await;
    assert!(second.sequence_number > first.sequence_number);
    assert_eq!(first.sequence_number.as_ref().map(String::len), Some(20));
    let world = world.crashed().await;
    assert_eq!(publish(&world, "1").await, first);
    world.parts.clock.advance(limits::DEDUPLICATION_MS);
    let again = publish(&world, "1").await;
    assert!(again.sequence_number > second.sequence_number);
    let queue = world.parts.queues.find(&queue.key).unwrap();
    let bodies: Vec<String> = world
        .received(&queue, 10)
        .await
        .iter()
        .map(|it| it.content.body.clone())
        .collect();
    assert_eq!(bodies, ["1", "2", "1"]);
}

#[tokio::test]
async fn many_publishers_are_put_in_one_order() {
    let world = World::new().await;
    let topic = world.topic("t.fifo", &[("FifoTopic", "true")]).await;
    let queues = [world.queue("a.fifo").await, world.queue("b.fifo").await];
    for queue in &queues {
        let arn = queue.key.arn().to_string();
        world.subscribe(&topic, ("sqs", &arn), &[]).await;
    }
    let publishing = (0..20).map(|number| {
        let (topics, topic) = (world.parts.topics.clone(), topic.clone());
        tokio::spawn(async move {
            let input = api::PublishInput {
                topic_arn: Some(topic),
                message: number.to_string(),
                message_group_id: Some("g".into()),
                message_deduplication_id: Some(number.to_string()),
                ..Default::default()
            };
            SNS::publish(&topics, &cx(), input).await.unwrap();
        })
    });
    let publishing: Vec<_> = publishing.collect();
    for one in publishing {
        one.await.unwrap();
    }
    let mut orders = Vec::new();
    for queue in &queues {
        let received = world.received(queue, 20).await;
        let numbers: Vec<String> = received
            .iter()
            .map(|it| json(it)["SequenceNumber"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(numbers.len(), 20);
        assert!(numbers.is_sorted());
        orders.push(numbers);
    }
    assert_eq!(orders[0], orders[1]);
}
