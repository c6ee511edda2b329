//! The bounded way from async callers to the store's threads.
//!
//! Callers wait for a place; a job holds its place until it is answered. Several threads may
//! take from one queue. Closing lets what is queued finish.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::job::Job;

pub(crate) fn queue(places: usize) -> (Entry, Exit) {
    let (sender, receiver) = channel();
    let entry = Entry {
        places: Arc::new(Semaphore::new(places)),
        sender: Mutex::new(Some(sender)),
    };
    (
        entry,
        Exit {
            receiver: Arc::new(Mutex::new(receiver)),
        },
    )
}

pub(crate) struct Entry {
    places: Arc<Semaphore>,
    sender: Mutex<Option<Sender<Box<dyn Job>>>>,
}

impl Entry {
    pub async fn place(&self) -> Result<OwnedSemaphorePermit> {
        self.places
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Error::Closed)
    }

    pub fn send(&self, job: Box<dyn Job>) -> Result<()> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(Error::Closed)?;
        sender.send(job).map_err(|_| Error::Closed)
    }

    pub fn close(&self) {
        self.places.close();
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

pub(crate) enum Next {
    Job(Box<dyn Job>),
    /// Nothing came in the time given.
    Quiet,
    Closed,
}

#[derive(Clone)]
pub(crate) struct Exit {
    receiver: Arc<Mutex<Receiver<Box<dyn Job>>>>,
}

impl Exit {
    pub fn next(&self, within: Option<Duration>) -> Next {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match within {
            Some(within) => receiver.recv_timeout(within),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match job {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    /// What waits right now. Another thread that waits for the queue holds its lock, and then
    /// there is nothing in it.
    pub fn try_next(&self) -> Option<Box<dyn Job>> {
        self.receiver.try_lock().ok()?.try_recv().ok()
    }
}
