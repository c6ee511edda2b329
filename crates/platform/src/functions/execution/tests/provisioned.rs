//! Provisioned concurrency: environments that are there before the request.

use std::collections::HashMap;

use super::{versions::answer, *};

const FOREVER: Duration = Duration::from_secs(30);

fn version(number: &str) -> Definition {
    Definition {
        version: number.into(),
        ..definition(1)
    }
}

fn targets(version: &str, count: u32) -> HashMap<VersionId, u32> {
    HashMap::from([(version.into(), count)])
}

/// Answers with how its environment came to be initialised.
async fn initialization(start: Start) -> Exit {
    let mut variables = start.env.iter();
    let found = variables.find(|(name, _)| name == "AWS_LAMBDA_INITIALIZATION_TYPE");
    let how = found.unwrap().1.clone();
    let answers = async {
        let mut client = Client::connect(&start).await?;
        loop {
            let request_id = client.next().await?;
            client.respond(&request_id, &how).await?;
        }
    };
    let _: io::Result<()> = answers.await;
    GONE
}

fn provisioned(world: &World) -> Provisioned {
    world.execution.provisioned(&key_of("1"))
}

async fn until_allocated(world: &World, count: u32) {
    until(|| provisioned(world).allocated == count).await;
}

#[tokio::test]
async fn they_are_there_before_a_request_and_stay_over_its_end() {
    let mut config = limited(1000);
    config.idle.keep_alive = Duration::from_millis(20);
    let world = World::new(Fake::new(initialization), config).await;
    let execution = &world.execution;
    // What comes before the deployment holds after it.
    execution.provision(&key(), &targets("1", 3));
    execution.deploy(version("1")).await.unwrap();
    execution.deploy(version("$LATEST")).await.unwrap();
    until_allocated(&world, 3).await;
    assert_eq!(world.fake.started(), 3);
    assert_eq!(provisioned(&world).available, 3);
    for _ in 0..5 {
        let outcome = answer(execution, "1").await.unwrap();
        assert_eq!(outcome.payload, "provisioned-concurrency");
    }
    let latest = answer(execution, "$LATEST").await.unwrap();
    assert_eq!(latest.payload, "on-demand");
    // The one that was made on demand goes when nobody wants it; those that are kept ready stay.
    until(|| world.fake.alive() == 3).await;
    assert_eq!(world.fake.started(), 4);

    execution.provision(&key(), &targets("1", 1));
    until(|| world.fake.alive() == 1).await;
    assert_eq!(provisioned(&world).allocated, 1);
    execution.provision(&key(), &HashMap::new());
    until(|| world.fake.alive() == 0).await;
    let outcome = answer(execution, "1").await.unwrap();
    assert_eq!(outcome.payload, "on-demand");

    // That they were there is metered, and what ran in them apart from the rest.
    execution.remove(&key());
    let metering = &execution.inner.metering;
    let rows = metering
        .usage(None, "2000-01-01", "2999-12-31")
        .await
        .unwrap();
    let of = |version: &str| rows.iter().find(|row| row.version == version).unwrap();
    let (one, latest) = (of("1"), of("$LATEST"));
    assert_eq!((one.requests, latest.requests), (6, 1));
    assert!(one.provisioned_ms > 0);
    assert!(one.provisioned_billed_ms > 0 && one.provisioned_billed_ms < one.billed_ms);
    assert_eq!(
        (latest.provisioned_ms, latest.provisioned_billed_ms),
        (0, 0)
    );
}

#[tokio::test]
async fn what_is_more_than_they_are_runs_on_demand_and_within_the_limits() {
    let gate = watch::channel(false).0;
    let world = World::new(holding(&gate), limited(1000)).await;
    let execution = &world.execution;
    execution.deploy(version("1")).await.unwrap();
    execution.deploy(version("$LATEST")).await.unwrap();
    execution.set_reserved_concurrency(&key(), Some(3));
    execution.provision(&key(), &targets("1", 2));
    until_allocated(&world, 2).await;
    let mut running = JoinSet::new();
    for busy in 1..=3 {
        let execution = execution.clone();
        running.spawn(async move { answer(&execution, "1").await.unwrap() });
        until(|| world.execution.concurrency(&key().account_id) == busy).await;
    }
    until(|| world.fake.started() == 3).await;
    assert_eq!(provisioned(&world).available, 0);
    // Two of the three that are reserved are the version's, and the third runs.
    for number in ["1", "$LATEST"] {
        let refused = answer(execution, number).await.unwrap_err();
        let reserved = Throttle::ReservedFunctionConcurrentInvocationLimitExceeded;
        assert!(matches!(refused, InvokeError::Throttled(why) if why == reserved));
    }
    gate.send_replace(true);
    running.join_all().await;
    until(|| provisioned(&world).available == 2).await;
    // With as much provisioned as is reserved nothing is left for others.
    execution.set_reserved_concurrency(&key(), Some(2));
    assert!(answer(execution, "$LATEST").await.is_err());
    answer(execution, "1").await.unwrap();
    assert_eq!(world.execution.concurrency(&key().account_id), 0);
}

#[tokio::test]
async fn without_a_reservation_they_are_taken_from_what_all_share() {
    let world = World::new(Fake::new(initialization), limited(2)).await;
    let execution = &world.execution;
    execution.deploy(version("1")).await.unwrap();
    execution.deploy(version("$LATEST")).await.unwrap();
    execution.provision(&key(), &targets("1", 2));
    until_allocated(&world, 2).await;
    let refused = answer(execution, "$LATEST").await.unwrap_err();
    let shared = Throttle::ConcurrentInvocationLimitExceeded;
    assert!(matches!(refused, InvokeError::Throttled(why) if why == shared));
    answer(execution, "1").await.unwrap();
    execution.provision(&key(), &HashMap::new());
    answer(execution, "$LATEST").await.unwrap();
}

#[tokio::test]
async fn one_that_ends_is_replaced() {
    let once = |start: Start| async move {
        let answers = async {
            let mut client = Client::connect(&start).await?;
            let request_id = client.next().await?;
            client.respond(&request_id, "{}").await
        };
        let _: io::Result<()> = answers.await;
        GONE
    };
    let world = World::new(Fake::new(once), limited(1000)).await;
    let execution = &world.execution;
    execution.deploy(version("1")).await.unwrap();
    execution.provision(&key(), &targets("1", 1));
    for started in 1..=5 {
        until_allocated(&world, 1).await;
        assert_eq!(world.fake.started(), started);
        assert!(answer(execution, "1").await.unwrap().error.is_none());
        until(|| world.fake.started() == started + 1).await;
    }
    execution.remove_version(&key_of("1"));
    until(|| world.fake.alive() == 0).await;
}

#[tokio::test]
async fn an_init_that_fails_is_told_and_tried_again() {
    let failing = Arc::new(AtomicUsize::new(1));
    let fails = failing.clone();
    let flaky = move |start: Start| {
        let fails = fails.load(Ordering::SeqCst) > 0;
        async move { if fails { GONE } else { serve(start).await } }
    };
    let world = World::new(Fake::new(flaky), limited(1000)).await;
    let execution = &world.execution;
    execution.deploy(version("1")).await.unwrap();
    execution.provision(&key(), &targets("1", 1));
    let failed = || provisioned(&world).failure.as_deref() == Some("FUNCTION_ERROR_INIT_FAILURE");
    until(failed).await;
    assert_eq!(provisioned(&world).allocated, 0);
    failing.store(0, Ordering::SeqCst);
    let healed = async {
        until_allocated(&world, 1).await;
    };
    tokio::time::timeout(FOREVER, healed).await.unwrap();
    assert_eq!(provisioned(&world).failure, None);
}
