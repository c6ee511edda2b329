//! CBOR by schema (RFC 8949), straight from the bytes to the [`Value`]. What a body may become is
//! bounded: `[{}, {}, …]` is a byte to write and hundreds to hold.

use jiff::Timestamp;

use super::super::{json::keep_last, text};
use crate::{
    error::Error,
    schema::{Kind, Location, Service, Shape, ShapeId, Structure},
    time,
    value::{Members, Value},
};

/// Values that a body may hold, and members that its structures may have, set or not.
const VALUES_MAX: usize = 250_000;
/// How deep a body may be, skipped parts included.
const DEPTH_MAX: usize = 64;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const BREAK: u8 = 0xff;

type Result<T> = std::result::Result<T, Error>;

/// Reads the members of a structure, which are all of the body.
pub fn decode_structure(service: &Service, structure: &Structure, body: &[u8]) -> Result<Members> {
    let mut reader = Reader {
        service,
        rest: body,
        left: VALUES_MAX,
    };
    let head = reader.head()?;
    if head.major != MAP {
        return Err(refused("a Structure"));
    }
    let members = reader.members(structure, head, 0)?;
    if reader.rest.is_empty() {
        Ok(members)
    } else {
        Err(malformed("there are bytes behind the value"))
    }
}

struct Reader<'a> {
    service: &'a Service,
    rest: &'a [u8],
    /// How many values there may still be.
    left: usize,
}

/// The first bytes of an item: its major type and its argument.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    /// The low five bits, which tell how long a float is.
    info: u8,
    /// None where the length is not told but ended by a break.
    argument: Option<u64>,
}

fn malformed(why: &str) -> Error {
    Error::serialization(format!("Could not parse request body into CBOR: {why}"))
}

fn refused(wanted: &str) -> Error {
    Error::serialization(format!("A value can not be converted to {wanted}"))
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
    }

    fn head(&mut self) -> Result<Head> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => Some(self.number(1 << (info - 24))?),
            31 if matches!(major, BYTES..=MAP) => None,
            _ => {
                return Err(malformed(
                    "an item begins with a byte that none begins with",
                ));
            }
        };
        Ok(Head {
            major,
            info,
            argument,
        })
    }

    /// Whether the break that ends an item of unknown length is next; it is passed over.
    fn ended(&mut self) -> Result<bool> {
        let next = *self
            .rest
            .first()
            .ok_or_else(|| malformed("it ends too early"))?;
        if next == BREAK {
            self.rest = &self.rest[1..];
        }
        Ok(next == BREAK)
    }

    /// Whether a list or map goes on; `left` counts down where its length was told.
    fn goes_on(&mut self, left: &mut Option<u64>) -> Result<bool> {
        match left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(!self.ended()?),
        }
    }

    fn spend(&mut self, values: usize) -> Result<()> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or_else(|| malformed("it holds too many values"))?;
        Ok(())
    }

    /// A text or byte string, whole or in pieces.
    fn string(&mut self, head: Head) -> Result<Vec<u8>> {
        if let Some(length) = head.argument {
            let length = usize::try_from(length).map_err(|_| malformed("it ends too early"))?;
            return Ok(self.take(length)?.to_vec());
        }
        let mut whole = Vec::new();
        while !self.ended()? {
            let piece = self.head()?;
            let (true, Some(length)) = (piece.major == head.major, piece.argument) else {
                return Err(malformed("a string has a piece that is none"));
            };
            let length = usize::try_from(length).map_err(|_| malformed("it ends too early"))?;
            whole.extend_from_slice(self.take(length)?);
        }
        Ok(whole)
    }

    fn text(&mut self, head: Head) -> Result<String> {
        if head.major != TEXT {
            return Err(refused("a String"));
        }
        String::from_utf8(self.string(head)?).map_err(|_| malformed("a text is not UTF-8"))
    }

    /// A value of a shape; null and undefined are nothing.
    fn value(&mut self, shape: &Shape, depth: usize) -> Result<Value> {
        let head = self.head()?;
        self.valued(shape, head, depth)
    }

    fn valued(&mut self, shape: &Shape, head: Head, depth: usize) -> Result<Value> {
        if depth > DEPTH_MAX {
            return Err(malformed("it is too deep"));
        }
        self.spend(1)?;
        if head.major == SIMPLE && matches!(head.info, 22 | 23) {
            return Ok(Value::Null);
        }
        if head.major == TAG && !matches!(shape.kind, Kind::Timestamp) {
            // What a tag means beside its value no member of ours asks.
            let below = self.head()?;
            return self.valued(shape, below, depth + 1);
        }
        match &shape.kind {
            Kind::Boolean => match (head.major, head.info) {
                (SIMPLE, 20) => Ok(Value::Boolean(false)),
                (SIMPLE, 21) => Ok(Value::Boolean(true)),
                _ => Err(refused("a Boolean")),
            },
            kind @ (Kind::Byte | Kind::Short | Kind::Integer | Kind::Long) => {
                let number = whole(head).filter(|number| text::fits(kind, *number));
                let number = number.ok_or_else(|| refused("a number of its size"))?;
                Ok(Value::Integer(number))
            }
            Kind::Float | Kind::Double => Ok(Value::Float(number(head)?)),
            Kind::String => Ok(Value::String(self.text(head)?)),
            Kind::Blob if head.major == BYTES => Ok(Value::Blob(self.string(head)?.into())),
            Kind::Blob => Err(refused("a Blob")),
            Kind::Timestamp => Ok(Value::Timestamp(self.timestamp(head)?)),
            Kind::Document => Err(refused("a Document")),
            Kind::List(list) => self.list(list.member, head, depth),
            Kind::Map(map) => self.map(map.value, head, depth),
            Kind::Structure(structure) => {
                if head.major != MAP {
                    return Err(refused("a Structure"));
                }
                let members = self.members(structure, head, depth + 1)?;
                Ok(Value::Structure(members))
            }
        }
    }

    /// Tag 1: seconds since 1970, whole or not. Some clients leave the tag out.
    fn timestamp(&mut self, head: Head) -> Result<Timestamp> {
        let seconds = match head {
            Head {
                major: TAG,
                argument: Some(1),
                ..
            } => self.head()?,
            untagged => untagged,
        };
        let at = number(seconds).ok().and_then(time::from_epoch_seconds);
        at.ok_or_else(|| refused("a Timestamp"))
    }

    fn list(&mut self, member: ShapeId, head: Head, depth: usize) -> Result<Value> {
        if head.major != ARRAY {
            return Err(refused("a List"));
        }
        let shape = self.service.shape(member);
        let (mut left, mut items) = (head.argument, Vec::new());
        while self.goes_on(&mut left)? {
            items.push(self.value(shape, depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, value: ShapeId, head: Head, depth: usize) -> Result<Value> {
        if head.major != MAP {
            return Err(refused("a Map"));
        }
        let shape = self.service.shape(value);
        let (mut left, mut entries) = (head.argument, Vec::new());
        while self.goes_on(&mut left)? {
            let key = self.head()?;
            let key = self.text(key)?;
            entries.push((key, self.value(shape, depth + 1)?));
        }
        keep_last(&mut entries);
        Ok(Value::Map(entries))
    }

    fn members(&mut self, structure: &Structure, head: Head, depth: usize) -> Result<Members> {
        self.spend(structure.members.len())?;
        let mut members = Members::new(structure.members.len());
        let (mut left, mut unknown) = (head.argument, 0);
        while self.goes_on(&mut left)? {
            let key = self.head()?;
            let key = self.text(key)?;
            let named = |m: &crate::schema::Member| m.wire() == key && m.location == Location::Body;
            let Some(index) = structure.members.iter().position(named) else {
                unknown += usize::from(key != "__type");
                self.skip(depth)?;
                continue;
            };
            let shape = self.service.shape(structure.members[index].shape);
            match self.value(shape, depth + 1)? {
                Value::Null => members.clear(index),
                value => members.set(index, value),
            }
        }
        if structure.union && (members.count() != 1 || unknown > 0) {
            return Err(malformed("a union must have exactly one member set"));
        }
        Ok(members)
    }

    fn skip(&mut self, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(malformed("it is too deep"));
        }
        self.spend(1)?;
        let head = self.head()?;
        match head.major {
            BYTES | TEXT => self.string(head).map(drop),
            TAG => self.skip(depth + 1),
            ARRAY | MAP => {
                let mut left = head.argument;
                while self.goes_on(&mut left)? {
                    self.skip(depth + 1)?;
                    if head.major == MAP {
                        self.skip(depth + 1)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn whole(head: Head) -> Option<i64> {
    match head.major {
        UNSIGNED => i64::try_from(head.argument?).ok(),
        NEGATIVE => Some(-1 - i64::try_from(head.argument?).ok()?),
        _ => None,
    }
}

// A whole number beyond 2^53 loses its last digits as AWS's doubles do.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn number(head: Head) -> Result<f64> {
    let bits = head.argument.unwrap_or_default();
    match (head.major, head.info) {
        (UNSIGNED, _) => Ok(bits as f64),
        (NEGATIVE, _) => Ok(-1.0 - bits as f64),
        (SIMPLE, 25) => Ok(half(bits as u16)),
        (SIMPLE, 26) => Ok(f64::from(f32::from_bits(bits as u32))),
        (SIMPLE, 27) => Ok(f64::from_bits(bits)),
        _ => Err(refused("a number")),
    }
}

/// A float of 16 bits (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = ((bits >> 10) & 0x1f, f64::from(bits & 0x3ff));
    let value = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { value } else { -value }
}
