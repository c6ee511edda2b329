//! The process ends again and again while events come, fail and are told of: none is lost, and of
//! each there is a record or more.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

const EVENTS: usize = 60;
const ENDS: usize = 6;

#[tokio::test]
async fn no_event_is_lost_by_the_end_of_the_process() {
    let calls = Arc::new(AtomicUsize::new(0));
    let function = Closure::new(move |_, _| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(call as u64 % 5)).await;
            match call % 3 {
                0 => Err(Failure::Error),
                1 => Err(Failure::Throttled),
                _ => Ok("{}".into()),
            }
        }
    });
    let mut world = World::new(&function).await;
    world.queue("done").await;
    let to = || queue_arn("done");
    world.destinations("f", to(), to()).await;
    for end in 0..ENDS {
        for number in 0..EVENTS / ENDS {
            let number = end * (EVENTS / ENDS) + number;
            world.send("f", &number.to_string()).await.unwrap();
        }
        // Somewhere in the middle of it.
        let enough = function.tries("f") + 5 + end;
        until(async || {
            world.parts.clock.advance(500);
            function.tries("f") >= enough
        })
        .await;
        world = world.crashed(&function).await;
    }
    let done = world.parts.queues.find(&key("done")).unwrap();
    let told = Mutex::new(HashSet::new());
    until(async || {
        world.parts.clock.advance(1_000);
        let receive = Receive {
            max: 10,
            visibility_timeout_ms: Some(43_200_000),
            wait_ms: 0,
            attempt_id: None,
        };
        let received = world.parts.queues.receive(&done, receive).await.unwrap();
        for message in received {
            let record: Value = serde_json::from_str(&message.content.body).unwrap();
            let number = record["requestPayload"].as_u64().unwrap();
            told.lock().unwrap().insert(number);
        }
        told.lock().unwrap().len() == EVENTS
    })
    .await;
    world.idle("f").await;
}
