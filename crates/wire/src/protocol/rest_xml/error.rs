//! Errors in XML: S3's, which have elements beyond code and message, and those of the other services.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{HEAD, XML, host_id, is_s3, quirks};
use crate::{
    error::{Error, Fault},
    protocol::{
        codes::error_shape,
        rest, text,
        xml::{Writer, escape},
    },
    schema::{Kind, Location, Member, Operation, Service, TimestampFormat},
};

const MALFORMED: &str = "The XML you provided was not well-formed or did not validate against our \
    published schema";

/// The body is no document, or not the operation's.
pub fn malformed(operation: &Operation) -> Error {
    let code = match operation.name {
        "PutBucketAcl" | "PutObjectAcl" => "MalformedACLError",
        _ => "MalformedXML",
    };
    Error::new(code, StatusCode::BAD_REQUEST, MALFORMED)
}

pub fn no_body() -> Error {
    let message = "Request Body is empty";
    Error::new("MissingRequestBodyError", StatusCode::BAD_REQUEST, message)
}

/// A parameter or a header is no number, or whatever else it should be.
pub fn not_of_its_kind(member: &Member, kind: &Kind, value: String) -> Error {
    let name = member.wire();
    let message = match (name, kind) {
        ("partNumber", _) => {
            "Part number must be an integer between 1 and 10000, inclusive".to_owned()
        }
        (_, Kind::Integer | Kind::Long) => {
            format!("Provided {name} not an integer or within integer range")
        }
        _ => format!("The value of {name} is not valid"),
    };
    Error::new("InvalidArgument", StatusCode::BAD_REQUEST, message)
        .with("ArgumentName", name)
        .with("ArgumentValue", value)
}

pub fn encode_error(service: &Service, error: &Error, request_id: &str) -> Response<Bytes> {
    let body = match is_s3(service) {
        // What has not changed has no body, whatever else there is to say.
        true if error.status == StatusCode::NOT_MODIFIED => Vec::new(),
        true => of_s3(error, request_id),
        false => of_others(service, error, request_id),
    };
    let has_body = !body.is_empty();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = error.status;
    if has_body {
        let media_type = HeaderValue::from_static(XML);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
    }
    for (name, value) in &error.headers {
        rest::set_header(&mut response, name, value.clone());
    }
    let shape = error_shape(service, error.code);
    for member in shape.map_or(&[][..], |structure| structure.members) {
        let given = error.members.iter().find(|(name, _)| *name == member.name);
        if let (Location::Header, Some((_, value))) = (member.location, given) {
            rest::encode_header(service, member, value, &mut response);
        }
    }
    response
}

/// All that was set becomes an element.
fn of_s3(error: &Error, request_id: &str) -> Vec<u8> {
    let mut out = String::with_capacity(512);
    out.push_str(HEAD);
    out.push_str("<Error>");
    let mut element = |name: &str, text: &str| {
        out.push('<');
        out.push_str(name);
        out.push('>');
        escape(text, &mut out);
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    };
    element("Code", error.code);
    element("Message", &error.message);
    for (name, value) in &error.members {
        element(name, &text::print(value, TimestampFormat::Iso8601));
    }
    element("RequestId", request_id);
    element("HostId", &host_id(request_id));
    out.push_str("</Error>");
    out.into_bytes()
}

fn of_others(service: &Service, error: &Error, request_id: &str) -> Vec<u8> {
    let mut out = Writer::new(service, HEAD, quirks(service));
    out.begin(&["ErrorResponse"]);
    out.element("Error", None, |out| {
        out.text(
            "Type",
            match error.fault {
                Fault::Sender => "Sender",
                Fault::Receiver => "Receiver",
            },
        );
        out.text("Code", error.code);
        if !error.message.is_empty() {
            out.text("Message", &error.message);
        }
        let shape = error_shape(service, error.code);
        for member in shape.map_or(&[][..], |structure| structure.members) {
            let given = error.members.iter().find(|(name, _)| *name == member.name);
            let said = matches!(member.name, "Message" | "message");
            if let (Location::Body, Some((_, value)), false) = (member.location, given, said) {
                out.member(member, value);
            }
        }
    });
    out.text("RequestId", request_id);
    out.close(&["ErrorResponse"]);
    out.finish()
}
