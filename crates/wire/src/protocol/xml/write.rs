//! Values as XML, by the schema tables.

use crate::{
    protocol::text,
    schema::{
        Kind, List, Location, Map, Member, Service, Shape, Structure, TimestampFormat, XmlNamespace,
    },
    time,
    value::{Members, Value},
};

/// Where services write the same values differently.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quirks {
    /// Instants have milliseconds, even if there are none: S3.
    pub millis: bool,
}

pub struct Writer<'a> {
    service: &'a Service,
    quirks: Quirks,
    bytes: String,
}

impl<'a> Writer<'a> {
    /// `head` is the declaration that the document begins with.
    pub fn new(service: &'a Service, head: &str, quirks: Quirks) -> Self {
        let mut bytes = String::with_capacity(512);
        bytes.push_str(head);
        Self {
            service,
            quirks,
            bytes,
        }
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes.into_bytes()
    }

    /// XML as it is.
    pub fn raw(&mut self, xml: &str) {
        self.bytes.push_str(xml);
    }

    /// A scalar's text, without an element around it.
    pub fn scalar(&mut self, shape: &Shape, value: &Value) {
        self.content(shape, None, value);
    }

    /// The outermost element, which has the service's namespace. Its name comes in pieces.
    pub fn begin(&mut self, name: &[&str]) {
        self.bytes.push('<');
        self.bytes.extend(name.iter().copied());
        if let Some(uri) = self.service.xml_namespace {
            self.bytes.push_str(" xmlns=\"");
            escape(uri, &mut self.bytes);
            self.bytes.push('"');
        }
        self.bytes.push('>');
    }

    pub fn close(&mut self, name: &[&str]) {
        self.bytes.push_str("</");
        self.bytes.extend(name.iter().copied());
        self.bytes.push('>');
    }

    pub fn element(
        &mut self,
        name: &str,
        namespace: Option<XmlNamespace>,
        content: impl FnOnce(&mut Self),
    ) {
        self.open(name, namespace);
        self.bytes.push('>');
        content(self);
        self.close(&[name]);
    }

    /// An element without anything in it.
    pub fn empty(&mut self, name: &str, namespace: Option<XmlNamespace>) {
        self.open(name, namespace);
        self.bytes.push_str("/>");
    }

    /// An element's tag, still to be closed with `>`.
    fn open(&mut self, name: &str, namespace: Option<XmlNamespace>) {
        self.bytes.push('<');
        self.bytes.push_str(name);
        if let Some(XmlNamespace { prefix, uri }) = namespace {
            self.bytes.push_str(" xmlns");
            if let Some(prefix) = prefix {
                self.bytes.push(':');
                self.bytes.push_str(prefix);
            }
            self.bytes.push_str("=\"");
            escape(uri, &mut self.bytes);
            self.bytes.push('"');
        }
    }

    pub fn text(&mut self, name: &str, text: &str) {
        self.element(name, None, |out| escape(text, &mut out.bytes));
    }

    /// Those that are elements.
    pub fn members(&mut self, structure: &Structure, members: &Members) {
        for (index, member) in structure.members.iter().enumerate() {
            let is_element = member.location == Location::Body && !member.xml_attribute;
            if let (Some(value), true) = (members.get(index), is_element) {
                self.member(member, value);
            }
        }
    }

    pub fn member(&mut self, member: &Member, value: &Value) {
        let shape = self.service.shape(member.shape);
        let name = member.in_query();
        match (value, &shape.kind) {
            (Value::List(items), Kind::List(list)) if list.flattened || member.flattened => {
                // As in requests: the element's name where all lists of its kind are flattened.
                let of_items = list.member_name.filter(|_| list.flattened);
                self.items(list, of_items.unwrap_or(name), items);
            }
            (Value::Map(entries), Kind::Map(map)) if map.flattened || member.flattened => {
                self.entries(map, name, entries);
            }
            _ => {
                let namespace = namespace(member.xml_namespace, shape);
                self.valued(name, namespace, shape, member.timestamp, value);
            }
        }
    }

    fn items(&mut self, list: &List, name: &str, items: &[Value]) {
        let shape = self.service.shape(list.member);
        for item in items {
            self.valued(name, namespace(None, shape), shape, None, item);
        }
    }

    fn entries(&mut self, map: &Map, name: &str, entries: &[(String, Value)]) {
        let shape = self.service.shape(map.value);
        for (key, value) in entries {
            self.element(name, None, |out| {
                out.text(map.key_name.unwrap_or("key"), key);
                out.element(map.value_name.unwrap_or("value"), None, |out| {
                    out.content(shape, None, value);
                });
            });
        }
    }

    /// An element with a value, and those of its members that are attributes.
    pub fn valued(
        &mut self,
        name: &str,
        namespace: Option<XmlNamespace>,
        shape: &Shape,
        format: Option<TimestampFormat>,
        value: &Value,
    ) {
        self.open(name, namespace);
        if let (Value::Structure(members), Kind::Structure(structure)) = (value, &shape.kind) {
            self.attributes(structure, members);
        }
        self.bytes.push('>');
        self.content(shape, format, value);
        self.close(&[name]);
    }

    fn attributes(&mut self, structure: &Structure, members: &Members) {
        for (index, member) in structure.members.iter().enumerate() {
            let (Some(value), true) = (members.get(index), member.xml_attribute) else {
                continue;
            };
            self.bytes.push(' ');
            self.bytes.push_str(member.wire());
            self.bytes.push_str("=\"");
            escape(
                &text::print(value, TimestampFormat::Iso8601),
                &mut self.bytes,
            );
            self.bytes.push('"');
        }
    }

    /// What is inside of a value's element.
    fn content(&mut self, shape: &Shape, format: Option<TimestampFormat>, value: &Value) {
        match (value, &shape.kind) {
            (Value::Structure(members), Kind::Structure(structure)) => {
                self.members(structure, members);
            }
            (Value::List(items), Kind::List(list)) => {
                self.items(list, list.member_name.unwrap_or("member"), items);
            }
            (Value::Map(entries), Kind::Map(map)) => self.entries(map, "entry", entries),
            (Value::String(text), _) => escape(text, &mut self.bytes),
            (Value::Timestamp(at), _)
                if self.quirks.millis && format.or(shape.timestamp).is_none() =>
            {
                self.bytes.push_str(&time::iso8601_millis(*at));
            }
            (value, _) => {
                let format = format.or(shape.timestamp);
                let format = format.unwrap_or(TimestampFormat::Iso8601);
                escape(&text::print(value, format), &mut self.bytes);
            }
        }
    }
}

pub fn namespace(own: Option<XmlNamespace>, shape: &Shape) -> Option<XmlNamespace> {
    own.or(match shape.kind {
        Kind::Structure(structure) => structure.xml_namespace,
        _ => None,
    })
}

/// Text as XML has it. A carriage return would be read as a new line; what XML has no way to say at
/// all becomes the replacement character.
pub fn escape(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|b| IS_SPECIAL[usize::from(*b)]) {
        at += found;
        let (length, escaped) = match &bytes[at..] {
            [b'&', ..] => (1, "&amp;"),
            [b'<', ..] => (1, "&lt;"),
            [b'>', ..] => (1, "&gt;"),
            [b'"', ..] => (1, "&quot;"),
            [b'\r', ..] => (1, "&#xD;"),
            // U+FFFE and U+FFFF.
            [0xef, 0xbf, 0xbe | 0xbf, ..] => (3, "\u{fffd}"),
            [0xef, ..] => {
                at += 1;
                continue;
            }
            _ => (1, "\u{fffd}"),
        };
        out.push_str(&text[from..at]);
        out.push_str(escaped);
        at += length;
        from = at;
    }
    out.push_str(&text[from..]);
}

/// Bytes that begin something that may have to be escaped.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = control != b'\t' as usize && control != b'\n' as usize;
        control += 1;
    }
    special[b'&' as usize] = true;
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'"' as usize] = true;
    special[0xef] = true;
    special
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_reads_as_markup_is_escaped() {
        let check = |text: &str, expect: &str| {
            let mut out = String::new();
            escape(text, &mut out);
            assert_eq!(out, expect);
        };
        check("plain ä 💚", "plain ä 💚");
        check("<a b=\"c\">&amp;", "&lt;a b=&quot;c&quot;&gt;&amp;amp;");
        check("a\r\n\tb", "a&#xD;\n\tb");
        check("\0a\u{1f}\u{ffff}", "\u{fffd}a\u{fffd}\u{fffd}");
        check("\u{f000}\u{fffd}\u{fffe}!", "\u{f000}\u{fffd}\u{fffd}!");
    }
}
