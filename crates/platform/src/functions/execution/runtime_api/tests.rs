//! Runtimes of all kinds at the other end of a real connection, byte by byte.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    super::{
        link::{Delivery, Init},
        stream::Begin,
    },
    *,
};

mod streaming;

struct Runtime {
    link: Arc<Link>,
    init: oneshot::Receiver<Init>,
    connection: TcpStream,
    received: Vec<u8>,
    server: JoinHandle<()>,
}

impl Runtime {
    async fn new() -> Self {
        let (link, init) = Link::new();
        let link = Arc::new(link);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = TcpStream::connect(address);
        let (connection, accepted) = tokio::join!(connecting, listener.accept());
        let server = tokio::spawn(serve(accepted.unwrap().0, link.clone(), None));
        Self {
            link,
            init,
            connection: connection.unwrap(),
            received: Vec::new(),
            server,
        }
    }

    /// One that has asked for an event and has been given it.
    async fn busy() -> (Self, Delivery) {
        Self::asked(None).await
    }

    async fn asked(begin: Option<Begin>) -> (Self, Delivery) {
        let mut runtime = Self::new().await;
        let event = Event {
            request_id: "now".into(),
            payload: Bytes::from_static(b"{}"),
            deadline_ms: 1,
            invoked_function_arn: "arn".into(),
            trace_id: "Root=1".into(),
            client_context: None,
            cognito_identity: None,
        };
        let delivery = runtime.link.deliver(event, begin);
        let (status, head, body) = runtime
            .ask("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: r\r\n\r\n")
            .await;
        assert_eq!((status, body.as_str()), (200, "{}"), "{head}");
        assert!(head.contains("\r\nlambda-runtime-aws-request-id: now\r\n"));
        (runtime, delivery)
    }

    async fn ask(&mut self, request: &str) -> (u16, String, String) {
        self.connection.write_all(request.as_bytes()).await.unwrap();
        self.answer().await
    }

    async fn post(&mut self, call: &str, headers: &str, body: &str) -> (u16, String, String) {
        let length = body.len();
        self.ask(&format!(
            "POST /2018-06-01/runtime/{call} HTTP/1.1\r\nHost: r\r\nContent-Length: {length}\r\n\
             {headers}\r\n{body}"
        ))
        .await
    }

    /// Status, head and body.
    async fn answer(&mut self) -> (u16, String, String) {
        let head = loop {
            let end = self
                .received
                .windows(4)
                .position(|part| part == b"\r\n\r\n");
            match end {
                Some(end) => break self.take(end + 4),
                None => self.more().await,
            }
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        while self.received.len() < length {
            self.more().await;
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, self.take(length))
    }

    fn take(&mut self, length: usize) -> String {
        let taken = self.received.drain(..length).collect();
        String::from_utf8(taken).unwrap()
    }

    async fn more(&mut self) {
        let read = self.connection.read_buf(&mut self.received).await.unwrap();
        assert_ne!(read, 0, "the connection is closed");
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn kind_of(body: &str) -> String {
    let error: serde_json::Value = serde_json::from_str(body).unwrap();
    error["errorType"].as_str().unwrap().to_owned()
}

fn response_of(delivery: &mut Delivery) -> Bytes {
    match delivery.reply.try_recv() {
        Ok(Reply::Response(payload)) => payload,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_response_comes_in_one_piece_or_in_chunks_and_after_a_question() {
    let (mut runtime, mut delivery) = Runtime::busy().await;
    let sent = "POST /2018-06-01/runtime/invocation/now/response HTTP/1.1\r\nHost: r\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
    let (status, _, body) = runtime.ask(sent).await;
    assert_eq!((status, body.as_str()), (202, "{\"status\":\"OK\"}\n"));
    assert_eq!(response_of(&mut delivery), "[1,2]");

    let (mut runtime, mut delivery) = Runtime::busy().await;
    let head = "POST /2018-06-01/runtime/invocation/now/response HTTP/1.1\r\nHost: r\r\n\
        Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let (status, ..) = runtime.ask(head).await;
    assert_eq!(status, 100);
    assert_eq!(runtime.ask("null").await.0, 202);
    assert_eq!(response_of(&mut delivery), "null");

    // An answer and the next question in one go, and HTTP/1.0 at last.
    let (mut runtime, mut delivery) = Runtime::busy().await;
    let sent = "POST /2018-06-01/runtime/invocation/now/response HTTP/1.1\r\nHost: r\r\n\
        Content-Length: 1\r\n\r\n7POST /2018-06-01/runtime/invocation/now/response HTTP/1.0\r\n\
        Content-Length: 1\r\n\r\n8";
    assert_eq!(runtime.ask(sent).await.0, 202);
    assert_eq!(response_of(&mut delivery), "7");
    let (status, head, body) = runtime.answer().await;
    assert_eq!((status, &head[..9]), (403, "HTTP/1.0 "));
    assert_eq!(kind_of(&body), "InvalidStateTransition");
}

#[tokio::test]
async fn an_error_in_the_trailers_of_a_stream_is_the_answer() {
    let object = r#"{"errorType":"Error","errorMessage":"boom"}"#;
    let encoded = BASE64_STANDARD.encode(object);
    let fallback = r#"{"errorType":"Runtime.Unknown","errorMessage":"Unknown error"}"#;
    for (body, expected) in [(encoded.as_str(), object), ("%%%", fallback)] {
        let (mut runtime, mut delivery) = Runtime::busy().await;
        let sent = format!(
            "POST /2018-06-01/runtime/invocation/now/response HTTP/1.1\r\nHost: r\r\n\
             Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\
             Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\
             \r\n4\r\npart\r\n0\r\nLambda-Runtime-Function-Error-Type: Error\r\n\
             Lambda-Runtime-Function-Error-Body: {body}\r\n\r\n"
        );
        assert_eq!(runtime.ask(&sent).await.0, 202);
        match delivery.reply.try_recv() {
            Ok(Reply::Error(error)) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_large_response_is_refused_and_the_connection_goes_on() {
    let (mut runtime, mut delivery) = Runtime::busy().await;
    let body = "x".repeat(3 * RESPONSE_BYTES_MAX);
    let (status, _, said) = runtime.post("invocation/now/response", "", &body).await;
    assert_eq!(
        (status, kind_of(&said).as_str()),
        (413, "RequestEntityTooLarge")
    );
    assert!(matches!(delivery.reply.try_recv(), Ok(Reply::TooLarge)));
    // What it says of it is taken, and it may ask again.
    let (status, ..) = runtime.post("invocation/now/error", "", "{}").await;
    assert_eq!(status, 202);
    // One for a request that is not running is refused as whole.
    let (status, _, said) = runtime.post("invocation/old/response", "", &body).await;
    assert_eq!((status, kind_of(&said).as_str()), (400, "InvalidRequestID"));
    let (status, _, said) = runtime.post("invocation/now/what", "", "{}").await;
    assert_eq!((status, kind_of(&said).as_str()), (404, "NotFound"));
}

#[tokio::test]
async fn an_init_error_has_one_of_lambdas_own_types() {
    for (given, expected) in [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Function.ConfigInvalid", "Function.ConfigInvalid"),
        ("Function.2", "Function.Unknown"),
        ("ValueError", "Runtime.Unknown"),
        ("Runtime.", "Runtime.Unknown"),
        ("Runtime.Odd\tStatus: fine", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ] {
        let mut runtime = Runtime::new().await;
        let header = format!("Lambda-Runtime-Function-Error-Type: {given}\r\n");
        let (status, ..) = runtime.post("init/error", &header, "{\"a\":1}").await;
        assert_eq!(status, 202, "{given}");
        match runtime.init.try_recv() {
            Ok(Init::Failed { payload, kind }) => {
                assert_eq!((&payload[..], kind.as_str()), (&b"{\"a\":1}"[..], expected));
            }
            other => panic!("{given}: {other:?}"),
        }
        // Once is enough.
        let (status, _, said) = runtime.post("init/error", &header, "{}").await;
        assert_eq!(
            (status, kind_of(&said).as_str()),
            (403, "InvalidStateTransition")
        );
    }
}
