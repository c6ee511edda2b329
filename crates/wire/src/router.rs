//! From a request's method, host and path to the operation it means.
//!
//! Paths are matched segment by segment in a tree that is built once; a label is decoded only when
//! it has matched. Which services share the address is given at the start; telling them apart by
//! `X-Amz-Target`, by form action or by host joins here when the second one does.

use http::request;

use crate::{
    error::Error,
    protocol::Protocol,
    query,
    schema::{Operation, Service},
};

/// Finds operations.
#[derive(Debug)]
pub struct Router {
    root: Node,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Route {
    pub service: &'static Service,
    pub protocol: Protocol,
    pub operation: &'static Operation,
    pub labels: Labels,
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
}

#[derive(Debug, Default)]
struct Node {
    fixed: Vec<(&'static str, Node)>,
    /// A segment of any text.
    label: Option<Box<Node>>,
    /// The rest of the path, whatever it is: `{Key+}`.
    greedy: Vec<Leaf>,
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    service: &'static Service,
    protocol: Protocol,
    operation: &'static Operation,
    /// What the query string must have, e.g. `List=ALL`.
    query: Vec<(&'static str, &'static str)>,
    /// Names of the labels on the way here.
    labels: Vec<&'static str>,
}

impl Router {
    pub fn new(services: &[&'static Service]) -> Self {
        let mut root = Node::default();
        for &service in services {
            let rest = |p: &&Protocol| matches!(p, Protocol::RestJson1 | Protocol::RestXml);
            let Some(&protocol) = service.protocols.iter().find(rest) else {
                continue;
            };
            for operation in service.operations {
                root.insert(service, protocol, operation);
            }
        }
        root.sort();
        Self { root }
    }

    /// AWS answers a path that it does not know before it looks at the signature.
    pub fn route(&self, parts: &request::Parts) -> Result<Route, Error> {
        let path = parts.uri.path();
        // One slash at the end means nothing: old SDKs send `/2015-03-31/functions/`.
        let trimmed = path.strip_prefix('/').unwrap_or(path);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        let wanted = Wanted {
            method: parts.method.as_str(),
            query: parts.uri.query().unwrap_or_default(),
        };
        let mut raw = Vec::with_capacity(4);
        let leaf = self
            .root
            .find(trimmed, &wanted, &mut raw)
            .ok_or_else(Error::unknown_operation)?;
        let labels = leaf.labels.iter().zip(&raw);
        Ok(Route {
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
}

struct Wanted<'a> {
    method: &'a str,
    query: &'a str,
}

impl Node {
    fn insert(
        &mut self,
        service: &'static Service,
        protocol: Protocol,
        operation: &'static Operation,
    ) {
        let (path, query) = operation.uri.split_once('?').unwrap_or((operation.uri, ""));
        let mut labels = Vec::new();
        let mut node = self;
        let mut greedy = false;
        for segment in path.trim_matches('/').split('/') {
            match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                Some(label) => {
                    greedy = label.ends_with('+');
                    labels.push(label.trim_end_matches('+'));
                    if !greedy {
                        node = node.label.get_or_insert_default();
                    }
                }
                None => node = node.child(segment),
            }
        }
        let query = query::pairs(query).collect();
        let leaf = Leaf {
            service,
            protocol,
            operation,
            query,
            labels,
        };
        if greedy {
            node.greedy.push(leaf)
        } else {
            node.leaves.push(leaf)
        }
    }

    fn child(&mut self, segment: &'static str) -> &mut Self {
        let at = match self.fixed.iter().position(|(name, _)| *name == segment) {
            Some(at) => at,
            None => {
                self.fixed.push((segment, Self::default()));
                self.fixed.len() - 1
            }
        };
        &mut self.fixed[at].1
    }

    /// Leaves that ask more of the query string come first.
    fn sort(&mut self) {
        self.leaves
            .sort_by_key(|leaf| std::cmp::Reverse(leaf.query.len()));
        self.greedy
            .sort_by_key(|leaf| std::cmp::Reverse(leaf.query.len()));
        for (_, child) in &mut self.fixed {
            child.sort();
        }
        if let Some(label) = &mut self.label {
            label.sort();
        }
    }

    /// Fixed segments win over labels, labels over the rest of a path.
    fn find<'a>(&self, path: &'a str, wanted: &Wanted, raw: &mut Vec<&'a str>) -> Option<&Leaf> {
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        let depth = raw.len();
        let fixed = self
            .fixed
            .iter()
            .find(|(name, _)| *name == segment)
            .map(|(_, node)| node);
        if let Some(leaf) = fixed.and_then(|node| node.step(rest, wanted, raw)) {
            return Some(leaf);
        }
        raw.truncate(depth);
        if let Some(node) = self.label.as_deref().filter(|_| !segment.is_empty()) {
            raw.push(segment);
            if let Some(leaf) = node.step(rest, wanted, raw) {
                return Some(leaf);
            }
            raw.truncate(depth);
        }
        raw.push(path);
        self.greedy.iter().find(|leaf| leaf.answers(wanted))
    }

    fn step<'a>(
        &self,
        rest: Option<&'a str>,
        wanted: &Wanted,
        raw: &mut Vec<&'a str>,
    ) -> Option<&Leaf> {
        match rest {
            Some(rest) => self.find(rest, wanted, raw),
            None => self.here(wanted),
        }
    }

    fn here(&self, wanted: &Wanted) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.answers(wanted))
    }
}

impl Leaf {
    fn answers(&self, wanted: &Wanted) -> bool {
        self.operation.method == wanted.method
            && self
                .query
                .iter()
                .all(|pair| query::pairs(wanted.query).any(|p| p == *pair))
    }
}
