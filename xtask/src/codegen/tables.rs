//! The schema tables of a whole service.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::model::{Model, target};

pub const IMPORTS: &str = "\
use http::Response;

use crate::{
    Call, Context, Error,
    protocol::Protocol,
    schema::{Kind, Member, Operation, Service, Shape},
    value::shape,
};
// Not every service has blobs and maps.
#[allow(unused_imports)]
use {crate::Map, bytes::Bytes};

";

pub fn tables(model: &Model) -> Result<String> {
    let mut out = String::new();
    service(model, &mut out)?;
    operations(model, &mut out)?;
    shapes(model, &mut out)?;
    Ok(out)
}

fn service(model: &Model, out: &mut String) -> Result<()> {
    let meta = |key: &str| model.metadata.get(key).and_then(Value::as_str);
    let signing_name = meta("signingName")
        .or(meta("endpointPrefix"))
        .context("no signing name")?;
    let protocols = protocols(model)?.join(", ");
    write!(
        out,
        "pub static SERVICE: Service = Service {{ name: {:?}, signing_name: {signing_name:?},
         endpoint_prefix: {:?}, api_version: {:?}, target_prefix: {:?}, xml_namespace: {:?},
         query_compatible: {}, error_namespace: {:?},
         checks: crate::schema::Checks::{}, path_member: {:?}, error_detail: {},
         protocols: &[{protocols}],
         operations: &OPERATIONS, shapes: &SHAPES }};\n\n",
        model.name(),
        meta("endpointPrefix").context("no endpoint prefix")?,
        meta("apiVersion").context("no API version")?,
        meta("targetPrefix"),
        meta("xmlNamespace"),
        model.metadata.contains_key("awsQueryCompatible"),
        // Observed only: no model says it.
        meta("errorNamespace"),
        match meta("checks") {
            None => "Constraints",
            Some("presence") => "Presence",
            Some("none") => "None",
            Some(other) => bail!("unknown checks {other}"),
        },
        meta("pathMember"),
        model.metadata.get("errorDetail") == Some(&Value::Bool(true)),
    )?;
    Ok(())
}

fn protocols(model: &Model) -> Result<Vec<&'static str>> {
    let listed = model.metadata.get("protocols").and_then(Value::as_array);
    let names: Vec<&str> = match listed {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => model
            .metadata
            .get("protocol")
            .and_then(Value::as_str)
            .into_iter()
            .collect(),
    };
    let json_version = model.metadata.get("jsonVersion").and_then(Value::as_str);
    names
        .into_iter()
        .map(|name| match name {
            "rest-json" => Ok("Protocol::RestJson1"),
            "rest-xml" => Ok("Protocol::RestXml"),
            "json" if json_version == Some("1.0") => Ok("Protocol::AwsJson1_0"),
            "json" => Ok("Protocol::AwsJson1_1"),
            "query" => Ok("Protocol::AwsQuery"),
            "smithy-rpc-v2-cbor" => Ok("Protocol::RpcV2Cbor"),
            other => bail!("unknown protocol {other}"),
        })
        .collect()
}

fn operations(model: &Model, out: &mut String) -> Result<()> {
    writeln!(
        out,
        "static OPERATIONS: [Operation; {}] = [",
        model.operations.len()
    )?;
    for (index, (name, operation)) in model.operations.iter().enumerate() {
        write_operation(model, index, name, operation, out)
            .with_context(|| format!("in operation {name}"))?;
        out.push_str(",\n");
    }
    out.push_str("];\n\n");
    Ok(())
}

fn write_operation(
    model: &Model,
    index: usize,
    name: &str,
    operation: &Value,
    out: &mut String,
) -> Result<()> {
    let http = &operation["http"];
    let method = http["method"].as_str().unwrap_or("POST");
    let uri = http["requestUri"].as_str().unwrap_or("/");
    write!(
        out,
        "Operation::new({name:?}, {index}, {method:?}, {uri:?})"
    )?;
    if let Some(status) = http["responseCode"]
        .as_u64()
        .filter(|status| *status != 200)
    {
        write!(out, ".status({status})")?;
    }
    for (verb, text) in [
        ("content_type", &http["responseContentType"]),
        ("host_prefix", &operation["endpoint"]["hostPrefix"]),
        ("result_wrapper", &operation["output"]["resultWrapper"]),
    ] {
        if let Some(text) = text.as_str() {
            write!(out, ".{verb}({text:?})")?;
        }
    }
    for side in ["input", "output"] {
        if let Some(shape) = operation[side]["shape"].as_str() {
            write!(out, ".{side}({})", model.id(shape)?)?;
        }
    }
    if let Some(root) = operation["input"]["locationName"].as_str() {
        let namespace = operation["input"]["xmlNamespace"]["uri"].as_str();
        write!(out, ".input_root({root:?}, {namespace:?})")?;
    }
    match operation["authtype"].as_str() {
        None | Some("v4") => {}
        Some("none") => out.push_str(".auth(crate::schema::Auth::Nothing)"),
        Some("v4-unsigned-body") => out.push_str(".auth(crate::schema::Auth::UnsignedBody)"),
        Some(other) => bail!("unknown kind of authentication {other}"),
    }
    if operation["httpChecksumRequired"] == true
        || operation["httpChecksum"]["requestChecksumRequired"] == true
    {
        out.push_str(".checksum_required()");
    }
    if operation["rootOnly"] == true {
        out.push_str(".root_only()");
    }
    if operation["errorDetail"] == false {
        out.push_str(".without_detail()");
    }
    let errors = operation["errors"].as_array().into_iter().flatten();
    let errors: Vec<String> = errors
        .map(|error| Ok(model.id(target(error)?)?.to_string()))
        .collect::<Result<_>>()?;
    if !errors.is_empty() {
        write!(out, ".errors(&[{}])", errors.join(", "))?;
    }
    Ok(())
}

fn shapes(model: &Model, out: &mut String) -> Result<()> {
    writeln!(out, "static SHAPES: [Shape; {}] = [", model.shapes.len())?;
    for (name, shape) in &model.shapes {
        write_shape(model, name, shape, out).with_context(|| format!("in shape {name}"))?;
        out.push_str(",\n");
    }
    out.push_str("];\n");
    Ok(())
}

fn write_shape(model: &Model, name: &str, shape: &Value, out: &mut String) -> Result<()> {
    match shape["type"].as_str().context("no type")? {
        "structure" if shape["document"] == true => write_plain(name, "Document", out)?,
        "structure" => write_structure(model, name, shape, out)?,
        "list" => {
            let member = &shape["member"];
            write!(out, "Shape::list({name:?}, {})", model.id(target(member)?)?)?;
            if let Some(item) = member["locationName"].as_str() {
                write!(out, ".item({item:?})")?;
            }
        }
        "map" => {
            let (key, value) = (&shape["key"], &shape["value"]);
            let ids = (model.id(target(key)?)?, model.id(target(value)?)?);
            write!(out, "Shape::map({name:?}, {}, {})", ids.0, ids.1)?;
            if let Some(key) = key["locationName"].as_str() {
                let value = value["locationName"].as_str().unwrap_or("value");
                write!(out, ".entry({key:?}, {value:?})")?;
            }
        }
        "string" if shape["pattern"].is_string() => {
            let pattern = raw_string(shape["pattern"].as_str().unwrap_or_default());
            write!(out, "Shape::matching({name:?}, {pattern})")?;
        }
        other => write_plain(name, kind(other)?, out)?,
    }
    write_constraints(shape, out)
}

fn kind(name: &str) -> Result<&'static str> {
    Ok(match name {
        "boolean" => "Boolean",
        "byte" => "Byte",
        "short" => "Short",
        "integer" => "Integer",
        "long" => "Long",
        "float" => "Float",
        "double" => "Double",
        "string" | "character" => "String",
        "blob" => "Blob",
        "timestamp" => "Timestamp",
        other => bail!("unknown type {other}"),
    })
}

fn write_plain(name: &str, kind: &str, out: &mut String) -> Result<()> {
    write!(out, "Shape::new({name:?}, Kind::{kind})")?;
    Ok(())
}

fn write_constraints(shape: &Value, out: &mut String) -> Result<()> {
    for bound in ["min", "max"] {
        if let Some(value) = shape[bound].as_f64() {
            write!(out, ".{bound}({value:?})")?;
        }
    }
    if let Some(values) = shape["enum"].as_array() {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        write!(out, ".values(&[{}])", values.join(", "))?;
    }
    for (flag, verb) in [
        ("sensitive", "sensitive"),
        ("sparse", "sparse"),
        // Observed only: what is said of a wrong element does not mention null.
        ("silentNull", "sparse"),
        ("flattened", "flattened"),
        ("streaming", "streaming"),
    ] {
        if shape[flag] == true {
            write!(out, ".{verb}()")?;
        }
    }
    if let Some(format) = shape["timestampFormat"].as_str() {
        write!(out, ".timestamp({})", timestamp_format(format)?)?;
    }
    Ok(())
}

fn write_structure(model: &Model, name: &str, shape: &Value, out: &mut String) -> Result<()> {
    write!(out, "Shape::structure({name:?}, &[")?;
    let members = shape["members"].as_object().context("no members")?;
    let required = shape["required"].as_array();
    for (member, facts) in members {
        let is_required = required.is_some_and(|r| r.iter().any(|r| r == member));
        write_member(model, member, facts, is_required, out)?;
        out.push_str(", ");
    }
    out.push_str("])");
    if let Some(payload) = shape["payload"].as_str() {
        let index = members
            .keys()
            .position(|key| key == payload)
            .context("no such payload")?;
        write!(out, ".payload({index})")?;
    }
    if shape["union"] == true {
        out.push_str(".union()");
    }
    if shape["eventstream"] == true {
        out.push_str(".event_stream()");
    }
    if shape["exception"] == true {
        let error = &shape["error"];
        // The protocols without statuses of their own say only whose fault an error is.
        let usual = if shape["fault"] == true { 500 } else { 400 };
        let status = error["httpStatusCode"].as_u64().unwrap_or(usual);
        let sender = error["senderFault"] == true || shape["fault"] != true && status < 500;
        write!(out, ".error({status}, {sender})")?;
        if let Some(code) = error["code"].as_str().filter(|code| *code != name) {
            write!(out, ".query_code({code:?})")?;
        }
    }
    if let Some(name) = shape["locationName"].as_str() {
        write!(out, ".xml_name({name:?})")?;
    }
    write_xml_namespace(shape, out)
}

fn write_xml_namespace(facts: &Value, out: &mut String) -> Result<()> {
    let namespace = &facts["xmlNamespace"];
    if let Some(uri) = namespace["uri"].as_str() {
        let prefix = namespace["prefix"].as_str();
        write!(out, ".xml_namespace({prefix:?}, {uri:?})")?;
    }
    Ok(())
}

fn write_member(
    model: &Model,
    name: &str,
    facts: &Value,
    required: bool,
    out: &mut String,
) -> Result<()> {
    write!(out, "Member::new({name:?}, {})", model.id(target(facts)?)?)?;
    let wire_name = facts["locationName"].as_str();
    match (facts["location"].as_str(), wire_name) {
        (None, Some(wire_name)) if wire_name != name => write!(out, ".named({wire_name:?})")?,
        (None, _) => {}
        (Some("statusCode"), _) => out.push_str(".status_code()"),
        (Some(location), wire_name) => {
            let verb = match location {
                "uri" => "uri",
                "querystring" => "query",
                "header" => "header",
                "headers" => "header_prefix",
                other => bail!("unknown location {other}"),
            };
            write!(out, ".{verb}({:?})", wire_name.unwrap_or(name))?;
        }
    }
    if let Some(name) = facts["queryName"].as_str() {
        write!(out, ".query_named({name:?})")?;
    }
    if required {
        out.push_str(".required()");
    }
    for (flag, verb) in [
        ("idempotencyToken", "idempotency_token"),
        ("flattened", "flattened"),
        ("xmlAttribute", "xml_attribute"),
        ("jsonvalue", "json_value"),
        ("eventpayload", "event_payload"),
        ("eventheader", "event_header"),
        ("hostLabel", "host_label"),
        ("streaming", "streaming"),
    ] {
        if facts[flag] == true {
            write!(out, ".{verb}()")?;
        }
    }
    write_xml_namespace(facts, out)?;
    if let Some(format) = facts["timestampFormat"].as_str() {
        write!(out, ".timestamp({})", timestamp_format(format)?)?;
    }
    Ok(())
}

fn timestamp_format(name: &str) -> Result<&'static str> {
    Ok(match name {
        "unixTimestamp" => "crate::schema::TimestampFormat::EpochSeconds",
        "iso8601" => "crate::schema::TimestampFormat::Iso8601",
        "rfc822" => "crate::schema::TimestampFormat::Rfc822",
        other => bail!("unknown timestamp format {other}"),
    })
}

fn raw_string(text: &str) -> String {
    let mut hashes = String::new();
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    if text.contains('\\') || !hashes.is_empty() {
        format!("r{hashes}\"{text}\"{hashes}")
    } else {
        format!("{text:?}")
    }
}
