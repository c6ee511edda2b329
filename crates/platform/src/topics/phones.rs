//! Text messages and push notifications, which are not sent from here: what is asked for wrongly is
//! refused as SNS does, what is asked for rightly by name, and nothing is there.

use std::collections::BTreeMap;

use super::{error::Error, limits, name};

const PLATFORMS: [&str; 8] = [
    "ADM",
    "APNS",
    "APNS_SANDBOX",
    "BAIDU",
    "GCM",
    "MACOS",
    "MPNS",
    "WNS",
];
const SMS_ATTRIBUTES: [&str; 6] = [
    "MonthlySpendLimit",
    "DeliveryStatusIAMRole",
    "DeliveryStatusSuccessSamplingRate",
    "DefaultSenderID",
    "DefaultSMSType",
    "UsageReportS3Bucket",
];

fn unsupported(what: &str) -> Error {
    Error::NotSupported(format!("send {what}"))
}

pub fn set_sms_attributes(attributes: &BTreeMap<String, String>) -> Error {
    for (name, value) in attributes {
        if !SMS_ATTRIBUTES.contains(&name.as_str()) {
            return Error::Plain(format!("{name} is not a valid attribute"));
        }
        if name == "DefaultSMSType" && !matches!(value.as_str(), "Promotional" | "Transactional") {
            return Error::Plain(format!("{name} is invalid"));
        }
    }
    unsupported("text messages")
}

/// About a number in E.164's form.
pub fn about_number(number: &str) -> Error {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let good = (4..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    match good {
        true => unsupported("text messages"),
        false => Error::parameter("PhoneNumber Reason: input incorrectly formatted"),
    }
}

pub fn create_application(
    name: &str,
    platform: &str,
    attributes: &BTreeMap<String, String>,
) -> Error {
    let invalid = |reason: &str| Error::parameter(format!("{name} Reason: {reason}"));
    if name.is_empty() {
        return invalid("cannot be empty");
    }
    if name.len() > limits::NAME_LENGTH_MAX {
        return invalid("must be at most 256 characters long");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if !name.bytes().all(allowed) {
        return invalid(
            "must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'",
        );
    }
    if !PLATFORMS.contains(&platform) {
        return Error::parameter(format!("Platform Reason: {platform} is not supported"));
    }
    let has = |name: &str| attributes.contains_key(name);
    let alone = |one: &str, other: &str| {
        Error::parameter(format!(
            "Attributes Reason: {one} attribute provided without {other}"
        ))
    };
    match (has("PlatformCredential"), has("PlatformPrincipal")) {
        (true, false) => alone("PlatformCredential", "PlatformPrincipal"),
        (false, true) => alone("PlatformPrincipal", "PlatformCredential"),
        _ => unsupported("push notifications"),
    }
}

/// There is none.
pub fn about_application(arn: &str) -> Error {
    match name::arn("PlatformApplicationArn", arn) {
        Ok(_) => Error::NotFound("PlatformApplication"),
        Err(error) => error,
    }
}

pub fn set_application(arn: &str, attributes: &BTreeMap<String, String>) -> Error {
    let is_one = name::arn("PlatformApplicationArn", arn).is_ok();
    match is_one && attributes.is_empty() {
        true => Error::Validation(
            "1 validation error detected: Value null at 'attributes' failed to satisfy constraint: \
             Member must not be null"
                .to_owned(),
        ),
        false => about_application(arn),
    }
}
