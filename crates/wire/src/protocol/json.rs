//! JSON bodies by schema. Reading goes straight from the bytes to the [`Value`], so that a 50 MB
//! code package in base64 is decoded where it lies instead of being copied through a JSON tree.
//! What a body may become is bounded: `{}` is two bytes to write and hundreds to hold.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::text;
use crate::{
    error::Error,
    schema::{Kind, Location, Member, Service, Shape, ShapeId, Structure, TimestampFormat},
    time,
    value::{Members, Value},
};

/// Values that a body may hold, and members that its structures may have, set or not. No request of
/// AWS's tools comes near; it is some twenty megabytes.
const VALUES_MAX: usize = 250_000;

/// Reads the body members of a structure; the others stay unset.
pub fn decode_structure(
    service: &Service,
    structure: &Structure,
    body: &[u8],
) -> Result<Members, Error> {
    match run(service, Target::Members(structure), body)? {
        Value::Structure(members) => Ok(members),
        _ => Err(Error::serialization(
            "null can not be converted to a Structure",
        )),
    }
}

/// Reads a value of any shape.
pub fn decode(service: &Service, shape: ShapeId, body: &[u8]) -> Result<Value, Error> {
    run(service, Target::Shape(service.shape(shape)), body)
}

/// Writes the body members of a structure.
pub fn encode_structure(service: &Service, structure: &Structure, members: &Members) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_structure(service, structure, members, &mut out);
    out
}

pub fn encode(service: &Service, shape: ShapeId, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(service, service.shape(shape), None, value, &mut out);
    out
}

/// An error's members as its shape has them: Lambda writes `Message` in some and `message` in
/// others. An error without a shape has a plain `message`.
pub fn error_body(shape: Option<(&Service, Structure)>, error: &Error) -> Vec<u8> {
    let mut out = vec![b'{'];
    let Some((service, structure)) = shape else {
        write_plain_message(error, &mut out);
        out.push(b'}');
        return out;
    };
    for member in structure
        .members
        .iter()
        .filter(|m| m.location == Location::Body)
    {
        let given = error.members.iter().find(|(name, _)| *name == member.name);
        if let Some((_, value)) = given {
            write_key(member.wire(), &mut out);
            let shape = service.shape(member.shape);
            write(service, shape, Some(member), value, &mut out);
            continue;
        }
        let text = match member.name {
            "Message" | "message" => error.message.as_str(),
            "Type" if !error.untyped => error.fault.as_str(),
            _ => continue,
        };
        write_key(member.wire(), &mut out);
        write_str(text, &mut out);
    }
    out.push(b'}');
    out
}

/// An error's members with its code before them, as awsJson has them. The message is there even
/// where the shape has no member for it.
pub fn typed_error(
    service: &Service,
    code: std::borrow::Cow<'_, str>,
    structure: Option<Structure>,
    error: &Error,
) -> Vec<u8> {
    let mut out = vec![b'{'];
    write_key("__type", &mut out);
    write_str(&code, &mut out);
    let members = structure.map_or(&[][..], |structure| structure.members);
    let mut said = false;
    for member in members {
        if matches!(member.name, "Message" | "message") {
            // A service that has nothing to say leaves it out.
            if !error.message.is_empty() {
                write_key(member.wire(), &mut out);
                write_str(&error.message, &mut out);
            }
            said = true;
            continue;
        }
        let given = error.members.iter().find(|(name, _)| *name == member.name);
        if let Some((_, value)) = given {
            write_key(member.wire(), &mut out);
            let shape = service.shape(member.shape);
            write(service, shape, Some(member), value, &mut out);
        }
    }
    if !said {
        write_plain_message(error, &mut out);
    }
    out.push(b'}');
    out
}

/// The two that AWS's common front makes have a capital `Message`, which is null where there is
/// nothing to say.
fn write_plain_message(error: &Error, out: &mut Vec<u8>) {
    let capital = matches!(
        error.code,
        "AccessDeniedException" | "SerializationException"
    );
    write_key(if capital { "Message" } else { "message" }, out);
    if error.message.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write_str(&error.message, out);
    }
}

fn run(service: &Service, target: Target<'_>, body: &[u8]) -> Result<Value, Error> {
    let left = &Cell::new(VALUES_MAX);
    let seed = Seed {
        service,
        target,
        left,
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    seed.deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| Error::serialization(explain(&error)))
}

/// What serde says of a value of the wrong type is ours and carries a position behind it; what it
/// says of malformed JSON is its own.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.is_data() {
        return match text.rfind(" at line ") {
            Some(end) => text[..end].to_owned(),
            None => text,
        };
    }
    format!("Could not parse request body into json: {text}")
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Shape(&'a Shape),
    Member(&'a Member, &'a Shape),
    /// The body members of a structure.
    Members(&'a Structure),
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    service: &'a Service,
    target: Target<'a>,
    /// How many values there may still be.
    left: &'a Cell<usize>,
}

impl Seed<'_> {
    fn of_shape(&self, id: ShapeId) -> Self {
        let target = Target::Shape(self.service.shape(id));
        Self { target, ..*self }
    }

    fn spend<E: serde::de::Error>(&self, values: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(values);
        self.left
            .set(left.ok_or_else(|| E::custom("The request body holds too many values"))?);
        Ok(())
    }

    fn kind(&self) -> Kind {
        match self.target {
            Target::Shape(shape) | Target::Member(_, shape) => shape.kind,
            Target::Members(structure) => Kind::Structure(*structure),
        }
    }

    fn timestamp(&self) -> TimestampFormat {
        match self.target {
            Target::Member(member, shape) => member.timestamp.or(shape.timestamp),
            Target::Shape(shape) => shape.timestamp,
            Target::Members(_) => None,
        }
        .unwrap_or(TimestampFormat::EpochSeconds)
    }

    fn wanted(&self) -> &'static str {
        match self.kind() {
            Kind::Boolean => "a Boolean",
            Kind::Byte => "a Byte",
            Kind::Short => "a Short",
            Kind::Integer => "an Integer",
            Kind::Long => "a Long",
            Kind::Float => "a Float",
            Kind::Double => "a Double",
            Kind::String => "a String",
            Kind::Blob => "a Blob",
            Kind::Timestamp => "a Timestamp",
            Kind::Document => "a Document",
            Kind::List(_) => "a List",
            Kind::Map(_) => "a Map",
            Kind::Structure(_) => "a Structure",
        }
    }

    fn refuse<T, E: serde::de::Error>(&self, found: &str) -> Result<T, E> {
        Err(E::custom(format_args!(
            "{found} can not be converted to {}",
            self.wanted()
        )))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        if let Kind::Document = self.kind() {
            let document = <serde_json::Value as serde::Deserialize>::deserialize(reader)?;
            return Ok(match document {
                serde_json::Value::Null => Value::Null,
                document => Value::Document(document),
            });
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        match self.kind() {
            Kind::Boolean => Ok(Value::Boolean(value)),
            _ if value => self.refuse("TRUE_VALUE"),
            _ => self.refuse("FALSE_VALUE"),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        match self.kind() {
            kind @ (Kind::Byte | Kind::Short | Kind::Integer | Kind::Long)
                if text::fits(&kind, value) =>
            {
                Ok(Value::Integer(value))
            }
            // A whole number beyond 2^53 loses its last digits as AWS's doubles do.
            #[allow(clippy::cast_precision_loss)]
            Kind::Float | Kind::Double | Kind::Timestamp => self.visit_f64(value as f64),
            _ => self.refuse("NUMBER_VALUE"),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            #[allow(clippy::cast_precision_loss)]
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match self.kind() {
            Kind::Float | Kind::Double => Ok(Value::Float(value)),
            Kind::Timestamp if self.timestamp() == TimestampFormat::EpochSeconds => {
                match time::from_epoch_seconds(value) {
                    Some(at) => Ok(Value::Timestamp(at)),
                    None => self.refuse("NUMBER_VALUE"),
                }
            }
            _ => self.refuse("NUMBER_VALUE"),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        let found = match self.kind() {
            Kind::String => Some(Value::String(value.to_owned())),
            Kind::Blob => text::base64_decode(value).map(Value::Blob),
            Kind::Float | Kind::Double if matches!(value, "NaN" | "Infinity" | "-Infinity") => {
                text::parse_float(value).map(Value::Float)
            }
            Kind::Timestamp if self.timestamp() != TimestampFormat::EpochSeconds => {
                time::parse(self.timestamp(), value).map(Value::Timestamp)
            }
            _ => None,
        };
        found.map_or_else(|| self.refuse("STRING_VALUE"), Ok)
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        match self.kind() {
            Kind::String => Ok(Value::String(value)),
            _ => self.visit_str(&value),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Kind::List(list) = self.kind() else {
            return Err(A::Error::custom("Start of list found where not expected"));
        };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.of_shape(list.member))? {
            self.spend(1)?;
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        match self.kind() {
            Kind::Map(shape) => {
                let mut entries: Vec<(String, Value)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    self.spend(1)?;
                    entries.push((key, map.next_value_seed(self.of_shape(shape.value))?));
                }
                keep_last(&mut entries);
                Ok(Value::Map(entries))
            }
            Kind::Structure(structure) => self.visit_structure(&structure, map),
            _ => Err(A::Error::custom(
                "Start of structure or map found where not expected.",
            )),
        }
    }
}

impl Seed<'_> {
    fn visit_structure<'de, A: MapAccess<'de>>(
        self,
        structure: &Structure,
        mut map: A,
    ) -> Result<Value, A::Error> {
        self.spend(structure.members.len())?;
        let mut members = Members::new(structure.members.len());
        let mut unknown = 0;
        while let Some(key) = map.next_key_seed(Keys(structure))? {
            let Key::Member(index) = key else {
                map.next_value::<serde::de::IgnoredAny>()?;
                unknown += usize::from(matches!(key, Key::Unknown));
                continue;
            };
            let member = &structure.members[index];
            let target = Target::Member(member, self.service.shape(member.shape));
            match map.next_value_seed(Self { target, ..self })? {
                Value::Null => members.clear(index),
                value => members.set(index, value),
            }
        }
        let set = members.count() + unknown;
        if structure.union && set != 1 {
            return Err(A::Error::custom(format_args!(
                "A union must have exactly one member set, and {set} are"
            )));
        }
        if structure.union && unknown > 0 {
            return Err(A::Error::custom("A union has a member that is unknown"));
        }
        Ok(Value::Structure(members))
    }
}

/// Reads a key of a structure as the member that it is, without a copy of it.
struct Keys<'a>(&'a Structure);

enum Key {
    Member(usize),
    /// Some clients say which type they mean; that is no member.
    Type,
    Unknown,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Key, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Keys<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
        let is = |m: &Member| m.wire() == key && m.location == Location::Body;
        Ok(match self.0.members.iter().position(is) {
            Some(index) => Key::Member(index),
            None if key == "__type" => Key::Type,
            None => Key::Unknown,
        })
    }
}

/// Of entries with the same key the last counts, as in Java's maps.
pub fn keep_last(entries: &mut Vec<(String, Value)>) {
    let mut last = HashMap::with_capacity(entries.len());
    for (index, (key, _)) in entries.iter().enumerate() {
        last.insert(key.as_str(), index);
    }
    if last.len() == entries.len() {
        return;
    }
    let kept: HashSet<usize> = last.into_values().collect();
    let mut index = 0;
    entries.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}

fn write(
    service: &Service,
    shape: &Shape,
    member: Option<&Member>,
    value: &Value,
    out: &mut Vec<u8>,
) {
    match (value, &shape.kind) {
        (Value::Null, _) => out.extend_from_slice(b"null"),
        (Value::Boolean(value), _) => out.extend_from_slice(value.to_string().as_bytes()),
        (Value::Integer(value), _) => out.extend_from_slice(value.to_string().as_bytes()),
        (Value::Float(value), _) if value.is_finite() => {
            // Writing to a vector cannot fail, and the number is one of JSON's.
            let _ = serde_json::to_writer(out, value);
        }
        (Value::Float(value), _) => write_str(&text::print_float(*value), out),
        (Value::String(value), _) => write_str(value, out),
        (Value::Blob(value), _) => write_str(&text::base64_encode(value), out),
        (Value::Timestamp(value), _) => {
            let format = member.and_then(|m| m.timestamp).or(shape.timestamp);
            match format.unwrap_or(TimestampFormat::EpochSeconds) {
                TimestampFormat::EpochSeconds => {
                    out.extend_from_slice(time::print_epoch_seconds(*value).as_bytes());
                }
                format => write_str(&time::print(format, *value), out),
            }
        }
        (Value::Document(value), _) => out.extend_from_slice(value.to_string().as_bytes()),
        (Value::List(items), Kind::List(list)) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(service, service.shape(list.member), None, item, out);
            }
            out.push(b']');
        }
        (Value::Map(entries), Kind::Map(map)) => {
            out.push(b'{');
            for (key, value) in entries {
                write_key(key, out);
                write(service, service.shape(map.value), None, value, out);
            }
            out.push(b'}');
        }
        (Value::Structure(members), Kind::Structure(structure)) => {
            write_structure(service, structure, members, out);
        }
        (Value::List(_) | Value::Map(_) | Value::Structure(_), _) => {
            out.extend_from_slice(b"null");
        }
    }
}

fn write_structure(service: &Service, structure: &Structure, members: &Members, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, member) in structure.members.iter().enumerate() {
        if let (Location::Body, Some(value)) = (member.location, members.get(index)) {
            write_key(member.wire(), out);
            write(
                service,
                service.shape(member.shape),
                Some(member),
                value,
                out,
            );
        }
    }
    out.push(b'}');
}

/// A key and its colon, with a comma before it unless it is the object's first.
pub fn write_key(key: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_str(key, out);
    out.push(b':');
}

fn write_str(text: &str, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail, and neither can a string.
    let _ = serde_json::to_writer(out, text);
}
