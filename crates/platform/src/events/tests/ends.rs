//! Where an event's end is told: destinations and dead-letter queues, and loops through them.

use std::sync::atomic::Ordering;

use super::*;
use crate::functions::lineage;

#[tokio::test]
async fn success_is_told_to_a_queue_with_both_payloads() {
    let function = Closure::answering(Ok(r#"{"answer": 42}"#.into()));
    let world = World::new(&function).await;
    let done = world.queue("done").await;
    world.destinations("f", queue_arn("done"), None).await;
    world.send("f", r#"{"n": 1}"#).await.unwrap();
    let message = world.received(&done).await;
    let record: Value = serde_json::from_str(&message.content.body).unwrap();
    assert_eq!(record["version"], "1.0");
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["requestPayload"]["n"], 1);
    assert_eq!(
        record["responseContext"],
        serde_json::json!({"statusCode": 200, "executedVersion": "$LATEST"})
    );
    assert_eq!(record["responsePayload"]["answer"], 42);
    let traced = message.content.trace_header.as_deref();
    let mark = lineage::mark_of(&function_arn("f").unwrap());
    assert_eq!(lineage::runs_of(traced, &mark), 1);
    world.idle("f").await;
}

#[tokio::test]
async fn a_function_as_a_destination_gets_the_record_as_its_event() {
    let function = Closure::answering(Ok("1".into()));
    let world = World::new(&function).await;
    world.function("g").await;
    world.destinations("f", function_arn("g"), None).await;
    world.send("f", r#"{"n": 1}"#).await.unwrap();
    until(async || function.tries("g") == 1).await;
    let asked = function.asked("g").remove(0);
    let record: Value = serde_json::from_slice(&asked.payload).unwrap();
    assert_eq!(record["requestPayload"]["n"], 1);
    assert_eq!(record["responsePayload"], 1);
    assert_eq!(Some(asked.invoked_function_arn), function_arn("g"));
    world.idle("g").await;
}

#[tokio::test]
async fn a_dead_letter_and_a_record_go_out_together() {
    let function = Closure::answering(Err(Failure::Error));
    let world = World::new(&function).await;
    let (letters, failed) = (world.queue("letters").await, world.queue("failed").await);
    let dead_letter = api::DeadLetterConfig {
        target_arn: queue_arn("letters"),
    };
    world
        .function_with("g", |input| input.dead_letter_config = Some(dead_letter))
        .await;
    let configured = world.configure("g", |input| {
        input.maximum_retry_attempts = Some(0);
        input.destination_config = Some(api::DestinationConfig {
            on_success: None,
            on_failure: Some(api::OnFailure {
                destination: queue_arn("failed"),
            }),
        });
    });
    configured.await.unwrap();
    let cx = cx();
    world.send_as(&cx, "g", r#"{"n": 1}"#).await.unwrap();
    let letter = world.received(&letters).await;
    assert_eq!(letter.content.body, r#"{"n": 1}"#);
    assert_eq!(attribute(&letter, "RequestID"), cx.request_id);
    assert_eq!(attribute(&letter, "ErrorCode"), "200");
    assert_eq!(attribute(&letter, "ErrorMessage"), "told to");
    let record = world.record(&failed).await;
    assert_eq!(record["requestContext"]["requestId"], cx.request_id);
    world.idle("g").await;
}

#[tokio::test]
async fn a_destination_that_is_gone_costs_the_record_and_is_counted() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let done = world.queue("done").await;
    world.destinations("f", queue_arn("done"), None).await;
    world.parts.queues.delete_queue(&done).await.unwrap();
    world.send("f", "{}").await.unwrap();
    let counts = world.parts.events.counts();
    until(async || counts.destination_errors.load(Ordering::Relaxed) == 1).await;
    world.idle("f").await;
    assert_eq!(function.tries("f"), 1);
}

#[tokio::test]
async fn what_is_no_destination_is_refused() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let check = async |arn: &str, says: &str| {
        let config = api::DestinationConfig {
            on_success: None,
            on_failure: Some(api::OnFailure {
                destination: Some(arn.to_owned()),
            }),
        };
        let put = world.configure("f", |input| input.destination_config = Some(config));
        let error = put.await.expect_err("it is refused").to_string();
        assert!(error.contains(says), "{arn}: {error}");
    };
    let own = function_arn("f").unwrap();
    check(&own, "as a destination for itself").await;
    check(&function_arn("g").unwrap(), "is invalid").await;
    check(&queue_arn("none").unwrap(), "is invalid").await;
    let service = |name: &str| format!("arn:aws:{name}:us-east-1:{ACCOUNT}:x");
    check(&service("sns"), "is invalid").await;
    check(&service("events"), "An event bus as a destination").await;
    check(&service("s3"), "An S3 bucket as a destination").await;
    check(&service("iam"), "The provided destination config").await;
    let nothing = world.configure("f", |_| {}).await;
    let error = nothing.expect_err("it is refused").to_string();
    assert!(error.contains("at least one of"), "{error}");
}

#[tokio::test]
async fn a_loop_through_destinations_ends_after_sixteen_runs() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    world.function("g").await;
    let (f_failed, g_failed) = (world.queue("f-failed").await, world.queue("g-failed").await);
    world
        .destinations("f", function_arn("g"), queue_arn("f-failed"))
        .await;
    world
        .destinations("g", function_arn("f"), queue_arn("g-failed"))
        .await;
    world.send("f", "{}").await.unwrap();
    let record = world.record(&f_failed).await;
    world.idle("f").await;
    world.idle("g").await;
    assert_eq!(record["requestContext"]["condition"], "RecursiveInvocation");
    assert!(record.get("responsePayload").is_none());
    assert_eq!((function.tries("f"), function.tries("g")), (16, 16));
    assert_eq!(g_failed.counts(), Counts::default());
    let dropped = &world.parts.events.counts().dropped;
    assert_eq!(dropped.recursive.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_loop_that_is_allowed_goes_on() {
    let function = Closure::new(|name, asked: Invocation| async move {
        // Long enough.
        let mark = lineage::mark_of(&function_arn("f").unwrap());
        let runs = lineage::runs_of(asked.trace_id.as_deref(), &mark);
        match name == "f" && runs > 20 {
            true => Err(Failure::Error),
            false => Ok("{}".into()),
        }
    });
    let world = World::new(&function).await;
    world.function("g").await;
    for name in ["f", "g"] {
        let input = api::PutFunctionRecursionConfigRequest {
            function_name: name.into(),
            recursive_loop: "Allow".into(),
        };
        let functions = &world.parts.functions;
        let put = functions.put_function_recursion_config(&cx(), input).await;
        assert_eq!(put.unwrap().recursive_loop.as_deref(), Some("Allow"));
    }
    world.destinations("f", function_arn("g"), None).await;
    world.destinations("g", function_arn("f"), None).await;
    world.send("f", "{}").await.unwrap();
    world.delayed("f").await;
    assert_eq!(function.tries("f"), 21);
}

#[tokio::test]
async fn a_function_that_is_off_gives_its_events_away_untried() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let failed = world.queue("failed").await;
    world.destinations("f", None, queue_arn("failed")).await;
    let reserve = api::PutFunctionConcurrencyRequest {
        function_name: "f".into(),
        reserved_concurrent_executions: 0,
    };
    let functions = &world.parts.functions;
    functions
        .put_function_concurrency(&cx(), reserve)
        .await
        .unwrap();
    world.send("f", "{}").await.unwrap();
    let record = world.record(&failed).await;
    assert_eq!(
        record["requestContext"]["condition"],
        "ZeroReservedConcurrency"
    );
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
    assert_eq!(function.tries("f"), 0);
}
