//! Resource policies: which services may write into an account's log groups.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use serde_json::{Map, Value};
use store::{Page, Store};
use tokio::sync::Mutex;
use wire::Timestamp;

use super::{
    error::{Error, Result},
    limits,
    tables::{POLICIES, PolicyRecord},
};
use crate::identity::{
    Principal,
    policy::{
        Bounds, Kind, Policy, Request,
        resource::{self, Allowed},
    },
};

type Key = (String, String, String);

pub struct Policies {
    store: Store,
    known: RwLock<BTreeMap<Key, PolicyRecord>>,
    changing: Mutex<()>,
}

impl Policies {
    pub async fn open(store: Store) -> Result<Self> {
        let page = Page {
            limit: u32::MAX >> 1,
            ..Page::default()
        };
        let all = store.read(move |tx| POLICIES.list(tx, page)).await?;
        let known = all.into_iter().map(|stored| {
            let policy = stored.record;
            let key = (
                policy.account_id.clone(),
                policy.region.clone(),
                policy.name.clone(),
            );
            (key, policy)
        });
        Ok(Self {
            store,
            known: RwLock::new(known.collect()),
            changing: Mutex::default(),
        })
    }

    pub async fn put(&self, mut policy: PolicyRecord) -> Result<PolicyRecord> {
        parse(&policy.document)?;
        let _changing = self.changing.lock().await;
        let key = (
            policy.account_id.clone(),
            policy.region.clone(),
            policy.name.clone(),
        );
        let all = self.list(&policy.account_id, &policy.region);
        match all.iter().find(|known| known.name == policy.name) {
            // The time says that it is another.
            Some(known) => policy.updated_ms = policy.updated_ms.max(known.updated_ms + 1),
            None if all.len() >= limits::RESOURCE_POLICIES_MAX => return Err(Error::OverLimit),
            None => {}
        }
        let written = policy.clone();
        self.store
            .write(move |tx| {
                let key = [&*written.account_id, &*written.region, &*written.name];
                POLICIES.put(tx, &key, &written).map(|_| ())
            })
            .await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, policy.clone());
        Ok(policy)
    }

    /// Whether there was one.
    pub async fn delete(&self, account_id: &str, region: &str, name: &str) -> Result<bool> {
        let _changing = self.changing.lock().await;
        let key = (account_id.to_owned(), region.to_owned(), name.to_owned());
        let stored = key.clone();
        let was_there = self
            .store
            .write(move |tx| {
                let (account_id, region, name) = &stored;
                POLICIES.delete(tx, &[account_id, region, name])
            })
            .await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(&key);
        Ok(was_there)
    }

    pub fn list(&self, account_id: &str, region: &str) -> Vec<PolicyRecord> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let first = (account_id.to_owned(), region.to_owned(), String::new());
        let is_of = |key: &Key| key.0 == account_id && key.1 == region;
        let range = known.range(first..).take_while(|(key, _)| is_of(key));
        range.map(|(_, policy)| policy.clone()).collect()
    }

    /// Whether a service may put events into a group of an account, on behalf of something.
    pub fn admit(
        &self,
        principal: &Principal,
        account_id: &str,
        region: &str,
        resource: &str,
        source: (&str, &str),
        now: Timestamp,
    ) -> bool {
        let request = Request {
            is_secure: true,
            source_arn: Some(source.0),
            source_account: Some(source.1),
            ..Request::new(
                principal,
                "logs:PutLogEvents",
                resource,
                account_id,
                region,
                now,
            )
        };
        let policies = self.list(account_id, region);
        let policies: Vec<Policy> = policies
            .iter()
            .filter_map(|policy| parse(&policy.document).ok())
            .collect();
        let decisions = policies
            .iter()
            .map(|policy| resource::decide(&request, Some(policy)));
        let mut is_allowed = false;
        for decision in decisions {
            match decision {
                Ok(Allowed::By(_)) => is_allowed = true,
                Ok(Allowed::Own) | Err(resource::Refused::NotAllowed) => {}
                Err(resource::Refused::Denied(_)) => return false,
            }
        }
        is_allowed
    }
}

fn parse(document: &str) -> Result<Policy> {
    let bounds = Bounds {
        bytes_max: limits::RESOURCE_POLICY_BYTES_MAX,
        statements_max: 100,
    };
    let parsed = Policy::parse(document, Kind::Resource, bounds);
    parsed.map_err(|error| Error::Parameter(format!("Invalid policy document: {error}")))
}

/// A policy as DescribeResourcePolicies shows it: with a version, its elements in an order of its
/// own, and lists of one as what is in them.
pub fn shown(document: &str) -> String {
    let Ok(Value::Object(mut policy)) = serde_json::from_str(document) else {
        return document.to_owned();
    };
    let mut shown = Map::new();
    let version = policy.remove("Version");
    shown.insert(
        "Version".into(),
        version.unwrap_or_else(|| "2008-10-17".into()),
    );
    if let Some(id) = policy.remove("Id") {
        shown.insert("Id".into(), id);
    }
    let statements = match policy.remove("Statement") {
        Some(Value::Array(all)) => all,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let statements = statements.into_iter().map(statement).collect();
    shown.insert("Statement".into(), Value::Array(statements));
    Value::Object(shown).to_string()
}

fn statement(statement: Value) -> Value {
    const ORDER: [&str; 10] = [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
        "",
    ];
    let Value::Object(mut given) = statement else {
        return statement;
    };
    let mut shown = Map::new();
    for name in ORDER {
        if let Some(value) = given.remove(name) {
            let value = match value {
                Value::Object(members) => members
                    .into_iter()
                    .map(|(name, value)| (name, single(value)))
                    .collect(),
                other => single(other),
            };
            shown.insert(name.to_owned(), value);
        }
    }
    Value::Object(shown)
}

fn single(value: Value) -> Value {
    match value {
        Value::Array(mut all) if all.len() == 1 => all.remove(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_shown_in_its_plainest_form() {
        let given = r#"{"Statement":[{"Action":"logs:*","Effect":"Allow","Principal":
            {"Service":["route53.amazonaws.com"]},"Resource":["a","b"]}]}"#;
        let expect = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"route53.amazonaws.com"},"Action":"logs:*","Resource":["a","b"]}]}"#;
        assert_eq!(shown(given), expect);
        assert_eq!(shown("x"), "x");
    }
}
