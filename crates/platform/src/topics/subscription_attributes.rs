//! A subscription's attributes: what may be set, and all that is shown.

use std::collections::BTreeMap;

use wire::arn::Arn;

use super::{
    delivery_policy::{self, Effective},
    error::{Error, Result},
    filter::{Filter, Scope},
    tables::SubscriptionRecord,
};

pub const FILTER_POLICY: &str = "FilterPolicy";
pub const FILTER_SCOPE: &str = "FilterPolicyScope";
pub const RAW: &str = "RawMessageDelivery";
pub const REDRIVE: &str = "RedrivePolicy";
pub const DELIVERY_POLICY: &str = "DeliveryPolicy";

/// Before what is wrong with one of Subscribe's attributes.
pub const AT_SUBSCRIBE: &str = "Attributes Reason: ";

/// Puts an attribute beside those that are held, if it may be there with this value.
pub fn set(
    held: &mut BTreeMap<String, String>,
    protocol: &str,
    (name, value): (&str, &str),
    at: &str,
) -> Result<()> {
    let invalid = |what: String| Err(Error::parameter(format!("{at}{name}: {what}")));
    let kept = match name {
        RAW if !matches!(value, "true" | "false") => {
            return invalid(format!("Invalid value [{value}]. Must be true or false."));
        }
        RAW if value == "true" && !matches!(protocol, "sqs" | "http" | "https" | "firehose") => {
            return Err(Error::parameter(format!(
                "{at}Delivery protocol [{protocol}] does not support raw message delivery."
            )));
        }
        RAW => value.to_owned(),
        FILTER_SCOPE => {
            let scope = scope_of(value);
            if scope.is_none() {
                return invalid(format!(
                    "Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
                ));
            }
            value.to_owned()
        }
        FILTER_POLICY if matches!(value, "" | "{}") => {
            held.remove(name);
            return Ok(());
        }
        FILTER_POLICY => {
            Filter::compile(value, scope(held), at)?;
            value.to_owned()
        }
        REDRIVE if value.is_empty() => {
            held.remove(name);
            return Ok(());
        }
        REDRIVE => {
            dead_letter_queue(value, at)?;
            value.to_owned()
        }
        DELIVERY_POLICY if value.is_empty() => {
            held.remove(name);
            return Ok(());
        }
        DELIVERY_POLICY => delivery_policy::subscriptions(value)?,
        "SubscriptionRoleArn" => {
            return Err(Error::NotSupported(
                "deliver to Firehose (SubscriptionRoleArn)".into(),
            ));
        }
        "ReplayPolicy" => {
            return Err(Error::NotSupported(
                "replay archived messages (ReplayPolicy)".into(),
            ));
        }
        _ if at == AT_SUBSCRIBE => {
            return Err(Error::parameter(format!("{at}Unknown attribute: {name}")));
        }
        _ => return Err(Error::parameter("AttributeName")),
    };
    held.insert(name.to_owned(), kept);
    Ok(())
}

/// Those of Subscribe: what the filter's policy means depends on its scope, whichever comes first.
pub fn at_subscribe(
    protocol: &str,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let mut held = BTreeMap::new();
    let scope_first = given.iter().filter(|(name, _)| *name == FILTER_SCOPE);
    let rest = given.iter().filter(|(name, _)| *name != FILTER_SCOPE);
    for (name, value) in scope_first.chain(rest) {
        set(&mut held, protocol, (name, value), AT_SUBSCRIBE)?;
    }
    Ok(held)
}

fn scope_of(value: &str) -> Option<Scope> {
    match value {
        "MessageAttributes" => Some(Scope::MessageAttributes),
        "MessageBody" => Some(Scope::MessageBody),
        _ => None,
    }
}

fn scope(held: &BTreeMap<String, String>) -> Scope {
    let set = held.get(FILTER_SCOPE).and_then(|value| scope_of(value));
    set.unwrap_or(Scope::MessageAttributes)
}

/// The filter of a subscription, if it has one. One that cannot be read takes nothing.
pub fn filter(record: &SubscriptionRecord) -> Option<Result<Filter>> {
    let policy = record.attributes.get(FILTER_POLICY)?;
    Some(Filter::compile(policy, scope(&record.attributes), ""))
}

fn dead_letter_queue(text: &str, at: &str) -> Result<String> {
    let invalid = |what: String| Error::parameter(format!("{at}{REDRIVE}: {what}"));
    let parsed: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| invalid(format!("failed to parse JSON. {error}")))?;
    let arn = parsed.get("deadLetterTargetArn");
    let arn = arn.and_then(serde_json::Value::as_str).unwrap_or_default();
    let parsed: Option<Arn> = arn.parse().ok();
    match parsed.filter(|arn| arn.service == "sqs" && !arn.region.is_empty()) {
        Some(_) => Ok(arn.to_owned()),
        None => Err(invalid("deadLetterTargetArn is an invalid arn".to_owned())),
    }
}

/// Where a subscription's undeliverable messages go.
pub fn dead_letters(record: &SubscriptionRecord) -> Option<String> {
    let policy = record.attributes.get(REDRIVE)?;
    dead_letter_queue(policy, "").ok()
}

pub fn is_raw(record: &SubscriptionRecord) -> bool {
    record.attributes.get(RAW).is_some_and(|raw| raw == "true")
}

/// Whether one that is there is as Subscribe asks for it once more.
pub fn is_same(record: &SubscriptionRecord, asked: &BTreeMap<String, String>) -> bool {
    let fallback = |name: &str| match name {
        RAW => "false",
        FILTER_SCOPE => "MessageAttributes",
        _ => "",
    };
    asked.iter().all(|(name, value)| {
        let held = record.attributes.get(name).map(String::as_str);
        held.unwrap_or_else(|| fallback(name)) == value
    })
}

/// All as GetSubscriptionAttributes shows them.
pub fn shown(
    arn: &str,
    topic_arn: &str,
    record: &SubscriptionRecord,
    topics_policy: Option<&str>,
) -> BTreeMap<String, String> {
    let mut shown = record.attributes.clone();
    let own = record.attributes.get(DELIVERY_POLICY).map(String::as_str);
    if matches!(record.protocol.as_str(), "http" | "https") {
        let effective = Effective::of(topics_policy, own).of_subscription_shown();
        shown.insert("EffectiveDeliveryPolicy".to_owned(), effective);
    }
    match shown.contains_key(FILTER_POLICY) {
        true => {
            let scope = "MessageAttributes".to_owned();
            shown.entry(FILTER_SCOPE.to_owned()).or_insert(scope);
        }
        // Without a policy its scope is kept and not shown.
        false => {
            shown.remove(FILTER_SCOPE);
        }
    }
    let mut put = |name: &str, value: String| {
        shown.entry(name.to_owned()).or_insert(value);
    };
    put("SubscriptionArn", arn.to_owned());
    put("TopicArn", topic_arn.to_owned());
    put("Owner", record.owner.clone());
    put("Protocol", record.protocol.clone());
    put("Endpoint", record.endpoint.clone());
    put("SubscriptionPrincipal", record.principal.clone());
    put("PendingConfirmation", record.pending.is_some().to_string());
    put(
        "ConfirmationWasAuthenticated",
        record.was_authenticated.to_string(),
    );
    put(RAW, "false".to_owned());
    shown
}
