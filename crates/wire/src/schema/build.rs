//! The constructors that the generated tables are written with; all of them are `const`.

use super::{
    ErrorShape, Kind, List, Location, Map, Member, Pattern, Shape, ShapeId, Structure,
    TimestampFormat,
};

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
                code: None,
                status,
                sender,
            });
        }
        self
    }

    pub const fn code(mut self, code: &'static str) -> Self {
        if let Kind::Structure(structure) = &mut self.kind
            && let Some(error) = &mut structure.error
        {
            error.code = Some(code);
        }
        self
    }
}

impl Member {
    pub const fn new(name: &'static str, shape: ShapeId) -> Self {
        Self {
            name,
            wire_name: None,
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
        }
    }

    /// The name on the wire.
    pub const fn wire(&self) -> &'static str {
        match self.wire_name {
            Some(name) => name,
            None => self.name,
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

    pub const fn xml_namespace(mut self, uri: &'static str) -> Self {
        self.xml_namespace = Some(uri);
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
