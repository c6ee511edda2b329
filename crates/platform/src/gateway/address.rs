//! Which function URL a request is for: by host, `<id>.lambda-url.<region>.<any domain>`, or where
//! such a name does not resolve by path, `/_lambent/url/<id>/…`.

use std::borrow::Cow;

use http::{Uri, request::Parts, uri::PathAndQuery};

use crate::functions::URL_PATH;

/// AWS's ids have 32 characters; ours may grow.
const ID_MAX: usize = 64;

/// A function URL's name as a request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub url_id: String,
    /// The path that the function sees, where it is not the request's own.
    path: Option<String>,
}

/// The function URL that a request is for, if it is for one.
pub fn of(parts: &Parts) -> Option<Address> {
    if let Some(id) = host(parts).as_deref().and_then(id_in_host) {
        return Some(Address {
            url_id: id,
            path: None,
        });
    }
    let rest = parts.uri.path().strip_prefix(URL_PATH)?;
    let (id, path) = match rest.split_once('/') {
        Some((id, path)) => (id, format!("/{path}")),
        None => (rest, "/".to_owned()),
    };
    is_id(id).then(|| Address {
        url_id: id.to_owned(),
        path: Some(path),
    })
}

/// The host that was asked for, with its port if it has one.
pub fn host(parts: &Parts) -> Option<Cow<'_, str>> {
    if let Some(authority) = parts.uri.authority() {
        return Some(Cow::Borrowed(authority.as_str()));
    }
    let host = parts.headers.get(http::header::HOST)?;
    host.to_str().ok().map(Cow::Borrowed)
}

impl Address {
    /// Makes the request one to the URL itself.
    pub fn rewrite(&self, parts: &mut Parts) {
        let Some(path) = &self.path else { return };
        let whole = match parts.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        // Part of a valid target, from a slash on: it is one itself.
        if let Ok(path) = whole.parse::<PathAndQuery>() {
            parts.uri = Uri::from(path);
        }
    }
}

fn id_in_host(host: &str) -> Option<String> {
    let (id, _) = wire::events::url::parse_host(host)?;
    is_id(id).then(|| id.to_owned())
}

fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, host: &str) -> Parts {
        let request = http::Request::builder().uri(uri).header("host", host);
        request.body(()).expect("a valid request").into_parts().0
    }

    #[test]
    fn names_are_found_in_hosts_and_paths() {
        for (uri, host, expect) in [
            (
                "/",
                "abc1.lambda-url.us-east-1.localhost:4566",
                Some("abc1"),
            ),
            ("/", "abc1.lambda-url.us-east-1.on.example", Some("abc1")),
            ("/", "abc1.execute-api.us-east-1.localhost", None),
            ("/", "127.0.0.1:4566", None),
            ("/", "a-b.lambda-url.us-east-1.localhost", None),
            ("/_lambent/url/abc1", "127.0.0.1:4566", Some("abc1")),
            ("/_lambent/url/abc1/x/y?z", "127.0.0.1:4566", Some("abc1")),
            ("/_lambent/url/", "127.0.0.1:4566", None),
            ("/_lambent/url/../x", "127.0.0.1:4566", None),
            ("/2015-03-31/functions", "127.0.0.1:4566", None),
        ] {
            let found = of(&parts(uri, host)).map(|address| address.url_id);
            assert_eq!(found.as_deref(), expect, "{host}{uri}");
        }
    }

    #[test]
    fn the_function_sees_its_own_path() {
        for (uri, expect) in [
            ("/_lambent/url/abc1", "/"),
            ("/_lambent/url/abc1/", "/"),
            ("/_lambent/url/abc1/a%20b/?c=d&e", "/a%20b/?c=d&e"),
        ] {
            let mut parts = parts(uri, "127.0.0.1:4566");
            of(&parts).expect("it is one").rewrite(&mut parts);
            assert_eq!(parts.uri, *expect);
        }
    }
}
