//! Answers in XML.

use crate::{
    error::Error,
    protocol::{
        structure_of,
        xml::{Quirks, Writer},
    },
    schema::{Operation, Service},
    value::Value,
};

const HEAD: &str = "<?xml version=\"1.0\"?>";

pub fn response(
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
    request_id: &str,
) -> Vec<u8> {
    let mut out = Writer::new(service, HEAD, Quirks::default());
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
    out.finish()
}

pub fn error(
    service: &Service,
    code: &str,
    detail: bool,
    error: &Error,
    request_id: &str,
) -> Vec<u8> {
    let mut out = Writer::new(service, HEAD, Quirks::default());
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
            out.raw("<Detail/>");
        }
    });
    out.text("RequestId", request_id);
    out.close(&["ErrorResponse"]);
    out.finish()
}
