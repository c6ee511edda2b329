//! What a service is that can be a target of deliveries.

use std::sync::Arc;

use async_trait::async_trait;

use super::delivery::Delivery;
use crate::queues::{Queue, message::NewMessage};

/// A kind of target; registered under the service of its ARNs.
#[async_trait]
pub trait Target: Send + Sync {
    /// How a delivery is made. A message or other deliveries are stored in the transaction that the
    /// delivery is part of: they come about exactly once, and nothing waits. It has to ask the
    /// target's policy about the sender unless there is a role, and to be quick.
    async fn plan(&self, delivery: &Delivery) -> Result<Plan, Failure>;

    /// Makes a delivery that is [`Plan::Try`]; at least once, and bounded in time by itself.
    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let kind = delivery.kind();
        Err(Failure::last(
            "InternalError",
            format!("{kind} has nothing to try"),
        ))
    }
}

/// What a delivery comes to.
pub enum Plan {
    /// It is a message of a queue of the platform's.
    Message(Arc<Queue>, NewMessage),
    /// It spreads to others, as a message to a topic does to its subscriptions; to none means done.
    Spread(Vec<Delivery>),
    /// It has to be tried by [`Target::deliver`], beside any transaction.
    Try,
}

/// Why a delivery was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// In AWS's words, e.g. `NO_PERMISSIONS`.
    pub code: String,
    pub message: String,
    /// Another try would end in the same way.
    pub is_final: bool,
}

impl Failure {
    /// One that may go away.
    pub fn again(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            is_final: false,
        }
    }

    /// One that stays.
    pub fn last(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            is_final: true,
            ..Self::again(code, message)
        }
    }
}
