//! Values as CBOR, in AWS's way: lists and maps without their length, floats and instants in eight
//! bytes.

use jiff::Timestamp;

use crate::{
    schema::{Kind, Location, Service, Shape, Structure},
    value::{Members, Value},
};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const OPEN_ARRAY: u8 = 0x9f;
const OPEN_MAP: u8 = 0xbf;
const BREAK: u8 = 0xff;
const EPOCH: u8 = 0xc1;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const DOUBLE: u8 = 0xfb;

pub fn structure(service: &Service, structure: &Structure, members: &Members, out: &mut Vec<u8>) {
    out.push(OPEN_MAP);
    for (index, member) in structure.members.iter().enumerate() {
        if let (Location::Body, Some(given)) = (member.location, members.get(index)) {
            text(member.wire(), out);
            value(service, service.shape(member.shape), given, out);
        }
    }
    out.push(BREAK);
}

/// A map of what the closure writes, key and value by turns.
pub fn map(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(OPEN_MAP);
    content(out);
    out.push(BREAK);
}

pub fn value(service: &Service, shape: &Shape, given: &Value, out: &mut Vec<u8>) {
    match (given, &shape.kind) {
        (Value::Boolean(given), _) => out.push(if *given { TRUE } else { FALSE }),
        (Value::Integer(given), _) => match u64::try_from(*given) {
            Ok(number) => head(UNSIGNED, number, out),
            // Minus one and below: its distance from minus one.
            Err(_) => head(NEGATIVE, !given.cast_unsigned(), out),
        },
        (Value::Float(given), _) => double(*given, out),
        (Value::String(given), _) => text(given, out),
        (Value::Blob(given), _) => {
            head(BYTES, given.len() as u64, out);
            out.extend_from_slice(given);
        }
        (Value::Timestamp(given), _) => instant(*given, out),
        (Value::List(items), Kind::List(list)) => {
            out.push(OPEN_ARRAY);
            for item in items {
                value(service, service.shape(list.member), item, out);
            }
            out.push(BREAK);
        }
        (Value::Map(entries), Kind::Map(of)) => map(out, |out| {
            for (key, given) in entries {
                text(key, out);
                value(service, service.shape(of.value), given, out);
            }
        }),
        (Value::Structure(members), Kind::Structure(of)) => structure(service, of, members, out),
        // The protocol has no documents.
        (
            Value::Null | Value::Document(_) | Value::List(_) | Value::Map(_) | Value::Structure(_),
            _,
        ) => out.push(NULL),
    }
}

pub fn text(given: &str, out: &mut Vec<u8>) {
    head(TEXT, given.len() as u64, out);
    out.extend_from_slice(given.as_bytes());
}

fn instant(at: Timestamp, out: &mut Vec<u8>) {
    out.push(EPOCH);
    // Milliseconds of any year that AWS knows are below 2^53.
    #[allow(clippy::cast_precision_loss)]
    double(at.as_millisecond() as f64 / 1000.0, out);
}

fn double(given: f64, out: &mut Vec<u8>) {
    out.push(DOUBLE);
    out.extend_from_slice(&given.to_be_bytes());
}

fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}
