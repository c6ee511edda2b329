//! What becomes of deliveries: made, tried again, given up.

use super::*;

#[tokio::test]
async fn deliveries_to_queues_arrive_with_the_transaction() {
    let world = World::new().await;
    let mut queues = Vec::new();
    for number in 0..100 {
        queues.push(world.queue(&format!("q{number}")).await);
    }
    let all = (0..100).map(|number| to_queue(&format!("q{number}"), "hello"));
    let deliveries: Vec<Delivery> = all
        .map(|delivery| Delivery {
            parameters: Parameters::Sqs(ToQueue {
                attributes: vec![
                    Attribute::text("a", "b"),
                    Attribute {
                        name: "bin".into(),
                        data_type: "Binary".into(),
                        value: Value::Binary(vec![1, 2]),
                    },
                ],
                ..ToQueue::default()
            }),
            ..delivery
        })
        .collect();
    let staged = world.parts.deliveries.stage(deliveries).await.unwrap();
    for queue in &queues {
        assert!(world.receive(queue, 0).await.is_empty(), "not committed");
    }
    let rows = staged.rows();
    let store = &world.parts.store;
    store.write(move |tx| rows.insert(tx)).await.unwrap();
    staged.committed(true);
    for queue in &queues {
        let received = world.receive(queue, 0).await;
        assert_eq!(received[0].content.body, "hello");
        assert_eq!(received[0].content.attributes.len(), 2);
    }
    assert_eq!(world.parts.deliveries.waiting(), Waiting::default());
}

#[tokio::test]
async fn what_is_undone_was_never_sent() {
    let world = World::new().await;
    let queue = world.queue("q").await;
    let deliveries = vec![to_queue("q", "1"), to_test("t", "1")];
    let staged = world.parts.deliveries.stage(deliveries).await.unwrap();
    staged.committed(false);
    // One whose end nobody tells.
    let deliveries = vec![to_queue("q", "2"), to_test("t", "2")];
    drop(world.parts.deliveries.stage(deliveries).await.unwrap());
    world
        .send(vec![to_queue("q", "3"), to_test("t", "3")])
        .await;
    assert_eq!(world.received(&queue).await.content.body, "3");
    assert!(world.receive(&queue, 0).await.is_empty());
    world.until(async || world.target.taken("t") == ["3"]).await;
}

#[tokio::test]
async fn a_policy_that_does_not_allow_it_ends_in_the_dead_letter_queue() {
    let world = World::new().await;
    let dead = world.queue("dead").await;
    world.queue_with("closed", None).await;
    let refused = Delivery {
        dead_letter: dead_letter("dead"),
        ..to_queue("closed", "body")
    };
    world.send(vec![refused]).await;
    let letter = world.received(&dead).await;
    assert_eq!(letter.content.body, "body");
    let held = attributes(&letter);
    assert_eq!(held["ERROR_CODE"], "NO_PERMISSIONS");
    assert_eq!(held["RETRY_ATTEMPTS"], "0");
    assert_eq!(held["RULE_ARN"], "arn:r");
    assert!(!held.contains_key("EXHAUSTED_RETRY_CONDITION"));
    // With a role it is the account's own.
    let by_role = Delivery {
        role: Some(format!("arn:aws:iam::{ACCOUNT}:role/r")),
        ..to_queue("closed", "by role")
    };
    world.send(vec![by_role]).await;
    let closed = world.parts.queues.find(&key("closed")).unwrap();
    assert_eq!(world.received(&closed).await.content.body, "by role");
    world.idle().await;
    let counts = world.parts.deliveries.counts();
    assert_eq!(counts.dead_lettered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_target_is_tried_again_until_it_takes_it_or_the_tries_are_used_up() {
    let world = World::new().await;
    let dead = world.queue("dead").await;
    world.target.set("late", Does::FailsFirst(3));
    world.target.set("never", Does::FailsFirst(usize::MAX));
    world.target.set("old", Does::FailsFirst(usize::MAX));
    world.target.set("no", Does::Refuses);
    let with = |name: &str, retries_max, age_max_ms| Delivery {
        dead_letter: dead_letter("dead"),
        retry: Retry {
            retries_max,
            age_max_ms,
            ..Retry::default()
        },
        ..to_test(name, name)
    };
    world
        .send(vec![
            with("late", 3, 86_400_000),
            with("never", 2, 86_400_000),
            with("old", 185, 20_000),
            with("no", 185, 86_400_000),
        ])
        .await;
    let mut why = HashMap::new();
    for _ in 0..3 {
        let letter = {
            let found = Mutex::new(None);
            world
                .until(async || {
                    let mut received = world.receive(&dead, 0).await;
                    *found.lock().unwrap() = received.pop();
                    found.lock().unwrap().is_some()
                })
                .await;
            found.into_inner().unwrap().unwrap()
        };
        let held = attributes(&letter);
        let condition = held.get("EXHAUSTED_RETRY_CONDITION").copied();
        let said = (held["ERROR_CODE"].to_owned(), condition.map(str::to_owned));
        why.insert(letter.content.body.clone(), said);
        if letter.content.body == "never" {
            assert_eq!(held["RETRY_ATTEMPTS"], "2");
            assert_eq!(held["ERROR_MESSAGE"], "not now");
        }
    }
    let said = |code: &str, condition: Option<&str>| (code.into(), condition.map(str::to_owned));
    assert_eq!(
        why["never"],
        said("THROTTLED", Some("MaximumRetryAttempts"))
    );
    // Time may have leapt over its last try, of which nothing is known then.
    assert_eq!(why["old"].1.as_deref(), Some("MaximumEventAgeInSeconds"));
    assert_eq!(why["no"], said("NO_RESOURCE", None));
    world
        .until(async || world.target.taken("late") == ["late"])
        .await;
    world.idle().await;
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_nobody_else() {
    let world = World::new().await;
    world.target.set("stuck", Does::Hangs);
    let stuck = (0..200).map(|number| to_test("stuck", &number.to_string()));
    world.send(stuck.collect()).await;
    let counts = world.parts.deliveries.counts();
    let running = || counts.running.load(Ordering::SeqCst) as usize;
    world
        .until(async || running() == limits::TRIES_PER_TARGET_MAX)
        .await;
    world
        .send((0..50).map(|n| to_test("free", &n.to_string())).collect())
        .await;
    world
        .until(async || world.target.taken("free").len() == 50)
        .await;
    assert_eq!(running(), limits::TRIES_PER_TARGET_MAX);
}

#[tokio::test]
async fn a_lane_without_deliveries_goes() {
    let world = World::new().await;
    world.send(vec![to_test("t", "1")]).await;
    world.idle().await;
    let shared = &world.parts.deliveries.0;
    shared.reconcile().await.unwrap();
    assert_eq!(world.parts.deliveries.waiting().lanes, 1, "it is young");
    world.parts.clock.advance(limits::LANE_IDLE_MS);
    let staged = world.parts.deliveries.stage(vec![to_test("t", "2")]).await;
    world.parts.clock.advance(limits::LANE_IDLE_MS);
    shared.reconcile().await.unwrap();
    assert_eq!(world.parts.deliveries.waiting().lanes, 1, "it is in use");
    staged.unwrap().committed(false);
    shared.reconcile().await.unwrap();
    assert_eq!(world.parts.deliveries.waiting().lanes, 0);
    world.send(vec![to_test("t", "3")]).await;
    world
        .until(async || world.target.taken("t") == ["1", "3"])
        .await;
}
