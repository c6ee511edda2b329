//! Where a function's connections may go, as the tag `lambent:network` says it: `off`, `world`, or
//! destinations with spaces between them, e.g. `10.0.0.0/8:5432 api.example.com:443 .example.org`.
//!
//! Tags cannot hold `*`, so a leading dot stands for all names below one; `*.` is understood too.

use std::net::IpAddr;

use sandbox::{Destination, DestinationHost, NetworkPolicy};

use super::limits;

/// The tag's key.
pub const TAG: &str = "lambent:network";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error(
        "The value of the tag {TAG} is empty: it is off, world, or destinations such as \
         10.0.0.0/8:5432 api.example.com:443 .example.org"
    )]
    Empty,
    #[error(
        "The tag {TAG} names more than {} destinations",
        limits::NETWORK_DESTINATIONS_MAX
    )]
    TooMany,
    #[error("The destination '{word}' in the tag {TAG} {reason}")]
    Bad { word: String, reason: &'static str },
}

/// Reads the tag's value; without the tag a function reaches the world, as in Lambda.
pub fn parse(value: Option<&str>) -> Result<NetworkPolicy, NetworkError> {
    let Some(value) = value else {
        return Ok(NetworkPolicy::World);
    };
    let words: Vec<&str> = value.split_whitespace().collect();
    match words.as_slice() {
        [] => Err(NetworkError::Empty),
        ["off"] => Ok(NetworkPolicy::Off),
        ["world"] => Ok(NetworkPolicy::World),
        words if words.len() > limits::NETWORK_DESTINATIONS_MAX => Err(NetworkError::TooMany),
        words => words
            .iter()
            .map(|word| {
                destination(word).map_err(|reason| NetworkError::Bad {
                    word: (*word).to_owned(),
                    reason,
                })
            })
            .collect::<Result<_, _>>()
            .map(NetworkPolicy::Allow),
    }
}

fn destination(word: &str) -> Result<Destination, &'static str> {
    if matches!(word, "off" | "world") {
        return Err("stands alone or not at all");
    }
    if let Some((address, rest)) = word.split_once('/') {
        let address: IpAddr = unbracketed(address).parse().map_err(|_| NOT_A_NETWORK)?;
        let (prefix, port) = port_of(rest)?;
        return net(address, prefix.parse().map_err(|_| NOT_A_NETWORK)?, port);
    }
    // An IPv6 address has colons of its own, so its port needs the prefix length or brackets.
    if let Ok(address) = word.parse::<IpAddr>() {
        return net(address, width(address), None);
    }
    let (host, port) = port_of(word)?;
    match unbracketed(host).parse::<IpAddr>() {
        Ok(address) => net(address, width(address), port),
        Err(_) => Ok(Destination {
            host: DestinationHost::Name(name(host)?),
            port,
        }),
    }
}

const NOT_A_NETWORK: &str = "is not a network such as 10.0.0.0/8";

fn net(address: IpAddr, prefix: u8, port: Option<u16>) -> Result<Destination, &'static str> {
    if prefix > width(address) {
        return Err("has a prefix longer than its address");
    }
    Ok(Destination {
        host: DestinationHost::Net(address, prefix),
        port,
    })
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

fn port_of(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let Some((rest, port)) = text.rsplit_once(':') else {
        return Ok((text, None));
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((rest, Some(port))),
        _ => Err("has a port that is not 1 to 65535"),
    }
}

/// A DNS name in lower case, `*.` in front for all below it.
fn name(host: &str) -> Result<String, &'static str> {
    let host = host.to_ascii_lowercase();
    let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
    let name = below.unwrap_or(&host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if name.len() > 253 || numeric || !name.split('.').all(label) {
        return Err("is neither a network nor a host name");
    }
    Ok(match below {
        Some(name) => format!("*.{name}"),
        None => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> Destination {
        match parse(Some(word)).unwrap() {
            NetworkPolicy::Allow(mut all) if all.len() == 1 => all.remove(0),
            other => panic!("{word}: {other:?}"),
        }
    }

    fn named(word: &str) -> (String, Option<u16>) {
        match one(word) {
            Destination {
                host: DestinationHost::Name(name),
                port,
            } => (name, port),
            other => panic!("{word}: {other:?}"),
        }
    }

    fn network(word: &str) -> (String, Option<u16>) {
        match one(word) {
            Destination {
                host: DestinationHost::Net(address, prefix),
                port,
            } => (format!("{address}/{prefix}"), port),
            other => panic!("{word}: {other:?}"),
        }
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse(None), Ok(NetworkPolicy::World));
        assert_eq!(parse(Some("world")), Ok(NetworkPolicy::World));
        assert_eq!(parse(Some(" off ")), Ok(NetworkPolicy::Off));
        assert_eq!(
            network("10.0.0.0/8:5432"),
            ("10.0.0.0/8".into(), Some(5432))
        );
        assert_eq!(network("10.1.2.3"), ("10.1.2.3/32".into(), None));
        assert_eq!(network("10.1.2.3:80"), ("10.1.2.3/32".into(), Some(80)));
        assert_eq!(
            network("2001:db8::/32:443"),
            ("2001:db8::/32".into(), Some(443))
        );
        assert_eq!(
            network("[2001:db8::1]:443"),
            ("2001:db8::1/128".into(), Some(443))
        );
        assert_eq!(network("2001:db8::1"), ("2001:db8::1/128".into(), None));
        assert_eq!(
            named("API.example.com:443"),
            ("api.example.com".into(), Some(443))
        );
        assert_eq!(named("*.example.org"), ("*.example.org".into(), None));
        assert_eq!(
            named(".example.org:443"),
            ("*.example.org".into(), Some(443))
        );
        let all = parse(Some("10.0.0.0/8:5432 api.example.com:443 *.example.org"));
        assert!(matches!(all, Ok(NetworkPolicy::Allow(all)) if all.len() == 3));
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let check = |value: &str, reason: &str| {
            let message = parse(Some(value)).unwrap_err().to_string();
            assert!(message.contains(reason), "{value}: {message}");
        };
        check("", "is empty");
        check("10.0.0.0/33", "prefix longer");
        check("10.0.0/8", "is not a network");
        check("10.0.0.0/x", "is not a network");
        check("a.example:0", "port");
        check("a.example:99999", "port");
        check("off a.example", "stands alone");
        check("300.1.1.1", "neither a network nor a host name");
        check("a..b", "neither a network nor a host name");
        check("*", "neither a network nor a host name");
        check(&"a.example ".repeat(65), "more than 64");
    }
}
