//! Queue URLs: how queues are named to clients, and every form in which clients name them.
//!
//! A URL leads back to the host that the client used. AWS's hosts name the region
//! (`sqs.eu-west-1.amazonaws.com`), and so does a URL that is given to a client of such a host. A
//! host without room for it, such as `localhost:4566` or an address, names other regions than the
//! default one in the path (`/queue/eu-west-1/123456789012/name`), as a name in front of it need not
//! resolve. Clients that send to the URL itself, and those that keep to their endpoint, both arrive.
//!
//! Requests come without TLS. Where the operator says that clients reach a host by it, there is
//! something in front that speaks it, and URLs to that host do, too.

use std::borrow::Cow;

use super::{
    definition::QueueKey,
    error::{Error, Result},
};
use crate::identity::DEFAULT_REGION;

/// What stands before the region in a path that names it.
const PATH_PREFIX: &str = "queue";

/// A domain whose names all lead to the own machine; clients made for it expect its form.
const WILDCARD_DOMAIN: &str = "localhost.localstack.cloud";

/// What a QueueUrl says. The parts that it leaves out are the request's own.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub region: Option<&'a str>,
    pub account_id: Option<&'a str>,
    pub name: &'a str,
}

/// The host that speaks TLS in front of the platform, and all names below it; there may be none.
#[derive(Debug, Default)]
pub struct TlsHost(Option<String>);

impl TlsHost {
    /// By the address that the operator gave for the platform, e.g. `https://aws.example.org`.
    pub fn of(base_url: &str) -> Self {
        let host = base_url.strip_prefix("https://");
        Self(host.map(|host| canonical(host.trim_end_matches('/'))))
    }

    fn scheme_of(&self, host: &str) -> &'static str {
        let Some(tls) = &self.0 else { return "http" };
        let host = canonical(host);
        let before = host.strip_suffix(tls.as_str());
        match before.is_some_and(|before| before.is_empty() || before.ends_with('.')) {
            true => "https",
            false => "http",
        }
    }
}

/// In small letters, and without the port if that is the usual one.
fn canonical(host: &str) -> String {
    host.strip_suffix(":443")
        .unwrap_or(host)
        .to_ascii_lowercase()
}

/// The URL of a queue, for the client that used `host`.
pub fn write(tls: &TlsHost, host: &str, queue: &QueueKey) -> String {
    let scheme = tls.scheme_of(host);
    let QueueKey {
        account_id,
        region,
        name,
    } = queue;
    match with_region(host, region) {
        Some(host) => format!("{scheme}://{host}/{account_id}/{name}"),
        None if region == DEFAULT_REGION => format!("{scheme}://{host}/{account_id}/{name}"),
        None => format!("{scheme}://{host}/{PATH_PREFIX}/{region}/{account_id}/{name}"),
    }
}

/// Reads a QueueUrl: a URL, its path, or the name alone, which SQS takes as well.
pub fn read(text: &str) -> Result<Named<'_>> {
    let (host, path) = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        None => ("", text),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some((&name, before)) = parts.split_last() else {
        return Err(Error::NoAddress(text.to_owned()));
    };
    let region_of_path = match before {
        [PATH_PREFIX, region, _] => Some(*region),
        _ => None,
    };
    let account_id = before.last().copied().filter(|part| is_account(part));
    Ok(Named {
        region: region_of_path.or_else(|| region_of_host(host)),
        account_id,
        name,
    })
}

pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The host with this region in the place that it has for one.
fn with_region<'a>(host: &'a str, region: &str) -> Option<Cow<'a, str>> {
    if host == WILDCARD_DOMAIN || port_of(host, WILDCARD_DOMAIN).is_some() {
        return Some(format!("sqs.{region}.{host}").into());
    }
    if let Some(held) = region_of_host(host) {
        // `queue.amazonaws.com` says nothing and means one.
        if let Some(at) = host.find(held) {
            let (before, after) = (&host[..at], &host[at + held.len()..]);
            return Some(format!("{before}{region}{after}").into());
        }
    }
    let (first, rest) = host.split_once('.')?;
    match first {
        "sqs" => Some(format!("sqs.{region}.{rest}").into()),
        "queue" if region == DEFAULT_REGION => Some(Cow::Borrowed(host)),
        "queue" => Some(format!("{region}.{host}").into()),
        _ => None,
    }
}

fn port_of<'a>(host: &'a str, name: &str) -> Option<&'a str> {
    host.strip_prefix(name)?.strip_prefix(':')
}

/// The region that a host names, in any of the forms that AWS and its likes have or had:
/// `sqs.REGION.…`, `sqs-fips.REGION.…`, `REGION.queue.…`.
fn region_of_host(host: &str) -> Option<&str> {
    let host_alone = host.split(':').next().unwrap_or_default();
    if host_alone == "queue.amazonaws.com" {
        return Some(DEFAULT_REGION);
    }
    let labels: Vec<&str> = host_alone.split('.').collect();
    labels.windows(2).find_map(|pair| match *pair {
        ["sqs" | "sqs-fips", region] if is_region(region) => Some(region),
        [region, "queue"] if is_region(region) => Some(region),
        _ => None,
    })
}

/// Whether it looks like a region: `eu-west-1`, `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let area = parts.next().unwrap_or_default();
    let number = parts.next_back().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    letters(&area)
        && !rest.is_empty()
        && rest.iter().all(letters)
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(region: &str) -> QueueKey {
        QueueKey {
            account_id: "123456789012".into(),
            region: region.into(),
            name: "jobs".into(),
        }
    }

    #[test]
    fn a_url_leads_back_to_the_host_and_names_the_region() {
        for (host, region, url) in [
            (
                "localhost:4566",
                "us-east-1",
                "http://localhost:4566/123456789012/jobs",
            ),
            (
                "127.0.0.1:4566",
                "eu-west-1",
                "http://127.0.0.1:4566/queue/eu-west-1/123456789012/jobs",
            ),
            (
                "sqs.us-east-1.amazonaws.com",
                "eu-west-1",
                "http://sqs.eu-west-1.amazonaws.com/123456789012/jobs",
            ),
            (
                "localhost.localstack.cloud:4566",
                "us-east-1",
                "http://sqs.us-east-1.localhost.localstack.cloud:4566/123456789012/jobs",
            ),
            (
                "eu-west-1.queue.localhost:80",
                "eu-west-1",
                "http://eu-west-1.queue.localhost:80/123456789012/jobs",
            ),
            (
                "queue.amazonaws.com",
                "eu-west-1",
                "http://eu-west-1.queue.amazonaws.com/123456789012/jobs",
            ),
            (
                "queue.amazonaws.com",
                "us-east-1",
                "http://queue.amazonaws.com/123456789012/jobs",
            ),
            (
                "sqs.localhost",
                "us-east-1",
                "http://sqs.us-east-1.localhost/123456789012/jobs",
            ),
        ] {
            let written = write(&TlsHost::default(), host, &key(region));
            assert_eq!(written, url);
            let named = read(&written).expect("it is a URL");
            assert_eq!(named.region.unwrap_or("us-east-1"), region, "{url}");
            assert_eq!(named.account_id, Some("123456789012"));
            assert_eq!(named.name, "jobs");
        }
    }

    #[test]
    fn a_host_that_clients_reach_by_tls_is_named_so() {
        for (base_url, host, url) in [
            (
                "https://aws.example.org",
                "aws.example.org",
                "https://aws.example.org",
            ),
            (
                "https://Aws.example.org",
                "aws.Example.org:443",
                "https://aws.Example.org:443",
            ),
            (
                "https://aws.example.org:8443",
                "sqs.us-east-1.aws.example.org:8443",
                "https://sqs.us-east-1.aws.example.org:8443",
            ),
            // Whoever came by another way is led back by that.
            (
                "https://aws.example.org",
                "127.0.0.1:4566",
                "http://127.0.0.1:4566",
            ),
            (
                "https://aws.example.org",
                "laws.example.org",
                "http://laws.example.org",
            ),
            (
                "https://aws.example.org",
                "aws.example.org:4566",
                "http://aws.example.org:4566",
            ),
            (
                "http://aws.example.org",
                "aws.example.org",
                "http://aws.example.org",
            ),
        ] {
            let written = write(&TlsHost::of(base_url), host, &key("us-east-1"));
            assert_eq!(written, format!("{url}/123456789012/jobs"), "{base_url}");
        }
    }

    #[test]
    fn every_form_of_a_queues_name_is_taken() {
        for (text, region, account_id) in [
            ("jobs", None, None),
            ("/123456789012/jobs", None, Some("123456789012")),
            ("123456789012/jobs", None, Some("123456789012")),
            ("http://localhost:9324/queue/jobs", None, None),
            (
                "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs",
                Some("eu-west-1"),
                Some("123456789012"),
            ),
            (
                "https://queue.amazonaws.com/123456789012/jobs?x=1",
                Some("us-east-1"),
                Some("123456789012"),
            ),
            (
                "https://vpce-1-2.sqs.us-gov-east-1.vpce.amazonaws.com/123456789012/jobs/",
                Some("us-gov-east-1"),
                Some("123456789012"),
            ),
        ] {
            let expected = Named {
                region,
                account_id,
                name: "jobs",
            };
            assert_eq!(read(text).expect("it is taken"), expected, "{text}");
        }
        for text in ["", "http://localhost:4566", "http://localhost:4566/", "//"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
