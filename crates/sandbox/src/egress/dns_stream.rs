//! DNS over TCP: the environment's stream to the gateway on one side, a connection to one of the
//! host's name servers on the other, and between them the same doorman as for UDP, message by
//! message.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Instant,
};

use super::{
    dns::{self, Answer, NO_SUCH_NAME, Query},
    limits::{DNS_ANSWERS_BYTES_MAX, DNS_QUERIES_MAX, DNS_QUERY_BYTES_MAX},
    names::Names,
};

pub(super) struct DnsStream {
    stream: TcpStream,
    names: Arc<Names>,
    /// A query of which more is to come.
    query: Vec<u8>,
    /// Queries on their way to the server, already framed.
    to_server: VecDeque<u8>,
    /// Queries the server has not answered.
    asked: Vec<Query>,
    /// An answer of which more is to come.
    answer: Vec<u8>,
    /// Answers for the environment, already framed.
    to_environment: VecDeque<u8>,
}

impl DnsStream {
    pub(super) fn new(stream: TcpStream, names: Arc<Names>) -> DnsStream {
        DnsStream {
            stream,
            names,
            query: Vec::new(),
            to_server: VecDeque::new(),
            asked: Vec::new(),
            answer: Vec::new(),
            to_environment: VecDeque::new(),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Takes bytes of queries; not while earlier ones are still on their way out, nor while answers
    /// to them are not fetched.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.to_environment.len() >= DNS_ANSWERS_BYTES_MAX {
            return Err(ErrorKind::WouldBlock.into());
        }
        // A refusal is as long as its query, so a little at a time does not go far past the limit.
        let data = &data[..data.len().min(DNS_QUERY_BYTES_MAX)];
        let mut taken = 0;
        while let Some(message) =
            next_frame(&mut self.query, data, &mut taken, DNS_QUERY_BYTES_MAX)?
        {
            self.ask(&message)?;
        }
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Gives bytes of answers.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.to_environment.is_empty() {
            let read = match self.stream.read(buf) {
                Ok(0) => return Ok(0),
                read => read?,
            };
            let mut taken = 0;
            while let Some(message) = next_frame(
                &mut self.answer,
                &buf[..read],
                &mut taken,
                usize::from(u16::MAX),
            )? {
                self.answered(&message);
            }
        }
        self.to_environment.read(buf)
    }

    fn ask(&mut self, message: &[u8]) -> io::Result<()> {
        let Some(query) = Query::parse(message) else {
            let reply = dns::format_error(message).ok_or(ErrorKind::InvalidData)?;
            push_frame(&mut self.to_environment, &reply);
            return Ok(());
        };
        if !self.names.may_resolve(&query) {
            let reply = dns::error_reply(message, &query, NO_SUCH_NAME);
            push_frame(&mut self.to_environment, &reply);
        } else if self.asked.len() < DNS_QUERIES_MAX {
            push_frame(&mut self.to_server, message);
            self.asked.push(query);
        } else {
            let reply = dns::error_reply(message, &query, dns::SERVER_FAILURE);
            push_frame(&mut self.to_environment, &reply);
        }
        Ok(())
    }

    /// What answers no query of ours does not pass.
    fn answered(&mut self, message: &[u8]) {
        let found =
            self.asked.iter().enumerate().find_map(|(index, query)| {
                Answer::parse(message, query).map(|answer| (index, answer))
            });
        if let Some((index, answer)) = found {
            let query = self.asked.swap_remove(index);
            self.names.learn(&query, &answer, Instant::now());
            push_frame(&mut self.to_environment, message);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.to_server.is_empty() {
            let written = self.stream.write(self.to_server.as_slices().0)?;
            self.to_server.drain(..written);
        }
        Ok(())
    }
}

/// The next whole message out of `partial` and `data` from `taken` on; `None` when all of `data`
/// is taken and more is needed.
fn next_frame(
    partial: &mut Vec<u8>,
    data: &[u8],
    taken: &mut usize,
    len_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        let wanted = match partial.first_chunk::<2>() {
            None => 2,
            Some(len) => 2 + usize::from(u16::from_be_bytes(*len)),
        };
        if wanted > 2 + len_max {
            return Err(ErrorKind::InvalidData.into());
        }
        if partial.len() >= 2 && partial.len() == wanted {
            return Ok(Some(std::mem::take(partial).split_off(2)));
        }
        let more = &data[*taken..];
        if more.is_empty() {
            return Ok(None);
        }
        let count = more.len().min(wanted - partial.len());
        partial.extend_from_slice(&more[..count]);
        *taken += count;
    }
}

fn push_frame(queue: &mut VecDeque<u8>, message: &[u8]) {
    queue.extend((message.len() as u16).to_be_bytes());
    queue.extend(message);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::NetworkPolicy;

    #[test]
    fn who_does_not_fetch_answers_is_not_asked_for_more() {
        let server = TcpListener::bind("127.0.0.1:0").expect("listen");
        let stream = TcpStream::connect(server.local_addr().expect("its address"));
        let stream = stream.expect("connect");
        stream.set_nonblocking(true).expect("set");
        let mut stream = DnsStream::new(stream, Arc::new(Names::new(NetworkPolicy::Off)));
        // `a.test` A, which nobody may resolve here.
        let query = b"\0\x18\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";
        let queries = query.repeat(10_000);
        let mut sent = 0;
        let blocked = loop {
            match stream.write(&queries[sent..]) {
                Ok(written) => sent += written,
                Err(error) => break error,
            }
        };
        assert_eq!(blocked.kind(), ErrorKind::WouldBlock);
        assert!(
            sent < DNS_ANSWERS_BYTES_MAX + 2 * DNS_QUERY_BYTES_MAX,
            "{sent}"
        );
        let fetched = stream.read(&mut [0; 1 << 16]).expect("answers");
        assert!(fetched > 0);
        assert!(
            stream.write(&queries[sent..]).is_ok(),
            "there is room again"
        );
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let stream = b"\0\x03abc\0\0\0\x02de";
        for cut in 0..stream.len() {
            let mut partial = Vec::new();
            let mut found = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                let mut taken = 0;
                while let Some(message) =
                    next_frame(&mut partial, part, &mut taken, 3).expect("within the limit")
                {
                    found.push(message);
                }
                assert_eq!(taken, part.len());
            }
            assert_eq!(found, [&b"abc"[..], b"", b"de"], "cut at {cut}");
        }
        let mut taken = 0;
        assert!(next_frame(&mut Vec::new(), stream, &mut taken, 2).is_err());
    }
}
