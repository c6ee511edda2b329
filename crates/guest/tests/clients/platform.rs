//! The platform's side of the Runtime API, one request and answer at a time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Far more than any step takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Platform {
    pub address: SocketAddr,
    incoming: Receiver<TcpStream>,
    connection: Option<TcpStream>,
    received: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// The sizes of the chunks the body came in; none if it had a length.
    pub chunks: Vec<usize>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        lookup(&self.headers, name)
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        lookup(&self.trailers, name)
    }
}

fn lookup<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let field = fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    field.map(|(_, value)| value.as_str())
}

impl Platform {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let (sender, incoming) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            incoming,
            connection: None,
            received: Vec::new(),
        }
    }

    /// The next request; `None` when the other side has hung up.
    pub fn request(&mut self) -> Option<Request> {
        if self.connection.is_none() {
            let stream = self.incoming.recv_timeout(PATIENCE).ok()?;
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("set a timeout");
            stream.set_nodelay(true).expect("set an option");
            self.connection = Some(stream);
            self.received.clear();
        }
        let head = self.take_through(b"\r\n\r\n")?;
        let head = String::from_utf8(head).expect("the head is text");
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next().expect("a request line").split(' ');
        let method = words.next().expect("a method").to_owned();
        let path = words.next().expect("a path").to_owned();
        assert_eq!(words.next(), Some("HTTP/1.1"), "{head}");
        let headers = lines.map(field).collect();
        let mut request = Request {
            method,
            path,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
            chunks: Vec::new(),
        };
        assert!(
            request.header("Host").is_some(),
            "HTTP/1.1 wants a Host: {head}"
        );
        if request.header("Transfer-Encoding") == Some("chunked") {
            self.take_chunks(&mut request)?;
        } else if let Some(length) = request.header("Content-Length") {
            request.body = self.take(length.parse().expect("a length"))?;
        }
        Some(request)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let connection = self.connection.as_mut().expect("a request came first");
        connection.write_all(bytes).expect("write an answer");
    }

    pub fn answer(&mut self, status: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    pub fn accept(&mut self) {
        self.answer(
            "202 Accepted",
            &[("Content-Type", "application/json")],
            b"{\"status\":\"OK\"}\n",
        );
    }

    /// Ends the connection; the next request comes on another.
    pub fn hang_up(&mut self) {
        self.connection = None;
        self.received.clear();
    }

    fn take_chunks(&mut self, request: &mut Request) -> Option<()> {
        loop {
            let line = self.take_through(b"\r\n")?;
            let size = String::from_utf8(line).expect("a size is text");
            let size = usize::from_str_radix(size.trim(), 16).expect("a size in hexadecimal");
            if size == 0 {
                break;
            }
            request.chunks.push(size);
            request.body.extend(self.take(size)?);
            assert_eq!(self.take(2)?, b"\r\n");
        }
        loop {
            let line = String::from_utf8(self.take_through(b"\r\n")?).expect("a trailer is text");
            if line == "\r\n" {
                return Some(());
            }
            request.trailers.push(field(line.trim_end()));
        }
    }

    fn take_through(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self
                .received
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return Some(self.received.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.received.len() < length {
            self.more()?;
        }
        Some(self.received.drain(..length).collect())
    }

    fn more(&mut self) -> Option<()> {
        let mut part = [0; 64 * 1024];
        let size = self.connection.as_mut()?.read(&mut part).ok()?;
        self.received.extend_from_slice(&part[..size]);
        (size > 0).then_some(())
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect("a field has a colon");
    (name.to_owned(), value.trim().to_owned())
}
