//! Message move tasks.

use uuid::Uuid;
use wire::{Context, sqs as api};

use crate::queues::{
    Queues,
    definition::QueueKey,
    error::{Error, Result},
    limits,
    move_task::{self, MoveTask, Status},
};

impl Queues {
    pub(super) async fn start_move(
        &self,
        cx: &Context,
        input: api::StartMessageMoveTaskRequest,
    ) -> Result<api::StartMessageMoveTaskResult> {
        let source = move_task::read_arn("SourceArn", &input.source_arn)?;
        let queue = self.by_arn(cx, &source, "SourceArn", "StartMessageMoveTask")?;
        if self.dead_letter_sources(&source).is_empty() {
            return Err(Error::parameter(
                "Source queue must be configured as a Dead Letter Queue.",
            ));
        }
        let destination = self.destination(cx, &source, input.destination_arn.as_deref())?;
        let record = MoveTask {
            id: Uuid::new_v4().to_string(),
            source: source.clone(),
            destination,
            per_second_max: move_task::read_rate(input.max_number_of_messages_per_second)?,
            status: Status::Running,
            moved: 0,
            to_move: queue.counts().visible,
            failure: None,
            started_ms: cx.now.as_millisecond(),
        };
        let handle = move_task::write_handle(&record.id, &source);
        self.begin_move(record).await?;
        Ok(api::StartMessageMoveTaskResult {
            task_handle: Some(handle),
        })
    }

    fn destination(
        &self,
        cx: &Context,
        source: &QueueKey,
        arn: Option<&str>,
    ) -> Result<Option<QueueKey>> {
        let Some(arn) = arn else {
            return Ok(None);
        };
        let key = move_task::read_arn("DestinationArn", arn)?;
        if key == *source {
            return Err(Error::parameter(
                "Source queue arn and destination queue arn cannot be the same.",
            ));
        }
        self.by_arn(cx, &key, "DestinationArn", "SendMessage")?;
        if key.is_fifo() != source.is_fifo() {
            return Err(Error::parameter(
                "The source queue and destination queue must be of the same queue type.",
            ));
        }
        Ok(Some(key))
    }

    /// The queue that a parameter names by its ARN.
    fn by_arn(
        &self,
        cx: &Context,
        key: &QueueKey,
        parameter: &str,
        action: &str,
    ) -> Result<std::sync::Arc<crate::queues::Queue>> {
        match self.at(cx, key, action) {
            Err(Error::NoQueue) => Err(move_task::no_resource(parameter)),
            found => found,
        }
    }

    pub(super) async fn cancel_move(
        &self,
        cx: &Context,
        input: api::CancelMessageMoveTaskRequest,
    ) -> Result<api::CancelMessageMoveTaskResult> {
        let (id, source) = move_task::read_handle(&input.task_handle)?;
        self.by_arn(cx, &source, "SourceArn", "CancelMessageMoveTask")?;
        let task = self.move_tasks().cancel(&source, &id).await?;
        Ok(api::CancelMessageMoveTaskResult {
            approximate_number_of_messages_moved: Some(task.moved.cast_signed()),
        })
    }

    pub(super) fn list_moves(
        &self,
        cx: &Context,
        input: api::ListMessageMoveTasksRequest,
    ) -> Result<api::ListMessageMoveTasksResult> {
        let max = input.max_results.unwrap_or(1);
        if !(1..=limits::MOVE_TASKS_LISTED_MAX).contains(&max) {
            return Err(Error::parameter(
                "Value for parameter MaxResults is invalid. Reason: You must enter a number \
                 that's between 1 and 10.",
            ));
        }
        let source = move_task::read_arn("SourceArn", &input.source_arn)?;
        self.by_arn(cx, &source, "SourceArn", "ListMessageMoveTasks")?;
        let tasks = self.move_tasks().of(&source).into_iter();
        let tasks = tasks.take(max.unsigned_abs() as usize);
        Ok(api::ListMessageMoveTasksResult {
            results: Some(tasks.map(shown).collect()),
        })
    }
}

fn shown(task: MoveTask) -> api::ListMessageMoveTasksResultEntry {
    // Only what runs can be cancelled, and so has a handle.
    let is_running = task.status == Status::Running;
    let handle = is_running.then(|| move_task::write_handle(&task.id, &task.source));
    api::ListMessageMoveTasksResultEntry {
        task_handle: handle,
        status: Some(task.status.as_str().to_owned()),
        source_arn: Some(task.source.arn().to_string()),
        destination_arn: task.destination.map(|key| key.arn().to_string()),
        max_number_of_messages_per_second: task.per_second_max.map(u32::cast_signed),
        approximate_number_of_messages_moved: Some(task.moved.cast_signed()),
        approximate_number_of_messages_to_move: Some(task.to_move.cast_signed()),
        failure_reason: task.failure.map(|failure| failure.as_str().to_owned()),
        started_timestamp: Some(task.started_ms),
    }
}
