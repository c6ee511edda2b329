//! Schema tables made at run time from shapes in botocore's JSON, leaked because tables are static.

use serde_json::{Map, Value as Json};
use wire::{
    Map as WireMap, Members, Protocol, Value,
    schema::{Kind, Member, Operation, Service, Shape, TimestampFormat, XmlRoot},
};

/// A service of one operation that speaks restJson1, as a vector's `given` has it.
pub fn service(shapes: &Json, given: &Json) -> &'static Service {
    service_speaking(&Json::Null, shapes, given)
}

/// The protocol that a suite of vectors is about.
pub fn protocol_of(metadata: &Json) -> Protocol {
    match (
        metadata["protocol"].as_str(),
        metadata["jsonVersion"].as_str(),
    ) {
        (None | Some("rest-json"), _) => Protocol::RestJson1,
        (Some("json"), Some("1.0")) => Protocol::AwsJson1_0,
        (Some("json"), _) => Protocol::AwsJson1_1,
        (Some("query"), _) => Protocol::AwsQuery,
        (Some("smithy-rpc-v2-cbor"), _) => Protocol::RpcV2Cbor,
        (Some("rest-xml"), _) => Protocol::RestXml,
        (Some(other), _) => panic!("unknown protocol {other}"),
    }
}

/// The same for any protocol.
pub fn service_speaking(metadata: &Json, shapes: &Json, given: &Json) -> &'static Service {
    let shapes = shapes.as_object().unwrap();
    let ids = Ids(shapes);
    let tables: Vec<Shape> = shapes
        .iter()
        .map(|(name, shape)| ids.table(name, shape))
        .collect();
    let side = |side: &str| given[side]["shape"].as_str().map(|name| ids.id(name));
    let http = &given["http"];
    let (method, uri) = (text(&http["method"]), text(&http["requestUri"]));
    let status = u16::try_from(http["responseCode"].as_u64().unwrap_or(200)).unwrap();
    let protocol = protocol_of(metadata);
    let wrapped = protocol == Protocol::AwsQuery && given["output"].is_object();
    let wrapper = format!("{}Result", given["name"].as_str().unwrap());
    let root = given["input"]["locationName"].as_str().map(|name| XmlRoot {
        name: leak(name),
        namespace: given["input"]["xmlNamespace"]["uri"].as_str().map(leak),
    });
    let operation = Operation {
        input_root: root,
        result_wrapper: wrapped.then(|| leak(&wrapper)),
        input: side("input"),
        output: side("output"),
        ..Operation::new(text(&given["name"]), 0, method, uri).status(status)
    };
    Box::leak(Box::new(Service {
        name: "Test",
        signing_name: "test",
        api_version: "2000-01-01",
        endpoint_prefix: "test",
        target_prefix: metadata["targetPrefix"].as_str().map(leak),
        xml_namespace: None,
        query_compatible: metadata["awsQueryCompatible"].is_object(),
        error_namespace: None,
        checks: wire::schema::Checks::Constraints,
        path_member: None,
        error_detail: false,
        protocols: Vec::leak(vec![protocol]),
        operations: Vec::leak(vec![operation]),
        shapes: Vec::leak(tables),
    }))
}

struct Ids<'a>(&'a Map<String, Json>);

impl Ids<'_> {
    fn id(&self, name: &str) -> u16 {
        u16::try_from(self.0.keys().position(|key| key == name).unwrap()).unwrap()
    }

    fn of(&self, part: &Json) -> u16 {
        self.id(part["shape"].as_str().unwrap())
    }

    fn table(&self, name: &str, facts: &Json) -> Shape {
        let name = leak(name);
        let kind = facts["type"].as_str().unwrap();
        let mut shape = match kind {
            "structure" if facts["document"] == true => Shape::new(name, Kind::Document),
            "structure" => self.structure(name, facts),
            "list" => self.list(name, facts),
            "map" => self.map(name, facts),
            "string" if facts["pattern"].is_string() => {
                Shape::matching(name, text(&facts["pattern"]))
            }
            kind => Shape::new(name, scalar(kind)),
        };
        if let Some(min) = facts["min"].as_f64() {
            shape = shape.min(min);
        }
        if let Some(max) = facts["max"].as_f64() {
            shape = shape.max(max);
        }
        if let Some(values) = facts["enum"].as_array() {
            shape = shape.values(Vec::leak(values.iter().map(text).collect()));
        }
        if facts["sparse"] == true {
            shape = shape.sparse();
        }
        if facts["flattened"] == true {
            shape = shape.flattened();
        }
        if let Some(uri) = facts["xmlNamespace"]["uri"].as_str() {
            shape = shape.xml_namespace(
                facts["xmlNamespace"]["prefix"].as_str().map(leak),
                leak(uri),
            );
        }
        if facts["sensitive"] == true {
            shape = shape.sensitive();
        }
        match facts["timestampFormat"].as_str() {
            Some(name) => shape.timestamp(format(name)),
            None => shape,
        }
    }

    fn list(&self, name: &'static str, facts: &Json) -> Shape {
        let list = Shape::list(name, self.of(&facts["member"]));
        match facts["member"]["locationName"].as_str() {
            Some(item) => list.item(leak(item)),
            None => list,
        }
    }

    fn map(&self, name: &'static str, facts: &Json) -> Shape {
        let (key, value) = (&facts["key"], &facts["value"]);
        let named = |part: &Json, usual| leak(part["locationName"].as_str().unwrap_or(usual));
        let names = (named(key, "key"), named(value, "value"));
        Shape::map(name, self.of(key), self.of(value)).entry(names.0, names.1)
    }

    fn structure(&self, name: &'static str, facts: &Json) -> Shape {
        let members = facts["members"].as_object().unwrap();
        let required = facts["required"].as_array();
        let table = members.iter().map(|(name, member)| {
            let required = required.is_some_and(|r| r.iter().any(|r| r == name));
            self.member(name, member, required)
        });
        let mut shape = Shape::structure(name, Vec::leak(table.collect()));
        if let Some(name) = facts["locationName"].as_str() {
            shape = shape.xml_name(leak(name));
        }
        if let Some(payload) = facts["payload"].as_str() {
            let index = members.keys().position(|key| key == payload).unwrap();
            shape = shape.payload(u16::try_from(index).unwrap());
        }
        if facts["exception"] == true {
            let status = facts["error"]["httpStatusCode"].as_u64();
            let usual = if facts["fault"] == true { 500 } else { 400 };
            let status = status.unwrap_or(usual);
            shape = shape.error(u16::try_from(status).unwrap(), status < 500);
            if let Some(code) = facts["error"]["code"].as_str() {
                shape = shape.query_code(leak(code));
            }
        }
        if facts["union"] == true {
            shape.union()
        } else {
            shape
        }
    }

    fn member(&self, name: &str, facts: &Json, required: bool) -> Member {
        let mut member = Member::new(leak(name), self.of(facts));
        let wire_name = leak(facts["locationName"].as_str().unwrap_or(name));
        member = match facts["location"].as_str() {
            None if wire_name != name => member.named(wire_name),
            None => member,
            Some("uri") => member.uri(wire_name),
            Some("querystring") => member.query(wire_name),
            Some("header") => member.header(wire_name),
            Some("headers") => member.header_prefix(wire_name),
            Some("statusCode") => member.status_code(),
            Some(other) => panic!("unknown location {other}"),
        };
        if required {
            member = member.required();
        }
        if facts["flattened"] == true {
            member = member.flattened();
        }
        if facts["xmlAttribute"] == true {
            member = member.xml_attribute();
        }
        if let Some(uri) = facts["xmlNamespace"]["uri"].as_str() {
            member = member.xml_namespace(
                facts["xmlNamespace"]["prefix"].as_str().map(leak),
                leak(uri),
            );
        }
        if facts["jsonvalue"] == true {
            member = member.json_value();
        }
        match facts["timestampFormat"].as_str() {
            Some(name) => member.timestamp(format(name)),
            None => member,
        }
    }
}

fn scalar(kind: &str) -> Kind {
    match kind {
        "boolean" => Kind::Boolean,
        "byte" => Kind::Byte,
        "short" => Kind::Short,
        "integer" => Kind::Integer,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "string" => Kind::String,
        "blob" => Kind::Blob,
        "timestamp" => Kind::Timestamp,
        other => panic!("unknown type {other}"),
    }
}

fn format(name: &str) -> TimestampFormat {
    match name {
        "unixTimestamp" => TimestampFormat::EpochSeconds,
        "iso8601" => TimestampFormat::Iso8601,
        "rfc822" => TimestampFormat::Rfc822,
        other => panic!("unknown format {other}"),
    }
}

fn text(json: &Json) -> &'static str {
    leak(json.as_str().unwrap())
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[allow(
    dead_code,
    reason = "not every test that includes this module reads vectors"
)]
/// A vector's plain JSON as a value of a shape: blobs are text there and timestamps seconds.
pub fn value(service: &Service, id: u16, json: &Json) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    match service.shape(id).kind {
        Kind::Boolean => Value::Boolean(json.as_bool().unwrap()),
        Kind::Byte | Kind::Short | Kind::Integer | Kind::Long => {
            Value::Integer(json.as_i64().unwrap())
        }
        Kind::Float | Kind::Double => Value::Float(match json.as_str() {
            Some("NaN") => f64::NAN,
            Some("Infinity") => f64::INFINITY,
            Some("-Infinity") => f64::NEG_INFINITY,
            _ => json.as_f64().unwrap(),
        }),
        Kind::String => Value::String(json.as_str().unwrap().to_owned()),
        Kind::Blob => Value::Blob(json.as_str().unwrap().to_owned().into()),
        Kind::Timestamp => {
            Value::Timestamp(wire::time::from_epoch_seconds(json.as_f64().unwrap()).unwrap())
        }
        Kind::Document => Value::Document(json.clone()),
        Kind::List(list) => {
            let items = json.as_array().unwrap();
            Value::List(
                items
                    .iter()
                    .map(|item| value(service, list.member, item))
                    .collect(),
            )
        }
        Kind::Map(map) => {
            let entries = json.as_object().unwrap().iter();
            // Sorted, because vectors and requests give maps in different orders.
            let entries: WireMap<Value> = entries
                .map(|(k, v)| (k.clone(), value(service, map.value, v)))
                .collect();
            Value::Map(entries.into_iter().collect())
        }
        Kind::Structure(structure) => {
            let mut members = Members::new(structure.members.len());
            for (name, json) in json.as_object().unwrap() {
                let index = structure
                    .members
                    .iter()
                    .position(|m| m.name == name)
                    .unwrap();
                if !json.is_null() {
                    members.set(index, value(service, structure.members[index].shape, json));
                }
            }
            Value::Structure(members)
        }
    }
}

/// Text that is the same for the same value: maps sorted, and a NaN equal to a NaN.
pub fn comparable(value: &Value) -> String {
    format!("{:?}", sorted(value))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Map(entries) => {
            let entries: WireMap<Value> = entries
                .iter()
                .map(|(k, v)| (k.clone(), sorted(v)))
                .collect();
            Value::Map(entries.into_iter().collect())
        }
        Value::List(items) => Value::List(items.iter().map(sorted).collect()),
        Value::Structure(members) => {
            let mut out = Members::new(members.capacity());
            for (index, value) in members.iter() {
                out.set(index, sorted(value));
            }
            Value::Structure(out)
        }
        other => other.clone(),
    }
}
