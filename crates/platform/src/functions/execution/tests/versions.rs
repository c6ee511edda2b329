//! Versions of a function: environments of their own, one concurrency.

use super::*;

fn version(number: &str, generation: i64) -> Definition {
    Definition {
        version: number.into(),
        ..definition(generation)
    }
}

pub(super) async fn answer(execution: &Execution, number: &str) -> Result<Outcome, InvokeError> {
    let invocation = Invocation {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload: Bytes::from_static(b"{}"),
        client_context: None,
        cognito_identity: None,
        invoked_function_arn: String::new(),
        trace_id: None,
        log_tail: false,
    };
    execution.invoke(&key_of(number), invocation).await
}

#[tokio::test]
async fn an_update_of_the_latest_leaves_versions_their_environments() {
    let world = World::new(Fake::new(serve), limited(1000)).await;
    let execution = &world.execution;
    execution.deploy(version("$LATEST", 5)).await.unwrap();
    execution.deploy(version("1", 1)).await.unwrap();
    execution.deploy(version("2", 2)).await.unwrap();
    for round in 0..3 {
        for (number, generation) in [("1", "1"), ("2", "2")] {
            let outcome = answer(execution, number).await.unwrap();
            assert_eq!(outcome.payload, generation);
            assert_eq!(&*outcome.executed_version, number);
        }
        let latest = answer(execution, "$LATEST").await.unwrap();
        assert_eq!(latest.payload, (5 + round).to_string());
        execution
            .deploy(version("$LATEST", 6 + round))
            .await
            .unwrap();
    }
    // One of each version, and one of `$LATEST` for each time it was another.
    assert_eq!(world.fake.started(), 2 + 3);
    let mut streams: Vec<String> = execution
        .environments()
        .into_iter()
        .map(|it| it.log_stream[10..].split(']').next().unwrap().to_owned())
        .collect();
    streams.sort();
    streams.dedup();
    assert_eq!(streams[..2], ["/[1", "/[2"]);
}

#[tokio::test]
async fn the_versions_of_a_function_share_what_it_reserved() {
    let gate = watch::channel(false).0;
    let world = World::new(holding(&gate), limited(1000)).await;
    let execution = &world.execution;
    execution.deploy(version("1", 1)).await.unwrap();
    execution.deploy(version("2", 2)).await.unwrap();
    execution.set_reserved_concurrency(&key(), Some(2));
    let mut running = JoinSet::new();
    for number in ["1", "2"] {
        let execution = execution.clone();
        running.spawn(async move { answer(&execution, number).await.unwrap() });
    }
    until(|| world.count(EnvironmentState::Busy) == 2).await;
    for number in ["1", "2"] {
        let refused = answer(execution, number).await.unwrap_err();
        let reserved = Throttle::ReservedFunctionConcurrentInvocationLimitExceeded;
        assert!(matches!(refused, InvokeError::Throttled(why) if why == reserved));
    }
    gate.send_replace(true);
    running.join_all().await;
}

#[tokio::test]
async fn a_version_that_is_removed_takes_nothing_else_with_it() {
    let world = World::new(Fake::new(serve), limited(1000)).await;
    let execution = &world.execution;
    execution.deploy(version("1", 1)).await.unwrap();
    execution.deploy(version("2", 2)).await.unwrap();
    answer(execution, "1").await.unwrap();
    answer(execution, "2").await.unwrap();
    execution.remove_version(&key_of("1"));
    let refused = answer(execution, "1").await;
    assert!(matches!(refused, Err(InvokeError::NotDeployed)));
    until(|| world.fake.alive() == 1).await;
    answer(execution, "2").await.unwrap();
    assert_eq!(world.fake.started(), 2);
    execution.remove(&key());
    until(|| world.fake.alive() == 0).await;
}
