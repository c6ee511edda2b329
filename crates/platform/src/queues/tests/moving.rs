//! Message move tasks, whose platform ends in the middle of them.

use std::time::Duration;

use super::*;
use crate::queues::move_task::{MoveTask, Status, Task};

const COUNT: u64 = 5;

/// A dead-letter queue with messages, a queue to move them to, and the task that is to.
async fn scene(per_second_max: Option<u32>) -> (World, MoveTask) {
    let world = World::new().await;
    let dead = world.queue("dead", |_| {}).await;
    let target = world.queue("target", |_| {}).await;
    for number in 0..COUNT {
        world.send(&dead, &[&number.to_string()]).await;
    }
    let record = MoveTask {
        id: "task".into(),
        source: dead.key.clone(),
        destination: Some(target.key.clone()),
        per_second_max,
        status: Status::Running,
        moved: 0,
        to_move: COUNT,
        failure: None,
        started_ms: 0,
    };
    (world, record)
}

impl World {
    fn task(&self) -> MoveTask {
        let mut tasks = self.queues.move_tasks().of(&key("dead"));
        tasks.pop().expect("there is a task")
    }

    async fn ended(&self, status: Status) {
        until(|| self.task().status.is_ended()).await;
        assert_eq!(self.task().status, status);
    }

    /// The messages of a queue, each once.
    async fn all(&self, queue: &str) -> Vec<String> {
        let received = self.receive(&self.found(queue), 100).await;
        let mut all: Vec<_> = bodies(&received).into_iter().map(str::to_owned).collect();
        all.sort_unstable();
        all
    }
}

/// Waits for what another task is about to do.
async fn until(what: impl Fn() -> bool) {
    let done = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(30), done);
    within.await.expect("it comes");
}

fn numbers() -> Vec<String> {
    (0..COUNT).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_task_that_is_interrupted_goes_on_and_loses_nothing() {
    let (world, record) = scene(Some(5)).await;
    world.queues.begin_move(record).await.expect("it begins");
    let target = world.found("target");
    until(|| target.counts().visible > 0).await;
    let world = world.restarted().await;
    world.ended(Status::Completed).await;
    assert_eq!(world.all("target").await, numbers());
    assert!(world.all("dead").await.is_empty());
}

#[tokio::test]
async fn a_task_that_nobody_has_worked_on_begins_after_the_restart() {
    let (world, record) = scene(None).await;
    world.keeping.abort();
    world.queues.begin_move(record).await.expect("it is stored");
    let world = world.restarted().await;
    world.ended(Status::Completed).await;
    assert_eq!(world.task().moved, COUNT);
    assert_eq!(world.all("target").await, numbers());
}

#[tokio::test]
async fn a_task_that_was_told_to_stop_moves_nothing_after_a_restart() {
    let (world, record) = scene(None).await;
    world.keeping.abort();
    world.queues.begin_move(record).await.expect("it is stored");
    let cancelled = world.queues.move_tasks().cancel(&key("dead"), "task").await;
    assert_eq!(cancelled.expect("it runs").status, Status::Cancelling);
    let world = world.restarted().await;
    world.ended(Status::Cancelled).await;
    assert_eq!(world.all("dead").await, numbers());
}

#[tokio::test]
async fn a_worker_ends_with_the_platform() {
    let (world, record) = scene(Some(1)).await;
    world.queues.begin_move(record).await.expect("it begins");
    let target = world.found("target");
    until(|| target.counts().visible > 0).await;
    let tasks: Vec<Arc<Task>> = world.queues.move_tasks().unended();
    world.keeping.abort();
    // The table's and this one.
    until(|| Arc::strong_count(&tasks[0]) == 2).await;
    world.store.close().await;
}
