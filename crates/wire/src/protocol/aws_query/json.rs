//! The same answers in JSON.

use serde_json::{Value as Json, json};

use crate::{
    error::Error,
    protocol::{json, structure_of},
    schema::{Kind, Operation, Service},
    value::Value,
};

pub fn response(
    service: &Service,
    operation: &Operation,
    output: Option<Value>,
    request_id: &str,
) -> Vec<u8> {
    let mut out = format!("{{\"{}Response\":{{", operation.name).into_bytes();
    if let (Some(structure), Some(Value::Structure(members)), Some(wrapper)) = (
        structure_of(service, operation.output),
        output,
        operation.result_wrapper,
    ) {
        out.extend_from_slice(format!("\"{wrapper}\":{{").as_bytes());
        for (index, member) in structure.members.iter().enumerate() {
            if let Some(value) = members.get(index) {
                let is_list = matches!(service.shape(member.shape).kind, Kind::List(_));
                json::write_key(&key(member.name, is_list), &mut out);
                out.extend(json::encode(service, member.shape, value));
            }
        }
        out.extend_from_slice(b"},");
    }
    let metadata = json!({"RequestId": request_id});
    out.extend_from_slice(format!("\"ResponseMetadata\":{metadata}}}}}").as_bytes());
    out
}

pub fn error(service: &Service, code: &str, error: &Error, request_id: &str) -> Vec<u8> {
    let error: Json = json!({
        "Code": code,
        "Message": super::codes::said_in_query(service, error),
        "Type": super::side(error),
    });
    json!({"Error": error, "RequestId": request_id})
        .to_string()
        .into_bytes()
}

/// A list of a result's goes by its name in code: `messages`, `queueUrls`.
fn key(name: &str, is_list: bool) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) if is_list => first.to_lowercase().chain(chars).collect(),
        _ => name.to_owned(),
    }
}
