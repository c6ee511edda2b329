//! Message move tasks: StartMessageMoveTask moves what is in a dead-letter queue back to where it
//! came from, or to another queue, at the rate that was asked for.
//!
//! A task is stored before it begins and goes on after a restart. How messages are moved is the
//! engine's business; here is which, how fast, and what is told of it.

mod run;
mod tasks;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Record, Table};
use wire::arn::Arn;

use super::{
    definition::QueueKey,
    error::{Error, Result},
    limits,
};

pub use tasks::{MoveTasks, Task};

pub const MOVE_TASKS: Table<MoveTask> = Table::new();

/// A task as it is stored. Keyed by its source queue's account, region and name, and its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveTask {
    pub id: String,
    pub source: QueueKey,
    /// None: each message goes back to the queue that it came from.
    pub destination: Option<QueueKey>,
    pub per_second_max: Option<u32>,
    pub status: Status,
    pub moved: u64,
    /// How many messages there were when it began, and so how many it moves at most.
    pub to_move: u64,
    pub failure: Option<Failure>,
    pub started_ms: i64,
}

impl Record for MoveTask {
    const TABLE: &'static str = "queue_move_tasks";
    const VERSION: u32 = 1;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Running,
    Completed,
    Cancelling,
    Cancelled,
    Failed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Running | Self::Cancelling)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// A message came to the queue by itself, and the task was to bring it back.
    NoSource,
    /// A queue is gone.
    NoQueue,
}

impl Failure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSource => "CouldNotDetermineMessageSource",
            Self::NoQueue => "AWS.SimpleQueueService.NonExistentQueue",
        }
    }
}

/// What a task is named by: its id and its source queue, in SQS's form.
pub fn write_handle(id: &str, source: &QueueKey) -> String {
    let handle = json!({ "taskId": id, "sourceArn": source.arn().to_string() });
    STANDARD.encode(handle.to_string())
}

pub fn read_handle(handle: &str) -> Result<(String, QueueKey)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Handle {
        task_id: String,
        source_arn: String,
    }
    let read = || {
        let text = STANDARD.decode(handle).ok()?;
        let handle: Handle = serde_json::from_slice(&text).ok()?;
        Some((handle.task_id, handle.source_arn.parse().ok()?))
    };
    read().ok_or_else(|| Error::parameter("Value for parameter TaskHandle is invalid."))
}

/// The queue that a parameter of a task's operation names.
pub fn read_arn(name: &str, text: &str) -> Result<QueueKey> {
    let arn = text.parse::<Arn>().ok();
    let key = arn.and_then(|arn| QueueKey::try_from(&arn).ok());
    key.ok_or_else(|| {
        Error::parameter(format!(
            "You must use this format to specify the {name}: \
             arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        ))
    })
}

pub fn no_resource(name: &str) -> Error {
    Error::NoResource(format!(
        "The resource that you specified for the {name} parameter doesn't exist."
    ))
}

/// MaxNumberOfMessagesPerSecond, if it is one.
pub fn read_rate(given: Option<i32>) -> Result<Option<u32>> {
    match given {
        None => Ok(None),
        Some(rate) if (1..=limits::MOVED_PER_S_MAX).contains(&rate) => {
            Ok(Some(rate.unsigned_abs()))
        }
        Some(_) => Err(Error::parameter(
            "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter \
             a number that's between 1 and 500.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_a_task_and_its_source() {
        let source = QueueKey {
            account_id: "123456789012".into(),
            region: "eu-west-1".into(),
            name: "dead".into(),
        };
        let handle = write_handle("id", &source);
        assert_eq!(
            read_handle(&handle).expect("read"),
            ("id".to_owned(), source)
        );
        for bad in ["", "foobared", &STANDARD.encode("{}")] {
            assert!(read_handle(bad).is_err(), "{bad}");
        }
    }
}
