//! Percent-encoding, as signatures want it, and query strings.

use std::fmt::Write;

/// Everything but the unreserved characters is escaped.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A query string's pairs, decoded.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
}

fn decode(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        match (bytes[at], pair) {
            (b'%', Some((high, low))) => {
                // Two hexadecimal digits are at most 255.
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["plain", "a/b c&d=é%", ""] {
            let query = format!("name={}", encode(text));
            let found: Vec<_> = pairs(&query).collect();
            assert_eq!(found, [("name".to_owned(), text.to_owned())]);
        }
        let odd: Vec<_> = pairs("a&%zz=%4&b=c+d").collect();
        let expect = [("a", ""), ("%zz", "%4"), ("b", "c d")];
        assert_eq!(odd, expect.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
