//! What outlasts time and crashes.

use super::*;

/// Waits for a year, less a day, and is done.
async fn patient(invoked: Invoked) -> Result<Value, Failure> {
    match invoked.status("w").as_deref() {
        None => {
            let begun = invoked.checkpoint(vec![wait("w", YEAR_S - 86_400)]).await;
            begun.unwrap();
            pending()
        }
        Some("SUCCEEDED") => succeeded("\"patience\""),
        other => panic!("invoked while the wait is {other:?}"),
    }
}

#[tokio::test]
async fn a_wait_lasts_as_long_as_it_is_to_and_outlasts_crashes() {
    let function = Closure::new(patient);
    let mut world = World::new(&function).await;
    let arn = world.start("f").await;
    world.until_event(&arn, "InvocationCompleted").await;
    for _ in 0..364 {
        world.pass(DAY_MS);
    }
    world = world.crashed().await;
    world.pass(DAY_MS - 60_000);
    // Long enough for a pass to have been made: what is asked here is made after it.
    world.start("f").await;
    assert_eq!(world.get(&arn).await.unwrap().status, "RUNNING");
    world.pass(60_000);
    let ended = world.until(&arn, "SUCCEEDED").await;
    assert_eq!(ended.result.as_deref(), Some("\"patience\""));
    assert_eq!(
        world.kinds(&arn).await,
        [
            "ExecutionStarted",
            "WaitStarted",
            "InvocationCompleted",
            "WaitSucceeded",
            "InvocationCompleted",
            "ExecutionSucceeded",
        ]
    );
}

#[tokio::test]
async fn a_timer_that_passed_while_nothing_ran_fires_after_the_start() {
    let function = Closure::new(patient);
    let world = World::new(&function).await;
    let arn = world.start("f").await;
    world.until_event(&arn, "InvocationCompleted").await;
    let clock = world.parts.clock.clone();
    let world = {
        clock.advance(365 * DAY_MS);
        world.crashed().await
    };
    world.until(&arn, "SUCCEEDED").await;
    assert_eq!(function.invoked(), 2);
}

#[tokio::test]
async fn an_execution_that_is_over_is_kept_for_its_days_and_goes() {
    let function = Closure::new(async |_| succeeded("1"));
    let world = World::new(&function).await;
    let named = async || {
        let started = world.invoke("f", |request| {
            request.invocation_type = Some("Event".into());
            request.durable_execution_name = Some("n".into());
        });
        started.await.unwrap().durable_execution_arn.unwrap()
    };
    let arn = named().await;
    world.until(&arn, "SUCCEEDED").await;
    world.pass(2 * DAY_MS - 60_000);
    assert_eq!(named().await, arn);
    world.pass(60_000);
    until(async || world.get(&arn).await.is_err()).await;
    let rows = world.parts.store.read(|tx| {
        let sql = "SELECT (SELECT count(*) FROM durable_operations) \
                   + (SELECT count(*) FROM durable_events) AS n";
        tx.query_one(sql, store::params![])?.get::<i64>("n")
    });
    assert_eq!(rows.await.unwrap(), 0, "nothing of it is left");
    // The name is free again, also before anybody has cleared up.
    let second = named().await;
    assert_ne!(second, arn);
    world.until(&second, "SUCCEEDED").await;
    world.parts.clock.advance(2 * DAY_MS);
    assert_ne!(named().await, second);
}

#[tokio::test]
async fn an_execution_ends_when_its_time_is_up_whatever_it_does() {
    let function = Closure::new(async |invoked: Invoked| {
        if invoked.function == "quick" {
            // It comes to no end.
            std::future::pending::<()>().await;
        }
        patient(invoked).await
    });
    let world = World::new(&function).await;
    let (waits, runs) = (world.start("f").await, world.start("quick").await);
    world.until_event(&waits, "InvocationCompleted").await;
    until(async || function.invoked() == 2).await;
    world.pass(600_000);
    let ended = world.until(&runs, "TIMED_OUT").await;
    let error = ended.error.unwrap().error_message.unwrap();
    assert_eq!(error, "Execution timed out after 600 seconds.");
    assert_eq!(world.get(&waits).await.unwrap().status, "RUNNING");
}

#[tokio::test]
async fn an_invocation_that_was_under_way_at_a_crash_is_made_again() {
    let hangs = Arc::new(Mutex::new(true));
    let function = {
        let hangs = hangs.clone();
        Closure::new(move |invoked: Invoked| {
            let hangs = hangs.clone();
            async move {
                if invoked.status("s").is_none() {
                    let step = vec![update("s", "STEP", "START"), update("s", "STEP", "SUCCEED")];
                    invoked.checkpoint(step).await.unwrap();
                }
                if *hangs.lock().unwrap() {
                    std::future::pending::<()>().await;
                }
                // The token of the invocation before is good for nothing.
                succeeded("2")
            }
        })
    };
    let world = World::new(&function).await;
    let arn = world.start("f").await;
    world.until_event(&arn, "StepSucceeded").await;
    *hangs.lock().unwrap() = false;
    let world = world.crashed().await;
    world.until(&arn, "SUCCEEDED").await;
    let kinds = world.kinds(&arn).await;
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "StepSucceeded").count(),
        1
    );
    assert_eq!(function.invoked(), 2);
}

#[tokio::test]
async fn failures_and_throttles_are_tried_again_later() {
    let function = Closure::new(async |invoked: Invoked| {
        let input = invoked.input();
        match input["as"].as_str() {
            Some("throttled") => Err(Failure::Throttled),
            _ => Err(Failure::Error(
                json!({"errorType": "Boom", "errorMessage": "bang"}),
            )),
        }
    });
    let world = World::new(&function).await;
    let start = async |how: &str| {
        let payload = Bytes::from(json!({"as": how}).to_string());
        let started = world.invoke("f", |request| {
            request.invocation_type = Some("Event".into());
            request.payload = Some(payload);
        });
        started.await.unwrap().durable_execution_arn.unwrap()
    };
    let (failing, throttled) = (start("failing").await, start("throttled").await);
    let mut made = 0;
    until(async || function.invoked() > made).await;
    while world.get(&failing).await.unwrap().status == "RUNNING" {
        made = function.invoked();
        world.pass(60_000);
        until(async || function.invoked() > made).await;
    }
    let ended = world.until(&failing, "FAILED").await;
    assert_eq!(ended.error.unwrap().error_type.as_deref(), Some("Boom"));
    let kinds = world.kinds(&failing).await;
    let tries = kinds.iter().filter(|kind| *kind == "InvocationCompleted");
    assert_eq!(tries.count(), limits::FAILURES_MAX as usize);
    // A throttle is nobody's fault.
    assert_eq!(world.get(&throttled).await.unwrap().status, "RUNNING");
}

#[tokio::test]
async fn a_chained_invoke_comes_back_over_crashes_of_either() {
    let function = Closure::new(async |invoked: Invoked| {
        if invoked.function == "plain" {
            return Ok(json!(42));
        }
        if invoked.function == "quick" {
            return match invoked.status("w").as_deref() {
                None => {
                    invoked.checkpoint(vec![wait("w", 300)]).await.unwrap();
                    pending()
                }
                _ => succeeded("\"of the child\""),
            };
        }
        let invoke = |id: &str, target: &str| api::OperationUpdate {
            chained_invoke_options: Some(api::ChainedInvokeOptions {
                function_name: target.into(),
                ..Default::default()
            }),
            ..update(id, "CHAINED_INVOKE", "START")
        };
        if invoked.status("a").is_none() {
            let both = vec![
                invoke("a", "quick:$LATEST"),
                invoke("b", "plain"),
                invoke("c", "nobody"),
                invoke("d", "quick"),
            ];
            let known = invoked.checkpoint(both).await.unwrap();
            let statuses: Vec<_> = known.iter().map(|it| it.status.as_str()).collect();
            assert_eq!(statuses, ["STARTED", "STARTED", "FAILED", "FAILED"]);
        }
        let result = |id: &str| {
            let operation = invoked.operations().iter().find(|it| it["Id"] == id);
            operation.map(|it| it["ChainedInvokeDetails"]["Result"].clone())
        };
        match (result("a"), result("b")) {
            (Some(Value::String(a)), Some(Value::String(b))) => succeeded(&format!("[{a}, {b}]")),
            _ => pending(),
        }
    });
    let mut world = World::new(&function).await;
    let arn = world.start("f").await;
    world.until_event(&arn, "ChainedInvokeSucceeded").await;
    world = world.crashed().await;
    world.pass(300_000);
    let ended = world.until(&arn, "SUCCEEDED").await;
    assert_eq!(ended.result.as_deref(), Some("[\"of the child\", 42]"));
}
