//! The response that a client receives for what a function answered.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::value::RawValue;

/// The HTTP response for what a function has answered. What cannot be one is AWS's 502.
pub fn response(payload: &[u8], request_id: &str) -> Response<Bytes> {
    let made = match structured(payload) {
        Ok(Some(answer)) => answer.response(),
        Ok(None) => inferred(payload),
        Err(Malformed) => streamed(payload),
    };
    let mut response = made.unwrap_or_else(|Malformed| internal_server_error());
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// The same for a URL whose function may write to a response stream: what it wrote without saying
/// what the response is, is the body as it is.
pub fn stream_response(payload: &[u8], request_id: &str) -> Response<Bytes> {
    let is_json = serde_json::from_slice::<&RawValue>(payload).is_ok();
    let has_metadata = payload.first() == Some(&b'{') && payload.windows(8).any(|w| w == [0; 8]);
    if is_json || has_metadata {
        return response(payload, request_id);
    }
    let mut response = plain(StatusCode::OK, OCTETS, "");
    *response.body_mut() = Bytes::copy_from_slice(payload);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// The media type of a stream that begins by saying what the response is.
pub const HTTP_INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";

/// Where the head of such a stream ends, and where its body begins.
pub fn stream_head_end(stream: &[u8]) -> Option<(usize, usize)> {
    const END: &[u8] = &[0; 8];
    let end = stream.windows(END.len()).position(|eight| eight == END)?;
    Some((end, end + END.len()))
}

/// The response that a stream's head describes, with a body that is yet to come.
pub fn stream_headed<B>(head: &[u8], body: B) -> Option<Response<B>> {
    let answer: Answer<'_> = serde_json::from_slice(head).ok()?;
    let status = match answer.status_code {
        Some(_) => answer.status().ok()?,
        None => StatusCode::OK,
    };
    answer.with(status, body, OCTETS).ok()
}

/// The response of a stream that is nothing but its body.
pub fn stream_plain<B>(content_type: Option<&HeaderValue>, body: B) -> Response<B> {
    let mut response = Response::new(body);
    let content_type = content_type.cloned();
    let content_type = content_type.unwrap_or_else(|| HeaderValue::from_static(OCTETS));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}

const OCTETS: &str = "application/octet-stream";

/// The answer where the function failed or answered what is no response.
pub fn internal_server_error() -> Response<Bytes> {
    plain(
        StatusCode::BAD_GATEWAY,
        "text/plain",
        "Internal Server Error",
    )
}

/// The answer for a URL that its caller may not invoke, or that is not there any more; without a
/// word where its name is none that was ever given. Lambda was seen to answer so.
pub fn forbidden(is_id: bool) -> Response<Bytes> {
    let body = match is_id {
        true => concat!(
            r#"{"Message":"Forbidden. For troubleshooting Function URL authorization issues, "#,
            r#"see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}"#
        ),
        false => r#"{"Message":null}"#,
    };
    let mut response = plain(StatusCode::FORBIDDEN, "application/json", body);
    let code = HeaderValue::from_static("AccessDeniedException");
    response.headers_mut().insert("x-amzn-errortype", code);
    response
}

fn plain(status: StatusCode, content_type: &'static str, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// What the function answered is not what AWS makes a response of.
struct Malformed;

/// An answer that says itself what the response is: an object with a `statusCode`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    status_code: Option<&'a RawValue>,
    #[serde(default)]
    headers: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Whether there is a `statusCode` at all is asked first, so that an object without one may have
/// any `headers` or `body` that it likes.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker<'a> {
    #[serde(borrow)]
    status_code: Option<&'a RawValue>,
}

fn structured(payload: &[u8]) -> Result<Option<Answer<'_>>, Malformed> {
    let is_object = payload.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    if !is_object {
        return Ok(None);
    }
    let marker: Marker<'_> = serde_json::from_slice(payload).map_err(|_| Malformed)?;
    if marker.status_code.is_none() {
        return Ok(None);
    }
    serde_json::from_slice(payload)
        .map(Some)
        .map_err(|_| Malformed)
}

/// What a function wrote to a response stream with metadata: what the response is, eight zero bytes,
/// and its body as it is.
fn streamed(payload: &[u8]) -> Result<Response<Bytes>, Malformed> {
    let (end, begin) = stream_head_end(payload).ok_or(Malformed)?;
    let body = Bytes::copy_from_slice(&payload[begin..]);
    stream_headed(&payload[..end], body).ok_or(Malformed)
}

impl Answer<'_> {
    fn response(self) -> Result<Response<Bytes>, Malformed> {
        let (status, body) = (self.status()?, self.bytes()?);
        self.with(status, body, "application/json")
    }

    fn with<B>(
        self,
        status: StatusCode,
        body: B,
        content_type: &'static str,
    ) -> Result<Response<B>, Malformed> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        for (name, value) in self.headers.iter().flatten() {
            let Some(value) = header_value(value)? else {
                continue;
            };
            let name = HeaderName::from_bytes(remapped(name).as_bytes()).map_err(|_| Malformed)?;
            headers.insert(name, value);
        }
        for cookie in self.cookies.iter().flatten() {
            let cookie = HeaderValue::from_str(cookie).map_err(|_| Malformed)?;
            headers.append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// A number, or a number in a string; of an answer, not of what goes before one.
    fn status(&self) -> Result<StatusCode, Malformed> {
        let text = self.status_code.map(RawValue::get).unwrap_or_default();
        let code: u16 = text.trim_matches('"').parse().map_err(|_| Malformed)?;
        StatusCode::from_u16(code)
            .ok()
            .filter(|code| (200..600).contains(&code.as_u16()))
            .ok_or(Malformed)
    }

    fn bytes(&self) -> Result<Bytes, Malformed> {
        let Some(raw) = self.body.map(RawValue::get).filter(|raw| *raw != "null") else {
            return Ok(Bytes::new());
        };
        let Ok(text) = serde_json::from_str::<String>(raw) else {
            // A string that is none in Unicode is refused; anything else is sent as JSON.
            return if raw.starts_with('"') {
                Err(Malformed)
            } else {
                Ok(compact(raw.as_bytes()))
            };
        };
        if self.is_base64_encoded == Some(true) {
            return BASE64_STANDARD
                .decode(&text)
                .map(Bytes::from)
                .map_err(|_| Malformed);
        }
        Ok(Bytes::from(text))
    }
}

/// An answer without a status code is the body of a 200, whatever it is; a string without its
/// quotes, all other JSON without its spaces.
fn inferred(payload: &[u8]) -> Result<Response<Bytes>, Malformed> {
    let raw: &RawValue = serde_json::from_slice(payload).map_err(|_| Malformed)?;
    let body = match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => Bytes::from(text),
        Err(_) => compact(raw.get().as_bytes()),
    };
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// JSON without the spaces between its tokens. Numbers stay as they are written.
fn compact(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if !in_string && byte.is_ascii_whitespace() {
            continue;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        out.push(byte);
    }
    Bytes::from(out)
}

fn header_value(value: &serde_json::Value) -> Result<Option<HeaderValue>, Malformed> {
    let text = match value {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::String(text) => Cow::Borrowed(text.as_str()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Cow::Owned(value.to_string()),
        _ => return Err(Malformed),
    };
    HeaderValue::from_bytes(text.as_bytes())
        .map(Some)
        .map_err(|_| Malformed)
}

/// Headers that are the connection's own reach the client under another name.
fn remapped(name: &str) -> Cow<'_, str> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "connection" | "content-length" | "date" | "keep-alive" | "proxy-authenticate"
        | "server" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "www-authenticate" => {
            Cow::Owned(format!("x-amzn-remapped-{name}"))
        }
        _ => Cow::Owned(name),
    }
}
