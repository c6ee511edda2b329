//! Requests that the platform makes itself, to addresses that its users name: API destinations, and
//! endpoints that topics send to. What may be reached is decided for each address that a name
//! resolves to ([`reach`]), when it is connected to. Everything is bounded: time, the answer, and
//! how many requests run. Redirects are not followed.

mod reach;
mod target;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use tokio::sync::Semaphore;

pub use reach::Reach;
pub use target::{HttpTarget, failure};

/// Requests that are under way at once; as many as deliveries have tries, so that a few endpoints
/// that do not answer take nobody else's turn.
const REQUESTS_MAX: usize = 512;
/// Connections that nobody uses are closed after this time.
const IDLE: Duration = Duration::from_secs(30);

type HttpClient = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// A cheap handle.
#[derive(Clone)]
pub struct Outbound {
    client: HttpClient,
    reach: Reach,
    requests: Arc<Semaphore>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the address is none to be sent to")]
    NoHost,
    #[error("the address may not be reached: {0}")]
    Denied(&'static str),
    #[error("there was no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("{}", told(.0.as_ref()))]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An error with what is behind it: alone it mostly says that there was one.
fn told(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text = format!("{text}: {error}");
        behind = error.source();
    }
    text
}

impl Outbound {
    pub fn new(reach: Reach) -> Result<Self, io::Error> {
        let mut http = HttpConnector::new_with_resolver(Resolver(reach));
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE);
        Ok(Self {
            client: builder.build(connector),
            reach,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })
    }

    /// Sends a request and reads the whole answer, of at most `bytes_max`.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
        bytes_max: usize,
    ) -> Result<Answer, OutboundError> {
        self.check_literal(request.uri())?;
        let _permit = self.requests.acquire().await;
        let exchange = async {
            let sent = self.client.request(request).await;
            let (head, body) = sent.map_err(failed)?.into_parts();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: collect(body, bytes_max).await?,
            })
        };
        let ended = tokio::time::timeout(within, exchange).await;
        ended.unwrap_or(Err(OutboundError::TimedOut(within)))
    }

    /// An address that is written as such is not resolved, so that it is looked at here.
    fn check_literal(&self, uri: &Uri) -> Result<(), OutboundError> {
        let host = uri.host().ok_or(OutboundError::NoHost)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) => self.reach.check(address).map_err(OutboundError::Denied),
            Err(_) => Ok(()),
        }
    }
}

fn failed(error: hyper_util::client::legacy::Error) -> OutboundError {
    let mut behind = std::error::Error::source(&error);
    while let Some(error) = behind {
        let inside = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(Unreachable(why)) = inside.and_then(|inside| inside.downcast_ref()) {
            return OutboundError::Denied(why);
        }
        behind = error.source();
    }
    OutboundError::Failed(error.into())
}

async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, OutboundError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| OutboundError::Failed(error.into()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > bytes_max {
                return Err(OutboundError::TooLong(bytes_max));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// A name all of whose addresses are out of reach.
#[derive(Debug, thiserror::Error)]
#[error("the address may not be reached: {0}")]
struct Unreachable(&'static str);

/// Resolves names to the addresses that may be reached.
#[derive(Clone)]
struct Resolver(Reach);

type Resolved = Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl tower_service::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Resolved;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolved {
        let reach = self.0;
        Box::pin(async move {
            // Not every system's resolver knows the names below it, as function URLs have.
            let name = match name.as_str().trim_end_matches('.').ends_with(".localhost") {
                true => "localhost",
                false => name.as_str(),
            };
            let found = tokio::net::lookup_host((name, 0)).await?;
            let mut denied = None;
            let mut allowed = Vec::new();
            for address in found {
                match reach.check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(why) => denied = Some(why),
                }
            }
            match (allowed.is_empty(), denied) {
                (true, Some(why)) => Err(io::Error::other(Unreachable(why))),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with this.
    async fn serve(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        address
    }

    fn get(url: String) -> Request<Full<Bytes>> {
        Request::get(url).body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_read_within_bounds() {
        let outbound = Outbound::new(Reach { loopback: true }).unwrap();
        let whole = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 4\r\n\r\nbody";
        let within = Duration::from_secs(30);
        for (host, bytes_max) in [("127.0.0.1", 4), ("localhost", 4), ("127.0.0.1", 3)] {
            let port = serve(whole).await.port();
            let answer = outbound
                .send(get(format!("http://{host}:{port}/")), within, bytes_max)
                .await;
            match bytes_max {
                4 => {
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, StatusCode::FOUND);
                    assert_eq!(&*answer.body, b"body");
                }
                _ => assert!(matches!(answer, Err(OutboundError::TooLong(3)))),
            }
        }
    }

    #[tokio::test]
    async fn what_may_not_be_reached_is_not_connected_to() {
        let outbound = Outbound::new(Reach { loopback: false }).unwrap();
        let port = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .port();
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
        ] {
            let sent = outbound
                .send(
                    get(format!("http://{host}:{port}/")),
                    Duration::from_secs(30),
                    9,
                )
                .await;
            assert!(
                matches!(sent, Err(OutboundError::Denied(_))),
                "{host}: {sent:?}"
            );
        }
    }
}
