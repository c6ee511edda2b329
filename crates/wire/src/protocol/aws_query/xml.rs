//! Answers in XML.

use crate::{
    error::Error,
    protocol::{structure_of, text},
    schema::{
        Kind, List, Map, Member, Operation, Service, Shape, Structure, TimestampFormat,
        XmlNamespace,
    },
    value::{Members, Value},
};

const HEAD: &str = "<?xml version=\"1.0\"?>";

pub fn response(
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
    request_id: &str,
) -> Vec<u8> {
    let mut out = Writer::new(service);
    let name = operation.name;
    out.begin(&[name, "Response"]);
    if let (Some(structure), Some(Value::Structure(members))) =
        (structure_of(service, operation.output), &output)
    {
        match operation.result_wrapper {
            Some(wrapper) => out.element(wrapper, None, |out| out.members(&structure, members)),
            None => out.members(&structure, members),
        }
    }
    out.element("ResponseMetadata", None, |out| {
        out.text("RequestId", request_id);
    });
    out.close(&[name, "Response"]);
    out.bytes.into_bytes()
}

pub fn error(
    service: &Service,
    code: &str,
    detail: bool,
    error: &Error,
    request_id: &str,
) -> Vec<u8> {
    let mut out = Writer::new(service);
    out.begin(&["ErrorResponse"]);
    out.element("Error", None, |out| {
        out.text("Type", super::side(error));
        out.text("Code", code);
        let said = super::codes::said_in_query(service, error);
        if !said.is_empty() {
            out.text("Message", said);
        }
        let shape = super::codes::error_shape(service, error.code);
        for member in shape.map_or(&[][..], |structure| structure.members) {
            let given = error.members.iter().find(|(name, _)| *name == member.name);
            let said = matches!(member.name, "Message" | "message");
            if let (Some((_, value)), false) = (given, said) {
                out.member(member, value);
            }
        }
        if detail {
            out.bytes.push_str("<Detail/>");
        }
    });
    out.text("RequestId", request_id);
    out.close(&["ErrorResponse"]);
    out.bytes.into_bytes()
}

struct Writer<'a> {
    service: &'a Service,
    bytes: String,
}

impl<'a> Writer<'a> {
    fn new(service: &'a Service) -> Self {
        let mut bytes = String::with_capacity(512);
        bytes.push_str(HEAD);
        Self { service, bytes }
    }

    /// The outermost element, which has the service's namespace. Its name comes in pieces.
    fn begin(&mut self, name: &[&str]) {
        self.bytes.push('<');
        self.bytes.extend(name.iter().copied());
        if let Some(uri) = self.service.xml_namespace {
            self.bytes.push_str(" xmlns=\"");
            escape(uri, &mut self.bytes);
            self.bytes.push('"');
        }
        self.bytes.push('>');
    }

    fn close(&mut self, name: &[&str]) {
        self.bytes.push_str("</");
        self.bytes.extend(name.iter().copied());
        self.bytes.push('>');
    }

    fn element(
        &mut self,
        name: &str,
        namespace: Option<XmlNamespace>,
        content: impl FnOnce(&mut Self),
    ) {
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
        self.bytes.push('>');
        content(self);
        self.close(&[name]);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.element(name, None, |out| escape(text, &mut out.bytes));
    }

    fn members(&mut self, structure: &Structure, members: &Members) {
        for (index, member) in structure.members.iter().enumerate() {
            if let Some(value) = members.get(index) {
                self.member(member, value);
            }
        }
    }

    fn member(&mut self, member: &Member, value: &Value) {
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
            _ => self.element(name, namespace(member.xml_namespace, shape), |out| {
                out.content(shape, member.timestamp, value);
            }),
        }
    }

    fn items(&mut self, list: &List, name: &str, items: &[Value]) {
        let shape = self.service.shape(list.member);
        for item in items {
            self.element(name, namespace(None, shape), |out| {
                out.content(shape, None, item);
            });
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
            (value, _) => {
                let format = format.or(shape.timestamp);
                let format = format.unwrap_or(TimestampFormat::Iso8601);
                escape(&text::print(value, format), &mut self.bytes);
            }
        }
    }
}

fn namespace(own: Option<XmlNamespace>, shape: &Shape) -> Option<XmlNamespace> {
    own.or(match shape.kind {
        Kind::Structure(structure) => structure.xml_namespace,
        _ => None,
    })
}

/// Text as XML has it. A carriage return would be read as a new line; what XML has no way to say at
/// all becomes the replacement character.
fn escape(text: &str, out: &mut String) {
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
