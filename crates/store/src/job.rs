//! A transaction on its way: the caller's closure, its answer, and the channel back.
//!
//! A closure may run several times (its batch can fail for another's fault, and PostgreSQL asks
//! for repeats), so it is `Fn`; only the last run's answer is given, after the commit.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Error, Result};
use crate::tx::Tx;

/// What the engine has to do with the changes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Keep,
    Undo,
}

pub(crate) trait Job: Send {
    fn run(&mut self, tx: &mut Tx) -> Outcome;
    /// Gives the answer: of the last run, or the error of its transaction.
    fn settle(self: Box<Self>, transaction: Result<()>);
}

pub(crate) struct Closure<F, T, E> {
    act: F,
    answer: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    _place: OwnedSemaphorePermit,
}

impl<F, T, E> Closure<F, T, E> {
    pub fn new(act: F, place: OwnedSemaphorePermit) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (
            Self {
                act,
                answer: None,
                reply,
                _place: place,
            },
            answer,
        )
    }
}

impl<F, T, E> Job for Closure<F, T, E>
where
    F: Fn(&mut Tx) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &mut Tx) -> Outcome {
        let answer = match catch_unwind(AssertUnwindSafe(|| (self.act)(tx))) {
            Ok(Ok(answer)) => match tx.failure() {
                // The closure swallowed the error of a statement.
                Some(error) => Err(error.clone().into()),
                None => Ok(answer),
            },
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(Error::Panicked {
                message: message(&*panic),
            }
            .into()),
        };
        let outcome = if answer.is_ok() {
            Outcome::Keep
        } else {
            Outcome::Undo
        };
        self.answer = Some(answer);
        outcome
    }

    fn settle(self: Box<Self>, transaction: Result<()>) {
        let answer = match (transaction, self.answer) {
            (Ok(()), Some(answer)) => answer,
            (Ok(()), None) => Err(Error::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        // Nobody may be waiting any more: the transaction stands all the same.
        let _ = self.reply.send(answer);
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
