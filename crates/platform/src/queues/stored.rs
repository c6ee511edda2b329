//! A message's content as bytes of the store: what its sender gave, its id, and nothing that
//! changes later.
//!
//! A version, then fields with their lengths before them. Small and without copies, as every
//! message goes through here twice.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::message::{AttributeValue, Content, MessageAttribute};

const VERSION: u8 = 1;

/// What stays the same of a message from its sending to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub message_id: Uuid,
    pub content: Arc<Content>,
    pub deduplication_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored message is damaged, or of a newer version")]
pub struct Damaged;

impl Stored {
    /// About what it holds in memory, in bytes.
    pub fn size(&self) -> usize {
        let content = &self.content;
        let attributes = content.attributes.iter().map(|(name, attribute)| {
            let value = match &attribute.value {
                AttributeValue::Text(text) => text.len(),
                AttributeValue::Binary(bytes) => bytes.len(),
            };
            name.len() + attribute.data_type.len() + value + 96
        });
        content.body.len() + attributes.sum::<usize>() + 256
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        let content = &self.content;
        out.reserve(self.size());
        out.push(VERSION);
        out.extend_from_slice(self.message_id.as_bytes());
        text(out, &content.body);
        text(out, &content.sender_id);
        optional(out, content.trace_header.as_deref());
        optional(out, self.deduplication_id.as_deref());
        number(out, content.attributes.len());
        for (name, attribute) in &content.attributes {
            text(out, name);
            text(out, &attribute.data_type);
            let (kind, value) = match &attribute.value {
                AttributeValue::Text(value) => (0, value.as_bytes()),
                AttributeValue::Binary(value) => (1, value.as_ref()),
            };
            out.push(kind);
            bytes(out, value);
        }
    }

    pub fn decode(from: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(from);
        if reader.byte()? != VERSION {
            return Err(Damaged);
        }
        let message_id = Uuid::from_slice(reader.take(16)?).map_err(|_| Damaged)?;
        let body = reader.text()?;
        let sender_id = reader.text()?;
        let trace_header = reader.optional()?;
        let deduplication_id = reader.optional()?;
        let count = reader.number()?;
        let mut attributes = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            attributes.push((reader.text()?, reader.attribute()?));
        }
        if !reader.0.is_empty() {
            return Err(Damaged);
        }
        let content = Content {
            body,
            attributes,
            trace_header,
            sender_id,
        };
        Ok(Self {
            message_id,
            content: Arc::new(content),
            deduplication_id,
        })
    }
}

fn number(out: &mut Vec<u8>, number: usize) {
    // Nothing in a message of one megabyte is longer.
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    out.extend_from_slice(&number.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len());
    out.extend_from_slice(value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    bytes(out, value.as_bytes());
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        text(out, value);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Result<usize, Damaged> {
        let bytes = self.take(4)?.try_into().map_err(|_| Damaged)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| Damaged)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let count = self.number()?;
        self.take(count)
    }

    fn text(&mut self) -> Result<String, Damaged> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Damaged)?;
        Ok(text.to_owned())
    }

    fn optional(&mut self) -> Result<Option<String>, Damaged> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err(Damaged),
        }
    }

    fn attribute(&mut self) -> Result<MessageAttribute, Damaged> {
        let data_type = self.text()?;
        let value = match self.byte()? {
            0 => AttributeValue::Text(self.text()?),
            1 => AttributeValue::Binary(Bytes::copy_from_slice(self.bytes()?)),
            _ => return Err(Damaged),
        };
        Ok(MessageAttribute { data_type, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Stored {
        let text = MessageAttribute {
            data_type: "String.x".into(),
            value: AttributeValue::Text("Grüße".into()),
        };
        let binary = MessageAttribute {
            data_type: "Binary".into(),
            value: AttributeValue::Binary(Bytes::from_static(b"\0\xff")),
        };
        Stored {
            message_id: Uuid::from_u128(7),
            content: Arc::new(Content {
                body: "a body".into(),
                attributes: vec![("b".into(), text), ("a".into(), binary)],
                trace_header: Some("Root=1-2-3".into()),
                sender_id: "000000000000".into(),
            }),
            deduplication_id: Some("d".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_cut_short_is() {
        let mut bytes = Vec::new();
        message().encode(&mut bytes);
        assert_eq!(Stored::decode(&bytes), Ok(message()));
        for end in 0..bytes.len() {
            assert_eq!(Stored::decode(&bytes[..end]), Err(Damaged), "{end}");
        }
        bytes.push(0);
        assert_eq!(Stored::decode(&bytes), Err(Damaged));
    }
}
