//! What is tried again, when, and how often.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn a_failure_is_tried_twice_more_and_always_as_the_same_request() {
    let function = Closure::answering(Err(Failure::Error));
    let world = World::new(&function).await;
    let failed = world.queue("failed").await;
    world.destinations("f", None, queue_arn("failed")).await;
    let cx = cx();
    world.send_as(&cx, "f", r#"{"n": 1}"#).await.unwrap();
    for (tries, after_ms) in [(1, 60_000), (2, 120_000)] {
        world.delayed("f").await;
        assert_eq!(function.tries("f"), tries);
        world.parts.clock.advance(after_ms - 20_000);
        assert_eq!(world.events_of("f").delayed, 1, "it is not time yet");
        world.parts.clock.advance(20_000);
        until(async || function.tries("f") > tries).await;
    }
    let record = world.record(&failed).await;
    world.idle("f").await;
    assert_eq!(function.tries("f"), 3);
    let same = |asked: &Invocation| asked.request_id == cx.request_id;
    assert!(function.asked("f").iter().all(same));
    assert_eq!(record["requestContext"]["requestId"], cx.request_id);
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(
        record["requestContext"]["functionArn"],
        format!("{}:$LATEST", function_arn("f").unwrap())
    );
    assert_eq!(record["requestPayload"]["n"], 1);
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorMessage"], "told to");
}

#[tokio::test]
async fn fewer_retries_are_kept() {
    let function = Closure::answering(Err(Failure::Error));
    let world = World::new(&function).await;
    let failed = world.queue("failed").await;
    let configured = world.configure("f", |input| {
        input.maximum_retry_attempts = Some(0);
        input.destination_config = Some(api::DestinationConfig {
            on_failure: Some(api::OnFailure {
                destination: queue_arn("failed"),
            }),
            on_success: None,
        });
    });
    configured.await.unwrap();
    world.send("f", "{}").await.unwrap();
    let record = world.record(&failed).await;
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    world.idle("f").await;
    assert_eq!(function.tries("f"), 1);
}

#[tokio::test]
async fn an_event_whose_next_try_would_be_too_late_is_given_up() {
    let function = Closure::answering(Err(Failure::Error));
    let world = World::new(&function).await;
    let failed = world.queue("failed").await;
    world.destinations("f", None, queue_arn("failed")).await;
    let update = api::UpdateFunctionEventInvokeConfigRequest {
        function_name: "f".into(),
        maximum_event_age_in_seconds: Some(100),
        ..Default::default()
    };
    let events = &world.parts.events;
    let cx = cx();
    let updated = events.update_function_event_invoke_config(&cx, update);
    updated.await.unwrap();
    world.send("f", "{}").await.unwrap();
    world.delayed("f").await;
    world.parts.clock.advance(60_000);
    let record = world.record(&failed).await;
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
}

#[tokio::test]
async fn a_throttled_event_waits_and_that_is_no_retry() {
    let left = Arc::new(AtomicUsize::new(3));
    let function = Closure::new(move |_, _| {
        let throttled = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        async move {
            match throttled {
                Ok(_) => Err(Failure::Throttled),
                Err(_) => Err(Failure::Error),
            }
        }
    });
    let world = World::new(&function).await;
    let failed = world.queue("failed").await;
    world.destinations("f", None, queue_arn("failed")).await;
    world.send("f", "{}").await.unwrap();
    // It waits for one, two and four seconds.
    for tries in 1..=3 {
        until(async || function.tries("f") == tries).await;
        until(async || world.events_of("f").in_flight == 1).await;
        world.parts.clock.advance(1_000 << (tries - 1));
    }
    for after_ms in [60_000, 120_000] {
        world.delayed("f").await;
        world.parts.clock.advance(after_ms);
    }
    let record = world.record(&failed).await;
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(function.tries("f"), 6);
    let counts = world.parts.events.counts();
    assert_eq!(counts.refused.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_never_gets_room_is_given_up_after_its_age() {
    let function = Closure::answering(Err(Failure::Throttled));
    let world = World::new(&function).await;
    let failed = world.queue("failed").await;
    world.destinations("f", None, queue_arn("failed")).await;
    world.send("f", r#"{"n": 7}"#).await.unwrap();
    until(async || function.tries("f") == 1).await;
    world.parts.clock.advance(21_600_000);
    let record = world.record(&failed).await;
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
    assert_eq!(record["requestPayload"]["n"], 7);
    assert!(record.get("responseContext").is_none());
    world.idle("f").await;
    let dropped = &world.parts.events.counts().dropped;
    assert_eq!(dropped.age_exceeded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_retry_waits_also_over_the_end_of_the_process() {
    let function = Closure::answering(Err(Failure::Error));
    let world = World::new(&function).await;
    world.send("f", "{}").await.unwrap();
    world.delayed("f").await;
    let world = world.crashed(&function).await;
    world.delayed("f").await;
    assert_eq!(function.tries("f"), 1);
    world.parts.clock.advance(60_000);
    until(async || function.tries("f") == 2).await;
    world.delayed("f").await;
    world.parts.clock.advance(120_000);
    world.idle("f").await;
    assert_eq!(function.tries("f"), 3, "the first try was not forgotten");
}
