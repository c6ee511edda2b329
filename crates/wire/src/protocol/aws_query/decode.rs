//! Parameters by schema. Each step hands every parameter to the one member, element or entry that its
//! name leads to, so that the work is the number of parameters times the depth of the input, in
//! whatever order they come and whatever their indices are.

use std::cell::Cell;

use bytes::Bytes;
use http::request;

use super::{
    super::{json::keep_last, structure_of, text},
    form::{Form, Parameter, malformed},
};
use crate::{
    error::Error,
    schema::{Kind, List, Map, Member, Operation, Service, Shape, Structure, TimestampFormat},
    value::{Members, Value},
};

const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// How deep an input may be; a shape that holds itself has no end of its own.
const DEPTH_MAX: usize = 32;
/// Values and members, set or not, that an input may have.
const VALUES_MAX: usize = 250_000;

/// Reads an operation's input.
pub fn decode_request(
    service: &Service,
    operation: &Operation,
    parts: &request::Parts,
    body: &Bytes,
) -> Result<Value, Error> {
    let Some(structure) = structure_of(service, operation.input) else {
        return Ok(Value::Structure(Members::default()));
    };
    let media_type = parts.headers.get(http::header::CONTENT_TYPE);
    let is_form = media_type.is_none_or(|v| v.as_bytes().starts_with(FORM));
    let form = Form::read(parts, if is_form { body } else { b"" })?;
    let decoder = Decoder {
        service,
        left: Cell::new(VALUES_MAX),
    };
    let mut members = decoder.members(&structure, form.parameters(), 0)?;
    add_path(service, &structure, parts, &mut members);
    Ok(Value::Structure(members))
}

/// A request to something's own URL need not say it again.
fn add_path(
    service: &Service,
    structure: &Structure,
    parts: &request::Parts,
    members: &mut Members,
) {
    let path = parts.uri.path();
    let named = |m: &Member| Some(m.name) == service.path_member;
    let Some(index) = structure.members.iter().position(named) else {
        return;
    };
    if path.len() > 1 && members.get(index).is_none() {
        let host = parts.headers.get(http::header::HOST);
        let host = host
            .and_then(|h| h.to_str().ok())
            .or(parts.uri.host())
            .unwrap_or_default();
        members.set(index, Value::String(format!("http://{host}{path}")));
    }
}

struct Decoder<'a> {
    service: &'a Service,
    /// How many values there may still be.
    left: Cell<usize>,
}

/// What is read, beside its shape.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    flattened: bool,
    timestamp: Option<TimestampFormat>,
    depth: usize,
}

impl Decoder<'_> {
    fn spend(&self, values: usize) -> Result<(), Error> {
        let left = self.left.get().checked_sub(values);
        let left = left.ok_or_else(|| malformed("The request holds too many values"))?;
        self.left.set(left);
        Ok(())
    }

    fn members(
        &self,
        structure: &Structure,
        parameters: Vec<Parameter<'_>>,
        depth: usize,
    ) -> Result<Members, Error> {
        if depth > DEPTH_MAX {
            return Err(malformed("A parameter's name is too deep"));
        }
        let count = structure.members.len();
        self.spend(count)?;
        let mut of_members: Vec<Vec<Parameter<'_>>> = vec![Vec::new(); count];
        for parameter in parameters {
            let (head, below) = parameter.step();
            let found = structure
                .members
                .iter()
                .position(|m| self.is_named(m, head));
            if let Some(index) = found {
                of_members[index].push(below);
            }
        }
        let mut members = Members::new(count);
        for (index, parameters) in of_members.into_iter().enumerate() {
            let member = &structure.members[index];
            let place = Place {
                name: member.in_query(),
                flattened: member.flattened,
                timestamp: member.timestamp,
                depth,
            };
            if parameters.is_empty() {
                continue;
            }
            if let Some(value) = self.value(self.service.shape(member.shape), place, parameters)? {
                members.set(index, value);
            }
        }
        Ok(members)
    }

    /// A list that is flattened wherever it is goes by the name of its elements; one without any by
    /// its own.
    fn is_named(&self, member: &Member, head: &str) -> bool {
        if head == member.in_query() {
            return true;
        }
        match self.service.shape(member.shape).kind {
            Kind::List(list) if list.flattened => list.member_name == Some(head),
            _ => false,
        }
    }

    /// Nothing if the parameters lead past the shape.
    fn value(
        &self,
        shape: &Shape,
        place: Place<'_>,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<Option<Value>, Error> {
        Ok(match shape.kind {
            Kind::Structure(structure) => Some(Value::Structure(self.members(
                &structure,
                parameters,
                place.depth + 1,
            )?)),
            Kind::List(list) => Some(self.list(&list, place, parameters)?),
            Kind::Map(map) => Some(self.map(&map, place, parameters)?),
            _ => {
                self.spend(1)?;
                // Of a name that comes twice the first counts.
                let own = parameters.into_iter().find(|p| p.path.is_empty());
                let format = place.timestamp.or(shape.timestamp);
                own.map(|p| scalar(shape, p, format)).transpose()?
            }
        })
    }

    fn list(
        &self,
        list: &List,
        place: Place<'_>,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<Value, Error> {
        let wrapped_in =
            (!list.flattened && !place.flattened).then_some(list.member_name.unwrap_or("member"));
        let shape = self.service.shape(list.member);
        let place = Place {
            name: list.member_name.unwrap_or(place.name),
            flattened: false,
            timestamp: None,
            depth: place.depth + 1,
        };
        let mut items = Vec::new();
        for parameters in by_index(parameters, wrapped_in) {
            self.spend(1)?;
            items.extend(self.value(shape, place, parameters)?);
        }
        Ok(Value::List(items))
    }

    fn map(
        &self,
        map: &Map,
        place: Place<'_>,
        parameters: Vec<Parameter<'_>>,
    ) -> Result<Value, Error> {
        let wrapped_in = (!map.flattened && !place.flattened).then_some("entry");
        let key_name = map.key_name.unwrap_or("key");
        let value_name = map.value_name.unwrap_or("value");
        let shape = self.service.shape(map.value);
        let mut entries = Vec::new();
        for parameters in by_index(parameters, wrapped_in) {
            self.spend(1)?;
            let mut key = None;
            let mut of_value = Vec::new();
            for parameter in parameters {
                match parameter.step() {
                    (head, below) if head == key_name && key.is_none() => key = Some(below),
                    (head, below) if head == value_name => of_value.push(below),
                    _ => {}
                }
            }
            let missing = |part| Error::missing(&format!("{}.{part}", place.name));
            let key = key.ok_or_else(|| missing(key_name))?.value()?;
            let below = Place {
                name: value_name,
                flattened: false,
                timestamp: None,
                depth: place.depth + 1,
            };
            let value = self.value(shape, below, of_value)?;
            entries.push((key, value.ok_or_else(|| missing(value_name))?));
        }
        keep_last(&mut entries);
        Ok(Value::Map(entries))
    }
}

/// Parameters by the number that their names go on with, in the order of the numbers, which may have
/// gaps. A flattened list or map of one may leave the number out, as in `Attribute.Name`; the name
/// alone, without a value, stands for one that is empty.
fn by_index<'a>(
    parameters: Vec<Parameter<'a>>,
    wrapped_in: Option<&str>,
) -> Vec<Vec<Parameter<'a>>> {
    let numbered = parameters.into_iter().filter_map(|parameter| {
        let parameter = match wrapped_in {
            Some(name) => {
                let (head, below) = parameter.step();
                (head == name).then_some(below)?
            }
            None => parameter,
        };
        let (head, below) = parameter.step();
        if !head.is_empty() && head.bytes().all(|b| b.is_ascii_digit()) {
            return Some((head.parse().ok()?, below));
        }
        let is_one = wrapped_in.is_none() && !(head.is_empty() && parameter.raw.is_empty());
        is_one.then_some((0, parameter))
    });
    let mut numbered: Vec<(u64, Parameter<'_>)> = numbered.collect();
    if !numbered.is_sorted_by_key(|(index, _)| *index) {
        // Stable: of parameters with one name the first stays the first.
        numbered.sort_by_key(|(index, _)| *index);
    }
    numbered
        .chunk_by(|(a, _), (b, _)| a == b)
        .map(|chunk| chunk.iter().map(|(_, parameter)| *parameter).collect())
        .collect()
}

fn scalar(
    shape: &Shape,
    parameter: Parameter<'_>,
    format: Option<TimestampFormat>,
) -> Result<Value, Error> {
    let value = parameter.value()?;
    match shape.kind {
        Kind::String => Ok(Value::String(value)),
        _ => text::parse(shape, &value, format.unwrap_or(TimestampFormat::Iso8601)),
    }
}
