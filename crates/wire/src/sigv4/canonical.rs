//! The canonical form of a request: the text that both sides hash.

use std::borrow::Cow;

use http::request::Parts;

use super::request::Claim;
use crate::query;

pub(super) fn request(parts: &Parts, claim: &Claim<'_>, payload_hash: &str) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(parts.method.as_str());
    out.push('\n');
    path(parts.uri.path(), &claim.claimed.service, &mut out);
    out.push('\n');
    query_string(parts.uri.query().unwrap_or_default(), &mut out);
    out.push('\n');
    for name in claim.signed_headers.split(';') {
        out.push_str(name);
        out.push(':');
        header(parts, name, &mut out);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&claim.signed_headers);
    out.push('\n');
    out.push_str(payload_hash);
    out
}

/// Signers encode the path that they send once more, after `.`, `..` and empty segments are gone.
/// For S3, whose keys may hold any of these, the path stays and is encoded once.
fn path(path: &str, service: &str, out: &mut String) {
    let path = if path.is_empty() { "/" } else { path };
    if service == "s3" {
        encode_path(&query::decode_bytes(path, false), out);
    } else {
        encode_path(normalized(path).as_bytes(), out);
    }
}

fn encode_path(path: &[u8], out: &mut String) {
    for (n, segment) in path.split(|b| *b == b'/').enumerate() {
        if n > 0 {
            out.push('/');
        }
        query::encode_into(segment, out);
    }
}

fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    Cow::Owned(format!("/{}{slash}", kept.join("/")))
}

/// All parameters but the signature, encoded one way and sorted.
fn query_string(raw: &str, out: &mut String) {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = query::pairs(raw)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (canonical(name), canonical(value)))
        .collect();
    pairs.sort_unstable();
    for (n, (name, value)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// Whatever way a client encodes, what is signed is encoded as RFC 3986 has it.
fn canonical(raw: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if raw.bytes().all(plain) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 8);
    query::encode_into(&query::decode_bytes(raw, true), &mut out);
    Cow::Owned(out)
}

/// All values of a header in their order, each without outer white space and with inner runs as one
/// space.
fn header(parts: &Parts, name: &str, out: &mut String) {
    let mut values = parts.headers.get_all(name).iter().peekable();
    if values.peek().is_none() && name == "host" {
        // HTTP/2 has the host in `:authority`.
        out.push_str(parts.uri.authority().map_or("", |a| a.as_str()));
    }
    for (n, value) in values.enumerate() {
        if n > 0 {
            out.push(',');
        }
        let text = text(value.as_bytes());
        let text = text.trim_ascii();
        if !text.contains("  ") && !text.contains('\t') {
            out.push_str(text);
            continue;
        }
        for (n, word) in text.split_ascii_whitespace().enumerate() {
            if n > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
}

/// A header is signed as text. What is no UTF-8 is the Latin-1 that HTTP's libraries send.
fn text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().copied().map(char::from).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_and_encoded_twice_but_for_s3() {
        let check = |given, service, expect: &str| {
            let mut out = String::new();
            path(given, service, &mut out);
            assert_eq!(out, expect, "{given} for {service}");
        };
        check("", "lambda", "/");
        check("/a//b/./c/../d/", "lambda", "/a/b/d/");
        check("/..", "lambda", "/");
        check("/f/arn%3Aaws", "lambda", "/f/arn%253Aaws");
        check("/f/arn:aws", "lambda", "/f/arn%3Aaws");
        check("/b//k/../x%20y", "s3", "/b//k/../x%20y");
    }

    #[test]
    fn white_space_and_letters_of_headers_are_what_signers_make_of_them() {
        let check = |given: &[&[u8]], expect: &str| {
            let mut request = http::Request::get("/");
            for value in given {
                request = request.header("x-amz-a", *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let mut out = String::new();
            header(&parts, "x-amz-a", &mut out);
            assert_eq!(out, expect);
        };
        check(&[b"  a   b \t c\t"], "a b c");
        check(&[b"a\tb", b" c "], "a b,c");
        check(&["\u{e4}\u{a0}".as_bytes()], "\u{e4}\u{a0}");
        check(&[b"\xe4"], "\u{e4}");
    }

    #[test]
    fn queries_are_sorted_and_encoded_one_way() {
        let check = |given, expect: &str| {
            let mut out = String::new();
            query_string(given, &mut out);
            assert_eq!(out, expect);
        };
        check("b=2&a=x&a=%7e&X-Amz-Signature=abc", "a=x&a=~&b=2");
        check("List=ALL&flag", "List=ALL&flag=");
        check("q=a+b%2fc%2Bd", "q=a%20b%2Fc%2Bd");
    }
}
