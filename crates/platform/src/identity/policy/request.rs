//! What policies are asked about: a request, and the condition keys that follow from it.

use std::{borrow::Cow, net::IpAddr};

use jiff::Timestamp;

use crate::identity::Principal;

/// A request as policies see it. What is not known is left out: conditions on it are not met, or
/// are met where they ask for something else.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// With its service, e.g. `sqs:SendMessage`.
    pub action: &'a str,
    /// An ARN.
    pub resource: &'a str,
    /// The account that the resource belongs to.
    pub owner: &'a str,
    pub region: &'a str,
    pub now: Timestamp,
    pub source_ip: Option<IpAddr>,
    /// Whether nobody on a wire could read along: TLS, or a way that never leaves the machine.
    pub is_secure: bool,
    pub user_agent: Option<&'a str>,
    pub referer: Option<&'a str>,
    /// What a service asks on behalf of.
    pub source_arn: Option<&'a str>,
    pub source_account: Option<&'a str>,
    /// Keys of the service that is asked, e.g. `lambda:FunctionUrlAuthType`. A key may be there
    /// more than once, which is a key of several values.
    pub keys: &'a [(&'a str, &'a str)],
}

/// Who has the platform ask: a principal, and for a service what it asks on behalf of.
#[derive(Debug, Clone)]
pub struct Asker<'a> {
    pub principal: Cow<'a, Principal>,
    pub source_arn: Option<&'a str>,
    pub source_account: Option<&'a str>,
}

impl<'a> From<&'a Principal> for Asker<'a> {
    fn from(principal: &'a Principal) -> Self {
        Asker {
            principal: Cow::Borrowed(principal),
            source_arn: None,
            source_account: None,
        }
    }
}

impl<'a> Request<'a> {
    /// Of a request of which no more is known. `owner` is the resource's account.
    pub fn new(
        principal: &'a Principal,
        action: &'a str,
        resource: &'a str,
        owner: &'a str,
        region: &'a str,
        now: Timestamp,
    ) -> Self {
        Request {
            principal,
            action,
            resource,
            owner,
            region,
            now,
            source_ip: None,
            is_secure: false,
            user_agent: None,
            referer: None,
            source_arn: None,
            source_account: None,
            keys: &[],
        }
    }

    pub(super) fn partition(&self) -> &'static str {
        wire::arn::partition(self.region)
    }

    /// The values of a condition key, whose name is in small letters; none is a key that the
    /// request has not got.
    pub(super) fn values(&self, key: &str) -> Vec<Cow<'a, str>> {
        if let Some(value) = self.global(key) {
            return vec![value];
        }
        let own = self.keys.iter();
        let own = own.filter(|(name, _)| name.eq_ignore_ascii_case(key));
        own.map(|(_, value)| Cow::Borrowed(*value)).collect()
    }

    /// The value of a key that has one only, which is what a variable can stand for.
    pub(super) fn single(&self, key: &str) -> Option<Cow<'a, str>> {
        let mut values = self.values(key);
        let value = values.pop();
        value.filter(|_| values.is_empty())
    }

    fn global(&self, key: &str) -> Option<Cow<'a, str>> {
        let key = key.strip_prefix("aws:")?;
        let borrowed = |text: &'a str| Some(Cow::Borrowed(text));
        let owned = |text: String| Some(Cow::Owned(text));
        match key {
            "currenttime" => owned(self.now.to_string()),
            "epochtime" => owned(self.now.as_second().to_string()),
            "referer" => self.referer.map(Cow::Borrowed),
            "requestedregion" => borrowed(self.region),
            "resourceaccount" => borrowed(self.owner),
            "securetransport" => borrowed(truth(self.is_secure)),
            "sourceaccount" => self.source_account.map(Cow::Borrowed),
            "sourcearn" => self.source_arn.map(Cow::Borrowed),
            "sourceip" => self.source_ip.map(|ip| Cow::Owned(ip.to_string())),
            "useragent" => self.user_agent.map(Cow::Borrowed),
            other => self.of_principal(other),
        }
    }

    fn of_principal(&self, key: &str) -> Option<Cow<'a, str>> {
        let principal = self.principal;
        let service = match principal {
            Principal::Service(name) => Some(name.as_str()),
            _ => None,
        };
        match key {
            "principalaccount" => principal.account_id().map(Cow::Borrowed),
            "principalarn" => principal.principal_arn(self.partition()).map(Cow::Owned),
            "principalisawsservice" => Some(Cow::Borrowed(truth(service.is_some()))),
            "principalservicename" => service.map(Cow::Borrowed),
            "principaltype" if service.is_none() => Some(Cow::Borrowed(principal.kind())),
            "userid" => principal.user_id(self.partition()).map(Cow::Owned),
            "username" => match principal {
                // Without the path.
                Principal::User { user, .. } => user.rsplit('/').next().map(Cow::Borrowed),
                _ => None,
            },
            "viaawsservice" => Some(Cow::Borrowed(truth(false))),
            _ => None,
        }
    }
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
