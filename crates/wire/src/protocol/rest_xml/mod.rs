//! restXml: the HTTP bindings are those of [`super::rest`]; here are the bodies, and what S3, who speaks
//! it before all others, does in its own way.

mod error;
mod words;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request};

use super::{
    base64_encode, rest,
    xml::{self, Quirks, Writer},
};
use crate::{
    error::Error,
    schema::{Kind, Location, Member, Operation, Service, Structure, XmlNamespace},
    value::{Members, Value},
};

pub use error::{encode_error, malformed};
pub use words::{decoded_word, encoded_word};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The media type of documents.
const XML: &str = "application/xml";

pub fn decode_body(
    service: &Service,
    operation: &Operation,
    structure: &Structure,
    body: &Bytes,
) -> Result<Members, Error> {
    let mut members = Members::new(structure.members.len());
    let Some(index) = structure.payload.map(usize::from) else {
        let of_body = |member: &Member| member.location == Location::Body;
        let Some(shape) = operation
            .input
            .filter(|_| structure.members.iter().any(of_body))
        else {
            return Ok(members);
        };
        if body.is_empty() {
            return Ok(members);
        }
        let shape_name = service.shape(shape).name;
        let root = operation.input_root.map(|root| root.name);
        let root = root.or(structure.xml_name).unwrap_or(shape_name);
        return match xml::read(service, shape, &[root], body) {
            Ok(Value::Structure(members)) => Ok(members),
            _ => Err(malformed(operation)),
        };
    };
    let member = &structure.members[index];
    if body.is_empty() {
        let is_text = matches!(service.shape(member.shape).kind, Kind::String);
        return match member.required {
            // An empty text is one: what is wrong with it the operation says.
            true if is_text => {
                members.set(index, Value::String(String::new()));
                Ok(members)
            }
            true => Err(error::no_body()),
            false => Ok(members),
        };
    }
    let value = match service.shape(member.shape).kind {
        Kind::Blob => Value::Blob(body.clone()),
        Kind::String => match std::str::from_utf8(body) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => return Err(malformed(operation)),
        },
        _ => {
            let roots = [root_of(service, member), member.wire()];
            let read = xml::read(service, member.shape, &roots, body);
            read.map_err(|_| malformed(operation))?
        }
    };
    members.set(index, value);
    Ok(members)
}

/// What the element is called that holds all of a payload.
fn root_of(service: &Service, member: &Member) -> &'static str {
    let shape = service.shape(member.shape);
    match shape.kind {
        // A member's own name on the wire is said where it differs.
        _ if member.wire_name.is_some() => member.wire(),
        Kind::Structure(structure) => structure.xml_name.unwrap_or(shape.name),
        _ => member.wire(),
    }
}

/// What becomes of a header or a parameter that is not what its member is. None where S3 takes it for
/// nothing said.
pub fn not_decoded(
    service: &Service,
    member: &Member,
    parts: &request::Parts,
    pairs: &[(String, String)],
) -> Result<Option<Value>, Error> {
    let value = match member.location {
        Location::Query => {
            let found = pairs.iter().find(|(name, _)| name == member.wire());
            found.map(|(_, value)| value.clone())
        }
        _ => parts.headers.get(member.wire()).map(rest::latin),
    };
    match service.shape(member.shape).kind {
        // RFC 9110, 13.1: a condition whose date is none is no condition.
        Kind::Timestamp
            if member
                .wire()
                .to_ascii_lowercase()
                .contains("modified-since") =>
        {
            Ok(None)
        }
        _ => Err(error::not_of_its_kind(
            member,
            &service.shape(member.shape).kind,
            value.unwrap_or_default(),
        )),
    }
}

pub fn encode_body(
    service: &Service,
    operation: &Operation,
    structure: &Structure,
    members: &Members,
    response: &mut Response<Bytes>,
) {
    let (body, content_type) = match structure.payload.map(usize::from) {
        Some(index) => {
            let member = &structure.members[index];
            let Some(value) = members.get(index) else {
                return;
            };
            encode_payload(service, operation, member, value)
        }
        None => {
            let of_body = |member: &Member| member.location == Location::Body;
            let has_body = structure.members.iter().any(of_body);
            if !has_body || response.status() == StatusCode::NO_CONTENT {
                return;
            }
            let body = encode_document(service, operation, structure, members);
            (body.into(), XML)
        }
    };
    *response.body_mut() = body;
    if !response.headers().contains_key(header::CONTENT_TYPE) {
        rest::set_header(response, "content-type", content_type.to_owned());
    }
}

fn encode_payload(
    service: &Service,
    operation: &Operation,
    member: &Member,
    value: &Value,
) -> (Bytes, &'static str) {
    match value {
        Value::Blob(bytes) => (bytes.clone(), "application/octet-stream"),
        Value::String(text) => {
            let content_type = operation.content_type.unwrap_or("text/plain");
            (Bytes::from(text.clone()), content_type)
        }
        value => {
            let shape = service.shape(member.shape);
            let mut out = Writer::new(service, HEAD, quirks(service));
            let own = xml::namespace(member.xml_namespace, shape);
            let namespace = own.or(usual_namespace(service));
            out.valued(root_of(service, member), namespace, shape, None, value);
            (out.finish().into(), XML)
        }
    }
}

fn encode_document(
    service: &Service,
    operation: &Operation,
    structure: &Structure,
    members: &Members,
) -> Vec<u8> {
    let shape = operation.output.map(|output| service.shape(output).name);
    let root = structure.xml_name.or(shape).unwrap_or(operation.name);
    let namespace = structure.xml_namespace.or(usual_namespace(service));
    let mut out = Writer::new(service, HEAD, quirks(service));
    match structure.members {
        // The element is its only member: the answer of GetBucketLocation.
        [only] if only.wire() == root => {
            let shape = service.shape(only.shape);
            match members.get(0) {
                Some(value) => out.element(root, namespace, |out| out.scalar(shape, value)),
                None => out.empty(root, namespace),
            }
        }
        _ => out.element(root, namespace, |out| out.members(structure, members)),
    }
    out.finish()
}

fn usual_namespace(service: &Service) -> Option<XmlNamespace> {
    let uri = service.xml_namespace?;
    Some(XmlNamespace { prefix: None, uri })
}

fn quirks(service: &Service) -> Quirks {
    Quirks {
        millis: is_s3(service),
    }
}

pub fn is_s3(service: &Service) -> bool {
    service.signing_name == "s3"
}

/// S3 has headers of its own for the request's id, and for that of the host.
pub fn identified(mut response: Response<Bytes>, request_id: &str) -> Response<Bytes> {
    let host_id = host_id(request_id);
    for (name, value) in [("x-amz-request-id", request_id), ("x-amz-id-2", &host_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Nobody reads it; clients print it, and expect it to be there.
fn host_id(request_id: &str) -> String {
    base64_encode(request_id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operation: &str, body: &str) -> Result<Members, &'static str> {
        let service = &crate::s3::SERVICE;
        let operation = service.operation(operation).expect("there is one");
        let shape = service.shape(operation.input.expect("it has an input"));
        let Kind::Structure(structure) = &shape.kind else {
            panic!("inputs are structures");
        };
        let body = Bytes::from(body.to_owned());
        decode_body(service, operation, structure, &body).map_err(|error| error.code)
    }

    #[test]
    fn what_is_not_there_is_nothing_or_an_error() {
        // S3 says what is wrong with an empty policy, and takes tags without their set.
        assert!(read("PutBucketPolicy", "").is_ok());
        assert!(read("PutBucketTagging", "<Tagging></Tagging>").is_ok());
        let missing = read("PutBucketTagging", "");
        assert_eq!(missing.map(|_| ()), Err("MissingRequestBodyError"));
        let no_rules = read("PutBucketCors", "<CORSConfiguration></CORSConfiguration>");
        assert_eq!(no_rules.map(|_| ()), Err("MalformedXML"));
    }
}
