//! What an invocation and its checkpoints are to each other.

use super::*;

#[tokio::test]
async fn a_token_is_good_once_and_a_request_that_is_repeated_gets_its_answer_again() {
    let function = Closure::new(async |invoked: Invoked| {
        let arn = invoked.arn();
        let first = invoked.token.lock().unwrap().clone();
        let ask = |token: &str, client: &str, id: &str| api::CheckpointDurableExecutionRequest {
            durable_execution_arn: arn.clone(),
            checkpoint_token: token.into(),
            updates: Some(vec![update(id, "STEP", "START")]),
            client_token: Some(client.into()),
        };
        let executions = invoked.executions.clone();
        let cx = cx();
        let checkpoint = |ask| executions.checkpoint_durable_execution(&cx, ask);
        let answer = checkpoint(ask(&first, "c", "s")).await.unwrap();
        assert_eq!(checkpoint(ask(&first, "c", "s")).await.unwrap(), answer);
        let stale = checkpoint(ask(&first, "other", "t")).await.unwrap_err();
        assert_eq!(stale.code, "InvalidParameterValueException");
        assert_eq!(stale.message, "Invalid checkpoint token");
        let state = |token: &str| api::GetDurableExecutionStateRequest {
            durable_execution_arn: arn.clone(),
            checkpoint_token: token.into(),
            marker: None,
            max_items: None,
        };
        let second = answer.checkpoint_token.unwrap();
        let known = executions
            .get_durable_execution_state(&cx, state(&second))
            .await;
        assert_eq!(known.unwrap().operations.len(), 2);
        let stale = executions
            .get_durable_execution_state(&cx, state(&first))
            .await;
        assert_eq!(stale.unwrap_err().message, "Invalid checkpoint token");
        // Ends the execution, after which there is no token.
        *invoked.token.lock().unwrap() = second;
        let end = api::OperationUpdate {
            payload: Some("\"large\"".into()),
            ..update("end", "EXECUTION", "SUCCEED")
        };
        invoked.checkpoint(vec![end]).await.unwrap();
        assert_eq!(*invoked.token.lock().unwrap(), "");
        succeeded("")
    });
    let world = World::new(&function).await;
    let answer = world.invoke("quick", |_| {}).await.unwrap();
    assert_eq!(answer.payload.as_deref(), Some(&b"\"large\""[..]));
    assert_eq!(answer.executed_version.as_deref(), Some("$LATEST"));
    assert_eq!(function.invoked(), 1);
}

#[tokio::test]
async fn what_comes_while_the_function_runs_is_told_with_the_next_checkpoint_or_invocation() {
    let (proceed, proceeding) = tokio::sync::watch::channel(0);
    let function = Closure::new(move |invoked: Invoked| {
        let mut proceeding = proceeding.clone();
        async move {
            if invoked.status("c").is_some() {
                assert_eq!(invoked.status("c").as_deref(), Some("SUCCEEDED"));
                assert_eq!(invoked.event["UpdatedOperationIds"], json!(["w", "c"]));
                return succeeded("1");
            }
            let both = vec![wait("w", 60), update("c", "CALLBACK", "START")];
            invoked.checkpoint(both).await.unwrap();
            proceeding.wait_for(|step| *step >= 1).await.unwrap();
            // The wait is over meanwhile.
            let news = invoked.checkpoint(Vec::new()).await.unwrap();
            let news: Vec<_> = news.iter().map(|it| (&*it.id, &*it.status)).collect();
            assert_eq!(news, [("w", "SUCCEEDED")]);
            assert_eq!(invoked.checkpoint(Vec::new()).await.unwrap(), []);
            proceeding.wait_for(|step| *step >= 2).await.unwrap();
            pending()
        }
    });
    let world = World::new(&function).await;
    let arn = world.start("f").await;
    world.until_event(&arn, "CallbackStarted").await;
    world.pass(60_000);
    proceed.send_replace(1);
    world.until_event(&arn, "WaitSucceeded").await;
    let events = world.events(&arn).await.into_iter();
    let mut callbacks = events.filter_map(|event| event.callback_started_details);
    let callback = callbacks.next().unwrap().callback_id;
    let answer = api::SendDurableExecutionCallbackSuccessRequest {
        callback_id: callback,
        result: Some(Bytes::from_static(b"7")),
    };
    let executions = &world.parts.executions;
    let cx = cx();
    let sent = executions.send_durable_execution_callback_success(&cx, answer);
    sent.await.unwrap();
    proceed.send_replace(2);
    world.until(&arn, "SUCCEEDED").await;
}

#[tokio::test]
async fn another_account_sees_nothing_of_it() {
    let function = Closure::new(async |invoked: Invoked| {
        invoked
            .checkpoint(vec![update("c", "CALLBACK", "START")])
            .await
            .unwrap();
        pending()
    });
    let world = World::new(&function).await;
    let arn = world.start("f").await;
    world.until_event(&arn, "CallbackStarted").await;
    let events = world.events(&arn).await.into_iter();
    let mut callbacks = events.filter_map(|event| event.callback_started_details);
    let callback_id = callbacks.next().unwrap().callback_id;
    let other = Context {
        account_id: "222222222222".into(),
        ..cx()
    };
    let executions = &world.parts.executions;
    let stop = api::StopDurableExecutionRequest {
        durable_execution_arn: arn.clone(),
        error: None,
    };
    let refused = executions.stop_durable_execution(&other, stop).await;
    assert_eq!(refused.unwrap_err().code, "ResourceNotFoundException");
    let beat = api::SendDurableExecutionCallbackHeartbeatRequest { callback_id };
    let refused = executions
        .send_durable_execution_callback_heartbeat(&other, beat.clone())
        .await;
    assert_eq!(refused.unwrap_err().code, "ResourceNotFoundException");
    let cx = cx();
    let known = executions.send_durable_execution_callback_heartbeat(&cx, beat);
    known.await.unwrap();
    // An ARN is right as a whole.
    let bent = arn.replace("/durable-execution/", "/durable-execution/x");
    assert_eq!(
        world.get(&bent).await.unwrap_err().code,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn many_that_wait_end_together() {
    const MANY: usize = 300;
    let function = Closure::new(async |invoked: Invoked| match invoked.status("w") {
        None => {
            invoked.checkpoint(vec![wait("w", 3600)]).await.unwrap();
            pending()
        }
        Some(_) => succeeded("1"),
    });
    let mut world = World::new(&function).await;
    let mut arns = Vec::new();
    for _ in 0..MANY {
        arns.push(world.start("f").await);
    }
    until(async || function.invoked() == MANY).await;
    for arn in &arns {
        world.until_event(arn, "InvocationCompleted").await;
    }
    // Who waits is not in memory.
    until(async || world.parts.executions.0.lanes.len() == 0).await;
    world = world.crashed().await;
    world.pass(3_600_000);
    for arn in &arns {
        world.until(arn, "SUCCEEDED").await;
    }
    assert_eq!(function.invoked(), 2 * MANY);
}
