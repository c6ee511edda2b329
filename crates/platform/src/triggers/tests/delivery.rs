//! What functions get, and what becomes of it.

use serde_json::json;
use tokio::sync::watch;

use super::*;

fn numbers(upto: usize) -> Vec<String> {
    (0..upto).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn every_message_reaches_the_function_and_is_deleted() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world.map("q", |_| {}).await;
    // Some while it waits, and more at once than it takes.
    world.send_all(&queue, numbers(3)).await;
    until(async || function.bodies().len() == 3).await;
    world
        .send_all(&queue, (3..500).map(|number| number.to_string()))
        .await;
    until(async || is_empty(&queue)).await;
    let mut bodies = function.bodies();
    bodies.sort_by_key(|body| body.parse::<usize>().unwrap());
    assert_eq!(bodies, numbers(500));
    assert!(function.seen().iter().all(|batch| batch.len() <= 10));
    let counts = world.parts.mappings.view().counts;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    until(async || count(&counts.deleted) == 500).await;
    assert_eq!((count(&counts.polled), count(&counts.invoked)), (500, 500));
    assert_eq!(count(&counts.concurrent), 0);
}

#[tokio::test]
async fn an_event_is_as_lambda_writes_it() {
    let (sender, mut events) = watch::channel(Value::Null);
    let function = Closure::new(move |event| {
        sender.send_replace(event);
        async { Ok("null".into()) }
    });
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world.map("q", |_| {}).await;
    world.send_all(&queue, ["hello".to_owned()]).await;
    let event = events
        .wait_for(|event| !event.is_null())
        .await
        .unwrap()
        .clone();
    let record = &event["Records"][0];
    assert_eq!(record["body"], "hello");
    assert_eq!(record["md5OfBody"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(record["messageAttributes"], json!({}));
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], key("q").arn().to_string());
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["attributes"]["SenderId"], "AIDA");
    assert_eq!(record.as_object().unwrap().len(), 9);
    // With a window it has all its members.
    let queue = world.queue("w", |_| {}).await;
    let at_once = |input: &mut api::CreateEventSourceMappingRequest| {
        input.batch_size = Some(1);
        input.maximum_batching_window_in_seconds = Some(1);
    };
    world.map("w", at_once).await;
    world.send_all(&queue, ["gathered".to_owned()]).await;
    let event = events
        .wait_for(|event| event["Records"][0]["body"] == "gathered")
        .await
        .unwrap()
        .clone();
    let record = event["Records"][0].as_object().unwrap();
    assert_eq!(record.get("md5OfMessageAttributes"), Some(&Value::Null));
    assert_eq!(record.len(), 10);
}

#[tokio::test]
async fn messages_that_no_filter_lets_through_are_deleted_unseen() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    let pattern = Some(r#"{"body": {"n": [{"numeric": [">", 1]}]}}"#.to_owned());
    let filters = Some(vec![api::Filter { pattern }]);
    world
        .map("q", |input| {
            input.filter_criteria = Some(api::FilterCriteria { filters })
        })
        .await;
    let bodies = (0..4).map(|n| json!({ "n": n }).to_string());
    world
        .send_all(&queue, bodies.chain(["text".to_owned()]))
        .await;
    until(async || is_empty(&queue)).await;
    let mut seen = function.bodies();
    seen.sort();
    assert_eq!(seen, [r#"{"n":2}"#, r#"{"n":3}"#]);
}

#[tokio::test]
async fn a_window_gathers_messages() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world
        .map("q", |input| {
            input.batch_size = Some(100);
            input.maximum_batching_window_in_seconds = Some(300);
        })
        .await;
    for ten in 0..10 {
        assert!(function.seen().is_empty());
        let bodies = (0..10).map(|number| (ten * 10 + number).to_string());
        world.send_all(&queue, bodies).await;
    }
    until(async || function.seen().len() == 1).await;
    assert_eq!(function.seen()[0].len(), 100);
    // What is too few waits until the window is over.
    world.send_all(&queue, numbers(2)).await;
    until(async || queue.counts().in_flight == 2).await;
    assert_eq!(function.seen().len(), 1);
    world.parts.clock.advance(300_000);
    // The clock was moved by hand: something has to happen for the poller to see it.
    world.send_all(&queue, ["one more".to_owned()]).await;
    until(async || function.seen().len() == 2).await;
}

#[tokio::test]
async fn failed_messages_come_back_and_the_others_do_not() {
    let function = Closure::new(async |event: Value| {
        let records = event["Records"].as_array().unwrap();
        let failed = records.iter().filter(|record| {
            record["body"].as_str().unwrap().starts_with("bad")
                && record["attributes"]["ApproximateReceiveCount"] == "1"
        });
        let failed = failed.map(|record| json!({"itemIdentifier": record["messageId"]}));
        Ok(json!({"batchItemFailures": failed.collect::<Vec<_>>()}).to_string())
    });
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world
        .map("q", |input| {
            input.function_response_types = Some(vec!["ReportBatchItemFailures".into()]);
        })
        .await;
    let bodies = ["good 1", "bad 1", "good 2", "bad 2"].map(str::to_owned);
    world.send_all(&queue, bodies.clone()).await;
    until(async || function.bodies().len() == 4).await;
    until(async || queue.counts().in_flight == 2).await;
    world.parts.clock.advance(31_000);
    until(async || is_empty(&queue)).await;
    let mut again = function.bodies().split_off(4);
    again.sort();
    assert_eq!(again, ["bad 1", "bad 2"]);
}

#[tokio::test]
async fn no_more_batches_run_at_once_than_are_allowed() {
    let gate = watch::channel(false).0;
    let open = gate.clone();
    let function = Closure::new(move |_| {
        let mut open = open.subscribe();
        async move {
            let _ = open.wait_for(|open| *open).await;
            Ok("null".into())
        }
    });
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world
        .map("q", |input| {
            input.batch_size = Some(1);
            input.scaling_config = Some(api::ScalingConfig {
                maximum_concurrency: Some(3),
            });
        })
        .await;
    world.send_all(&queue, numbers(20)).await;
    until(async || function.running.load(Ordering::SeqCst) == 3).await;
    // The others have not been taken from the queue: their time there is not used up by waiting.
    assert_eq!(queue.counts().in_flight, 3);
    gate.send_replace(true);
    until(async || is_empty(&queue)).await;
    assert_eq!(function.most.load(Ordering::SeqCst), 3);
}
