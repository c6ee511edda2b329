//! Throttles, errors, ends: nothing is lost, nothing is stuck.

use tokio::sync::watch;

use super::*;
use crate::queues::definition::Redrive;

#[tokio::test]
async fn a_batch_whose_function_failed_comes_back_after_its_visibility_timeout() {
    let function = Closure::new(async |event: Value| {
        match event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1" {
            true => Err(Failure::Error),
            false => Ok("null".into()),
        }
    });
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world.map("q", |_| {}).await;
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || function.bodies().len() == 1).await;
    until(async || function.running.load(Ordering::SeqCst) == 0).await;
    assert_eq!(queue.counts().in_flight, 1);
    world.parts.clock.advance(31_000);
    until(async || is_empty(&queue)).await;
    assert_eq!(function.bodies(), ["m", "m"]);
}

#[tokio::test]
async fn throttled_batches_wait_their_turn_and_none_is_lost() {
    const AT_ONCE: usize = 2;
    let running = Arc::new(AtomicUsize::new(0));
    let refused = Arc::new(AtomicUsize::new(0));
    let refusals = refused.clone();
    let function = Closure::new(move |_| {
        let (running, refused) = (running.clone(), refused.clone());
        async move {
            if running.fetch_add(1, Ordering::SeqCst) >= AT_ONCE {
                running.fetch_sub(1, Ordering::SeqCst);
                refused.fetch_add(1, Ordering::SeqCst);
                return Err(Failure::Throttled);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok("null".into())
        }
    });
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world.map("q", |input| input.batch_size = Some(1)).await;
    world
        .send_all(&queue, (0..200).map(|number| number.to_string()))
        .await;
    until(async || is_empty(&queue)).await;
    // It soon asks for no more than it gets.
    assert!(refusals.load(Ordering::SeqCst) < 50, "{refusals:?}");
    let counts = world.parts.mappings.view().counts;
    assert_eq!(counts.invoked.load(Ordering::Relaxed), 200);
}

#[tokio::test]
async fn a_batch_that_is_throttled_too_long_goes_back_to_the_queue() {
    let function = Closure::new(async |_| Err(Failure::Throttled));
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    let uuid = world.map("q", |_| {}).await;
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || function.seen().len() == 1).await;
    world.parts.clock.advance(31_000);
    until(async || queue.counts().in_flight == 1 && function.seen().len() > 3).await;
    world
        .update(&uuid, |input| input.enabled = Some(false))
        .await;
    world.state(&uuid, "Disabled").await;
    until(async || queue.counts().visible == 1).await;
}

/// Holds every event until it is let go.
fn held(gate: &watch::Sender<bool>) -> Arc<Closure> {
    let gate = gate.clone();
    Closure::new(move |_| {
        let mut open = gate.subscribe();
        async move {
            let _ = open.wait_for(|open| *open).await;
            Ok("null".into())
        }
    })
}

#[tokio::test]
async fn a_mapping_that_is_disabled_finishes_what_runs_and_takes_no_more() {
    let gate = watch::channel(false).0;
    let function = held(&gate);
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    let uuid = world.map("q", |input| input.batch_size = Some(1)).await;
    world
        .send_all(&queue, (0..20).map(|number| number.to_string()))
        .await;
    until(async || function.running.load(Ordering::SeqCst) == 5).await;
    world
        .update(&uuid, |input| input.enabled = Some(false))
        .await;
    until(async || queue.counts().visible == 15).await;
    assert_eq!(
        world.get(&uuid).await.unwrap().state.as_deref(),
        Some("Disabling")
    );
    gate.send_replace(true);
    world.state(&uuid, "Disabled").await;
    let left = Counts {
        visible: 15,
        ..Counts::default()
    };
    assert_eq!(queue.counts(), left);
    assert_eq!(function.bodies().len(), 5);
    // On again, it goes on.
    world
        .update(&uuid, |input| input.enabled = Some(true))
        .await;
    until(async || is_empty(&queue)).await;
    assert_eq!(function.bodies().len(), 20);
}

#[tokio::test]
async fn a_mapping_that_is_deleted_goes_when_its_batches_are_done() {
    let gate = watch::channel(false).0;
    let function = held(&gate);
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    let uuid = world.map("q", |_| {}).await;
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || function.running.load(Ordering::SeqCst) == 1).await;
    let delete = || api::DeleteEventSourceMappingRequest { uuid: uuid.clone() };
    let mappings = &world.parts.mappings;
    mappings
        .delete_event_source_mapping(&cx(), delete())
        .await
        .unwrap();
    let again = mappings
        .delete_event_source_mapping(&cx(), delete())
        .await
        .unwrap_err();
    assert_eq!(again.code, "ResourceInUseException");
    assert_eq!(
        world.get(&uuid).await.unwrap().state.as_deref(),
        Some("Deleting")
    );
    gate.send_replace(true);
    until(async || world.get(&uuid).await.is_err()).await;
    assert!(is_empty(&queue));
}

#[tokio::test]
async fn the_end_of_the_server_waits_for_what_runs() {
    let gate = watch::channel(false).0;
    let function = held(&gate);
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    world.map("q", |_| {}).await;
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || function.running.load(Ordering::SeqCst) == 1).await;
    let mappings = world.parts.mappings.clone();
    let stopping = tokio::spawn(async move { mappings.stop(Duration::from_secs(30)).await });
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    gate.send_replace(true);
    stopping.await.unwrap();
    assert!(is_empty(&queue));
}

#[tokio::test]
async fn after_a_crash_mappings_go_on_and_messages_come_back() {
    let gate = watch::channel(false).0;
    let lost = held(&gate);
    let world = World::new(&lost).await;
    let queue = world.queue("q", |_| {}).await;
    let uuid = world.map("q", |_| {}).await;
    world
        .send_all(&queue, (0..30).map(|number| number.to_string()))
        .await;
    until(async || lost.bodies().len() == 30).await;
    let function = Closure::new(async |_| Ok("null".into()));
    let world = world.crashed(&function).await;
    assert_eq!(
        world.get(&uuid).await.unwrap().state.as_deref(),
        Some("Enabled")
    );
    world.parts.clock.advance(31_000);
    let queue = world.found("q");
    until(async || is_empty(&queue)).await;
    assert_eq!(function.bodies().len(), 30);
}

#[tokio::test]
async fn a_queue_that_is_gone_is_a_problem_until_there_is_one_again() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    let uuid = world.map("q", |_| {}).await;
    world.parts.queues.delete_queue(&queue).await.unwrap();
    until(async || {
        world
            .get(&uuid)
            .await
            .unwrap()
            .last_processing_result
            .is_some()
    })
    .await;
    let shown = world.get(&uuid).await.unwrap();
    assert!(
        shown
            .last_processing_result
            .unwrap()
            .contains("NonExistentQueue")
    );
    assert_eq!(shown.state.as_deref(), Some("Enabled"));
    let queue = world.queue("q", |_| {}).await;
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || is_empty(&queue)).await;
    assert_eq!(world.get(&uuid).await.unwrap().last_processing_result, None);
}

#[tokio::test]
async fn what_comes_while_the_function_is_gone_waits_for_it() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let queue = world.queue("q", |_| {}).await;
    let uuid = world.map("q", |_| {}).await;
    let delete = api::DeleteFunctionRequest {
        function_name: "f".into(),
        qualifier: None,
    };
    world
        .parts
        .functions
        .delete_function(&cx(), delete)
        .await
        .unwrap();
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || {
        world
            .get(&uuid)
            .await
            .unwrap()
            .last_processing_result
            .is_some()
    })
    .await;
    assert!(function.seen().is_empty());
    world.function("f").await;
    until(async || is_empty(&queue)).await;
}

#[tokio::test]
async fn a_loop_through_a_queue_ends_in_its_dead_letter_queue() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let dead = world.queue("dead", |_| {}).await;
    let redrive = Redrive {
        dead_letter_queue: key("dead"),
        receives_max: 2,
    };
    let queue = world.queue("q", |it| it.redrive = Some(redrive)).await;
    world.map("q", |_| {}).await;
    let arn = api::function_arn("us-east-1", ACCOUNT, "f", None);
    let mark = functions::lineage::mark_of(&arn);
    for runs in [15, 16] {
        let mut sent = message(runs.to_string(), None);
        sent.content.trace_header = Some(format!("Root=1-2-3;Lineage={mark}:{runs}"));
        world.send(&queue, vec![sent]).await;
    }
    until(async || function.bodies() == ["15"]).await;
    until(async || {
        world.parts.clock.advance(31_000);
        dead.counts().visible == 1
    })
    .await;
    until(async || is_empty(&queue)).await;
    assert_eq!(function.bodies(), ["15"]);
    let counts = world.parts.mappings.view().counts;
    assert!(counts.recursive.load(Ordering::Relaxed) >= 2);
}
