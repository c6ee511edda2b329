//! The Rust function of the benchmarks: a custom runtime that sends each event back.
//!
//! It has no dependencies and is linked statically, as functions for Lambda mostly are: what one is
//! charged then is the platform, and not the loader of its libraries.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

/// An event of this form, in quotes, is kept for so many milliseconds.
const HOLD: &str = "hold:";
/// The answer to one of this form is streamed: a piece at once, and the rest so much later.
const STREAM: &str = "stream:";

fn main() -> std::io::Result<()> {
    let runtime_api = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(std::io::Error::other)?;
    match echo(&runtime_api) {
        // The Runtime API being gone is how this process learns that it is no longer wanted.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        other => other,
    }
}

/// Next, response, next, response, on one connection.
fn echo(runtime_api: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect(runtime_api)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let next =
        format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {runtime_api}\r\n\r\n");
    loop {
        writer.write_all(next.as_bytes())?;
        let (id, event) = read_message(&mut reader)?;
        if let Some(time) = asked(&event, HOLD) {
            std::thread::sleep(time);
        }
        if let Some(time) = asked(&event, STREAM) {
            stream_answer(&mut writer, &id, time)?;
            read_message(&mut reader)?;
            continue;
        }
        let mut response = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {runtime_api}\r\n\
             Content-Length: {}\r\n\r\n",
            event.len()
        )
        .into_bytes();
        response.extend_from_slice(&event);
        writer.write_all(&response)?;
        read_message(&mut reader)?;
    }
}

/// The time that an event of some form names.
fn asked(event: &[u8], form: &str) -> Option<Duration> {
    let event = event.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let time = std::str::from_utf8(event.strip_prefix(form.as_bytes())?).ok()?;
    time.parse().ok().map(Duration::from_millis)
}

fn stream_answer(writer: &mut impl Write, id: &str, time: Duration) -> std::io::Result<()> {
    let begin = format!(
        "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: runtime\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nfirst\r\n"
    );
    writer.write_all(begin.as_bytes())?;
    std::thread::sleep(time);
    writer.write_all(b"4\r\nlast\r\n0\r\n\r\n")
}

/// A message's request id, where it has one, and its body.
fn read_message(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
    let (mut id, mut length) = (String::new(), 0);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") {
            id = value.trim().to_owned();
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value
                .trim()
                .parse()
                .map_err(|_| std::io::ErrorKind::InvalidData)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((id, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_message() {
        let bytes = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a-1\r\nContent-Length: 2\r\n\r\n{}x";
        let (id, body) = read_message(&mut &bytes[..]).expect("it is whole");
        assert_eq!((id.as_str(), body.as_slice()), ("a-1", &b"{}"[..]));
        assert!(read_message(&mut &b"HTTP/1.1 200 OK\r\n"[..]).is_err());
    }

    #[test]
    fn holds_what_asks_for_it() {
        assert_eq!(asked(b"{\"hold\":1}", HOLD), None);
        let time = Some(Duration::from_millis(300));
        assert_eq!(asked(b"\"hold:300\"", HOLD), time);
        assert_eq!(asked(b"\"stream:300\"", STREAM), time);
        assert_eq!(asked(b"\"stream:300\"", HOLD), None);
    }
}
