//! CORS on function URLs: a URL that is configured for it answers preflights without the function,
//! and what the configuration says replaces what the function sends.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request::Parts};

use crate::lambda::Cors;

const OURS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// The answer to a preflight, if that is what the request is.
pub fn preflight(cors: &Cors, request: &Parts) -> Option<Response<Bytes>> {
    let asked = header::ACCESS_CONTROL_REQUEST_METHOD;
    if request.method != Method::OPTIONS || !request.headers.contains_key(asked) {
        return None;
    }
    let mut response = Response::new(Bytes::new());
    if let Some(origin) = allowed_origin(cors, &request.headers) {
        let headers = response.headers_mut();
        allow_origin(cors, origin, headers);
        list(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            cors.allow_methods.as_deref(),
            headers,
        );
        list(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            cors.allow_headers.as_deref(),
            headers,
        );
        if let Some(seconds) = cors.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
    }
    Some(response)
}

/// Puts on a response what the configuration allows the request's origin.
pub fn apply<B>(cors: &Cors, request: &HeaderMap, response: &mut Response<B>) {
    let headers = response.headers_mut();
    for name in OURS {
        headers.remove(name);
    }
    if let Some(origin) = allowed_origin(cors, request) {
        allow_origin(cors, origin, headers);
        list(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            cors.expose_headers.as_deref(),
            headers,
        );
    }
}

fn allowed_origin<'a>(cors: &Cors, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = request.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let listed = cors.allow_origins.iter().flatten();
    listed
        .into_iter()
        .any(|o| o == "*" || o.eq_ignore_ascii_case(text))
        .then_some(origin)
}

/// Browsers take no `*` together with credentials, so that the origin itself is named then.
fn allow_origin(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    let any = cors.allow_origins.iter().flatten().any(|o| o == "*");
    let credentials = cors.allow_credentials == Some(true);
    let value = if any && !credentials {
        HeaderValue::from_static("*")
    } else {
        origin.clone()
    };
    if value != "*" {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if credentials {
        let name = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
        headers.insert(name, HeaderValue::from_static("true"));
    }
}

fn list(name: HeaderName, values: Option<&[String]>, headers: &mut HeaderMap) {
    let Some(values) = values.filter(|values| !values.is_empty()) else {
        return;
    };
    if let Ok(value) = HeaderValue::from_str(&values.join(",")) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let strings = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect());
        Cors {
            allow_origins: strings(origins),
            allow_methods: strings(&["GET", "POST"]),
            allow_headers: strings(&["content-type"]),
            expose_headers: strings(&["x-total"]),
            max_age: Some(60),
            allow_credentials: Some(credentials),
        }
    }

    fn request(method: Method, origin: &str) -> Parts {
        let request = Request::builder()
            .method(method)
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn preflights_are_answered_for_the_origins_that_are_allowed() {
        let cors = cors(&["https://a.example"], true);
        let answer = preflight(&cors, &request(Method::OPTIONS, "https://a.example")).unwrap();
        assert_eq!(
            answer.headers()["access-control-allow-origin"],
            "https://a.example"
        );
        assert_eq!(answer.headers()["access-control-allow-methods"], "GET,POST");
        assert_eq!(
            answer.headers()["access-control-allow-headers"],
            "content-type"
        );
        assert_eq!(answer.headers()["access-control-max-age"], "60");
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
        assert_eq!(answer.headers()["vary"], "Origin");
        let other = preflight(&cors, &request(Method::OPTIONS, "https://b.example")).unwrap();
        assert!(other.headers().is_empty());
        assert!(preflight(&cors, &request(Method::GET, "https://a.example")).is_none());
    }

    #[test]
    fn the_configuration_replaces_what_the_function_sends() {
        let any = cors(&["*"], false);
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(
            "access-control-allow-origin",
            HeaderValue::from_static("https://own"),
        );
        headers.insert(
            "access-control-allow-methods",
            HeaderValue::from_static("PUT"),
        );
        apply(
            &any,
            &request(Method::GET, "https://a.example").headers,
            &mut response,
        );
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(
            response.headers()["access-control-expose-headers"],
            "x-total"
        );
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-methods")
        );
    }
}
