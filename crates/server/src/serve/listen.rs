//! The listener: connections within bounds, and their end.
//!
//! Stopping closes the listener at once, lets running requests finish within a bound, and ends
//! connections that have none.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::App;
use crate::limits;

/// Becomes true when the server is to stop.
pub type Stop = watch::Receiver<bool>;

/// Serves until `stop`, then lets what runs finish, for `drain` at most. False if that was not
/// enough.
pub async fn listen(listener: TcpListener, app: Arc<App>, mut stop: Stop, drain: Duration) -> bool {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                tokio::spawn(connection(stream, peer, app.clone(), stop.clone(), place));
            }
            Err(error) => {
                // Most likely out of descriptors: others have to end first.
                tracing::warn!("accept a connection: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits::CONNECTIONS_MAX).unwrap_or(u32::MAX);
    timeout(drain, places.acquire_many(all)).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Arc<App>,
    mut stop: Stop,
    _place: OwnedSemaphorePermit,
) {
    // Answers are written whole; waiting for more of them only costs the client time.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let running = AtomicUsize::new(0);
    let service = service_fn(|request| {
        let (app, running) = (app.clone(), Running::begin(&running));
        async move {
            let _running = running;
            Ok::<_, Infallible>(app.respond(request, (local, peer)).await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_WITHIN)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .max_headers(limits::HEADERS_MAX)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            match timeout(limits::LAST_WORDS_WITHIN, served.as_mut()).await {
                Ok(ended) => ended,
                // Nothing runs and nothing comes: an idle client's connection.
                Err(_) if running.load(Ordering::Relaxed) == 0 => return,
                Err(_) => served.await,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "connection: {error}");
    }
}

/// Counts a request for as long as it lives.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Running(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
