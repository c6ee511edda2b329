//! XML as values, by the schema tables.
//!
//! Strict, as S3 is: an element that the shape has no place for, one that is missing or comes twice, a
//! number that is none, all are a document that does not validate. There is no DTD and no entity but
//! the five that XML has, so nothing expands. Namespaces are not looked at: clients leave them out.

use bytes::Bytes;
use quick_xml::{
    Reader as Events,
    events::{BytesStart, Event},
};

use crate::{
    protocol::text,
    schema::{
        Kind, List, Location, Map, Member, Service, Shape, ShapeId, Structure, TimestampFormat,
    },
    time,
    value::{Members, Value},
};

/// How deep elements go. What S3 takes goes to eight.
const DEPTH_MAX: usize = 64;

/// A document that is none, or not one of this shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document is not well-formed, or is not valid")]
pub struct Malformed;

/// Reads a document whose outermost element is one of these names, and holds a value of this shape.
pub fn read(
    service: &Service,
    shape: ShapeId,
    roots: &[&str],
    document: &Bytes,
) -> Result<Value, Malformed> {
    let document = std::str::from_utf8(document).map_err(|_| Malformed)?;
    let mut events = Events::from_str(document);
    events.config_mut().expand_empty_elements = true;
    let mut reader = Reader {
        service,
        events,
        depth: 0,
    };
    let root = reader.root()?;
    if !roots.contains(&root.local_name().as_ref()) {
        return Err(Malformed);
    }
    let value = reader.value(service.shape(shape), None, &root)?;
    reader.nothing_more()?;
    Ok(value)
}

/// Whether it is a document at all.
pub fn is_well_formed(document: &str) -> bool {
    let mut events = Events::from_str(document);
    let (mut depth, mut elements) = (0_usize, 0_usize);
    loop {
        match events.read_event() {
            Ok(Event::Start(_)) => (depth, elements) = (depth + 1, elements + 1),
            Ok(Event::Empty(_)) => elements += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Text(text)) if depth == 0 && !is_blank(&text.xml10_content()) => {
                return false;
            }
            Ok(Event::DocType(_)) | Err(_) => return false,
            Ok(Event::Eof) => return depth == 0 && elements > 0,
            Ok(_) => {}
        }
    }
}

struct Reader<'a> {
    service: &'a Service,
    events: Events<&'a [u8]>,
    depth: usize,
}

enum Token<'a> {
    Start(BytesStart<'a>),
    End,
    Text(String),
    Eof,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Token<'a>, Malformed> {
        loop {
            let event = self.events.read_event().map_err(|_| Malformed)?;
            return Ok(match event {
                Event::Start(tag) => Token::Start(tag),
                Event::End(_) => Token::End,
                Event::Text(text) => Token::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Token::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(reference) => {
                    let named = || quick_xml::escape::resolve_xml_entity(&reference);
                    let text = match reference.resolve_char_ref().map_err(|_| Malformed)? {
                        Some(c) => c.to_string(),
                        None => named().ok_or(Malformed)?.to_owned(),
                    };
                    Token::Text(text)
                }
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
                // Entities could be declared there that grow to anything.
                Event::DocType(_) => return Err(Malformed),
                Event::Empty(_) => return Err(Malformed),
                Event::Eof => Token::Eof,
            });
        }
    }

    fn root(&mut self) -> Result<BytesStart<'a>, Malformed> {
        loop {
            match self.next()? {
                Token::Start(tag) => return Ok(tag),
                Token::Text(text) if is_blank(&text) => {}
                _ => return Err(Malformed),
            }
        }
    }

    fn nothing_more(&mut self) -> Result<(), Malformed> {
        loop {
            match self.next()? {
                Token::Eof => return Ok(()),
                Token::Text(text) if is_blank(&text) => {}
                _ => return Err(Malformed),
            }
        }
    }

    /// The next element within one, or none at its end.
    fn child(&mut self) -> Result<Option<BytesStart<'a>>, Malformed> {
        loop {
            match self.next()? {
                Token::Start(tag) => return Ok(Some(tag)),
                Token::End => return Ok(None),
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) | Token::Eof => return Err(Malformed),
            }
        }
    }

    /// The value of the element that was just entered, to its end.
    fn value(
        &mut self,
        shape: &Shape,
        format: Option<TimestampFormat>,
        tag: &BytesStart<'_>,
    ) -> Result<Value, Malformed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Malformed);
        }
        let value = match &shape.kind {
            Kind::Structure(structure) => Value::Structure(self.structure(structure, tag)?),
            Kind::List(list) => Value::List(self.list(list)?),
            Kind::Map(map) => Value::Map(self.map(map)?),
            _ => scalar(shape, format, self.text()?)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn structure(
        &mut self,
        structure: &Structure,
        tag: &BytesStart<'_>,
    ) -> Result<Members, Malformed> {
        let mut members = Members::new(structure.members.len());
        attributes(self.service, structure, tag, &mut members)?;
        let mut flat: Vec<(usize, Value)> = Vec::new();
        while let Some(child) = self.child()? {
            let name = child.local_name();
            let is = |member: &&Member| self.name_of(member) == name.as_ref();
            let elements = structure.members.iter();
            let found = elements
                .clone()
                .position(|member| is(&member))
                .ok_or(Malformed)?;
            let member = &structure.members[found];
            let shape = self.service.shape(member.shape);
            match &shape.kind {
                Kind::List(list) if list.flattened || member.flattened => {
                    let item = self.value(self.service.shape(list.member), None, &child)?;
                    match flat_of(&mut flat, found, Value::List(Vec::new())) {
                        Value::List(items) => items.push(item),
                        _ => return Err(Malformed),
                    }
                }
                Kind::Map(map) if map.flattened || member.flattened => {
                    let entry = self.entry(map)?;
                    match flat_of(&mut flat, found, Value::Map(Vec::new())) {
                        Value::Map(entries) => entries.push(entry),
                        _ => return Err(Malformed),
                    }
                }
                _ if members.get(found).is_some() => return Err(Malformed),
                _ => {
                    let value = self.value(shape, member.timestamp, &child)?;
                    members.set(found, value);
                }
            }
        }
        for (index, value) in flat {
            members.set(index, value);
        }
        // S3 takes `Tagging` without its set for one without tags.
        let is_s3 = self.service.signing_name == "s3";
        let may_lack = |member: &Member| is_s3 && member.wire() == "TagSet";
        let is_there = |(index, member): (usize, &Member)| {
            !member.required
                || member.location != Location::Body
                || members.get(index).is_some()
                || may_lack(member)
        };
        match structure.members.iter().enumerate().all(is_there) {
            true => Ok(members),
            false => Err(Malformed),
        }
    }

    /// What the element of a member is called.
    fn name_of(&self, member: &Member) -> &'static str {
        if member.location != Location::Body || member.xml_attribute {
            return "";
        }
        match self.service.shape(member.shape).kind {
            Kind::List(list) if list.flattened => list.member_name.unwrap_or(member.wire()),
            _ => member.wire(),
        }
    }

    fn list(&mut self, list: &List) -> Result<Vec<Value>, Malformed> {
        let shape = self.service.shape(list.member);
        let mut items = Vec::new();
        while let Some(child) = self.child()? {
            if child.local_name().as_ref() != list.member_name.unwrap_or("member") {
                return Err(Malformed);
            }
            items.push(self.value(shape, None, &child)?);
        }
        Ok(items)
    }

    fn map(&mut self, map: &Map) -> Result<Vec<(String, Value)>, Malformed> {
        let mut entries = Vec::new();
        while let Some(child) = self.child()? {
            if child.local_name().as_ref() != "entry" {
                return Err(Malformed);
            }
            entries.push(self.entry(map)?);
        }
        Ok(entries)
    }

    /// A key and its value, of the entry that was just entered.
    fn entry(&mut self, map: &Map) -> Result<(String, Value), Malformed> {
        let (mut key, mut value) = (None, None);
        while let Some(child) = self.child()? {
            let name = child.local_name();
            if name.as_ref() == map.key_name.unwrap_or("key") {
                key = Some(self.text()?);
            } else if name.as_ref() == map.value_name.unwrap_or("value") {
                value = Some(self.value(self.service.shape(map.value), None, &child)?);
            } else {
                return Err(Malformed);
            }
        }
        key.zip(value).ok_or(Malformed)
    }

    /// The text of the element that was just entered, to its end.
    fn text(&mut self) -> Result<String, Malformed> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Token::Text(text) if whole.is_empty() => whole = text,
                Token::Text(text) => whole.push_str(&text),
                Token::End => return Ok(whole),
                Token::Start(_) | Token::Eof => return Err(Malformed),
            }
        }
    }
}

fn flat_of(flat: &mut Vec<(usize, Value)>, index: usize, empty: Value) -> &mut Value {
    let at = match flat.iter().position(|(i, _)| *i == index) {
        Some(at) => at,
        None => {
            flat.push((index, empty));
            flat.len() - 1
        }
    };
    &mut flat[at].1
}

/// The members that are attributes. Others, such as namespaces, may be there too.
fn attributes(
    service: &Service,
    structure: &Structure,
    tag: &BytesStart<'_>,
    members: &mut Members,
) -> Result<(), Malformed> {
    let of_attributes = structure.members.iter().enumerate();
    for (index, member) in of_attributes.filter(|(_, member)| member.xml_attribute) {
        let local = |name: &'static str| name.rsplit_once(':').map_or(name, |(_, local)| local);
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| Malformed)?;
            if attribute.key.local_name().as_ref() != local(member.wire()) {
                continue;
            }
            let value = quick_xml::escape::unescape(&attribute.value).map_err(|_| Malformed)?;
            let shape = service.shape(member.shape);
            members.set(index, scalar(shape, member.timestamp, value.into_owned())?);
        }
    }
    Ok(())
}

fn scalar(
    shape: &Shape,
    format: Option<TimestampFormat>,
    whole: String,
) -> Result<Value, Malformed> {
    if let Kind::String = shape.kind {
        return Ok(Value::String(whole));
    }
    let trimmed = whole.trim();
    let format = format.or(shape.timestamp);
    if let (Kind::Timestamp, None | Some(TimestampFormat::Iso8601)) = (shape.kind, format) {
        let at = time::parse_loosely(trimmed).ok_or(Malformed)?;
        return Ok(Value::Timestamp(at));
    }
    let format = format.unwrap_or(TimestampFormat::Iso8601);
    text::parse(shape, trimmed, format).map_err(|_| Malformed)
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_whitespace())
}
