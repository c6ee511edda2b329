//! What pages of other sites may ask of a bucket (CORS): which of its rules lets a request in, and what
//! the browser is told.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};

use super::CORSRule;
use crate::error::Error;

const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

/// What is told to the browser of a page that may send this request, or ask to. Empty where no rule
/// lets it in: the request is answered all the same, and the browser keeps the answer from the page.
pub fn headers(rules: &[CORSRule], parts: &Parts) -> Vec<(HeaderName, String)> {
    let Some(asked) = Asked::read(parts) else {
        return Vec::new();
    };
    let rule = rules
        .iter()
        .find_map(|rule| asked.origin_in(rule).map(|origin| (rule, origin)));
    let Some((rule, origin)) = rule else {
        return Vec::new();
    };
    let is_any = origin == "*";
    let told_origin = if is_any { "*" } else { asked.origin };
    let mut told = vec![
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, told_origin.to_owned()),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            rule.allowed_methods.join(", "),
        ),
        (header::VARY, VARY.to_owned()),
    ];
    if !asked.headers.is_empty() {
        let names = asked.headers.join(", ");
        told.push((header::ACCESS_CONTROL_ALLOW_HEADERS, names));
    }
    if let Some(exposed) = rule
        .expose_headers
        .as_ref()
        .filter(|names| !names.is_empty())
    {
        told.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.join(", ")));
    }
    if let Some(seconds) = rule.max_age_seconds {
        told.push((header::ACCESS_CONTROL_MAX_AGE, seconds.to_string()));
    }
    if !is_any {
        told.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned()));
    }
    told
}

/// Puts them into an answer.
pub fn tell(told: Vec<(HeaderName, String)>, headers: &mut HeaderMap) {
    for (name, value) in told {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// The answer to a browser's question, in what it is told; none of a bucket without rules.
pub fn preflight(
    rules: Option<&[CORSRule]>,
    parts: &Parts,
    is_of_object: bool,
) -> Result<Vec<(HeaderName, String)>, Error> {
    if text(parts, header::ORIGIN).is_none() {
        let message = "Insufficient information. Origin request header needed.";
        return Err(Error::new("BadRequest", StatusCode::BAD_REQUEST, message));
    }
    let method = text(parts, header::ACCESS_CONTROL_REQUEST_METHOD);
    let refused = |message: &str, resource: &'static str| {
        let method: String = method.unwrap_or("OPTIONS").chars().take(32).collect();
        let error = Error::new("AccessForbidden", StatusCode::FORBIDDEN, message);
        error.with("Method", method).with("ResourceType", resource)
    };
    let Some(rules) = rules else {
        return Err(refused(
            "CORSResponse: CORS is not enabled for this bucket.",
            "BUCKET",
        ));
    };
    let told = headers(rules, parts);
    if told.is_empty() {
        let message = "CORSResponse: This CORS request is not allowed. This is usually because the \
            evalution of Origin, request method / Access-Control-Request-Method or \
            Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";
        return Err(refused(
            message,
            if is_of_object { "OBJECT" } else { "BUCKET" },
        ));
    }
    Ok(told)
}

/// What a page asks for: by the request itself, or by what it says that it will send. S3 reads that of
/// every request.
struct Asked<'a> {
    origin: &'a str,
    method: &'a str,
    /// In lower case.
    headers: Vec<String>,
}

impl<'a> Asked<'a> {
    fn read(parts: &'a Parts) -> Option<Self> {
        let origin = text(parts, header::ORIGIN)?;
        let said = text(parts, header::ACCESS_CONTROL_REQUEST_METHOD);
        let method = match said {
            Some(method) => method,
            None if parts.method == Method::OPTIONS => return None,
            None => parts.method.as_str(),
        };
        let named = text(parts, header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let headers = named
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase());
        Some(Self {
            origin,
            method,
            headers: headers.filter(|name| !name.is_empty()).collect(),
        })
    }

    /// The origin of a rule by which it is let in.
    fn origin_in<'r>(&self, rule: &'r CORSRule) -> Option<&'r str> {
        let mut origins = rule.allowed_origins.iter();
        let origin = origins.find(|origin| matches(origin, self.origin))?;
        let names = rule.allowed_headers.as_deref().unwrap_or_default();
        let is_allowed = |header: &String| {
            names
                .iter()
                .any(|name| matches(&name.to_ascii_lowercase(), header))
        };
        let fits = rule
            .allowed_methods
            .iter()
            .any(|method| method == self.method)
            && self.headers.iter().all(is_allowed);
        fits.then_some(origin.as_str())
    }
}

/// A pattern has one `*` at most.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, end)) => {
            text.len() >= begin.len() + end.len() && text.starts_with(begin) && text.ends_with(end)
        }
    }
}

fn text(parts: &Parts, name: HeaderName) -> Option<&str> {
    parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, methods: &[&str], headers: &[&str]) -> CORSRule {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        CORSRule {
            allowed_headers: Some(owned(headers)),
            allowed_methods: owned(methods),
            allowed_origins: vec![origin.to_owned()],
            max_age_seconds: Some(3000),
            ..CORSRule::default()
        }
    }

    fn ask(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri("/k");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn told(rule: CORSRule, parts: &Parts) -> String {
        let told = headers(&[rule], parts);
        let lines = told.iter().filter(|(name, _)| name != header::VARY);
        lines.map(|(n, v)| format!("{n}: {v}\n")).collect()
    }

    #[test]
    fn the_first_rule_that_lets_it_in_is_told() {
        let page = "https://localhost:4200";
        let question = ask(
            "OPTIONS",
            &[
                ("origin", page),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-AMZ-a,x-amz-b"),
            ],
        );
        assert_eq!(
            told(rule(page, &["GET", "PUT"], &["x-amz-*"]), &question),
            "access-control-allow-origin: https://localhost:4200\n\
             access-control-allow-methods: GET, PUT\n\
             access-control-allow-headers: x-amz-a, x-amz-b\n\
             access-control-max-age: 3000\n\
             access-control-allow-credentials: true\n"
        );
        assert_eq!(told(rule(page, &["GET"], &["*"]), &question), "");
        assert_eq!(told(rule(page, &["PUT"], &["x-amz-a"]), &question), "");
        assert_eq!(
            told(rule("https://localhost", &["PUT"], &["*"]), &question),
            ""
        );
        let any = told(rule("*", &["PUT"], &["*"]), &question);
        assert!(any.starts_with("access-control-allow-origin: *\n"));
        assert!(!any.contains("credentials"));
    }

    #[test]
    fn a_request_itself_is_a_question_too() {
        let rule = || rule("http://*.origin.com", &["GET"], &[]);
        let get = |headers: &[(&str, &str)]| told(rule(), &ask("GET", headers));
        assert!(!get(&[("origin", "http://a.origin.com")]).is_empty());
        assert_eq!(get(&[("origin", "http://a.origin.com/")]), "");
        let other = [
            ("origin", "http://a.origin.com"),
            ("access-control-request-method", "PUT"),
        ];
        assert_eq!(get(&other), "");
        assert_eq!(get(&[]), "");
    }

    #[test]
    fn a_question_without_an_answer_says_why() {
        let check =
            |rules: Option<&[CORSRule]>, headers: &[(&str, &str)], code: &str, kind: &str| {
                let error = preflight(rules, &ask("OPTIONS", headers), true).unwrap_err();
                let resource = error
                    .members
                    .iter()
                    .find(|(name, _)| *name == "ResourceType");
                let resource = resource.map(|(_, value)| value.clone());
                assert_eq!(error.code, code);
                assert_eq!(resource, (!kind.is_empty()).then(|| kind.into()));
            };
        check(None, &[], "BadRequest", "");
        check(None, &[("origin", "x")], "AccessForbidden", "BUCKET");
        check(Some(&[]), &[("origin", "x")], "AccessForbidden", "OBJECT");
    }
}
