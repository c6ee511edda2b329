//! The event that a function receives for a request.

use std::{borrow::Cow, net::IpAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header, request::Parts};
use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::query;

/// What an event says of its request beyond the request itself.
#[derive(Debug, Clone)]
pub struct UrlContext<'a> {
    pub request_id: &'a str,
    pub url_id: &'a str,
    /// The host that was asked for, e.g. `<id>.lambda-url.us-east-1.localhost:4566`.
    pub domain_name: &'a str,
    /// The caller's identity where the URL calls for signatures; nobody's otherwise.
    pub iam: Option<Iam<'a>>,
    pub now: Timestamp,
    pub source_ip: IpAddr,
    /// `http` or `https`, as the client spoke it.
    pub scheme: &'a str,
    pub port: u16,
    /// The tracing header's value, e.g. `Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e`.
    pub trace_id: &'a str,
    /// Version and cipher suite, e.g. `TLSv1.3` and `TLS_AES_128_GCM_SHA256`.
    pub tls: Option<(&'a str, &'a str)>,
}

/// Who signed the request.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Iam<'a> {
    pub access_key: &'a str,
    pub account_id: &'a str,
    pub caller_id: &'a str,
    pub cognito_identity: Option<()>,
    pub principal_org_id: Option<&'a str>,
    pub user_arn: &'a str,
    pub user_id: &'a str,
}

/// The event for a request. `body` is all of it.
pub fn event(parts: &Parts, body: &[u8], cx: &UrlContext<'_>) -> Bytes {
    let raw_path = match parts.uri.path() {
        "" => "/",
        path => path,
    };
    let user_agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok());
    let body = Body::of(&parts.headers, body);
    let event = Event {
        version: "2.0",
        route_key: "$default",
        raw_path,
        raw_query_string: parts.uri.query().unwrap_or_default(),
        cookies: cookies(&parts.headers),
        headers: headers(&parts.headers, &body, cx),
        query_string_parameters: query_parameters(parts.uri.query().unwrap_or_default()),
        request_context: RequestContext {
            account_id: cx.iam.map_or("anonymous", |iam| iam.account_id),
            api_id: cx.url_id,
            authorizer: cx.iam.map(|iam| Authorizer { iam }),
            domain_name: cx.domain_name,
            domain_prefix: cx.url_id,
            http: Http {
                method: parts.method.as_str(),
                path: query::decode(raw_path),
                protocol: protocol(parts.version),
                source_ip: cx.source_ip,
                user_agent: user_agent.unwrap_or_default(),
            },
            request_id: cx.request_id,
            route_key: "$default",
            stage: "$default",
            time: cx.now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            time_epoch: cx.now.as_millisecond(),
        },
        is_base64_encoded: matches!(body, Body::Base64(_)),
        body,
    };
    // Strings and numbers in structures: there is nothing that JSON could not hold.
    Bytes::from(serde_json::to_vec(&event).unwrap_or_default())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: Pairs<'a>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    query_string_parameters: Pairs<'a>,
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Body::is_none")]
    body: Body<'a>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    account_id: &'a str,
    api_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Authorizer<'a>>,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
struct Authorizer<'a> {
    iam: Iam<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    /// Decoded, unlike `rawPath`.
    path: Cow<'a, str>,
    protocol: &'static str,
    source_ip: IpAddr,
    user_agent: &'a str,
}

/// A JSON object in the order of arrival.
#[derive(Default)]
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a value; several of one name are joined with commas.
    fn join(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, all)) => {
                let all = all.to_mut();
                all.push(',');
                all.push_str(&value);
            }
            None => self.0.push((name, value)),
        }
    }

    fn set(&mut self, name: &'a str, value: Cow<'a, str>) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((Cow::Borrowed(name), value));
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

enum Body<'a> {
    None,
    Text(&'a str),
    Base64(&'a [u8]),
}

impl<'a> Body<'a> {
    fn of(headers: &HeaderMap, body: &'a [u8]) -> Self {
        if body.is_empty() {
            return Self::None;
        }
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        match std::str::from_utf8(body) {
            Ok(text) if content_type.is_some_and(is_text) => Self::Text(text),
            _ => Self::Base64(body),
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::Base64(bytes) => bytes.len(),
        }
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Base64(bytes) => serializer.serialize_str(&BASE64_STANDARD.encode(bytes)),
        }
    }
}

/// AWS takes few types for text; forms and bodies without a type are not among them.
fn is_text(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(
            essence.as_str(),
            "application/json" | "application/xml" | "application/javascript"
        )
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2.0",
        http::Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn cookies(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let mut out = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        match String::from_utf8_lossy(value.as_bytes()) {
            Cow::Borrowed(text) => out.extend(split_cookies(text).map(Cow::Borrowed)),
            Cow::Owned(text) => {
                out.extend(split_cookies(&text).map(|cookie| Cow::Owned(cookie.to_owned())));
            }
        }
    }
    out
}

fn split_cookies(text: &str) -> impl Iterator<Item = &str> {
    text.split(';')
        .map(str::trim)
        .filter(|cookie| !cookie.is_empty())
}

/// Headers of the connection, not of the request; and cookies, which have a place of their own.
fn is_left_out(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "cookie"
            | "expect"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn headers<'a>(given: &'a HeaderMap, body: &Body<'_>, cx: &UrlContext<'a>) -> Pairs<'a> {
    let mut out = Pairs(Vec::with_capacity(given.len() + 6));
    for (name, value) in given {
        if !is_left_out(name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            out.join(Cow::Borrowed(name.as_str()), value);
        }
    }
    if !body.is_none() {
        out.set("content-length", Cow::Owned(body.len().to_string()));
    }
    out.join(
        Cow::Borrowed("x-forwarded-for"),
        Cow::Owned(cx.source_ip.to_string()),
    );
    out.set("x-forwarded-port", Cow::Owned(cx.port.to_string()));
    out.set("x-forwarded-proto", Cow::Borrowed(cx.scheme));
    out.set("x-amzn-trace-id", Cow::Borrowed(cx.trace_id));
    if let Some((version, cipher_suite)) = cx.tls {
        out.set("x-amzn-tls-version", Cow::Borrowed(version));
        out.set("x-amzn-tls-cipher-suite", Cow::Borrowed(cipher_suite));
    }
    out
}

fn query_parameters(raw: &str) -> Pairs<'static> {
    let mut out = Pairs::default();
    for (name, value) in query::parse(raw) {
        out.join(Cow::Owned(name), Cow::Owned(value));
    }
    out
}
