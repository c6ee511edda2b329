//! Responses that go to the caller while their runtime still writes.

use std::cell::Cell;

use sandbox::{Exit, ExitStatus};

use super::{
    super::super::stream::{Begun, End, StreamError},
    *,
};

const HEAD: &str = "POST /2018-06-01/runtime/invocation/now/response HTTP/1.1\r\nHost: r\r\n\
    Content-Type: text/plain\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n\
    Transfer-Encoding: chunked\r\n\
    Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n";

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: r\r\n\r\n";

impl Runtime {
    /// One that is busy for a caller who takes the response piece by piece.
    async fn streaming() -> (Self, Delivery, oneshot::Receiver<Begun>) {
        let (begun, begins) = oneshot::channel();
        let trace_id = "Root=1".to_owned();
        let (runtime, delivery) = Self::asked(Some(Begin { begun, trace_id })).await;
        (runtime, delivery, begins)
    }

    async fn write(&mut self, text: &str) {
        self.connection.write_all(text.as_bytes()).await.unwrap();
    }

    /// Goes on over another connection; gives the one before it.
    async fn reconnect(&mut self) -> (TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (connection, accepted) = tokio::join!(connecting, listener.accept());
        let server = tokio::spawn(serve(accepted.unwrap().0, self.link.clone(), None));
        let before = std::mem::replace(&mut self.connection, connection.unwrap());
        (before, std::mem::replace(&mut self.server, server))
    }
}

fn ended(delivery: &mut Delivery) -> (usize, End) {
    match delivery.reply.try_recv() {
        Ok(Reply::Streamed { bytes, end }) => (bytes, end),
        other => panic!("{other:?}"),
    }
}

fn trailers(kind: &str, details: &str) -> String {
    let details = BASE64_STANDARD.encode(details);
    format!(
        "0\r\nLambda-Runtime-Function-Error-Type: {kind}\r\n\
         Lambda-Runtime-Function-Error-Body: {details}\r\n\r\n"
    )
}

#[tokio::test]
async fn the_first_piece_is_there_before_the_second_is_written() {
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    runtime.write(HEAD).await;
    runtime.write("3\r\n[1,\r\n").await;
    let mut begun = begins.await.unwrap();
    assert_eq!(begun.content_type.unwrap(), "text/plain");
    assert_eq!(begun.chunks.recv().await.unwrap(), "[1,");
    assert!(delivery.reply.try_recv().is_err());
    runtime.write("2\r\n2]\r\n0\r\n\r\n").await;
    assert_eq!(runtime.answer().await.0, 202);
    assert_eq!(begun.chunks.recv().await.unwrap(), "2]");
    assert!(begun.chunks.recv().await.is_none());
    assert!(matches!(ended(&mut delivery), (5, End::Whole)));
    // And that is all it may say of this request.
    let (status, _, said) = runtime.post("invocation/now/response", "", "{}").await;
    assert_eq!(
        (status, kind_of(&said).as_str()),
        (403, "InvalidStateTransition")
    );
}

#[tokio::test]
async fn nothing_else_is_taken_while_a_response_goes_on() {
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    runtime.write(HEAD).await;
    runtime.write("1\r\n1\r\n").await;
    let _begun = begins.await.unwrap();
    let (mut first, server) = runtime.reconnect().await;
    for call in ["invocation/now/response", "invocation/now/error"] {
        assert_eq!(runtime.post(call, "", "{}").await.0, 403, "{call}");
    }
    assert_eq!(runtime.ask(NEXT).await.0, 403);
    assert!(delivery.reply.try_recv().is_err());
    std::mem::swap(&mut runtime.connection, &mut first);
    runtime.write("0\r\n\r\n").await;
    assert_eq!(runtime.answer().await.0, 202);
    assert!(matches!(ended(&mut delivery), (1, End::Whole)));
    server.abort();
}

#[tokio::test]
async fn an_error_before_the_first_byte_is_an_error_and_one_after_it_is_passed_on() {
    let object = r#"{"errorType":"RangeError","errorMessage":"boom"}"#;
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let sent = format!("{HEAD}{}", trailers("RangeError", object));
    assert_eq!(runtime.ask(&sent).await.0, 202);
    assert!(matches!(delivery.reply.try_recv(), Ok(Reply::Error(error)) if error == object));
    let _next = runtime.link.next().unwrap();
    assert!(begins.await.is_err());

    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let sent = format!("{HEAD}4\r\npart\r\n{}", trailers("RangeError", object));
    assert_eq!(runtime.ask(&sent).await.0, 202);
    assert_eq!(begins.await.unwrap().chunks.recv().await.unwrap(), "part");
    let (bytes, end) = ended(&mut delivery);
    let expected = StreamError {
        kind: "RangeError".into(),
        details: object.into(),
    };
    assert!(matches!(end, End::Reported(error) if error == expected));
    assert_eq!(bytes, 4);

    // Where nobody takes pieces it is one error, as ever.
    let (mut runtime, mut delivery) = Runtime::busy().await;
    assert_eq!(runtime.ask(&sent).await.0, 202);
    assert!(matches!(delivery.reply.try_recv(), Ok(Reply::Error(error)) if error == object));
}

#[tokio::test]
async fn a_response_of_nothing_has_still_its_content_type() {
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let sent = format!("{HEAD}0\r\n\r\n");
    assert_eq!(runtime.ask(&sent).await.0, 202);
    let mut begun = begins.await.unwrap();
    assert_eq!(begun.content_type.unwrap(), "text/plain");
    assert!(begun.chunks.recv().await.is_none());
    assert!(matches!(ended(&mut delivery), (0, End::Whole)));
}

#[tokio::test]
async fn a_response_that_is_not_streamed_comes_whole() {
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let (status, ..) = runtime.post("invocation/now/response", "", "[1]").await;
    assert_eq!(status, 202);
    assert_eq!(response_of(&mut delivery), "[1]");
    let _next = runtime.link.next().unwrap();
    assert!(begins.await.is_err());
}

/// Megabytes that a runtime sends in chunks of one.
async fn send(connection: &mut TcpStream, megabytes: usize, sent: &Cell<usize>) {
    let mut chunk = Vec::from("100000\r\n");
    chunk.resize(chunk.len() + 0x10_0000, b'x');
    chunk.extend_from_slice(b"\r\n");
    connection.write_all(HEAD.as_bytes()).await.unwrap();
    for _ in 0..megabytes {
        connection.write_all(&chunk).await.unwrap();
        sent.set(sent.get() + 1);
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
}

async fn read(begins: oneshot::Receiver<Begun>) -> usize {
    let mut begun = begins.await.unwrap();
    let mut read = 0;
    while let Some(piece) = begun.chunks.recv().await {
        read += piece.len();
    }
    read
}

#[tokio::test]
async fn a_slow_reader_holds_the_function_up() {
    const MEGABYTES: usize = 64;
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let sent = Cell::new(0);
    let reading = async {
        // It stands still, however often it has its turn.
        let (mut still, mut before) = (0, 0);
        while before == 0 || still < 20_000 {
            tokio::task::yield_now().await;
            still = if sent.get() == before { still + 1 } else { 0 };
            before = sent.get();
        }
        assert!(before < MEGABYTES / 2, "{before} MB are on their way");
        assert_eq!(read(begins).await, MEGABYTES << 20);
    };
    tokio::join!(send(&mut runtime.connection, MEGABYTES, &sent), reading);
    assert_eq!(runtime.answer().await.0, 202);
    assert_eq!(ended(&mut delivery).0, MEGABYTES << 20);
}

#[tokio::test]
async fn a_reader_that_is_gone_does_not() {
    const MEGABYTES: usize = 32;
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let sent = Cell::new(0);
    let leaving = async {
        let mut begun = begins.await.unwrap();
        assert!(begun.chunks.recv().await.is_some());
    };
    tokio::join!(send(&mut runtime.connection, MEGABYTES, &sent), leaving);
    assert_eq!(runtime.answer().await.0, 202);
    let (bytes, end) = ended(&mut delivery);
    assert!(matches!(end, End::Whole));
    assert_eq!(bytes, MEGABYTES << 20);
}

#[tokio::test]
async fn more_than_two_hundred_megabytes_are_too_many() {
    let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
    let sent = Cell::new(0);
    let sending = send(&mut runtime.connection, 201, &sent);
    let ((), read) = tokio::join!(sending, read(begins));
    assert!(read <= STREAM_BYTES_MAX);
    let (status, _, said) = runtime.answer().await;
    assert_eq!(
        (status, kind_of(&said).as_str()),
        (413, "RequestEntityTooLarge")
    );
    assert!(matches!(ended(&mut delivery), (_, End::TooLarge)));
    // What it says of it is taken and dropped.
    let (status, ..) = runtime.post("invocation/now/error", "", "{}").await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_connection_that_breaks_half_way_is_told_by_what_comes_next() {
    let broken = async || {
        let (mut runtime, mut delivery, begins) = Runtime::streaming().await;
        runtime.write(HEAD).await;
        runtime.write("4\r\npart\r\n").await;
        let mut begun = begins.await.unwrap();
        assert!(begun.chunks.recv().await.is_some());
        drop(runtime.reconnect().await);
        assert!(begun.chunks.recv().await.is_none());
        assert!(delivery.reply.try_recv().is_err());
        (runtime, delivery)
    };

    let (mut runtime, delivery) = broken().await;
    let (status, ..) = runtime.post("invocation/now/response", "", "{}").await;
    assert_eq!(status, 403);
    runtime.write(NEXT).await;
    let (bytes, end) = match delivery.reply.await {
        Ok(Reply::Streamed { bytes, end }) => (bytes, end),
        other => panic!("{other:?}"),
    };
    assert!(matches!(end, End::Truncated));
    assert_eq!(bytes, 4);
    assert!(delivery.idle.await.is_ok());

    let (runtime, delivery) = broken().await;
    runtime.link.gone(Exit {
        status: ExitStatus::Code(1),
        out_of_memory: false,
    });
    assert!(matches!(delivery.reply.await, Ok(Reply::Exited(_))));
}
