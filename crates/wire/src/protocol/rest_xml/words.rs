//! Metadata that is not ASCII: it travels in headers as RFC 2047's encoded words. S3 keeps what they
//! say, and makes them anew.

use crate::{
    protocol::{base64_decode, base64_encode},
    query,
};

/// What a header says, if all of it is encoded words in UTF-8; else as it came.
pub fn decoded_word(value: String) -> String {
    let mut bytes = Vec::new();
    for word in value.split_ascii_whitespace() {
        match bytes_of(word) {
            Some(word) => bytes.extend(word),
            None => return value,
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => text,
        _ => value,
    }
}

fn bytes_of(word: &str) -> Option<Vec<u8>> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let (charset, rest) = inner.split_once('?')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match rest.split_once('?')? {
        ("B" | "b", text) => base64_decode(text).map(|bytes| bytes.to_vec()),
        ("Q" | "q", text) => quoted(text.as_bytes()),
        _ => None,
    }
}

fn quoted(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return Some(out),
            [b'_', rest @ ..] => {
                out.push(b' ');
                rest
            }
            [b'=', high, low, rest @ ..] => {
                out.push(query::hex_pair(*high, *low)?);
                rest
            }
            [b'=', ..] => return None,
            [plain, rest @ ..] => {
                out.push(*plain);
                rest
            }
        };
    }
}

/// Text as a header can say it: as it is if it is ASCII, else as an encoded word, of the kind that is
/// the shorter one.
pub fn encoded_word(text: String) -> String {
    let is_plain = |c: char| matches!(c, '\t' | ' '..='~');
    let others = text.chars().filter(|c| !is_plain(*c)).count();
    if others == 0 {
        return text;
    }
    if others * 2 >= text.chars().count() {
        return format!("=?UTF-8?B?{}?=", base64_encode(text.as_bytes()));
    }
    let mut out = String::from("=?UTF-8?Q?");
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('_'),
            b'=' | b'?' | b'_' | ..b' ' | 0x7f.. => out.push_str(&format!("={byte:02X}")),
            plain => out.push(char::from(plain)),
        }
    }
    out.push_str("?=");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_made() {
        let check = |text: &str, word: &str| {
            assert_eq!(encoded_word(text.to_owned()), word);
            assert_eq!(decoded_word(word.to_owned()), text);
        };
        check("plain", "plain");
        check(
            "non-ascii-%E2%80%94_\u{2014}_\u{e9}_",
            "=?UTF-8?Q?non-ascii-%E2%80%94=5F=E2=80=94=5F=C3=A9=5F?=",
        );
        check("\u{c4}\u{d6}\u{dc}", "=?UTF-8?B?w4TDlsOc?=");
    }

    #[test]
    fn what_is_no_word_stays() {
        for text in [
            "=?UTF-8?B?=GGG?=",
            "=?latin1?Q?a?=",
            "=?UTF-8?Q?=G?=",
            "=?",
            "",
            "a =?UTF-8?Q?b?=",
        ] {
            assert_eq!(decoded_word(text.to_owned()), text);
        }
    }
}
