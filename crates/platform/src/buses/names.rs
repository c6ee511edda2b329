//! What buses and rules are called: keys, and their ARNs both ways.

use serde::{Deserialize, Serialize};
use wire::arn::Arn;

pub const SERVICE: &str = "events";
pub const DEFAULT: &str = "default";

/// Which bus.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BusKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl BusKey {
    pub fn new(account_id: &str, region: &str, name: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
        }
    }

    /// A bus by its name or ARN, as seen from an account and region. None if it is neither.
    pub fn read(account_id: &str, region: &str, given: Option<&str>) -> Option<Self> {
        let given = given.unwrap_or(DEFAULT);
        if !given.starts_with("arn:") {
            return Some(Self::new(account_id, region, given));
        }
        let arn: Arn = given.parse().ok()?;
        Self::of(&arn)
    }

    /// The bus of an ARN.
    pub fn of(arn: &Arn) -> Option<Self> {
        let name = arn.resource.strip_prefix("event-bus/")?;
        (arn.service == SERVICE).then(|| Self::new(&arn.account_id, &arn.region, name))
    }

    pub fn arn(&self) -> String {
        self.arn_of(format!("event-bus/{}", self.name))
    }

    pub fn rule_arn(&self, rule: &str) -> String {
        match self.name.as_str() {
            DEFAULT => self.arn_of(format!("rule/{rule}")),
            bus => self.arn_of(format!("rule/{bus}/{rule}")),
        }
    }

    fn arn_of(&self, resource: String) -> String {
        Arn::new(SERVICE, &self.region, &self.account_id, resource).to_string()
    }

    /// The key in the store.
    pub fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.name]
    }
}

/// What has tags, by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    Bus(BusKey),
    Rule(BusKey, String),
}

impl Tagged {
    pub fn read(arn: &str) -> Option<Self> {
        let arn: Arn = arn.parse().ok()?;
        if let Some(bus) = BusKey::of(&arn) {
            return Some(Self::Bus(bus));
        }
        rule_of(&arn).map(|(bus, rule)| Self::Rule(bus, rule))
    }
}

/// The rule of an ARN, with its bus. A bus may have slashes in its name, a rule has none.
pub fn rule_of(arn: &Arn) -> Option<(BusKey, String)> {
    let path = arn.resource.strip_prefix("rule/")?;
    if arn.service != SERVICE {
        return None;
    }
    let (bus, rule) = path.rsplit_once('/').unwrap_or((DEFAULT, path));
    Some((
        BusKey::new(&arn.account_id, &arn.region, bus),
        rule.to_owned(),
    ))
}

/// A resource of an account and region: an archive, a replay, a connection or an API destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Named {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl Named {
    pub fn new(account_id: &str, region: &str, name: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The one that an ARN names, e.g. of `archive/…`; what follows a second slash is its id.
    pub fn of(arn: &str, kind: &str) -> Option<Self> {
        let arn: Arn = arn.parse().ok()?;
        let rest = arn.resource.strip_prefix(kind)?.strip_prefix('/')?;
        let name = rest.split('/').next()?;
        let is_one = arn.service == SERVICE && !name.is_empty();
        is_one.then(|| Self::new(&arn.account_id, &arn.region, name))
    }

    pub fn arn(&self, kind: &str) -> String {
        let resource = format!("{kind}/{}", self.name);
        Arn::new(SERVICE, &self.region, &self.account_id, resource).to_string()
    }

    pub fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.name]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_lead_back_to_what_they_name() {
        let bus = |name| BusKey::new("123456789012", "eu-west-1", name);
        for name in [DEFAULT, "orders", "aws.partner/shop/1"] {
            let key = bus(name);
            assert_eq!(Tagged::read(&key.arn()), Some(Tagged::Bus(key.clone())));
            let rule = Tagged::Rule(key.clone(), "all".to_owned());
            assert_eq!(Tagged::read(&key.rule_arn("all")), Some(rule));
            let read = BusKey::read("1", "us-east-1", Some(&key.arn()));
            assert_eq!(read, Some(key));
        }
        assert_eq!(
            BusKey::read("123456789012", "eu-west-1", None),
            Some(bus(DEFAULT))
        );
        assert_eq!(
            Tagged::read("arn:aws:sqs:eu-west-1:123456789012:rule/x"),
            None
        );
        let archive = Named::new("123456789012", "eu-west-1", "all");
        assert_eq!(
            Named::of(&archive.arn("archive"), "archive"),
            Some(archive.clone())
        );
        assert_eq!(Named::of(&archive.arn("archive"), "replay"), None);
    }
}
