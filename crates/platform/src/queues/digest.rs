//! The MD5 digests by which a sender knows that SQS got what it sent, and the SHA-256 that a
//! content-based deduplication id is.

use md5::{Digest, Md5};

use super::message::{AttributeValue, MessageAttribute};

pub fn md5_of_body(body: &str) -> String {
    hex(&Md5::digest(body.as_bytes()))
}

/// None for no attributes: SQS then leaves the digest out.
pub fn md5_of_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a MessageAttribute)>,
) -> Option<String> {
    let mut sorted: Vec<_> = attributes.into_iter().collect();
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut digest = Md5::new();
    for (name, attribute) in sorted {
        field(&mut digest, name.as_bytes());
        field(&mut digest, attribute.data_type.as_bytes());
        match &attribute.value {
            AttributeValue::Text(text) => value(&mut digest, 1, text.as_bytes()),
            AttributeValue::Binary(bytes) => value(&mut digest, 2, bytes),
        }
    }
    Some(hex(&digest.finalize()))
}

/// The digest of a message's system attributes, of which there is one.
pub fn md5_of_trace_header(header: &str) -> Option<String> {
    let attribute = MessageAttribute {
        data_type: "String".to_owned(),
        value: AttributeValue::Text(header.to_owned()),
    };
    md5_of_attributes([("AWSTraceHeader", &attribute)])
}

/// The deduplication id of a message that has none of its own.
pub fn sha256_of_body(body: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    hex(digest.as_ref())
}

/// A field and its length, in four bytes.
fn field(digest: &mut Md5, bytes: &[u8]) {
    // Longer than a message cannot be.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    digest.update(length.to_be_bytes());
    digest.update(bytes);
}

fn value(digest: &mut Md5, transport: u8, bytes: &[u8]) {
    digest.update([transport]);
    field(digest, bytes);
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let pairs = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn attribute(data_type: &str, value: AttributeValue) -> MessageAttribute {
        MessageAttribute {
            data_type: data_type.to_owned(),
            value,
        }
    }

    #[test]
    fn digests_are_those_of_sqs() {
        assert_eq!(md5_of_body("message"), "78e731027d8fd50ed642340b7c9a63b3");
        assert_eq!(
            sha256_of_body("message"),
            "ab530a13e45914982b79f9b7e3fba994cfd1f3fb22f71cea1afbf02b460c6d1d"
        );
        let foo = attribute("String", AttributeValue::Text("Bar".into()));
        assert_eq!(
            md5_of_attributes([("Foo", &foo)]).as_deref(),
            Some("ae7155c6026991b6d54b11589678bf9c")
        );
        let number = attribute("Number", AttributeValue::Text("1493147359900".into()));
        assert_eq!(
            md5_of_attributes([("timestamp", &number)]).as_deref(),
            Some("235c5c510d26fb653d073faed50ae77c")
        );
        assert_eq!(md5_of_attributes([]), None);
    }

    #[test]
    fn the_order_of_attributes_does_not_matter_but_what_they_are_does() {
        let text = attribute("String", AttributeValue::Text("x".into()));
        let binary = attribute("String", AttributeValue::Binary(Bytes::from_static(b"x")));
        let one = md5_of_attributes([("a", &text), ("b", &binary)]);
        assert_eq!(one, md5_of_attributes([("b", &binary), ("a", &text)]));
        assert_ne!(one, md5_of_attributes([("a", &binary), ("b", &text)]));
    }
}
