//! From a request to the operation it means, in two steps: by its head, and for the services whose
//! requests are forms by the `Action` in the body ([`Head::route`]).
//!
//! Services with paths of their own come first and pay nothing for the others; where their paths
//! meet, as with `/tags/{ResourceArn}`, the service that the signature is for decides. Those that share
//! `/` are told apart by `X-Amz-Target` or by that too. S3, whose every path is a name, is meant where
//! the host or the signature says so, and by whoever is unknown and means nothing else.

mod path;
mod rpc;
mod s3;

use http::request;

use crate::{
    error::Error,
    protocol::Protocol,
    query,
    schema::{Operation, Service},
    sigv4,
};
use path::{Node, Wanted};

pub use rpc::ByAction;

/// Finds operations.
#[derive(Debug)]
pub struct Router {
    /// The paths of each service that has some.
    paths: Vec<(&'static Service, Node)>,
    s3: Option<s3::Paths>,
    services: Vec<&'static Service>,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Route {
    pub service: &'static Service,
    pub protocol: Protocol,
    pub operation: &'static Operation,
    pub labels: Labels,
}

/// What a request's head tells.
#[derive(Debug, Clone)]
pub enum Head {
    Operation(Route),
    /// The body is a form, and may hold the operation's name.
    Action(ByAction),
}

/// Why a request goes nowhere, and in whose words that is said.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Unrouted {
    /// None where the request shows no service that is here.
    pub service: Option<&'static Service>,
    pub protocol: Protocol,
    pub error: Error,
}

/// The variable parts of a path, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(&'static str, String)>);

impl Labels {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The same with one more.
    #[must_use]
    pub fn with(&self, name: &'static str, value: String) -> Self {
        let mut all = self.0.clone();
        all.push((name, value));
        Self(all)
    }
}

impl Router {
    pub fn new(services: &[&'static Service]) -> Self {
        let paths = services.iter().filter_map(|&service| {
            let rest = |p: &&Protocol| matches!(p, Protocol::RestJson1 | Protocol::RestXml);
            if service.signing_name == "s3" {
                return None;
            }
            let &protocol = service.protocols.iter().find(rest)?;
            let mut root = Node::default();
            for operation in service.operations {
                root.insert(service, protocol, operation);
            }
            root.sort();
            Some((service, root))
        });
        let s3 = services.iter().find(|service| service.signing_name == "s3");
        Self {
            paths: paths.collect(),
            s3: s3.map(|service| s3::Paths::new(service, None)),
            services: services.to_vec(),
        }
    }

    /// The same at a host of this name, without a port: hosts below it are buckets'.
    #[must_use]
    pub fn at_host(mut self, host: &str) -> Self {
        // An address has nothing below it.
        let is_name = host.bytes().any(|b| b.is_ascii_alphabetic()) && !host.contains(':');
        if is_name {
            self.s3 = self.s3.map(|paths| paths.at(host));
        }
        self
    }

    /// Both steps at once.
    pub fn route(&self, parts: &request::Parts, body: &[u8]) -> Result<Route, Unrouted> {
        self.head(parts)?.route(parts, body)
    }

    /// AWS answers what it does not know before it looks at the signature.
    pub fn head(&self, parts: &request::Parts) -> Result<Head, Unrouted> {
        if let Some(s3) = self.s3.as_ref().filter(|s3| s3.is_meant(parts)) {
            return s3.route(parts).map(Head::Operation);
        }
        if let Some(found) = rpc::by_service_path(&self.services, parts) {
            return found.map(Head::Operation);
        }
        if let Some(route) = self.by_path(parts) {
            return Ok(Head::Operation(route));
        }
        if let Some(found) = rpc::by_target(&self.services, parts) {
            return found.map(Head::Operation);
        }
        if let Some(found) = rpc::by_action(&self.services, parts) {
            return found.map(Head::Action);
        }
        if let Some(s3) = self.s3.as_ref().filter(|s3| s3.may_be_meant(parts)) {
            return s3.route(parts).map(Head::Operation);
        }
        Err(Unrouted {
            service: None,
            protocol: Protocol::RestJson1,
            error: Error::unknown_path(),
        })
    }

    fn by_path(&self, parts: &request::Parts) -> Option<Route> {
        let trimmed = trimmed(parts.uri.path());
        let wanted = Wanted {
            method: parts.method.as_str(),
            query: parts.uri.query().unwrap_or_default(),
        };
        let mut raw = Vec::with_capacity(4);
        let leaf = match self.claimed(parts) {
            Some(root) => root.find(trimmed, &wanted, &mut raw)?,
            None => self.paths.iter().find_map(|(_, root)| {
                raw.clear();
                root.find(trimmed, &wanted, &mut raw)
            })?,
        };
        let labels = leaf.labels.iter().zip(&raw);
        Some(Route {
            service: leaf.service,
            protocol: leaf.protocol,
            operation: leaf.operation,
            labels: Labels(
                labels
                    .map(|(n, v)| (*n, query::decode(v).into_owned()))
                    .collect(),
            ),
        })
    }

    /// The paths of the service that the request is signed for.
    fn claimed(&self, parts: &request::Parts) -> Option<&Node> {
        let claimed = sigv4::parse(parts)?;
        let named = |(service, _): &&(&Service, Node)| service.signing_name == claimed.service;
        self.paths.iter().find(named).map(|(_, root)| root)
    }
}

impl Head {
    /// The operation, now that the body is there.
    pub fn route(self, parts: &request::Parts, body: &[u8]) -> Result<Route, Unrouted> {
        match self {
            Self::Operation(route) => Ok(route),
            Self::Action(action) => action.route(parts, body),
        }
    }

    /// The operation, where the head has told it.
    pub fn operation(&self) -> Option<&'static Operation> {
        match self {
            Self::Operation(route) => Some(route.operation),
            Self::Action(_) => None,
        }
    }

    /// The service it is for, or the first of those it may be for.
    pub fn service(&self) -> &'static Service {
        match self {
            Self::Operation(route) => route.service,
            Self::Action(action) => action.service(),
        }
    }

    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Operation(route) => route.protocol,
            Self::Action(action) => action.protocol(),
        }
    }
}

/// One slash at the end means nothing: old SDKs send `/2015-03-31/functions/`.
fn trimmed(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path)
}
