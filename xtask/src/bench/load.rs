//! The load generator: a closed loop of N clients, each with a connection of its own, each sending
//! its next request when it has the answer to the last. Loopback only, and bounded in time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    request::{Body, Template},
    stats::Samples,
};

/// What an answer must be to count.
#[derive(Clone)]
pub struct Expected {
    pub status: StatusCode,
    pub body: Option<Bytes>,
}

impl Expected {
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Expected {
            status: StatusCode::OK,
            body: Some(body.into()),
        }
    }
}

/// Clients in a closed loop, for a time.
pub async fn closed_loop(
    address: SocketAddr,
    template: &Template,
    expected: &Expected,
    clients: usize,
    duration: Duration,
) -> Result<Samples> {
    ensure!(address.ip().is_loopback(), "load is for loopback only");
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(Client::connect(address).await?);
    }
    let begun = Instant::now();
    let mut loops = JoinSet::new();
    for mut client in connections {
        let (template, expected) = (template.clone(), expected.clone());
        loops.spawn(async move {
            let mut latencies = Vec::new();
            while begun.elapsed() < duration {
                latencies.push(client.timed(&template, &expected).await?);
            }
            anyhow::Ok(Samples {
                latencies,
                elapsed: begun.elapsed(),
            })
        });
    }
    let mut all = Samples::default();
    while let Some(one) = loops.join_next().await {
        all = all.merge(one.context("join a client")??);
    }
    Ok(all)
}

/// All templates at once, each on a connection of its own that is there beforehand: a burst.
pub async fn burst(address: SocketAddr, sent: &[(Template, Expected)]) -> Result<Samples> {
    ensure!(address.ip().is_loopback(), "load is for loopback only");
    let mut connections = Vec::with_capacity(sent.len());
    for _ in sent {
        connections.push(Client::connect(address).await?);
    }
    let begun = Instant::now();
    let mut requests = JoinSet::new();
    for (mut client, (template, expected)) in connections.into_iter().zip(sent.iter().cloned()) {
        requests.spawn(async move { client.timed(&template, &expected).await });
    }
    let mut samples = Samples::default();
    while let Some(latency) = requests.join_next().await {
        samples.latencies.push(latency.context("join a request")??);
    }
    samples.elapsed = begun.elapsed();
    Ok(samples)
}

/// One client on one connection.
pub struct Client {
    sender: SendRequest<Body>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("begin HTTP")?;
        // It ends with the sender; an error shows at the request that it spoils.
        tokio::spawn(connection);
        Ok(Client { sender })
    }

    /// An answer whose body is yet to be read.
    pub async fn begin(&mut self, template: &Template) -> Result<Response<Incoming>> {
        self.sender
            .ready()
            .await
            .context("wait for the connection")?;
        let answer = self.sender.send_request(template.to_request());
        answer.await.context("send")
    }

    /// Reads what comes next of a body; false at its end.
    pub async fn frame(&mut self, response: &mut Response<Incoming>) -> Result<bool> {
        let frame = response.body_mut().frame().await;
        let frame = frame.transpose().context("read a piece of an answer")?;
        Ok(frame.is_some())
    }

    pub async fn send(&mut self, template: &Template) -> Result<(StatusCode, Bytes)> {
        let response = self.begin(template).await?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .context("read an answer")?
            .to_bytes();
        Ok((status, body))
    }

    /// The time to the end of an answer, which must be the right one.
    pub async fn timed(&mut self, template: &Template, expected: &Expected) -> Result<Duration> {
        let begun = Instant::now();
        let (status, body) = self.send(template).await?;
        let took = begun.elapsed();
        let right = expected
            .body
            .as_ref()
            .is_none_or(|expected| *expected == body);
        ensure!(
            status == expected.status && right,
            "a wrong answer: {status} {}",
            String::from_utf8_lossy(&body[..body.len().min(300)])
        );
        Ok(took)
    }
}
