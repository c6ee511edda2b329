//! Events from their acceptance on: durable, one function's apart from another's, gone with it.

use tokio::sync::watch;

use super::*;

#[tokio::test]
async fn an_event_runs_as_the_request_that_it_came_with() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let input = api::InvocationRequest {
        function_name: "f".into(),
        invocation_type: Some("Event".into()),
        payload: Some(Bytes::from_static(br#"{ "n":1 }"#)),
        client_context: Some("eyJhIjoxfQ==".into()),
        ..Default::default()
    };
    let cx = cx();
    world.parts.events.invoke(&cx, input).await.unwrap();
    until(async || function.tries("f") == 1).await;
    let asked = function.asked("f").remove(0);
    assert_eq!(asked.payload, Bytes::from_static(br#"{ "n":1 }"#));
    assert_eq!(asked.request_id, cx.request_id);
    assert_eq!(asked.client_context.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(Some(asked.invoked_function_arn), function_arn("f"));
    world.idle("f").await;
    assert!(
        world.parts.queues.all().is_empty(),
        "no client sees its queue"
    );
    assert!(world.parts.queues.list(ACCOUNT, "us-east-1").is_empty());
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_at_once() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let check = async |name: &str, payload: &str, says: &str| {
        let error = world.send(name, payload).await.expect_err("it is refused");
        assert!(error.to_string().contains(says), "{error}");
    };
    check("g", "{}", "Function not found").await;
    check("f:live", "{}", "live").await;
    check("f", "{", "Could not parse request body into json").await;
    let large = format!("\"{}\"", "x".repeat(1_048_575));
    check(
        "f",
        &large,
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
    )
    .await;
    world
        .send("f", &large[1..].replacen('x', "\"", 1))
        .await
        .unwrap();
    until(async || function.tries("f") == 1).await;
}

#[tokio::test]
async fn the_older_form_does_the_same() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let input = api::InvokeAsyncRequest {
        function_name: "f".into(),
        invoke_args: Bytes::from_static(b"[1]"),
    };
    let answer = world.parts.events.invoke_async(&cx(), input).await.unwrap();
    assert_eq!(answer.status, Some(202));
    until(async || function.tries("f") == 1).await;
    assert_eq!(function.asked("f")[0].payload, Bytes::from_static(b"[1]"));
}

#[tokio::test]
async fn an_event_that_ran_when_the_process_ended_runs_again() {
    let (open, opened) = watch::channel(false);
    let function = Closure::new(move |_, _| {
        let mut opened = opened.clone();
        async move {
            let _ = opened.wait_for(|open| *open).await;
            Ok("{}".into())
        }
    });
    let world = World::new(&function).await;
    world.send("f", "{}").await.unwrap();
    until(async || function.tries("f") == 1).await;
    let world = world.crashed(&function).await;
    // At once, and not when its time would be over.
    until(async || function.tries("f") == 2).await;
    open.send_replace(true);
    world.idle("f").await;
    assert_eq!(function.tries("f"), 2);
    let asked = function.asked("f");
    assert_eq!(asked[0].request_id, asked[1].request_id);
}

#[tokio::test]
async fn one_functions_events_do_not_wait_for_anothers() {
    let (open, opened) = watch::channel(false);
    let function = Closure::new(move |name, _| {
        let mut opened = opened.clone();
        async move {
            match name.as_str() {
                "slow" => drop(opened.wait_for(|open| *open).await),
                "broken" => return Err(Failure::Error),
                _ => {}
            }
            Ok("{}".into())
        }
    });
    let world = World::new(&function).await;
    for name in ["slow", "broken"] {
        world.function(name).await;
        for number in 0..100 {
            world.send(name, &number.to_string()).await.unwrap();
        }
    }
    // All that may run at once of the slow one does, and the rest of it waits.
    until(async || function.tries("slow") >= 20).await;
    for number in 0..100 {
        world.send("f", &number.to_string()).await.unwrap();
    }
    until(async || function.tries("f") == 100).await;
    world.idle("f").await;
    assert!(!*open.borrow(), "the slow ones are all still there");
    assert_eq!(
        world.events_of("slow").visible + world.events_of("slow").in_flight,
        100
    );
    open.send_replace(true);
    world.idle("slow").await;
}

#[tokio::test]
async fn a_function_of_the_same_name_gets_no_event_of_before() {
    let function = Closure::answering(Err(Failure::Error));
    let world = World::new(&function).await;
    world.send("f", r#""old""#).await.unwrap();
    world.delayed("f").await;
    world.delete("f").await;
    world.function("f").await;
    until(async || world.parts.queues.internal().is_empty()).await;
    world.send("f", r#""new""#).await.unwrap();
    for after_ms in [60_000, 120_000] {
        world.delayed("f").await;
        world.parts.clock.advance(after_ms);
        until(async || world.events_of("f").delayed == 0).await;
    }
    world.idle("f").await;
    let payloads = function.asked("f").into_iter().map(|asked| asked.payload);
    let payloads: Vec<_> = payloads.skip(1).collect();
    assert_eq!(payloads, vec![Bytes::from_static(br#""new""#); 3]);
}

#[tokio::test]
async fn settings_are_kept_by_qualifier_and_go_with_the_function() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let events = &world.parts.events;
    let get = |name: &str, qualifier: Option<&str>| api::GetFunctionEventInvokeConfigRequest {
        function_name: name.into(),
        qualifier: qualifier.map(str::to_owned),
    };
    let none = events
        .get_function_event_invoke_config(&cx(), get("f", Some("live")))
        .await
        .expect_err("there is none");
    assert!(
        none.to_string()
            .ends_with("f:live doesn't have an EventInvokeConfig")
    );
    world
        .configure("f", |input| input.maximum_retry_attempts = Some(1))
        .await
        .unwrap();
    let put = world.configure("f", |input| {
        input.maximum_retry_attempts = Some(1);
        input.qualifier = Some("live".into());
    });
    let error = put.await.expect_err("there is no such alias").to_string();
    assert_eq!(
        error,
        "ResourceNotFoundException: The function doesn't exist."
    );
    let held = events
        .get_function_event_invoke_config(&cx(), get("f", Some("$LATEST")))
        .await
        .unwrap();
    assert_eq!(held.maximum_retry_attempts, Some(1));
    assert_eq!(held.maximum_event_age_in_seconds, None);
    let list = api::ListFunctionEventInvokeConfigsRequest {
        function_name: "f".into(),
        ..Default::default()
    };
    let listed = events.list_function_event_invoke_configs(&cx(), list).await;
    assert_eq!(
        listed.unwrap().function_event_invoke_configs.unwrap().len(),
        1
    );
    let world = world.crashed(&function).await;
    let events = &world.parts.events;
    let cx = cx();
    let held = events.get_function_event_invoke_config(&cx, get("f", None));
    assert_eq!(held.await.unwrap().maximum_retry_attempts, Some(1));
    world.delete("f").await;
    world.function("f").await;
    let held = events.get_function_event_invoke_config(&cx, get("f", None));
    held.await.expect_err("it went with the function");
}
