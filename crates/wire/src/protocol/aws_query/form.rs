//! A request's parameters: of its query string and of its body, as they came, names decoded.

use std::borrow::Cow;

use http::request;

use crate::{error::Error, query};

/// Parameters that a request may have. No tool of AWS's comes near.
const PARAMETERS_MAX: usize = 50_000;

pub struct Form<'a>(Vec<(Cow<'a, str>, &'a str)>);

/// One parameter, or what is left of its name below some part of the input.
#[derive(Debug, Clone, Copy)]
pub struct Parameter<'a> {
    pub path: &'a str,
    /// As it came.
    pub raw: &'a str,
}

impl<'a> Form<'a> {
    pub fn read(parts: &'a request::Parts, body: &'a [u8]) -> Result<Self, Error> {
        let body = std::str::from_utf8(body).map_err(|_| malformed("The body is not UTF-8"))?;
        let mut all = Vec::with_capacity(16);
        let sources = [parts.uri.query().unwrap_or_default(), body];
        for (name, raw) in sources.into_iter().flat_map(query::pairs) {
            if all.len() == PARAMETERS_MAX {
                return Err(malformed("The request has too many parameters"));
            }
            all.push((query::decode(name), raw));
        }
        Ok(Self(all))
    }

    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        let all = self.0.iter();
        all.map(|(path, raw)| Parameter { path, raw }).collect()
    }
}

impl<'a> Parameter<'a> {
    /// The first part of what is left of the name, and the parameter below it.
    pub fn step(self) -> (&'a str, Self) {
        let (head, path) = self.path.split_once('.').unwrap_or((self.path, ""));
        (head, Self { path, ..self })
    }

    pub fn value(self) -> Result<String, Error> {
        query::decode_form_strictly(self.raw)
            .ok_or_else(|| malformed("A parameter's value is not UTF-8"))
    }
}

pub fn malformed(message: &str) -> Error {
    Error::serialization(message)
}
