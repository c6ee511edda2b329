//! Batches on their way to a subscriber: in order, one at a time. Who does not take one has lost it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sandbox::Inward;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    buffer::{Buffer, Due, NOT_TAKEN},
    event::{Category, Event},
    subscription::Subscription,
};

/// What is read of an extension's answer, in bytes; nothing is made of it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub struct Subscriber {
    pub name: String,
    pub subscription: Subscription,
    buffer: Mutex<Buffer>,
    /// There is more in the buffer, or it is to go now.
    more: Notify,
    /// A batch is on its way.
    sending: watch::Sender<bool>,
}

/// Where batches go.
pub enum Destination {
    Http {
        target: Uri,
        authority: String,
        port: u16,
        method: Method,
    },
    /// The connection stays; after it broke the next batch makes another.
    Tcp {
        port: u16,
        connection: Option<TcpStream>,
    },
}

impl Subscriber {
    pub fn new(name: &str, subscription: Subscription, buffer: Buffer) -> Self {
        Self {
            name: name.to_owned(),
            subscription,
            buffer: Mutex::new(buffer),
            more: Notify::new(),
            sending: watch::Sender::new(false),
        }
    }

    pub fn tell(&self, event: &Event) {
        let told = event.told(&self.subscription);
        if told.is_empty() {
            return;
        }
        let platform = self.subscription.types.contains(&Category::Platform);
        let (mut buffer, now) = (self.buffer(), Instant::now());
        for event in told {
            buffer.push(event, platform, now);
        }
        drop(buffer);
        self.more.notify_one();
    }

    /// What waits is to go now.
    pub fn hurry(&self) {
        self.buffer().hurry();
        self.more.notify_one();
    }

    /// Waits until nothing waits nor is on its way.
    pub async fn flushed(&self) {
        let mut sending = self.sending.subscribe();
        let done = |sending: &bool| !sending && self.buffer().is_empty();
        let _ = sending.wait_for(done).await;
    }

    /// Never ends of its own.
    pub async fn deliver(self: Arc<Self>, mut to: Destination, inward: Arc<dyn Inward>) {
        loop {
            let batch = self.batch().await;
            if let Err(error) = to.send(&batch, &*inward).await {
                tracing::debug!(%error, extension = self.name, "telemetry was not taken");
                let bytes = batch.iter().map(String::len).sum();
                self.buffer().lose(batch.len(), bytes, NOT_TAKEN);
            }
            self.sending.send_replace(false);
        }
    }

    async fn batch(&self) -> Vec<String> {
        loop {
            let now = Instant::now();
            let due = self.buffer().due(now);
            match due {
                Due::Now => {
                    // In this order: who waits for all of it must not find neither.
                    self.sending.send_replace(true);
                    return self.buffer().take(now);
                }
                Due::At(at) => {
                    let _ = tokio::time::timeout_at(at, self.more.notified()).await;
                }
                Due::Never => self.more.notified().await,
            }
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination {
    pub fn http(uri: &Uri, port: u16, method: &Method) -> Self {
        let target = uri.path_and_query().cloned();
        Self::Http {
            target: target.map_or_else(|| Uri::from_static("/"), Uri::from),
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            port,
            method: method.clone(),
        }
    }

    pub fn tcp(port: u16, connection: TcpStream) -> Self {
        Self::Tcp {
            port,
            connection: Some(connection),
        }
    }

    /// Waits for as long as it takes: who is frozen answers when it goes on.
    async fn send(&mut self, batch: &[String], inward: &dyn Inward) -> io::Result<()> {
        match self {
            Self::Http {
                target,
                authority,
                port,
                method,
            } => {
                let body = format!("[{}]", batch.join(","));
                let request = Request::builder()
                    .method(method.clone())
                    .uri(target.clone())
                    .header(header::HOST, authority.as_str())
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(header::CONNECTION, "close")
                    .body(Full::new(Bytes::from(body)))
                    .map_err(io::Error::other)?;
                exchange(inward.connect(*port).await?, request).await
            }
            Self::Tcp { port, connection } => {
                let mut lines = batch.join("\n");
                lines.push('\n');
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => inward.connect(*port).await?,
                };
                open.write_all(lines.as_bytes()).await?;
                *connection = Some(open);
                Ok(())
            }
        }
    }
}

async fn exchange(connection: TcpStream, request: Request<Full<Bytes>>) -> io::Result<()> {
    let begun = http1::handshake(TokioIo::new(connection)).await;
    let (mut sender, connection) = begun.map_err(io::Error::other)?;
    let answered = async move {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(io::Error::other)?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        match status.is_client_error() || status.is_server_error() {
            true => Err(io::Error::other(format!("it answered {status}"))),
            false => Ok(()),
        }
    };
    // That ends with the sender.
    let (_, answered) = tokio::join!(connection, answered);
    answered
}
