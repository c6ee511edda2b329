//! Background work in one shape: something that is brought from how it is to how it should be, in
//! passes that may be repeated at any time.
//!
//! A pass runs when it is woken, and from time to time anyway, so that a signal that was lost or a
//! pass that failed costs time and nothing else. An operator sees each task by name.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::Instant};

/// A pass that failed is repeated after this time, and then after ever longer ones up to its turn.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Wakes a task; signals that come during a pass make one more.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// The tasks of a platform. They end when this is dropped.
#[derive(Default)]
pub struct Background {
    tasks: Mutex<Vec<Kept>>,
}

struct Kept {
    counts: Arc<Counts>,
    handle: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

#[derive(Debug)]
struct Counts {
    name: &'static str,
    passes: AtomicU64,
    failures: AtomicU64,
}

/// A task as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskView {
    pub name: &'static str,
    /// Since the start; those that failed are among them.
    pub passes: u64,
    pub failures: u64,
}

impl Background {
    /// Runs passes until the end. The first comes at once.
    pub fn keep<F, E>(
        &self,
        name: &'static str,
        every: Duration,
        wake: Wake,
        pass: impl Fn() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let counts = Arc::new(Counts {
            name,
            passes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let handle = tokio::spawn(run(counts.clone(), every, wake, pass));
        self.lock().push(Kept { counts, handle });
    }

    /// Ends all tasks, wherever they are.
    pub fn stop(&self) {
        self.lock().clear();
    }

    pub fn tasks(&self) -> Vec<TaskView> {
        let view = |kept: &Kept| TaskView {
            name: kept.counts.name,
            passes: kept.counts.passes.load(Ordering::Relaxed),
            failures: kept.counts.failures.load(Ordering::Relaxed),
        };
        self.lock().iter().map(view).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run<F, E>(counts: Arc<Counts>, every: Duration, wake: Wake, pass: impl Fn() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + 'static,
{
    let mut wait = RETRY_AFTER;
    loop {
        let ended = pass().await;
        counts.passes.fetch_add(1, Ordering::Relaxed);
        let next = match ended {
            Ok(()) => {
                wait = RETRY_AFTER;
                every
            }
            Err(error) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    task = counts.name,
                    "background work failed; will try again"
                );
                let after = wait.min(every);
                wait = wait.saturating_mul(2);
                after
            }
        };
        let turn = tokio::time::sleep_until(Instant::now() + next);
        tokio::select! {
            () = turn => {}
            () = wake.0.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::atomic::AtomicUsize};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_pass_comes_at_once_and_whenever_it_is_woken() {
        let (background, wake) = (Background::default(), Wake::default());
        let (done, mut passes) = mpsc::unbounded_channel();
        background.keep("test", Duration::from_secs(3600), wake.clone(), move || {
            let done = done.clone();
            async move { done.send(()).map_err(io::Error::other) }
        });
        passes.recv().await.unwrap();
        wake.wake();
        passes.recv().await.unwrap();
        assert_eq!(background.tasks()[0].failures, 0);
        background.stop();
        assert_eq!(passes.recv().await, None);
        assert!(background.tasks().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_fails_is_repeated_before_its_turn() {
        let background = Background::default();
        let failures = Arc::new(AtomicUsize::new(3));
        let (done, mut passes) = mpsc::unbounded_channel();
        let begun = Instant::now();
        background.keep(
            "test",
            Duration::from_secs(3600),
            Wake::default(),
            move || {
                let fails = failures.load(Ordering::Relaxed) > 0;
                failures.fetch_sub(usize::from(fails), Ordering::Relaxed);
                let done = done.clone();
                async move {
                    match fails {
                        true => Err(io::Error::other("not yet")),
                        false => done.send(()).map_err(io::Error::other),
                    }
                }
            },
        );
        passes.recv().await.unwrap();
        assert_eq!(begun.elapsed(), RETRY_AFTER * 7);
        passes.recv().await.unwrap();
        assert_eq!(begun.elapsed(), RETRY_AFTER * 7 + Duration::from_secs(3600));
        assert_eq!(background.tasks()[0].failures, 3);
    }
}
