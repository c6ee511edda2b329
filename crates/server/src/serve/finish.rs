//! Work that goes on when nobody waits for it any more.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs `work` in place, without a task of its own, which would cost a change of threads; only if
/// the caller goes away before the end, because the client did, the rest becomes a task. AWS
/// finishes what a client has begun too.
pub fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send {
    ToTheEnd(Some(Box::pin(work)))
}

/// The same for work that holds the processor for a while: on a thread of its own, as those that
/// carry all other requests would stand still meanwhile. Nothing if it panicked.
pub async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let runtime = Handle::current();
    let working = tokio::task::spawn_blocking(move || runtime.block_on(work));
    working.await.ok()
}

struct ToTheEnd<T: Send + 'static>(Option<Work<T>>);

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else {
            // Polled after its end, which no caller does.
            return Poll::Pending;
        };
        let output = std::task::ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_half_way_is_finished() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let mut work = Box::pin(to_the_end(async move {
            let _ = wait.await;
            let _ = done.send("done");
        }));
        let begun = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        assert!(begun.is_pending());
        drop(work);
        go.send(()).expect("it still waits");
        assert_eq!(finished.await, Ok("done"));
    }

    #[tokio::test]
    async fn work_aside_does_not_hold_the_others() {
        // On the one thread that the test has, it would wait for itself.
        let (go, wait) = std::sync::mpsc::channel();
        let work = tokio::spawn(aside(async move { wait.recv().is_ok() }));
        tokio::task::yield_now().await;
        go.send(()).expect("it still waits");
        assert_eq!(work.await.expect("it is done"), Some(true));
    }

    #[tokio::test]
    async fn what_is_at_its_end_is_answered_in_place() {
        assert_eq!(to_the_end(async { 7 }).await, 7);
    }
}
