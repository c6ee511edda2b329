//! Operations by path: a tree that is built once and walked segment by segment.

use crate::{
    protocol::Protocol,
    query,
    schema::{Operation, Service},
};

#[derive(Debug, Default)]
pub struct Node {
    fixed: Vec<(&'static str, Node)>,
    /// A segment of any text.
    label: Option<Box<Node>>,
    /// The rest of the path, whatever it is: `{Key+}`.
    greedy: Vec<Leaf>,
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
pub struct Leaf {
    pub service: &'static Service,
    pub protocol: Protocol,
    pub operation: &'static Operation,
    /// What the query string must have, e.g. `List=ALL`.
    query: Vec<(&'static str, &'static str)>,
    /// Names of the labels on the way here.
    pub labels: Vec<&'static str>,
}

/// What a request has beside its path.
pub struct Wanted<'a> {
    pub method: &'a str,
    pub query: &'a str,
}

impl Node {
    pub fn insert(
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
    pub fn sort(&mut self) {
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
    pub fn find<'a>(
        &self,
        path: &'a str,
        wanted: &Wanted,
        raw: &mut Vec<&'a str>,
    ) -> Option<&Leaf> {
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
