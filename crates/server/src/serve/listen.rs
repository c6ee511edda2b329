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
use platform::{Sender, gateway::url::Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::{App, Origin, pace::Paced};
use crate::limits;

/// What connections are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Finish what runs, begin nothing.
    Draining,
    /// End now: their time is over.
    Cut,
}

/// Serves until it is time to drain, then lets what runs finish, for `drain` at most, and cuts off
/// the rest. False if there was a rest.
pub async fn listen(
    listener: TcpListener,
    app: Arc<App>,
    phase: watch::Sender<Phase>,
    drain: Duration,
) -> bool {
    let mut now = phase.subscribe();
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            _ = now.wait_for(|phase| *phase > Phase::Serving) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                tokio::spawn(connection(stream, peer, app.clone(), now.clone(), place));
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
    let finished = timeout(drain, places.acquire_many(all)).await.is_ok();
    // Nobody is to take the end of a function for its answer.
    let _ = phase.send(Phase::Cut);
    let _ = timeout(limits::LAST_WORDS_WITHIN, places.acquire_many(all)).await;
    finished
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
    phase: watch::Receiver<Phase>,
    _place: OwnedSemaphorePermit,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let origin = Origin {
        client: Client {
            ip: peer.ip(),
            port: local.port(),
        },
        sender: Sender::Signature,
    };
    let terms = Terms {
        origin,
        head_within: limits::HEAD_WITHIN,
        until: Phase::Draining,
    };
    serve(stream, app, phase, terms).await;
}

/// How a connection is served.
pub(super) struct Terms {
    pub origin: Origin,
    /// For a request's head, and between requests.
    pub head_within: Duration,
    /// It may begin requests before this.
    pub until: Phase,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    mut stream: TcpStream,
    app: Arc<App>,
    phase: watch::Receiver<Phase>,
    terms: Terms,
) {
    if speak(&mut stream, app, phase, terms).await {
        read_off(stream).await;
    }
}

/// Says whether the end was a head that could not be read.
async fn speak(
    stream: &mut TcpStream,
    app: Arc<App>,
    mut phase: watch::Receiver<Phase>,
    terms: Terms,
) -> bool {
    let Terms {
        origin,
        head_within,
        until,
    } = terms;
    // Answers are written whole; waiting for more of them only costs the client time.
    let _ = stream.set_nodelay(true);
    let peer = origin.client.ip;
    let running = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|request| {
        let (app, origin) = (app.clone(), origin.clone());
        let running = Running::begin(&running);
        async move {
            let response = app.respond(request, origin).await;
            Ok::<_, Infallible>(response.map(|body| body.during(running)))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .max_headers(limits::HEADERS_MAX)
        .serve_connection(TokioIo::new(Paced::new(stream)), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        _ = phase.wait_for(|phase| *phase >= until) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            match timeout(limits::LAST_WORDS_WITHIN, served.as_mut()).await {
                Ok(ended) => ended,
                // Nothing runs and nothing comes: an idle client's connection.
                Err(_) if running.load(Ordering::Relaxed) == 0 => return false,
                Err(_) => tokio::select! {
                    ended = served.as_mut() => ended,
                    _ = phase.wait_for(|phase| *phase == Phase::Cut) => return false,
                },
            }
        }
    };
    let Err(error) = ended else { return false };
    tracing::debug!(%peer, "connection: {error}");
    error.is_parse()
}

/// Reads on for a moment what the client still sends of a request that was refused by its head:
/// closing with bytes unread would take the answer from it.
async fn read_off(mut stream: TcpStream) {
    let reading = async {
        let _ = stream.shutdown().await;
        let mut rest = stream.take(limits::HEAD_SPILL_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let _ = timeout(limits::HEAD_SPILL_WITHIN, reading).await;
}

/// Counts a request for as long as it lives.
pub struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
