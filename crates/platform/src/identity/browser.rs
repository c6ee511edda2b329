//! Requests that a web page sends: browsers say where they come from, in headers that pages cannot
//! change. Programs send none of these.

use http::{HeaderMap, header, request::Parts};

/// Whether a page that is not this machine's own sent the request. A name that somebody else
/// points to loopback (DNS rebinding) makes a page seem to be of the same site, so a browser's
/// request has to ask for this machine by its own name as well.
pub fn is_foreign(parts: &Parts) -> bool {
    let headers = &parts.headers;
    if let Some(origin) = headers.get(header::ORIGIN) {
        let host = origin.to_str().ok().and_then(|o| o.split_once("://"));
        return !host.is_some_and(|(_, host)| is_local(host));
    }
    let site = text(headers, "sec-fetch-site");
    match site {
        None => false,
        Some("same-origin" | "same-site" | "none") => !text(headers, "host").is_some_and(is_local),
        Some(_) => true,
    }
}

/// A host, perhaps with a port, that is always this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let loopback = |ip: std::net::IpAddr| ip.is_loopback();
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(loopback)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_pages_of_others_from_programs() {
        for (expect, headers) in [
            (false, &[("host", "lambent.example")][..]),
            (true, &[("origin", "https://evil.example")]),
            (true, &[("origin", "null")]),
            (true, &[("origin", "http://localhost.evil.example")]),
            (false, &[("origin", "http://localhost:4566")]),
            (false, &[("origin", "http://[::1]:4566")]),
            (
                true,
                &[("host", "127.0.0.1:4566"), ("sec-fetch-site", "cross-site")],
            ),
            (
                true,
                &[("host", "evil.example"), ("sec-fetch-site", "same-origin")],
            ),
            (
                false,
                &[("host", "127.0.0.1:4566"), ("sec-fetch-site", "none")],
            ),
        ] {
            let mut request = http::Request::builder();
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).expect("a valid request").into_parts();
            assert_eq!(is_foreign(&parts), expect, "{headers:?}");
        }
    }
}
