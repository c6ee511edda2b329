//! A client of a function URL: one connection, kept.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub struct Caller {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

pub struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Caller {
    /// Connects to the platform itself: not every resolver knows names below `localhost`.
    pub async fn connect(address: SocketAddr, url: &str) -> Result<Self> {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        let stream = TcpStream::connect(address).await.context("connect")?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Caller {
            sender,
            host: host.to_owned(),
        })
    }

    pub async fn post(&mut self, body: &Bytes) -> Result<Reply> {
        let request = Request::post("/")
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))?;
        self.sender
            .ready()
            .await
            .context("the connection has ended")?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("call a function")?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Reply { status, body })
    }
}
