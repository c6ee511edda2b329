//! The requests to API destinations and to who gives tokens for them. Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use serde_json::Value;

use super::tables::{Auth, HttpParts, OAuth, Part};
use crate::deliveries::ToDestination;

const USER_AGENT: &str = "Amazon/EventBridge/ApiDestinations";

/// Why a request cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRequest {
    #[error("the address is none: {0}")]
    Url(String),
    #[error("the header {0} cannot be sent")]
    Header(String),
    #[error("the method {0} cannot be")]
    Method(String),
    #[error("the endpoint has more stars than there are path parameters")]
    Path,
}

/// A request to an API destination. `token` is what a client's credentials were exchanged for. What
/// the connection says goes over what the target says.
pub fn request(
    (method, endpoint): (&str, &str),
    auth: &Auth,
    token: Option<&str>,
    given: &ToDestination,
    body: &str,
) -> Result<Request<Full<Bytes>>, NoRequest> {
    let none = HttpParts::default();
    let parts = auth.invocation.as_ref().unwrap_or(&none);
    let mut query: Vec<(&str, &str)> = Vec::new();
    let own = parts.query.iter().flatten();
    for (name, value) in given
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
    {
        if !parts.query.iter().flatten().any(|part| part.key == name) {
            query.push((name, value));
        }
    }
    query.extend(own.map(|part| (part.key.as_str(), part.value.as_str())));
    let url = with_query(&fill(endpoint, &given.path)?, &query);
    let uri: Uri = url.parse().map_err(|_| NoRequest::Url(url))?;
    let method: Method = method
        .parse()
        .map_err(|_| NoRequest::Method(method.to_owned()))?;
    let mut headers = HeaderMap::new();
    let json = "application/json; charset=utf-8";
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(json));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for (name, value) in &given.headers {
        put(&mut headers, name, value)?;
    }
    for part in parts.headers.iter().flatten() {
        put(&mut headers, &part.key, &part.value)?;
    }
    if let Some((user, password)) = &auth.basic {
        put(&mut headers, "authorization", &basic(user, password))?;
    }
    if let Some((name, value)) = &auth.api_key {
        put(&mut headers, name, value)?;
    }
    if let Some(token) = token {
        put(&mut headers, "authorization", &format!("Bearer {token}"))?;
    }
    let body = match method {
        Method::GET | Method::HEAD | Method::OPTIONS => String::new(),
        _ => with_parts(body, parts.body.as_deref().unwrap_or_default()),
    };
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The request for a token: a form with the client's credentials, which the connection's own
/// parameters go over.
pub fn token_request(oauth: &OAuth) -> Result<Request<Full<Bytes>>, NoRequest> {
    let none = HttpParts::default();
    let parts = oauth.parts.as_ref().unwrap_or(&none);
    let own = parts.body.iter().flatten();
    let own: Vec<(&str, &str)> = own.map(|it| (it.key.as_str(), it.value.as_str())).collect();
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", oauth.client_id.as_str()),
        ("client_secret", oauth.client_secret.as_str()),
    ];
    form.retain(|(name, _)| !own.iter().any(|(own, _)| own == name));
    form.extend(own);
    let query = parts.query.iter().flatten();
    let mut query: Vec<(&str, &str)> = query.map(|it| (&*it.key, &*it.value)).collect();
    let method: Method = oauth
        .method
        .parse()
        .map_err(|_| NoRequest::Method(oauth.method.clone()))?;
    let is_get = method == Method::GET;
    if is_get {
        query.extend(form.iter().copied());
    }
    let url = with_query(&oauth.endpoint, &query);
    let uri: Uri = url.parse().map_err(|_| NoRequest::Url(url))?;
    let mut headers = HeaderMap::new();
    let kind = "application/x-www-form-urlencoded";
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for part in parts.headers.iter().flatten() {
        put(&mut headers, &part.key, &part.value)?;
    }
    let body = if is_get { String::new() } else { pairs(&form) };
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), NoRequest> {
    let bad = || NoRequest::Header(name.to_owned());
    let key: HeaderName = name.parse().map_err(|_| bad())?;
    headers.insert(key, value.parse().map_err(|_| bad())?);
    Ok(())
}

fn basic(user: &str, password: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The endpoint with its stars replaced, in their order.
fn fill(endpoint: &str, path: &[String]) -> Result<String, NoRequest> {
    let mut values = path.iter();
    let mut filled = String::with_capacity(endpoint.len());
    let mut pieces = endpoint.split('*');
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        filled.push_str(&escaped(values.next().ok_or(NoRequest::Path)?));
        filled.push_str(piece);
    }
    Ok(filled)
}

fn with_query(url: &str, query: &[(&str, &str)]) -> String {
    match (query.is_empty(), url.contains('?')) {
        (true, _) => url.to_owned(),
        (false, true) => format!("{url}&{}", pairs(query)),
        (false, false) => format!("{url}?{}", pairs(query)),
    }
}

fn pairs(all: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", escaped(name), escaped(value));
    let all: Vec<String> = all.iter().map(pair).collect();
    all.join("&")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A body that is an object has the connection's parameters beside its own.
fn with_parts(body: &str, parts: &[Part]) -> String {
    if parts.is_empty() {
        return body.to_owned();
    }
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(mut object)) => {
            for part in parts {
                object.insert(part.key.clone(), Value::from(part.value.as_str()));
            }
            Value::Object(object).to_string()
        }
        _ => body.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn part(key: &str, value: &str) -> Part {
        Part {
            key: key.to_owned(),
            value: value.to_owned(),
            is_secret: false,
        }
    }

    async fn body_of(request: Request<Full<Bytes>>) -> String {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_connection_goes_over_what_the_target_says() {
        let auth = Auth {
            basic: Some(("user".into(), "pass".into())),
            invocation: Some(HttpParts {
                headers: Some(vec![part("X-Both", "connection")]),
                query: Some(vec![part("both", "c&d")]),
                body: Some(vec![part("added", "yes")]),
            }),
            ..Auth::default()
        };
        let given = ToDestination {
            path: vec!["a/b".into()],
            headers: vec![
                ("x-both".into(), "target".into()),
                ("x-own".into(), "1".into()),
            ],
            query: vec![("both".into(), "no".into()), ("own".into(), "ü".into())],
        };
        let endpoint = ("POST", "https://example.com/orders/*/x?fixed=1");
        let made = request(endpoint, &auth, None, &given, r#"{"own":1}"#).unwrap();
        assert_eq!(
            made.uri(),
            "https://example.com/orders/a%2Fb/x?fixed=1&own=%C3%BC&both=c%26d"
        );
        assert_eq!(made.headers()["x-both"], "connection");
        assert_eq!(made.headers()["x-own"], "1");
        assert_eq!(made.headers()["authorization"], "Basic dXNlcjpwYXNz");
        assert_eq!(body_of(made).await, r#"{"own":1,"added":"yes"}"#);
        let none = ToDestination::default();
        let refused = request(endpoint, &auth, None, &none, "{}").unwrap_err();
        assert_eq!(refused, NoRequest::Path);
        let plain = ("GET", "https://example.com/");
        let got = request(plain, &Auth::default(), Some("t"), &none, "{}").unwrap();
        assert_eq!(got.headers()["authorization"], "Bearer t");
        assert_eq!(body_of(got).await, "");
    }

    #[tokio::test]
    async fn a_token_is_asked_for_with_a_form() {
        let oauth = OAuth {
            client_id: "id".into(),
            client_secret: "s&s".into(),
            endpoint: "https://example.com/token".into(),
            method: "POST".into(),
            parts: Some(HttpParts {
                headers: None,
                query: Some(vec![part("q", "1")]),
                body: Some(vec![part("scope", "all"), part("grant_type", "other")]),
            }),
        };
        let made = token_request(&oauth).unwrap();
        assert_eq!(made.uri(), "https://example.com/token?q=1");
        assert_eq!(
            body_of(made).await,
            "client_id=id&client_secret=s%26s&scope=all&grant_type=other"
        );
    }
}
