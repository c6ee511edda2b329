//! Percent-encoding and query strings.

use std::borrow::Cow;

/// A query string's pairs in the order of arrival, decoded. A name without `=` has an empty value.
pub fn parse(query: &str) -> Vec<(String, String)> {
    pairs(query)
        .map(|(name, value)| (decode_form(name), decode_form(value)))
        .collect()
}

/// The same without decoding.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// In query strings a `+` is a space.
fn decode_form(text: &str) -> String {
    String::from_utf8_lossy(&decode_bytes(text, true)).into_owned()
}

/// The same, and nothing for what is no UTF-8.
pub fn decode_form_strictly(text: &str) -> Option<String> {
    if text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return String::from_utf8(decode_bytes(text, true)).ok();
    }
    Some(text.to_owned())
}

/// Undoes percent-encoding. What is no escape stays as it is, and bytes that are no UTF-8 become
/// the replacement character.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&decode_bytes(text, false)).into_owned())
}

/// The same without a claim that the result is text.
pub fn decode_bytes(text: &str, form: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = match bytes[i] {
            b'%' => bytes
                .get(i + 1)
                .zip(bytes.get(i + 2))
                .and_then(|(&h, &l)| hex_pair(h, l)),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(if form && bytes[i] == b'+' {
                    b' '
                } else {
                    bytes[i]
                });
                i += 1;
            }
        }
    }
    out
}

/// Encodes all but the characters that RFC 3986 calls unreserved.
pub fn encode_into(text: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

pub fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_all_else_kept() {
        assert_eq!(decode("a%3Ab%2fc"), "a:b/c");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%C3%A4"), "ä");
        assert_eq!(decode("%ff"), "\u{fffd}");
        assert_eq!(
            parse("a=1&b&a=%20+x&&=y"),
            [("a", "1"), ("b", ""), ("a", "  x"), ("", "y")]
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }
}
