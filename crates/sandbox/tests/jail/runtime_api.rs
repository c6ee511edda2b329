//! As much of the Runtime API as it takes to ask a runtime client something.

use std::collections::HashMap;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// The platform's end of one runtime client's connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// The client's question for the next event has been read already.
    asked: bool,
}

pub struct Request {
    pub line: String,
    pub body: Vec<u8>,
}

impl Client {
    /// Waits for the client's first request, whatever it is.
    pub async fn first(listener: &TcpListener) -> (Self, Request) {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut client = Client {
            stream: BufReader::new(stream),
            asked: false,
        };
        let first = client.read().await;
        (client, first)
    }

    /// Answers with nothing but that it is well.
    pub async fn nod(&mut self) {
        let well = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        self.stream.write_all(well.as_bytes()).await.expect("nod");
    }

    /// Waits for the client to be up: for its first question.
    pub async fn accept(listener: &TcpListener) -> Self {
        let (mut client, first) = Self::first(listener).await;
        assert!(
            first.line.contains("/invocation/next"),
            "{}: {}",
            first.line,
            text(&first.body)
        );
        client.asked = true;
        client
    }

    /// Hands over an event and waits for what comes of it.
    pub async fn invoke(&mut self, event: &str) -> Request {
        if !std::mem::take(&mut self.asked) {
            let question = self.read().await;
            assert!(
                question.line.contains("/invocation/next"),
                "{}",
                question.line
            );
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
             Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
             Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:f\r\n\
             Content-Length: {}\r\n\r\n{event}",
            event.len()
        );
        self.stream
            .write_all(answer.as_bytes())
            .await
            .expect("send the event");
        let response = self.read().await;
        let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
        self.stream
            .write_all(accepted.as_bytes())
            .await
            .expect("accept the response");
        response
    }

    async fn read(&mut self) -> Request {
        let line = self.line().await;
        let mut headers = HashMap::new();
        loop {
            let header = self.line().await;
            let Some((name, value)) = header.split_once(": ") else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(0, |text| text.parse().expect("number"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("a body");
        Request { line, body }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("a line");
        assert!(!line.is_empty(), "the client has hung up");
        line.trim_end().to_owned()
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
