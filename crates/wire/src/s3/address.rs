//! Which bucket and which key a request is for: by its host, or by its path.
//!
//! Keys are any text, so a path is taken as it came: nothing in it is a directory, `//` and `..` are
//! parts of names, and `+` is a plus.

use std::borrow::Cow;

use http::request::Parts;

use crate::query;

/// What a request is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// None for what is about all buckets.
    pub bucket: Option<String>,
    /// None for what is about the bucket itself.
    pub key: Option<String>,
    /// The region that the host names.
    pub region: Option<String>,
    /// Whether the host is that of a bucket as a web site.
    pub is_website: bool,
}

/// What a host says by itself.
#[derive(Debug, PartialEq, Eq)]
struct Host<'a> {
    bucket: Option<&'a str>,
    region: Option<&'a str>,
    is_website: bool,
}

/// The path is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoText;

/// Reads what a request is for. `base` is the host by which this server is reached: below it, the names
/// are those of buckets.
pub fn of(parts: &Parts, base: Option<&str>) -> Result<Address, NoText> {
    let asked = host(parts);
    let named = asked.as_deref().and_then(named);
    let below = || asked.as_deref().and_then(|asked| below(asked, base?));
    let (bucket, region, is_website) = match named {
        Some(host) => (host.bucket, host.region, host.is_website),
        None => (below(), None, false),
    };
    let path = parts.uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = match bucket {
        Some(bucket) => (Some(bucket.to_owned()), path),
        None => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            let bucket = decoded(bucket)?;
            (Some(bucket).filter(|bucket| !bucket.is_empty()), key)
        }
    };
    let key = decoded(key)?;
    Ok(Address {
        bucket,
        key: Some(key).filter(|key| !key.is_empty()),
        region: region.map(str::to_owned),
        is_website,
    })
}

/// The bucket that a host names, where `bucket` is what the request is for. Below a server's own name
/// that shows by what its path does not begin with.
pub fn bucket_in_host(parts: &Parts, bucket: Option<&str>) -> Option<String> {
    if let Some(host) = host(parts).as_deref().and_then(named) {
        return host.bucket.map(str::to_owned);
    }
    let by_path = of(parts, None).ok()?.bucket;
    bucket
        .filter(|bucket| by_path.as_deref() != Some(*bucket))
        .map(str::to_owned)
}

/// Whether a host is S3's, whatever else a request says.
pub fn is_of_s3(parts: &Parts) -> bool {
    host(parts).as_deref().and_then(named).is_some()
}

/// Whether a path could be a bucket's, of somebody who does not say which service he means. The
/// others' paths begin with the date of their version.
pub fn could_be_bucket(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    let name = path.split('/').next().unwrap_or_default().as_bytes();
    let is_dated = name.len() == 10 && name[4] == b'-' && name.starts_with(b"20");
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(b);
    (3..=63).contains(&name.len()) && name.iter().all(plain) && !is_dated
}

fn decoded(raw: &str) -> Result<String, NoText> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    String::from_utf8(query::decode_bytes(raw, false)).map_err(|_| NoText)
}

/// Without its port, in lower case.
fn host(parts: &Parts) -> Option<Cow<'_, str>> {
    let whole = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(http::header::HOST)?.to_str().ok()?,
    };
    let name = match whole.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => whole,
    };
    Some(match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    })
}

/// `[<bucket>.]s3[.dualstack][.<region>].<any domain>`, and the older `s3-<region>`. Buckets' names
/// may have dots, so it is the last label of that kind that counts.
fn named(host: &str) -> Option<Host<'_>> {
    let mut ends = host.len();
    loop {
        let begins = host[..ends].rfind('.').map_or(0, |dot| dot + 1);
        let (label, rest) = (&host[begins..ends], host.get(ends + 1..).unwrap_or(""));
        if let Some((region, is_website)) = service_label(label, rest).filter(|_| !rest.is_empty())
        {
            let bucket = host[..begins].strip_suffix('.');
            return Some(Host {
                bucket: bucket.filter(|bucket| !bucket.is_empty()),
                region,
                is_website,
            });
        }
        ends = begins.checked_sub(1)?;
    }
}

/// The region that comes with a label of S3's, if it is one; and whether it is that of web sites.
fn service_label<'a>(label: &'a str, rest: &'a str) -> Option<(Option<&'a str>, bool)> {
    let after = |rest: &'a str| {
        let rest = rest.strip_prefix("dualstack.").unwrap_or(rest);
        let first = rest.split('.').next().unwrap_or_default();
        is_region(first).then_some(first)
    };
    match label {
        "s3" => Some((after(rest), false)),
        "s3-website" => Some((after(rest), true)),
        "s3-accelerate" | "s3-external-1" => Some((None, false)),
        _ => {
            let name = label.strip_prefix("s3-")?;
            let (name, is_website) = match name.strip_prefix("website-") {
                Some(name) => (name, true),
                None => (name, false),
            };
            is_region(name).then_some((Some(name), is_website))
        }
    }
}

/// `us-east-1`, `ap-southeast-2`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let last = text.rsplit('-').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let first = parts.next().unwrap_or_default();
    is_number && first.len() == 2 && text.split('-').count() >= 3
}

fn below<'a>(host: &'a str, base: &str) -> Option<&'a str> {
    let bucket = host.strip_suffix(base)?.strip_suffix('.')?;
    (!bucket.is_empty()).then_some(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, host: &str) -> Parts {
        let request = http::Request::builder().uri(uri).header("host", host);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_is_for_what_its_host_or_its_path_names() {
        let check = |host: &str, uri: &str, bucket: Option<&str>, key: Option<&str>| {
            let address = of(&parts(uri, host), Some("localhost")).unwrap();
            let found = (address.bucket.as_deref(), address.key.as_deref());
            assert_eq!(found, (bucket, key), "{host}{uri}");
        };
        check("127.0.0.1:4566", "/", None, None);
        check("127.0.0.1:4566", "/b", Some("b"), None);
        check("127.0.0.1:4566", "/b/", Some("b"), None);
        check("localhost:4566", "/b//", Some("b"), Some("/"));
        check("[::1]:4566", "/b/k", Some("b"), Some("k"));
        check("s3.localhost:4566", "/b/k", Some("b"), Some("k"));
        check("b.s3.localhost:4566", "/k/../l", Some("b"), Some("k/../l"));
        check("b.s3.us-east-1.localhost", "/", Some("b"), None);
        check(
            "a.b.s3.eu-west-1.amazonaws.com",
            "//k",
            Some("a.b"),
            Some("/k"),
        );
        check(
            "a.s3.b.s3.dualstack.eu-west-1.example",
            "/k",
            Some("a.s3.b"),
            Some("k"),
        );
        check("b.s3-eu-west-1.amazonaws.com", "/k", Some("b"), Some("k"));
        check("b.localhost:4566", "/k", Some("b"), Some("k"));
        check("b.lambent.example", "/k/l", Some("k"), Some("l"));
        check("B.S3.Localhost", "/K", Some("b"), Some("K"));
        check("x", "/b/a%2Fb+c%20d%25", Some("b"), Some("a/b+c d%"));
    }

    #[test]
    fn hosts_name_regions_and_web_sites() {
        let check = |host: &str, region: Option<&str>, is_website| {
            let address = of(&parts("/", host), None).unwrap();
            assert_eq!(
                (address.region.as_deref(), address.is_website),
                (region, is_website),
                "{host}"
            );
        };
        check(
            "b.s3.us-gov-west-1.amazonaws.com",
            Some("us-gov-west-1"),
            false,
        );
        check(
            "b.s3-ap-southeast-2.amazonaws.com",
            Some("ap-southeast-2"),
            false,
        );
        check("b.s3.amazonaws.com", None, false);
        check(
            "b.s3-website-us-east-1.amazonaws.com",
            Some("us-east-1"),
            true,
        );
        check(
            "b.s3-website.eu-west-1.localhost:1",
            Some("eu-west-1"),
            true,
        );
        check("s3", None, false);
        assert!(!is_of_s3(&parts("/", "s3")) && is_of_s3(&parts("/", "s3.x")));
    }

    #[test]
    fn a_path_of_no_text_is_refused() {
        assert_eq!(of(&parts("/b/%ff", "x"), None), Err(NoText));
    }

    #[test]
    fn names_that_could_be_buckets_are_told_from_versions() {
        for (path, expect) in [
            ("/my-bucket/key", true),
            ("/2015-03-31/functions", false),
            ("/20-buckets/x", true),
            ("/", false),
            ("/ab", false),
            ("/_lambent/health", false),
            ("/Upper", false),
        ] {
            assert_eq!(could_be_bucket(path), expect, "{path}");
        }
    }
}
