//! Checks an input against the model's constraints and says what is wrong in AWS's words.
//!
//! Members are named from the root in lower camel case (`vpcConfig.subnetIds`); an element of a
//! list of structures counts from one (`tags.1.member.key`). What is wrong with plain elements of a
//! list or map is said once, of the whole list or map, with all of the element's constraints.

use std::fmt::Write;

use crate::{
    cloudwatch_logs,
    error::Error,
    protocol::print_float,
    schema::{Checks, Kind, Service, Shape, ShapeId},
    value::{Members, Value},
};

/// AWS lists every breach; a request can be made to have millions, and nobody reads past a few.
const BREACHES_MAX: usize = 64;
/// What is repeated of a value that breaks a constraint; it may be all of a request.
const SHOWN_BYTES_MAX: usize = 8192;

/// Checks a structure, such as an operation's input, as far as the service does that ahead of its
/// operations.
pub fn validate(service: &Service, shape: ShapeId, members: &Members) -> Result<(), Error> {
    match service.checks {
        Checks::Constraints => constraints_hold(service, shape, members),
        Checks::Presence => all_there(service, shape, members),
        Checks::None => Ok(()),
    }
}

/// What is required is there. Whether a batch has entries is for its operation to say.
fn all_there(service: &Service, shape: ShapeId, members: &Members) -> Result<(), Error> {
    let Kind::Structure(structure) = &service.shape(shape).kind else {
        return Ok(());
    };
    let required = structure.members.iter().enumerate();
    for (index, member) in required.filter(|(_, member)| member.required) {
        let value = members.get(index);
        match (&service.shape(member.shape).kind, value) {
            (Kind::Map(map), _) if is_nothing(value) => {
                let key = map.key_name.unwrap_or("key");
                return Err(Error::missing(&format!("{}.{key}", member.in_query())));
            }
            (Kind::List(list), _) if is_nothing(value) && is_plain(service.shape(list.member)) => {
                let name = list.member_name.unwrap_or(member.in_query());
                return Err(Error::missing(name));
            }
            (Kind::Map(_) | Kind::List(_), _) | (_, Some(_)) => {}
            (_, None) => return Err(Error::missing(member.name)),
        }
    }
    Ok(())
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::List(items)) => items.is_empty(),
        Some(Value::Map(entries)) => entries.is_empty(),
        Some(_) => false,
    }
}

fn constraints_hold(service: &Service, shape: ShapeId, members: &Members) -> Result<(), Error> {
    let mut check = Check {
        service,
        path: String::new(),
        breaches: Vec::new(),
    };
    check.structure(service.shape(shape), members);
    let count = check.breaches.len();
    if count == 0 {
        return Ok(());
    }
    let errors = if count == 1 { "error" } else { "errors" };
    let list = check.breaches.join("; ");
    let message = format!("{count} validation {errors} detected: {list}");
    Err(match service.signing_name {
        "logs" => cloudwatch_logs::refused(message),
        _ => Error::validation(message),
    })
}

struct Check<'a> {
    service: &'a Service,
    path: String,
    breaches: Vec<String>,
}

impl Check<'_> {
    fn structure(&mut self, shape: &Shape, members: &Members) {
        let Kind::Structure(structure) = &shape.kind else {
            return;
        };
        for (index, member) in structure.members.iter().enumerate() {
            let value = members.get(index);
            if value.is_none() && !member.required {
                continue;
            }
            let depth = self.enter(&lower_first(member.name));
            match value {
                Some(value) => self.value(self.service.shape(member.shape), value),
                None => self.breach("null", "Member must not be null"),
            }
            self.path.truncate(depth);
        }
    }

    fn value(&mut self, shape: &Shape, value: &Value) {
        match (value, &shape.kind) {
            (Value::Structure(members), Kind::Structure(_)) => self.structure(shape, members),
            (Value::List(items), Kind::List(list)) => {
                self.own_constraints(shape, value);
                self.elements(shape, value, list.member, list.sparse, items);
            }
            (Value::Map(entries), Kind::Map(map)) => {
                self.own_constraints(shape, value);
                self.keys(shape, value, map.key, entries);
                self.values(shape, value, map.value, map.sparse, entries);
            }
            _ => self.own_constraints(shape, value),
        }
    }

    fn own_constraints(&mut self, shape: &Shape, value: &Value) {
        for constraint in constraints(shape).filter(|c| !c.holds(value)) {
            let shown = show(shape, value);
            self.breach(&shown, &constraint.to_string());
        }
    }

    fn elements(&mut self, of: &Shape, whole: &Value, id: ShapeId, sparse: bool, items: &[Value]) {
        let shape = self.service.shape(id);
        if is_plain(shape) {
            if items.iter().any(|item| !element_holds(shape, item, sparse)) {
                let all = element_constraints(shape, sparse);
                let shown = show_whole(of, shape, whole);
                self.breach(&shown, &format!("Member must satisfy constraint: [{all}]"));
            }
            return;
        }
        for (n, item) in items.iter().enumerate() {
            let depth = self.enter(&format!("{}.member", n + 1));
            self.element(shape, item, sparse);
            self.path.truncate(depth);
        }
    }

    fn keys(&mut self, of: &Shape, whole: &Value, id: ShapeId, entries: &[(String, Value)]) {
        let shape = self.service.shape(id);
        let holds = |key: &String| constraints(shape).all(|c| c.holds_text(key));
        if !entries.iter().all(|(key, _)| holds(key)) {
            let all = element_constraints(shape, true);
            let shown = show_whole(of, shape, whole);
            self.breach(
                &shown,
                &format!("Map keys must satisfy constraint: [{all}]"),
            );
        }
    }

    fn values(
        &mut self,
        of: &Shape,
        whole: &Value,
        id: ShapeId,
        sparse: bool,
        entries: &[(String, Value)],
    ) {
        let shape = self.service.shape(id);
        if is_plain(shape) {
            if entries
                .iter()
                .any(|(_, value)| !element_holds(shape, value, sparse))
            {
                let all = element_constraints(shape, sparse);
                let shown = show_whole(of, shape, whole);
                self.breach(
                    &shown,
                    &format!("Map value must satisfy constraint: [{all}]"),
                );
            }
            return;
        }
        for (key, value) in entries {
            let depth = self.enter(&format!("{key}.member"));
            self.element(shape, value, sparse);
            self.path.truncate(depth);
        }
    }

    fn element(&mut self, shape: &Shape, value: &Value, sparse: bool) {
        match value {
            Value::Null if sparse => {}
            Value::Null => self.breach("null", "Member must not be null"),
            value => self.value(shape, value),
        }
    }

    fn enter(&mut self, name: &str) -> usize {
        let depth = self.path.len();
        if depth > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        depth
    }

    /// `shown` is the value with its quotes, or empty for one that must not be repeated.
    fn breach(&mut self, shown: &str, constraint: &str) {
        if self.breaches.len() < BREACHES_MAX {
            let space = if shown.is_empty() { "" } else { " " };
            self.breaches.push(format!(
                "Value{space}{shown} at '{}' failed to satisfy constraint: {constraint}",
                self.path
            ));
        }
    }
}

/// One constraint of a shape.
enum Constraint<'a> {
    Values(&'a [&'static str]),
    Pattern(&'a crate::schema::Pattern),
    Length {
        least: bool,
        bound: f64,
    },
    Range {
        least: bool,
        bound: f64,
        float: bool,
    },
}

/// In the order in which AWS reports them for a member.
fn constraints(shape: &Shape) -> impl Iterator<Item = Constraint<'_>> {
    let values = (!shape.values.is_empty()).then_some(Constraint::Values(shape.values));
    let pattern = shape.pattern.as_ref().map(Constraint::Pattern);
    let max = shape
        .max
        .map(|bound| Constraint::bound(shape, false, bound));
    let min = shape.min.map(|bound| Constraint::bound(shape, true, bound));
    values.into_iter().chain(pattern).chain(max).chain(min)
}

impl Constraint<'_> {
    fn bound(shape: &Shape, least: bool, bound: f64) -> Self {
        match shape.kind {
            Kind::Byte | Kind::Short | Kind::Integer | Kind::Long => Self::Range {
                least,
                bound,
                float: false,
            },
            Kind::Float | Kind::Double => Self::Range {
                least,
                bound,
                float: true,
            },
            _ => Self::Length { least, bound },
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::String(text)) => self.holds_text(text),
            (Self::Length { .. }, Value::Blob(bytes)) => self.within(bytes.len()),
            (Self::Length { .. }, Value::List(items)) => self.within(items.len()),
            (Self::Length { .. }, Value::Map(entries)) => self.within(entries.len()),
            // Bounds in the models are far below 2^53.
            #[allow(clippy::cast_precision_loss)]
            (Self::Range { .. }, Value::Integer(number)) => self.bounds(*number as f64),
            (Self::Range { .. }, Value::Float(number)) => self.bounds(*number),
            _ => true,
        }
    }

    fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Values(values) => values.contains(&text),
            Self::Pattern(pattern) => pattern.matches(text),
            Self::Length { .. } => self.within(text.chars().count()),
            Self::Range { .. } => true,
        }
    }

    // A length that a request can have is far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    fn within(&self, length: usize) -> bool {
        self.bounds(length as f64)
    }

    fn bounds(&self, number: f64) -> bool {
        match *self {
            Self::Length { least, bound } | Self::Range { least, bound, .. } => {
                if least {
                    number >= bound
                } else {
                    number <= bound
                }
            }
            _ => true,
        }
    }
}

impl std::fmt::Display for Constraint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |least| if least { "greater" } else { "less" };
        match *self {
            Self::Values(values) => {
                write!(
                    f,
                    "Member must satisfy enum value set: [{}]",
                    values.join(", ")
                )
            }
            Self::Pattern(pattern) => {
                write!(
                    f,
                    "Member must satisfy regular expression pattern: {}",
                    pattern.text
                )
            }
            Self::Length { least, bound } => {
                write!(
                    f,
                    "Member must have length {} than or equal to {bound}",
                    side(least)
                )
            }
            Self::Range {
                least,
                bound,
                float,
            } => {
                let digits = usize::from(float && bound.fract() == 0.0);
                write!(
                    f,
                    "Member must have value {} than or equal to ",
                    side(least)
                )?;
                if digits > 0 {
                    write!(f, "{bound:.1}")
                } else {
                    write!(f, "{bound}")
                }
            }
        }
    }
}

/// Whether an element's breaches are reported with the list or map that holds it.
fn is_plain(shape: &Shape) -> bool {
    !matches!(
        shape.kind,
        Kind::Structure(_) | Kind::List(_) | Kind::Map(_)
    )
}

fn element_holds(shape: &Shape, value: &Value, sparse: bool) -> bool {
    match value {
        Value::Null => sparse,
        value => constraints(shape).all(|c| c.holds(value)),
    }
}

/// All constraints of an element, in the order of AWS's lists: length, pattern, not null.
fn element_constraints(shape: &Shape, nullable: bool) -> String {
    let (patterns, mut others): (Vec<_>, Vec<_>) =
        constraints(shape).partition(|c| matches!(c, Constraint::Pattern(_)));
    others.extend(patterns);
    let mut all: Vec<String> = others.iter().map(ToString::to_string).collect();
    if !nullable {
        all.push("Member must not be null".to_owned());
    }
    all.join(", ")
}

fn show_whole(of: &Shape, element: &Shape, value: &Value) -> String {
    if element.sensitive {
        String::new()
    } else {
        show(of, value)
    }
}

/// A value as AWS repeats it: in quotes, Java's way; nothing for what is sensitive.
fn show(shape: &Shape, value: &Value) -> String {
    if shape.sensitive || matches!(value, Value::Blob(_)) {
        return String::new();
    }
    let mut out = String::from("'");
    print(value, &mut out);
    if out.len() > SHOWN_BYTES_MAX {
        out.truncate(out.floor_char_boundary(SHOWN_BYTES_MAX));
        out.push_str("...");
    }
    out.push('\'');
    out
}

fn print(value: &Value, out: &mut String) {
    if out.len() > SHOWN_BYTES_MAX {
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) if value.fract() == 0.0 => {
            let _ = write!(out, "{value:.1}");
        }
        Value::Float(value) => out.push_str(&print_float(*value)),
        Value::String(value) => {
            let end = value.floor_char_boundary(SHOWN_BYTES_MAX + 1);
            out.push_str(&value[..end]);
        }
        Value::Timestamp(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Document(value) => {
            let _ = write!(out, "{value}");
        }
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                print(item, out);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (n, (key, value)) in entries.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                out.push_str(key);
                out.push('=');
                print(value, out);
            }
            out.push('}');
        }
        // Whatever is in a blob or a structure is not repeated.
        Value::Blob(_) | Value::Structure(_) => {}
    }
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}
