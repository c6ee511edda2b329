//! What is typed: the service's trait, the structures of its typed operations, its errors.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    model::{Model, target},
    names::{self, snake},
};

/// The trait with a method for each typed operation, and the dispatcher over it. An operation that
/// answers with a stream of events has only its structures: its answer is not one value.
pub fn service_trait(model: &Model) -> Result<String> {
    let service = names::service(model.name());
    let mut out = format!(
        "/// {service}'s operations. One that an implementation leaves out answers that it is not
         /// implemented.\npub trait {service}: Send + Sync {{"
    );
    let mut arms = String::new();
    for (index, (name, operation)) in model.operations.iter().enumerate() {
        if !model.typed.contains(name) || model.answers_with_events(operation)? {
            continue;
        }
        let method = snake(name);
        let [input, output] = ["input", "output"].map(|side| {
            let shape = operation[side]["shape"].as_str();
            shape.map_or_else(|| "()".to_owned(), names::structure)
        });
        let http = &operation["http"];
        let line = [&http["method"], &http["requestUri"]].map(|v| v.as_str().unwrap_or_default());
        write!(
            out,
            "/// `{} {}`
            fn {method}(&self, cx: &Context, input: {input})
            -> impl Future<Output = Result<{output}, Error>> + Send {{
                let _ = (cx, input);
                async {{ Err(Error::not_implemented(&SERVICE, {name:?})) }}
            }}\n\n",
            line[0], line[1]
        )?;
        writeln!(
            arms,
            "{index} => call.answer(|input| service.{method}(cx, input)).await,"
        )?;
    }
    write!(
        out,
        "}}\n\n/// Runs the operation that a request was routed to.
        pub async fn dispatch<S: {service}>(service: &S, call: Call<'_>) -> Response<bytes::Bytes> {{
            let cx = call.cx;
            match call.route.operation.index {{ {arms} _ => call.not_implemented(), }}
        }}\n\n"
    )?;
    Ok(out)
}

pub fn structures(model: &Model) -> Result<String> {
    let mut out = String::new();
    for name in model.typed_structures()? {
        let shape = model.shape(&name)?;
        if shape["document"] == true {
            continue;
        }
        let members = shape["members"].as_object().context("no members")?;
        let rust_name = names::structure(&name);
        let required = shape["required"].as_array();
        write!(
            out,
            "#[derive(Debug, Clone, Default, PartialEq)]
            pub struct {rust_name} {{"
        )?;
        let mut fields = Vec::new();
        for (member, facts) in members {
            let field = snake(member);
            let base = field_type(model, target(facts)?, &name)?;
            let is_required = required.is_some_and(|r| r.iter().any(|r| r == member));
            match is_required {
                true => writeln!(out, "pub {field}: {base},")?,
                false => writeln!(out, "pub {field}: Option<{base}>,")?,
            }
            fields.push(field);
        }
        write!(
            out,
            "}}\nshape!({rust_name} {{ {} }});\n\n",
            fields.join(", ")
        )?;
    }
    Ok(out)
}

fn field_type(model: &Model, name: &str, within: &str) -> Result<String> {
    let shape = model.shape(name)?;
    Ok(match shape["type"].as_str().context("no type")? {
        "structure" if shape["document"] == true => "serde_json::Value".to_owned(),
        "structure" if name == within || model.is_recursive(name, within)? => {
            format!("Box<{}>", names::structure(name))
        }
        "structure" => names::structure(name),
        "list" => format!("Vec<{}>", element_type(model, shape, "member")?),
        "map" => format!("Map<{}>", element_type(model, shape, "value")?),
        "boolean" => "bool".to_owned(),
        "byte" | "short" | "integer" => "i32".to_owned(),
        "long" => "i64".to_owned(),
        "float" | "double" => "f64".to_owned(),
        "string" | "character" => "String".to_owned(),
        "blob" => "Bytes".to_owned(),
        "timestamp" => "crate::Timestamp".to_owned(),
        other => bail!("unknown type {other}"),
    })
}

fn element_type(model: &Model, shape: &Value, part: &str) -> Result<String> {
    let element = field_type(model, target(&shape[part])?, "")?;
    Ok(if shape["sparse"] == true {
        format!("Option<{element}>")
    } else {
        element
    })
}

/// A constructor for every error of the service.
pub fn errors(model: &Model) -> String {
    let mut out = String::from(
        "/// The service's errors, each with the status and members of its shape.
        pub mod errors { use super::{Error, SHAPES};\n",
    );
    let all: Vec<(usize, &str)> = model.errors().collect();
    for (index, name) in &all {
        // CloudWatch has ResourceNotFound and ResourceNotFoundException.
        let short = names::error(name);
        let taken = all.iter().filter(|(_, other)| names::error(other) == short);
        let function = if taken.count() > 1 {
            snake(name)
        } else {
            short
        };
        out.push_str(&format!(
            "pub fn {function}(message: impl Into<String>) -> Error {{
                Error::modelled(&SHAPES[{index}], message)
            }}\n\n"
        ));
    }
    out.push_str("}\n\n");
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_that_differ_by_a_word_keep_it() {
        let error = json!({"type": "structure", "members": {}, "exception": true});
        let names = ["NotFound", "NotFoundException", "GoneException"];
        let model = Model::of_shapes(names.map(|name| (name, error.clone())));
        let code = errors(&model);
        for function in ["not_found", "not_found_exception", "gone"] {
            assert_eq!(
                code.matches(&format!("pub fn {function}(")).count(),
                1,
                "{code}"
            );
        }
    }
}
