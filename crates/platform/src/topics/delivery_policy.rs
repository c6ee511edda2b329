//! DeliveryPolicy: how messages to HTTP endpoints are tried again, and with what media type they are
//! sent. A topic's holds for its subscriptions unless they have their own.

use serde_json::{Map, Value, json};

use super::{
    error::{Error, Result},
    limits,
};
use crate::deliveries::{Backoff, Growth, Retry};

const CONTENT_TYPE: &str = "text/plain; charset=UTF-8";
const CONTENT_TYPES: [&str; 12] = [
    CONTENT_TYPE,
    "application/json",
    "application/octet-stream",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/plain",
    "text/xml",
    "application/atom+xml",
];

/// What holds for a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    retries: Retries,
    pub content_type: String,
    /// Subscriptions' own policies do not count.
    keeps_topics: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Retries {
    min_s: u32,
    max_s: u32,
    retries: u32,
    at_once: u32,
    at_min: u32,
    at_max: u32,
    growth: Growth,
}

impl Default for Effective {
    fn default() -> Self {
        Self {
            retries: Retries {
                min_s: 20,
                max_s: 20,
                retries: 3,
                at_once: 0,
                at_min: 0,
                at_max: 0,
                growth: Growth::Linear,
            },
            content_type: CONTENT_TYPE.to_owned(),
            keeps_topics: false,
        }
    }
}

/// Checks a topic's policy; gives it as it is kept and shown.
pub fn topics(text: &str) -> Result<String> {
    let mut policy = object("DeliveryPolicy", text)?;
    let http = policy.remove("http").unwrap_or_else(|| json!({}));
    if !policy.is_empty() {
        return Err(invalid(
            "Invalid parameter: unknown delivery policy members",
        ));
    }
    let Value::Object(http) = http else {
        return Err(invalid("http must be an object"));
    };
    let mut kept = without_nulls(http);
    kept.entry("disableSubscriptionOverrides")
        .or_insert(Value::Bool(false));
    let shown = json!({ "http": kept });
    Effective::default().with_topics(&shown)?;
    Ok(shown.to_string())
}

/// Checks a subscription's policy; gives it as it is kept and shown.
pub fn subscriptions(text: &str) -> Result<String> {
    let policy = Value::Object(object("DeliveryPolicy", text)?);
    Effective::default().with_subscriptions(&policy)?;
    Ok(policy.to_string())
}

impl Effective {
    /// What holds for a subscription; policies that are stored were checked.
    pub fn of(topics: Option<&str>, subscriptions: Option<&str>) -> Self {
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let mut effective = Self::default();
        if let Some(policy) = topics.and_then(read) {
            effective = effective.with_topics(&policy).unwrap_or_default();
        }
        if let Some(policy) = subscriptions.and_then(read)
            && !effective.keeps_topics
        {
            let before = effective.clone();
            effective = effective.with_subscriptions(&policy).unwrap_or(before);
        }
        effective
    }

    fn with_topics(mut self, policy: &Value) -> Result<Self> {
        let http = &policy["http"];
        for (name, member) in http.as_object().into_iter().flatten() {
            match name.as_str() {
                "defaultHealthyRetryPolicy" => self.retries = retries(member)?,
                "defaultRequestPolicy" => self.content_type = content_type(member)?,
                "disableSubscriptionOverrides" => {
                    let told = member.as_bool();
                    let message = "http.disableSubscriptionOverrides must be true or false";
                    self.keeps_topics = told.ok_or_else(|| invalid(message))?;
                }
                "defaultSicklyRetryPolicy" | "defaultThrottlePolicy" => {}
                other => return Err(invalid(&format!("unknown member http.{other}"))),
            }
        }
        Ok(self)
    }

    fn with_subscriptions(mut self, policy: &Value) -> Result<Self> {
        for (name, member) in policy.as_object().into_iter().flatten() {
            match name.as_str() {
                _ if member.is_null() => {}
                "healthyRetryPolicy" => self.retries = retries(member)?,
                "requestPolicy" => self.content_type = content_type(member)?,
                "sicklyRetryPolicy" | "throttlePolicy" | "guaranteed" => {}
                other => return Err(invalid(&format!("unknown member {other}"))),
            }
        }
        Ok(self)
    }

    pub fn retry(&self) -> Retry {
        let Retries {
            min_s,
            max_s,
            retries,
            at_once,
            at_min,
            at_max,
            growth,
        } = self.retries;
        Retry {
            retries_max: retries,
            // The tries' own time counts as well.
            age_max_ms: 2 * limits::POLICY_AGE_MS,
            backoff: Backoff::Phases {
                at_once,
                at_min,
                at_max,
                min_ms: i64::from(min_s) * 1000,
                max_ms: i64::from(max_s) * 1000,
                growth,
            },
        }
    }

    /// As a topic shows it.
    pub fn of_topic_shown(&self) -> String {
        json!({"http": {
            "defaultHealthyRetryPolicy": self.retries_shown(),
            "disableSubscriptionOverrides": self.keeps_topics,
            "defaultRequestPolicy": {"headerContentType": self.content_type},
        }})
        .to_string()
    }

    /// As a subscription shows it.
    pub fn of_subscription_shown(&self) -> String {
        json!({
            "healthyRetryPolicy": self.retries_shown(),
            "sicklyRetryPolicy": null,
            "throttlePolicy": null,
            "requestPolicy": {"headerContentType": self.content_type},
            "guaranteed": false,
        })
        .to_string()
    }

    fn retries_shown(&self) -> Value {
        let it = self.retries;
        json!({
            "minDelayTarget": it.min_s,
            "maxDelayTarget": it.max_s,
            "numRetries": it.retries,
            "numMaxDelayRetries": it.at_max,
            "numNoDelayRetries": it.at_once,
            "numMinDelayRetries": it.at_min,
            "backoffFunction": match it.growth {
                Growth::Arithmetic => "arithmetic",
                Growth::Exponential => "exponential",
                Growth::Geometric => "geometric",
                Growth::Linear => "linear",
            },
        })
    }
}

fn object(name: &str, text: &str) -> Result<Map<String, Value>> {
    let parsed: Value = serde_json::from_str(text)
        .map_err(|error| Error::parameter(format!("{name}: failed to parse JSON. {error}")))?;
    match parsed {
        Value::Object(object) => Ok(object),
        _ => Err(invalid("it must be an object")),
    }
}

fn without_nulls(object: Map<String, Value>) -> Map<String, Value> {
    object
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}

fn retries(policy: &Value) -> Result<Retries> {
    let Value::Object(members) = policy else {
        return Err(invalid("a retry policy must be an object"));
    };
    let number = |name: &str, from: u32, to: u32| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
            match number.filter(|number| (from..=to).contains(number)) {
                Some(number) => Ok(Some(number)),
                None => Err(invalid(&format!("{name} must be from {from} to {to}"))),
            }
        }
    };
    let needed = |name: &str, given: Option<u32>| {
        given.ok_or_else(|| invalid(&format!("{name} must be specified")))
    };
    let min_s = needed("minDelayTarget", number("minDelayTarget", 1, 3600)?)?;
    let max_s = needed("maxDelayTarget", number("maxDelayTarget", min_s, 3600)?)?;
    let total = needed("numRetries", number("numRetries", 0, 100)?)?;
    let phase = |name: &str| Ok::<u32, Error>(number(name, 0, total)?.unwrap_or(0));
    let at_once = phase("numNoDelayRetries")?;
    let at_min = phase("numMinDelayRetries")?;
    let at_max = phase("numMaxDelayRetries")?;
    if at_once + at_min + at_max > total {
        return Err(invalid(
            "numRetries must be greater than or equal to the sum of its phases",
        ));
    }
    let growth = match members.get("backoffFunction").and_then(Value::as_str) {
        None | Some("linear") => Growth::Linear,
        Some("arithmetic") => Growth::Arithmetic,
        Some("exponential") => Growth::Exponential,
        Some("geometric") => Growth::Geometric,
        Some(_) => return Err(invalid("backoffFunction is invalid")),
    };
    Ok(Retries {
        min_s,
        max_s,
        retries: total,
        at_once,
        at_min,
        at_max,
        growth,
    })
}

fn content_type(policy: &Value) -> Result<String> {
    let asked = policy.get("headerContentType").and_then(Value::as_str);
    match asked {
        None => Ok(CONTENT_TYPE.to_owned()),
        Some(asked) if CONTENT_TYPES.contains(&asked) => Ok(asked.to_owned()),
        Some(asked) => Err(invalid(&format!(
            "headerContentType {asked} is not supported"
        ))),
    }
}

fn invalid(what: &str) -> Error {
    Error::parameter(format!("DeliveryPolicy: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_kept_without_what_is_null_and_the_rest_is_snss_own() {
        let policy = r#"{"http": {"defaultHealthyRetryPolicy": null}}"#;
        let kept = topics(policy).expect("good");
        assert_eq!(kept, r#"{"http":{"disableSubscriptionOverrides":false}}"#);
        assert_eq!(Effective::of(Some(&kept), None), Effective::default());
        let own = r#"{"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 2,
            "numRetries": 5, "numNoDelayRetries": 1, "backoffFunction": "geometric"},
            "requestPolicy": {"headerContentType": "application/json"}}"#;
        let own = subscriptions(own).expect("good");
        let effective = Effective::of(None, Some(&own));
        assert_eq!(effective.retry().retries_max, 5);
        assert_eq!(effective.content_type, "application/json");
        let kept = topics(r#"{"http": {"disableSubscriptionOverrides": true}}"#).expect("good");
        assert_eq!(
            Effective::of(Some(&kept), Some(&own)).retry().retries_max,
            3
        );
    }

    #[test]
    fn numbers_have_limits() {
        for policy in [
            "{",
            "[]",
            r#"{"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 2}}"#,
            r#"{"healthyRetryPolicy": {"minDelayTarget": 3, "maxDelayTarget": 2, "numRetries": 1}}"#,
            r#"{"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 2, "numRetries": 101}}"#,
            r#"{"requestPolicy": {"headerContentType": "x"}}"#,
            r#"{"other": 1}"#,
        ] {
            assert!(subscriptions(policy).is_err(), "{policy}");
        }
    }
}
