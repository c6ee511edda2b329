//! HTTP bindings: which member travels in the path, the query string, a header, the status or the
//! body. restJson1 and restXml share all of it but the body.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request};

use super::{Protocol, codes::error_shape, json, rest_xml, structure_of, text};
use crate::{
    error::Error,
    query,
    router::Labels,
    schema::{Kind, Location, Member, Operation, Service, Shape, Structure, TimestampFormat},
    value::{Members, Value},
};

/// Reads an operation's input from all parts of a request.
pub fn decode_request(
    protocol: Protocol,
    service: &Service,
    operation: &Operation,
    labels: &Labels,
    parts: &request::Parts,
    body: &Bytes,
) -> Result<Value, Error> {
    let Some(structure) = structure_of(service, operation.input) else {
        return Ok(Value::Structure(Members::default()));
    };
    let mut members = match protocol {
        Protocol::RestXml => rest_xml::decode_body(service, operation, &structure, body)?,
        _ => decode_body(service, &structure, body)?,
    };
    let pairs = query::parse(parts.uri.query().unwrap_or_default());
    for (index, member) in structure.members.iter().enumerate() {
        let value = match member.location {
            Location::Body | Location::StatusCode => Ok(None),
            Location::Uri => labels
                .get(member.wire())
                .map(|raw| scalar(service, member, raw, TimestampFormat::Iso8601))
                .transpose(),
            Location::Query => decode_query(service, member, &pairs),
            Location::Header => decode_header(service, member, parts),
            Location::HeaderPrefix => Ok(decode_prefixed(protocol, member, parts)),
        };
        let value = match (value, protocol) {
            (Err(_), Protocol::RestXml) => rest_xml::not_decoded(service, member, parts, &pairs)?,
            (value, _) => value?,
        };
        if let Some(value) = value {
            members.set(index, value);
        }
    }
    Ok(Value::Structure(members))
}

/// Writes an operation's output into all parts of an answer.
pub fn encode_response(
    protocol: Protocol,
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
) -> Result<Response<Bytes>, Error> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status(operation.status);
    let (Some(structure), Some(Value::Structure(members))) =
        (structure_of(service, operation.output), output)
    else {
        return Ok(response);
    };
    for (index, member) in structure.members.iter().enumerate() {
        let Some(value) = members.get(index) else {
            continue;
        };
        match (member.location, value) {
            (Location::StatusCode, Value::Integer(code)) => {
                *response.status_mut() = status(u16::try_from(*code).unwrap_or_default());
            }
            (Location::Header, value) => encode_header(service, member, value, &mut response),
            (Location::HeaderPrefix, Value::Map(entries)) => {
                for (key, value) in entries {
                    let name = format!("{}{key}", member.wire());
                    let text = text::print(value, TimestampFormat::Rfc822);
                    let text = match protocol {
                        Protocol::RestXml => rest_xml::encoded_word(text),
                        _ => text,
                    };
                    set_header(&mut response, &name, text);
                }
            }
            _ => {}
        }
    }
    match protocol {
        Protocol::RestXml => {
            rest_xml::encode_body(service, operation, &structure, &members, &mut response);
        }
        _ => encode_body(service, operation, &structure, &members, &mut response)?,
    }
    Ok(response)
}

/// Writes an error: the code in a header, the members of its shape in the body.
pub fn encode_error(service: Option<&Service>, error: &Error) -> Response<Bytes> {
    let shape = service.and_then(|service| Some((service, error_shape(service, error.code)?)));
    let mut response = Response::new(Bytes::from(json::error_body(shape, error)));
    *response.status_mut() = error.status;
    set_header(&mut response, "content-type", "application/json".to_owned());
    set_header(&mut response, "x-amzn-errortype", error.code.to_owned());
    for (name, value) in &error.headers {
        set_header(&mut response, name, value.clone());
    }
    let Some((service, structure)) = shape else {
        return response;
    };
    for member in structure.members {
        let given = error.members.iter().find(|(name, _)| *name == member.name);
        if let (Location::Header, Some((_, value))) = (member.location, given) {
            encode_header(service, member, value, &mut response);
        }
    }
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::OK)
}

fn decode_body(service: &Service, structure: &Structure, body: &Bytes) -> Result<Members, Error> {
    let mut members = Members::new(structure.members.len());
    if let Some(index) = structure.payload {
        if !body.is_empty() {
            let index = usize::from(index);
            members.set(
                index,
                decode_payload(service, &structure.members[index], body)?,
            );
        }
        return Ok(members);
    }
    if body.is_empty()
        || !structure
            .members
            .iter()
            .any(|m| m.location == Location::Body)
    {
        return Ok(members);
    }
    json::decode_structure(service, structure, body)
}

/// The whole body is one member. A blob stays the bytes that arrived: a function's payload is
/// nobody's business on the way through.
fn decode_payload(service: &Service, member: &Member, body: &Bytes) -> Result<Value, Error> {
    let shape = service.shape(member.shape);
    match shape.kind {
        Kind::Blob => Ok(Value::Blob(body.clone())),
        Kind::String => match std::str::from_utf8(body) {
            Ok(text) => Ok(Value::String(text.to_owned())),
            Err(_) => Err(Error::serialization("The body is not valid UTF-8")),
        },
        _ => json::decode(service, member.shape, body),
    }
}

fn decode_query(
    service: &Service,
    member: &Member,
    pairs: &[(String, String)],
) -> Result<Option<Value>, Error> {
    let format = TimestampFormat::Iso8601;
    let named = || {
        pairs
            .iter()
            .filter(|(name, _)| name == member.wire())
            .map(|(_, value)| value)
    };
    match service.shape(member.shape).kind {
        Kind::List(list) => {
            let item = service.shape(list.member);
            let items: Vec<Value> = named()
                .map(|raw| text::parse(item, raw, format))
                .collect::<Result<_, _>>()?;
            Ok((!items.is_empty()).then_some(Value::List(items)))
        }
        Kind::Map(map) => {
            let many = matches!(service.shape(map.value).kind, Kind::List(_));
            Ok(query_map(pairs, many))
        }
        _ => named()
            .next()
            .map(|raw| scalar(service, member, raw, format))
            .transpose(),
    }
}

/// A map in the query string is all of the query string.
fn query_map(pairs: &[(String, String)], many: bool) -> Option<Value> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for (name, raw) in pairs {
        let value = Value::String(raw.clone());
        match entries.iter_mut().find(|(key, _)| key == name) {
            Some((_, Value::List(items))) => items.push(value),
            Some(_) => {}
            None if many => entries.push((name.clone(), Value::List(vec![value]))),
            None => entries.push((name.clone(), value)),
        }
    }
    (!entries.is_empty()).then_some(Value::Map(entries))
}

fn decode_header(
    service: &Service,
    member: &Member,
    parts: &request::Parts,
) -> Result<Option<Value>, Error> {
    let format = TimestampFormat::Rfc822;
    if let Kind::List(list) = service.shape(member.shape).kind {
        let item = service.shape(list.member);
        if !parts.headers.contains_key(member.wire()) {
            return Ok(None);
        }
        let mut items = Vec::new();
        for raw in parts
            .headers
            .get_all(member.wire())
            .iter()
            .filter(|raw| !raw.is_empty())
        {
            for piece in split_header(header_text(raw)?, matches!(item.kind, Kind::Timestamp)) {
                items.push(text::parse(item, &piece, item.timestamp.unwrap_or(format))?);
            }
        }
        return Ok(Some(Value::List(items)));
    }
    let Some(raw) = parts.headers.get(member.wire()) else {
        return Ok(None);
    };
    let raw = header_text(raw)?;
    if member.json_value {
        let decoded = text::base64_decode(raw)
            .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
            .ok_or_else(|| Error::serialization("A header is not valid base64"))?;
        return Ok(Some(Value::String(decoded)));
    }
    scalar(service, member, raw, format).map(Some)
}

fn decode_prefixed(protocol: Protocol, member: &Member, parts: &request::Parts) -> Option<Value> {
    let prefix = member.wire().to_ascii_lowercase();
    let mut entries: Vec<(String, Value)> = Vec::new();
    for name in parts.headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(&prefix) {
            let values = parts.headers.get_all(name).iter().map(latin);
            let value = values.collect::<Vec<_>>().join(",");
            let value = match protocol {
                Protocol::RestXml => rest_xml::decoded_word(value),
                _ => value,
            };
            entries.push((key.to_owned(), Value::String(value)));
        }
    }
    (!entries.is_empty()).then_some(Value::Map(entries))
}

/// A header's text; what is no UTF-8 is the Latin-1 that HTTP once had.
pub(crate) fn latin(raw: &HeaderValue) -> String {
    match std::str::from_utf8(raw.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.as_bytes().iter().copied().map(char::from).collect(),
    }
}

fn header_text(raw: &HeaderValue) -> Result<&str, Error> {
    std::str::from_utf8(raw.as_bytes())
        .map_err(|_| Error::serialization("A header is not valid UTF-8"))
}

fn scalar(
    service: &Service,
    member: &Member,
    raw: &str,
    usual: TimestampFormat,
) -> Result<Value, Error> {
    let shape = service.shape(member.shape);
    text::parse(shape, raw, timestamp_format(member, shape, usual))
}

fn timestamp_format(member: &Member, shape: &Shape, usual: TimestampFormat) -> TimestampFormat {
    member.timestamp.or(shape.timestamp).unwrap_or(usual)
}

/// Splits a header's list. An element in double quotes may hold commas; an HTTP date always does.
fn split_header(raw: &str, dates: bool) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut quoted = false;
    let mut commas = 0;
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let piece = pieces.last_mut().expect("there is always a last piece");
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => piece.extend(chars.next()),
            ',' if !quoted => {
                commas += 1;
                let inside_date = dates && commas % 2 == 1 && piece.trim().len() == 3;
                if inside_date {
                    piece.push(c);
                } else {
                    commas = 0;
                    pieces.push(String::new());
                }
            }
            _ => piece.push(c),
        }
    }
    pieces.iter().map(|piece| piece.trim().to_owned()).collect()
}

pub(super) fn encode_header(
    service: &Service,
    member: &Member,
    value: &Value,
    response: &mut Response<Bytes>,
) {
    let shape = service.shape(member.shape);
    let text = match (value, &shape.kind) {
        (Value::List(items), Kind::List(list)) => {
            let item = service.shape(list.member);
            let format = item.timestamp.unwrap_or(TimestampFormat::Rfc822);
            let quotes = matches!(item.kind, Kind::String);
            let pieces = items
                .iter()
                .map(|item| quote(text::print(item, format), quotes));
            pieces.collect::<Vec<_>>().join(", ")
        }
        (Value::String(text), _) if member.json_value => text::base64_encode(text.as_bytes()),
        _ => text::print(
            value,
            timestamp_format(member, shape, TimestampFormat::Rfc822),
        ),
    };
    set_header(response, member.wire(), text);
}

fn quote(text: String, quotes: bool) -> String {
    if quotes && text.contains([',', '"']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text
    }
}

/// A value that HTTP cannot carry is left out: the rest of the answer is worth more than none.
pub(super) fn set_header(response: &mut Response<Bytes>, name: &str, value: String) {
    if let (Ok(name), Ok(value)) = (
        HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_bytes(value.as_bytes()),
    ) {
        response.headers_mut().insert(name, value);
    }
}

fn encode_body(
    service: &Service,
    operation: &Operation,
    structure: &Structure,
    members: &Members,
    response: &mut Response<Bytes>,
) -> Result<(), Error> {
    let content_type = match structure.payload {
        Some(index) => {
            let index = usize::from(index);
            let Some(value) = members.get(index) else {
                return Ok(());
            };
            let (body, usual) = encode_payload(service, &structure.members[index], value)?;
            *response.body_mut() = body;
            operation.content_type.unwrap_or(usual)
        }
        // An answer without content has no body to describe, whatever its shape would have.
        None if response.status() == StatusCode::NO_CONTENT => return Ok(()),
        None => {
            *response.body_mut() = json::encode_structure(service, structure, members).into();
            "application/json"
        }
    };
    if !response.headers().contains_key(header::CONTENT_TYPE) {
        set_header(response, "content-type", content_type.to_owned());
    }
    Ok(())
}

fn encode_payload(
    service: &Service,
    member: &Member,
    value: &Value,
) -> Result<(Bytes, &'static str), Error> {
    match value {
        Value::Blob(bytes) => Ok((bytes.clone(), "application/octet-stream")),
        Value::String(text) => Ok((Bytes::from(text.clone()), "text/plain")),
        _ => Ok((
            json::encode(service, member.shape, value).into(),
            "application/json",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lists_split_at_commas_outside_quotes_and_dates() {
        let check = |raw, dates, expect: &[&str]| assert_eq!(split_header(raw, dates), expect);
        check("a, b,c", false, &["a", "b", "c"]);
        check(r#""a, b", "say \"x\"""#, false, &["a, b", "say \"x\""]);
        check(
            "Mon, 16 Dec 2019 23:48:18 GMT, Tue, 17 Dec 2019 23:48:18 GMT",
            true,
            &[
                "Mon, 16 Dec 2019 23:48:18 GMT",
                "Tue, 17 Dec 2019 23:48:18 GMT",
            ],
        );
    }
}
