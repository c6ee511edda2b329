//! Tags of buckets and objects: what they may be, and the header that has them.

use super::{
    error::{Code, Error, Result},
    limits,
    text::percent_decode,
};

pub type Tags = Vec<(String, String)>;

/// Tags as the header has them: a query string.
pub fn of_header(header: Option<&str>) -> Result<Tags> {
    let Some(header) = header else {
        return Ok(Vec::new());
    };
    let refused = || {
        Error::argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates.",
            "x-amz-tagging",
            header,
        )
    };
    let decoded = |text: &str| percent_decode(&text.replace('+', " ")).ok_or_else(refused);
    let mut tags: Tags = Vec::new();
    for pair in header.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key)?, decoded(value)?);
        if tags.iter().any(|(known, _)| *known == key) {
            return Err(refused());
        }
        tags.push((key, value));
    }
    check(&tags, limits::OBJECT_TAGS_MAX, "Object")?;
    Ok(tags)
}

/// `of` is Object or Bucket.
pub fn check(tags: &[(String, String)], max: usize, of: &str) -> Result<()> {
    let invalid = |message: &str| Error::new(Code::InvalidTag, message);
    if tags.len() > max {
        return Err(invalid(&format!("{of} tags cannot be greater than {max}")));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 || !key.chars().all(is_allowed) {
            return Err(invalid("The TagKey you have provided is invalid").with("TagKey", key));
        }
        if value.chars().count() > 256 || !value.chars().all(is_allowed) {
            return Err(invalid("The TagValue you have provided is invalid")
                .with("TagKey", key)
                .with("TagValue", value));
        }
        if key.starts_with("aws:") {
            let message = "System tags cannot be added/updated by requester";
            return Err(invalid(message).with("TagKey", key));
        }
        if tags[..at].iter().any(|(known, _)| known == key) {
            let message = "Cannot provide multiple Tags with the same key";
            return Err(invalid(message).with("TagKey", key));
        }
    }
    Ok(())
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_a_query() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (header, expect) in [
            ("a=1&b=", Some(vec![tag("a", "1"), tag("b", "")])),
            ("a&&&b", Some(vec![tag("a", ""), tag("b", "")])),
            ("a%20b=%C3%A9+x", Some(vec![tag("a b", "é x")])),
            ("a=1&a=2", None),
            ("a=%zz", None),
            ("aws:x=1", None),
            ("a=?", None),
        ] {
            assert_eq!(of_header(Some(header)).ok(), expect, "{header}");
        }
    }
}
