//! As much of DNS as a name server's doorman needs: which name is asked for, which addresses are
//! the answer, and a refusal. Messages that pass are passed on byte by byte; nothing is cached.

use std::net::Ipv4Addr;

use super::packet::be16;

const HEADER_LEN: usize = 12;
const QR: u8 = 0x80;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const CLASS_IN: u16 = 1;
/// More addresses or aliases in one answer are not remembered.
const ANSWERS_MAX: usize = 64;

pub(super) const FORMAT_ERROR: u8 = 1;
pub(super) const SERVER_FAILURE: u8 = 2;
/// What a name that is not allowed gets. `REFUSED` would be the truer word, but musl's resolver
/// does not know it and waits for seconds; this one ends the search at once everywhere.
pub(super) const NO_SUCH_NAME: u8 = 3;

/// A query with one question, which is all that is ever sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: u16,
    /// In lower case, without the final dot; bytes that no host name has are escaped.
    pub(super) name: String,
    kind: u16,
    class: u16,
    question_end: usize,
}

impl Query {
    pub(super) fn parse(message: &[u8]) -> Option<Query> {
        let flags = *message.get(2)?;
        // A standard query, not a response.
        if flags & (QR | 0x78) != 0 {
            return None;
        }
        Query::parse_question(message)
    }

    /// Whether the name is `localhost` or below it.
    pub(super) fn is_loopback(&self) -> bool {
        let parent = self.name.strip_suffix("localhost");
        parent.is_some_and(|parent| parent.is_empty() || parent.ends_with('.'))
    }

    fn parse_question(message: &[u8]) -> Option<Query> {
        if be16(message, 4)? != 1 {
            return None;
        }
        let (name, end) = read_name(message, HEADER_LEN)?;
        Some(Query {
            id: be16(message, 0)?,
            name,
            kind: be16(message, end)?,
            class: be16(message, end + 2)?,
            question_end: end + 4,
        })
    }
}

/// The answer to `query` with an error code and nothing else.
pub(super) fn error_reply(message: &[u8], query: &Query, code: u8) -> Vec<u8> {
    let mut reply = message[..query.question_end].to_vec();
    // Response; opcode and "recursion desired" as asked. Then: recursion available, the code.
    reply[2] = QR | reply[2] & 0x79;
    reply[3] = 0x80 | code;
    reply[4..HEADER_LEN].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    reply
}

/// The answer to `query` for a name that we know ourselves: `localhost`, which is the environment's
/// own loopback (RFC 6761, 6.3), or the host's. Only IPv4 has an address here; any other question
/// has no answer.
pub(super) fn own_reply(message: &[u8], query: &Query, address: Ipv4Addr) -> Vec<u8> {
    const NO_ERROR: u8 = 0;
    let mut reply = error_reply(message, query, NO_ERROR);
    if (query.kind, query.class) == (TYPE_A, CLASS_IN) {
        reply[7] = 1;
        // The name as in the question, A, IN, good for a minute, four bytes.
        reply.extend([0xc0, HEADER_LEN as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    reply
}

/// The answer to what could not be read; `None` if it does not even have an id or is a response.
pub(super) fn format_error(message: &[u8]) -> Option<Vec<u8>> {
    let mut reply = message.get(..HEADER_LEN)?.to_vec();
    if reply[2] & QR != 0 {
        return None;
    }
    reply[2] = QR | reply[2] & 0x79;
    reply[3] = 0x80 | FORMAT_ERROR;
    reply[4..HEADER_LEN].fill(0);
    Some(reply)
}

/// What a name server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u8,
    /// Addresses of the name that was asked for, through its aliases, with their time to live in
    /// seconds.
    pub(super) addresses: Vec<(Ipv4Addr, u32)>,
}

impl Answer {
    /// `None` if it is no answer to `query`.
    pub(super) fn parse(message: &[u8], query: &Query) -> Option<Answer> {
        let flags = *message.get(2)?;
        let code = message.get(3)? & 15;
        if flags & QR == 0 || be16(message, 0)? != query.id {
            return None;
        }
        if be16(message, 4)? == 0 && code != 0 {
            // Some servers leave the question out of an error.
            return Some(Answer {
                code,
                addresses: Vec::new(),
            });
        }
        let asked = Query::parse_question(message)?;
        if (&asked.name, asked.kind, asked.class) != (&query.name, query.kind, query.class) {
            return None;
        }
        let addresses = read_addresses(message, asked).unwrap_or_default();
        Some(Answer { code, addresses })
    }
}

/// `None` if the answers are malformed; nothing of them is believed then.
fn read_addresses(message: &[u8], asked: Query) -> Option<Vec<(Ipv4Addr, u32)>> {
    let count = usize::from(be16(message, 6)?);
    let mut at = asked.question_end;
    let mut names = vec![asked.name];
    let mut addresses = Vec::new();
    // Servers put aliases before what they lead to, so one pass is enough.
    for _ in 0..count.min(ANSWERS_MAX) {
        let (owner, end) = read_name(message, at)?;
        let (kind, class) = (be16(message, end)?, be16(message, end + 2)?);
        let ttl = u32::from(be16(message, end + 4)?) << 16 | u32::from(be16(message, end + 6)?);
        let data_at = end + 10;
        at = data_at + usize::from(be16(message, end + 8)?);
        let data = message.get(data_at..at)?;
        if class != CLASS_IN || !names.contains(&owner) {
            continue;
        }
        match (kind, data) {
            (TYPE_CNAME, _) => names.push(read_name(message, data_at)?.0),
            (TYPE_A, &[a, b, c, d]) => addresses.push((Ipv4Addr::new(a, b, c, d), ttl)),
            _ => {}
        }
    }
    Some(addresses)
}

/// The name at `at`, and where it ends there. Follows compression pointers, which must lead
/// backwards.
fn read_name(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut end = None;
    let mut at = at;
    let mut limit = message.len();
    loop {
        let len = *message.get(at)?;
        match len {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(len))?;
                push_label(&mut name, label);
                at += 1 + label.len();
            }
            0xc0..=0xff => {
                let target = usize::from(be16(message, at)? & 0x3fff);
                end.get_or_insert(at + 2);
                if target >= limit.min(at) {
                    return None;
                }
                limit = target;
                at = target;
            }
            _ => return None,
        }
        // 255 bytes on the wire, each escaped at worst.
        if name.len() > 4 * 255 {
            return None;
        }
    }
}

fn push_label(name: &mut String, label: &[u8]) {
    if !name.is_empty() {
        name.push('.');
    }
    for &byte in label {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'*' => name.push(byte as char),
            b'A'..=b'Z' => name.push(byte.to_ascii_lowercase() as char),
            // Never equal to a name that somebody wrote down; above all a dot inside a label.
            _ => {
                name.push('\\');
                name.push_str(&byte.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `WwW.example.com` A.
    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03WwW\x07example\x03com\0\0\x01\0\x01";

    fn answer(records: &[&[u8]]) -> Vec<u8> {
        let mut message = QUERY.to_vec();
        message[2] = 0x81;
        message[3] = 0x80;
        message[7] = records.len() as u8;
        message.extend(records.concat());
        message
    }

    #[test]
    fn a_query_is_read_and_refused() {
        let query = Query::parse(QUERY).expect("a query");
        assert_eq!((query.name.as_str(), query.id), ("www.example.com", 0x1234));
        let reply = error_reply(QUERY, &query, NO_SUCH_NAME);
        assert_eq!(reply[..12], *b"\x12\x34\x81\x83\0\x01\0\0\0\0\0\0");
        assert_eq!(reply[12..], QUERY[12..]);
        assert_eq!(Query::parse(&reply), None, "a response is no query");
    }

    #[test]
    fn names_of_this_machine_are_its_loopback() {
        let asked = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03sqs\x09LOCALHOST\0\0\x01\0\x01";
        let query = Query::parse(asked).expect("a query");
        assert!(query.is_loopback());
        let reply = own_reply(asked, &query, Ipv4Addr::LOCALHOST);
        let answer = Answer::parse(&reply, &query).expect("an answer");
        assert_eq!(answer.addresses, [(Ipv4Addr::LOCALHOST, 60)]);
        let mut asked = asked.to_vec();
        let kind = asked.len() - 3;
        asked[kind] = 28;
        let query = Query::parse(&asked).expect("a query");
        let reply = own_reply(&asked, &query, Ipv4Addr::LOCALHOST);
        let answer = Answer::parse(&reply, &query).expect("an answer");
        assert_eq!((answer.code, answer.addresses), (0, Vec::new()));
        asked[kind - 7] = b'x';
        assert!(!Query::parse(&asked).expect("a query").is_loopback());
    }

    #[test]
    fn addresses_are_found_through_aliases() {
        let query = Query::parse(QUERY).expect("a query");
        let message = answer(&[
            b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03cdn\xc0\x10",
            b"\x03cdn\xc0\x10\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03",
            b"\x05other\xc0\x10\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x04",
        ]);
        let answer = Answer::parse(&message, &query).expect("an answer");
        assert_eq!(answer.addresses, [(Ipv4Addr::new(10, 1, 2, 3), 60)]);
    }

    #[test]
    fn answers_to_another_question_are_none() {
        let query = Query::parse(QUERY).expect("a query");
        let good = answer(&[]);
        assert!(Answer::parse(&good, &query).is_some());
        for (at, value) in [(0, 0), (2, 1), (13, b'x'), (30, 28)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Answer::parse(&bad, &query), None, "byte {at}");
        }
    }

    #[test]
    fn a_dot_inside_a_label_does_not_pass_for_two_labels() {
        let message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x0bexample.com\0\0\x01\0\x01";
        let query = Query::parse(message).expect("a query");
        assert_eq!(query.name, "example\\46com");
    }

    #[test]
    fn pointers_that_loop_and_cut_messages_end() {
        let query = Query::parse(QUERY).expect("a query");
        let message = answer(&[b"\xc0\x21\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03"]);
        assert_eq!(
            Answer::parse(&message, &query)
                .expect("an answer")
                .addresses,
            []
        );
        for len in 0..message.len() {
            let _ = Query::parse(&message[..len]);
            let _ = Answer::parse(&message[..len], &query);
            let _ = format_error(&message[..len]);
        }
        let mut seed = 7u32;
        for _ in 0..200_000 {
            let mut changed = message.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                let at = (seed >> 8) as usize % changed.len();
                changed[at] = (seed >> 24) as u8;
            }
            let _ = Query::parse(&changed);
            let _ = Answer::parse(&changed, &query);
        }
    }
}
