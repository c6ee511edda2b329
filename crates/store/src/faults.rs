//! A store that fails on purpose, for tests of what stands above.
//!
//! With [`crate::StoreConfig::faults`] each transaction is run where it is asked for, so that one
//! thread sees all of them in one order, and its fate is what the plan says.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// What it would have been.
    Kept,
    /// Nothing of it is kept: [`Error::DiskFull`].
    Lost,
    /// It is kept, and its caller is told [`Error::CommitUnknown`]. A read is lost.
    Unknown,
}

/// A plan of what fails, asked in the order in which transactions come.
pub trait Faults: Send + Sync {
    /// The next write's fate, and how long its answer takes, by Tokio's clock.
    fn write(&self) -> (Fate, Duration);

    /// The same of a read.
    fn read(&self) -> (Fate, Duration);
}

/// Runs `transaction` on this thread, to the fate it has. Whoever goes away before the answer does
/// not undo it.
pub(crate) async fn meet<T, E: From<Error>>(
    (fate, takes): (Fate, Duration),
    transaction: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let source = || Arc::new(std::io::Error::other("a planned fault"));
    let answer = match fate {
        Fate::Lost => Err(Error::DiskFull { source: source() }.into()),
        Fate::Kept => here(transaction),
        Fate::Unknown => {
            here(transaction).and_then(|_| Err(Error::CommitUnknown { source: source() }.into()))
        }
    };
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }
    answer
}

/// Waits for another thread without letting this one do anything else.
fn here<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
