//! The worker of a task: moves in batches, at the rate that was asked for, until there is no more,
//! or until it is told to stop.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Failure, MoveTask, Status, tasks::Task};
use crate::queues::{MoveError, Queues, limits};

/// How soon a batch is tried again that the store did not take.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often progress is stored; the end of a task always is.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What came of a batch.
enum Step {
    Moved(u64),
    End(Status, Option<Failure>),
    Retry,
}

impl Queues {
    /// Works on the tasks that a restart interrupted, and on those that are begun, for ever. Whoever
    /// ends this ends the workers with it: what they have taken up by then is moved, and the tasks
    /// go on after the next start.
    pub(in crate::queues) async fn keep_moving(
        &self,
        interrupted: Vec<Arc<Task>>,
        mut begun: mpsc::Receiver<Arc<Task>>,
    ) {
        let mut workers = JoinSet::new();
        let mut next = interrupted;
        loop {
            for task in next {
                let queues = self.clone();
                workers.spawn(async move { queues.work_on(&task).await });
            }
            // Those that are done have nothing to say.
            while workers.try_join_next().is_some() {}
            match begun.recv().await {
                Some(task) => next = vec![task],
                None => return,
            }
        }
    }

    async fn work_on(&self, task: &Arc<Task>) {
        let mut saved_at = Instant::now();
        loop {
            let pause = match self.step(&task.record()).await {
                Step::Moved(count) => {
                    let record = task.change(|record| record.moved += count);
                    if saved_at.elapsed() >= SAVE_EVERY {
                        saved_at = Instant::now();
                        self.save_task(task, &record).await;
                    }
                    pause_after(&record, count)
                }
                Step::End(status, failure) => return self.end(task, status, failure).await,
                Step::Retry => RETRY_AFTER,
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = task.cancelled() => {}
            }
        }
    }

    async fn step(&self, task: &MoveTask) -> Step {
        if task.status == Status::Cancelling {
            return Step::End(Status::Cancelled, None);
        }
        let Some(source) = self.find(&task.source) else {
            return Step::End(Status::Failed, Some(Failure::NoQueue));
        };
        let destination = task.destination.as_ref().map(|key| self.find(key));
        if let Some(None) = destination {
            return Step::End(Status::Failed, Some(Failure::NoQueue));
        }
        let max = batch_of(task);
        if max == 0 {
            return Step::End(Status::Completed, None);
        }
        let destination = destination.flatten();
        let moved = self.move_messages(&source, destination.as_ref(), max);
        match moved.await {
            Ok(0) => Step::End(Status::Completed, None),
            Ok(count) => Step::Moved(count as u64),
            Err(MoveError::NoSource) => Step::End(Status::Failed, Some(Failure::NoSource)),
            Err(MoveError::NoQueue) => Step::End(Status::Failed, Some(Failure::NoQueue)),
            Err(MoveError::Engine(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "move messages; it is tried again");
                Step::Retry
            }
        }
    }

    async fn end(&self, task: &Arc<Task>, status: Status, failure: Option<Failure>) {
        let record = task.change(|record| {
            record.status = status;
            record.failure = failure;
        });
        self.save_task(task, &record).await;
    }

    async fn save_task(&self, task: &Arc<Task>, record: &MoveTask) {
        // A queue that is deleted takes its tasks with it.
        if !self.move_tasks().has(task) {
            return;
        }
        if let Err(error) = self.move_tasks().save(record).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "store a message move task");
        }
    }
}

/// How many messages the next batch may have: a tenth of a second's, and none beyond the task's.
fn batch_of(task: &MoveTask) -> usize {
    let left = usize::try_from(task.to_move.saturating_sub(task.moved)).unwrap_or(usize::MAX);
    let at_once = match task.per_second_max {
        Some(rate) => (rate as usize / 10).max(1),
        None => limits::MOVED_AT_ONCE,
    };
    left.min(at_once)
}

fn pause_after(task: &MoveTask, count: u64) -> Duration {
    match task.per_second_max {
        Some(rate) => Duration::from_secs_f64(count as f64 / f64::from(rate)),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::definition::QueueKey;

    fn task(rate: Option<u32>, moved: u64) -> MoveTask {
        let source = QueueKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: "dead".into(),
        };
        MoveTask {
            id: "id".into(),
            source,
            destination: None,
            per_second_max: rate,
            status: Status::Running,
            moved,
            to_move: 1_000,
            failure: None,
            started_ms: 0,
        }
    }

    #[test]
    fn a_task_keeps_to_its_rate_and_to_what_there_was() {
        assert_eq!(batch_of(&task(None, 0)), limits::MOVED_AT_ONCE);
        assert_eq!(batch_of(&task(None, 990)), 10);
        assert_eq!(batch_of(&task(Some(1), 0)), 1);
        assert_eq!(pause_after(&task(Some(1), 1), 1), Duration::from_secs(1));
        assert_eq!(batch_of(&task(Some(500), 0)), 50);
        assert_eq!(
            pause_after(&task(Some(500), 0), 50),
            Duration::from_millis(100)
        );
        assert_eq!(batch_of(&task(Some(500), 1_000)), 0);
        assert_eq!(pause_after(&task(None, 0), 100), Duration::ZERO);
    }
}
