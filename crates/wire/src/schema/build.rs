//! The constructors that the generated tables are written with; all of them are `const`.

use super::{
    Auth, ErrorShape, Kind, List, Location, Map, Member, Operation, Pattern, Shape, ShapeId,
    Structure, TimestampFormat, XmlNamespace, XmlRoot,
};

impl Operation {
    pub const fn new(
        name: &'static str,
        index: u16,
        method: &'static str,
        uri: &'static str,
    ) -> Self {
        Self {
            name,
            index,
            auth: Auth::Signed,
            host_prefix: None,
            method,
            uri,
            status: 200,
            content_type: None,
            input: None,
            output: None,
            input_root: None,
            result_wrapper: None,
            checksum_required: false,
            root_only: false,
            without_detail: false,
            errors: &[],
        }
    }

    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub const fn input(mut self, shape: ShapeId) -> Self {
        self.input = Some(shape);
        self
    }

    pub const fn output(mut self, shape: ShapeId) -> Self {
        self.output = Some(shape);
        self
    }

    pub const fn errors(mut self, shapes: &'static [ShapeId]) -> Self {
        self.errors = shapes;
        self
    }

    pub const fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    pub const fn host_prefix(mut self, prefix: &'static str) -> Self {
        self.host_prefix = Some(prefix);
        self
    }

    pub const fn content_type(mut self, media_type: &'static str) -> Self {
        self.content_type = Some(media_type);
        self
    }

    pub const fn input_root(mut self, name: &'static str, namespace: Option<&'static str>) -> Self {
        self.input_root = Some(XmlRoot { name, namespace });
        self
    }

    pub const fn result_wrapper(mut self, name: &'static str) -> Self {
        self.result_wrapper = Some(name);
        self
    }

    pub const fn root_only(mut self) -> Self {
        self.root_only = true;
        self
    }

    pub const fn without_detail(mut self) -> Self {
        self.without_detail = true;
        self
    }

    pub const fn checksum_required(mut self) -> Self {
        self.checksum_required = true;
        self
    }
}

impl Shape {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            min: None,
            max: None,
            pattern: None,
            values: &[],
            sensitive: false,
            timestamp: None,
            streaming: false,
        }
    }

    /// A string that has to match a pattern. It is no step of its own like the other constraints
    /// because a `const fn` cannot replace what has a destructor.
    pub const fn matching(name: &'static str, pattern: &'static str) -> Self {
        Self {
            name,
            kind: Kind::String,
            min: None,
            max: None,
            pattern: Some(Pattern::new(pattern)),
            values: &[],
            sensitive: false,
            timestamp: None,
            streaming: false,
        }
    }

    pub const fn list(name: &'static str, member: ShapeId) -> Self {
        let list = List {
            member,
            member_name: None,
            flattened: false,
            sparse: false,
        };
        Self::new(name, Kind::List(list))
    }

    pub const fn map(name: &'static str, key: ShapeId, value: ShapeId) -> Self {
        let map = Map {
            key,
            value,
            key_name: None,
            value_name: None,
            flattened: false,
            sparse: false,
        };
        Self::new(name, Kind::Map(map))
    }

    pub const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        let structure = Structure {
            members,
            payload: None,
            union: false,
            event_stream: false,
            xml_name: None,
            xml_namespace: None,
            error: None,
        };
        Self::new(name, Kind::Structure(structure))
    }

    pub const fn min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    pub const fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp = Some(format);
        self
    }

    pub const fn sparse(mut self) -> Self {
        match &mut self.kind {
            Kind::List(list) => list.sparse = true,
            Kind::Map(map) => map.sparse = true,
            _ => {}
        }
        self
    }

    pub const fn flattened(mut self) -> Self {
        match &mut self.kind {
            Kind::List(list) => list.flattened = true,
            Kind::Map(map) => map.flattened = true,
            _ => {}
        }
        self
    }

    pub const fn item(mut self, name: &'static str) -> Self {
        if let Kind::List(list) = &mut self.kind {
            list.member_name = Some(name);
        }
        self
    }

    pub const fn entry(mut self, key: &'static str, value: &'static str) -> Self {
        if let Kind::Map(map) = &mut self.kind {
            map.key_name = Some(key);
            map.value_name = Some(value);
        }
        self
    }

    pub const fn payload(mut self, member: u16) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.payload = Some(member);
        }
        self
    }

    pub const fn union(mut self) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.union = true;
        }
        self
    }

    pub const fn event_stream(mut self) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.event_stream = true;
        }
        self
    }

    pub const fn error(mut self, status: u16, sender: bool) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.error = Some(ErrorShape {
                query_code: None,
                status,
                sender,
            });
        }
        self
    }

    pub const fn query_code(mut self, code: &'static str) -> Self {
        if let Kind::Structure(structure) = &mut self.kind
            && let Some(error) = &mut structure.error
        {
            error.query_code = Some(code);
        }
        self
    }

    pub const fn xml_name(mut self, name: &'static str) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.xml_name = Some(name);
        }
        self
    }

    pub const fn xml_namespace(mut self, prefix: Option<&'static str>, uri: &'static str) -> Self {
        if let Kind::Structure(structure) = &mut self.kind {
            structure.xml_namespace = Some(XmlNamespace { prefix, uri });
        }
        self
    }

    pub const fn streaming(mut self) -> Self {
        self.streaming = true;
        self
    }
}

impl Member {
    pub const fn new(name: &'static str, shape: ShapeId) -> Self {
        Self {
            name,
            wire_name: None,
            query_name: None,
            shape,
            location: Location::Body,
            required: false,
            idempotency_token: false,
            flattened: false,
            xml_attribute: false,
            xml_namespace: None,
            timestamp: None,
            json_value: false,
            event_payload: false,
            event_header: false,
            host_label: false,
            streaming: false,
        }
    }

    /// The name on the wire.
    pub const fn wire(&self) -> &'static str {
        match self.wire_name {
            Some(name) => name,
            None => self.name,
        }
    }

    /// The name in awsQuery's requests and answers.
    pub const fn in_query(&self) -> &'static str {
        match self.query_name {
            Some(name) => name,
            None => self.wire(),
        }
    }

    const fn at(mut self, location: Location, name: &'static str) -> Self {
        self.location = location;
        self.wire_name = Some(name);
        self
    }

    pub const fn named(self, name: &'static str) -> Self {
        self.at(Location::Body, name)
    }

    pub const fn query_named(mut self, name: &'static str) -> Self {
        self.query_name = Some(name);
        self
    }

    pub const fn uri(self, name: &'static str) -> Self {
        self.at(Location::Uri, name)
    }

    pub const fn query(self, name: &'static str) -> Self {
        self.at(Location::Query, name)
    }

    pub const fn header(self, name: &'static str) -> Self {
        self.at(Location::Header, name)
    }

    pub const fn header_prefix(self, prefix: &'static str) -> Self {
        self.at(Location::HeaderPrefix, prefix)
    }

    pub const fn status_code(mut self) -> Self {
        self.location = Location::StatusCode;
        self
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn idempotency_token(mut self) -> Self {
        self.idempotency_token = true;
        self
    }

    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    pub const fn xml_attribute(mut self) -> Self {
        self.xml_attribute = true;
        self
    }

    pub const fn xml_namespace(mut self, prefix: Option<&'static str>, uri: &'static str) -> Self {
        self.xml_namespace = Some(XmlNamespace { prefix, uri });
        self
    }

    pub const fn host_label(mut self) -> Self {
        self.host_label = true;
        self
    }

    pub const fn streaming(mut self) -> Self {
        self.streaming = true;
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp = Some(format);
        self
    }

    pub const fn json_value(mut self) -> Self {
        self.json_value = true;
        self
    }

    pub const fn event_payload(mut self) -> Self {
        self.event_payload = true;
        self
    }

    pub const fn event_header(mut self) -> Self {
        self.event_header = true;
        self
    }
}
