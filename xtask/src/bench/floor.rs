//! The floors: the same work with nothing of ours in it.
//!
//! A bare hyper server that echoes, and a bare Runtime API, in one process each side of which is
//! hyper: an invoke goes in at one address and to a waiting function process at the other.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinHandle,
};

/// An answer of its own, or what a function streams as it comes.
type Body = Either<Full<Bytes>, Incoming>;
type Answer = Result<Response<Body>, Infallible>;

/// A server that ends with its handle.
pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F, Fut>(handle: F) -> Result<Server>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    let address = listener.local_addr().context("ask for the address")?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let handle = handle.clone();
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handle));
            // A client that goes away ends its connection, and that is all.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    Ok(Server { address, task })
}

/// A bare hyper server that sends back what it gets.
pub async fn echo() -> Result<Server> {
    serve(|request| async move { Ok(Response::new(whole(body_of(request).await))) }).await
}

struct Invocation {
    event: Bytes,
    answer: oneshot::Sender<Body>,
}

/// Invocations that wait for a process, and those that a process has in hand.
struct Exchange {
    sender: mpsc::Sender<Invocation>,
    waiting: Mutex<mpsc::Receiver<Invocation>>,
    in_hand: std::sync::Mutex<Vec<Option<oneshot::Sender<Body>>>>,
    /// How many asks for an event there have been so far.
    asks: watch::Sender<usize>,
}

/// The platform with nothing in it: `invoke` for callers, `runtime_api` for function processes.
pub struct Runtime {
    pub invoke: Server,
    pub runtime_api: Server,
    asks: watch::Receiver<usize>,
}

impl Runtime {
    /// Waits until so many processes have started and ask for their first event.
    pub async fn until_asked(&mut self, processes: usize) -> Result<()> {
        self.asks
            .wait_for(|asks| *asks >= processes)
            .await
            .map(drop)
            .context("wait for processes")
    }
}

pub async fn runtime() -> Result<Runtime> {
    /// More than the bench has clients.
    const WAITING_MAX: usize = 1024;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (ask_sender, asks) = watch::channel(0);
    let exchange = Arc::new(Exchange {
        sender,
        waiting: Mutex::new(receiver),
        in_hand: std::sync::Mutex::new(Vec::new()),
        asks: ask_sender,
    });
    let caller = exchange.clone();
    let invoke = serve(move |request| invoke(caller.clone(), request)).await?;
    let runtime_api = serve(move |request| runtime_call(exchange.clone(), request)).await?;
    Ok(Runtime {
        invoke,
        runtime_api,
        asks,
    })
}

async fn invoke(exchange: Arc<Exchange>, request: Request<Incoming>) -> Answer {
    let event = body_of(request).await;
    let (answer, answered) = oneshot::channel();
    if exchange
        .sender
        .send(Invocation { event, answer })
        .await
        .is_err()
    {
        return Ok(status(StatusCode::SERVICE_UNAVAILABLE));
    }
    Ok(answered
        .await
        .map_or_else(|_| status(StatusCode::BAD_GATEWAY), Response::new))
}

async fn runtime_call(exchange: Arc<Exchange>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    let call = path.trim_start_matches("/2018-06-01/runtime/invocation/");
    if call == "next" {
        return Ok(next(&exchange).await);
    }
    let place = call
        .strip_suffix("/response")
        .and_then(|id| id.parse::<usize>().ok());
    let streams = request
        .headers()
        .contains_key("lambda-runtime-function-response-mode");
    let answer = match streams {
        true => Either::Right(request.into_body()),
        false => whole(body_of(request).await),
    };
    let sender = place.and_then(|place| {
        let mut in_hand = exchange.in_hand.lock().expect("no holder panics");
        in_hand.get_mut(place)?.take()
    });
    // A caller that has gone takes no answer.
    let _ = sender.map(|sender| sender.send(answer));
    Ok(status(StatusCode::ACCEPTED))
}

async fn next(exchange: &Exchange) -> Response<Body> {
    exchange.asks.send_modify(|asks| *asks += 1);
    let Some(Invocation { event, answer }) = exchange.waiting.lock().await.recv().await else {
        return status(StatusCode::GONE);
    };
    let place = {
        let mut in_hand = exchange.in_hand.lock().expect("no holder panics");
        let free = in_hand.iter().position(Option::is_none);
        let place = free.unwrap_or(in_hand.len());
        if free.is_none() {
            in_hand.push(None);
        }
        in_hand[place] = Some(answer);
        place
    };
    let response = Response::builder().header("Lambda-Runtime-Aws-Request-Id", place.to_string());
    response
        .body(whole(event))
        .expect("a number is a good header")
}

fn whole(body: Bytes) -> Body {
    Either::Left(Full::new(body))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A body that breaks off is an empty one: the answer will then be seen to be wrong.
async fn body_of(request: Request<Incoming>) -> Bytes {
    request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{
        super::{
            load::{Client, Expected, closed_loop},
            request::Template,
        },
        *,
    };

    fn template(address: SocketAddr, body: &'static str) -> Template {
        Template::raw(Method::POST, &address.to_string(), "/", body).expect("it is well formed")
    }

    #[tokio::test]
    async fn the_echo_echoes_under_load() {
        let server = echo().await.expect("it serves");
        let template = template(server.address, "hello");
        let time = std::time::Duration::from_millis(50);
        let samples = closed_loop(server.address, &template, &Expected::ok("hello"), 4, time)
            .await
            .expect("all answers are right");
        assert!(samples.latencies.len() >= 4);
        let wrong = closed_loop(server.address, &template, &Expected::ok("other"), 1, time).await;
        assert!(wrong.is_err());
    }

    #[tokio::test]
    async fn an_invoke_reaches_a_process_and_its_answer_the_caller() {
        let runtime = runtime().await.expect("it serves");
        let (address, api) = (runtime.invoke.address, runtime.runtime_api.address);
        let caller = tokio::spawn(async move {
            let mut client = Client::connect(address).await?;
            client.send(&template(address, "event")).await
        });
        let mut process = Client::connect(api).await.expect("it connects");
        let get = |path| Template::raw(Method::GET, "api", path, "").expect("it is well formed");
        let (_, event) = process
            .send(&get("/2018-06-01/runtime/invocation/next"))
            .await
            .expect("there is an event");
        assert_eq!(event, "event");
        let path = "/2018-06-01/runtime/invocation/0/response";
        let post = Template::raw(Method::POST, "api", path, "answer").expect("it is well formed");
        let (status, _) = process.send(&post).await.expect("it is taken");
        assert_eq!(status, StatusCode::ACCEPTED);
        let (_, answer) = caller.await.expect("no panic").expect("an answer");
        assert_eq!(answer, "answer");
    }
}
