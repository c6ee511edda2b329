//! A delivery: what is to be handed to whom, for whom, how often it is tried, and where it goes when
//! that was in vain. Stored as it is, as a message of the target's lane.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{retry::Retry, target::Failure};
use crate::{
    identity::{Principal, policy::Asker},
    queues::message::{AttributeValue, MessageAttribute},
};

/// Something that happened and whom it is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Unique, and the same at each try.
    pub id: String,
    pub from: Sender,
    /// The role that the service takes on for it, as an ARN. There are no identity policies yet: what a
    /// role of the sender's account is used for is allowed.
    pub role: Option<String>,
    /// An ARN, or the URL of an HTTP endpoint.
    pub target: String,
    pub body: String,
    #[serde(default)]
    pub parameters: Parameters,
    pub retry: Retry,
    pub dead_letter: Option<DeadLetter>,
    /// Those of one target and group are delivered one after the other, in the order in which they
    /// were sent; none asks for no order.
    pub ordered_by: Option<String>,
    /// The X-Ray header with the lineage by which loops are known; see `functions/lineage.rs`.
    pub trace_header: Option<String>,
}

/// Whom a delivery is from: what the policy of its target is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The service, e.g. `events.amazonaws.com`.
    pub principal: String,
    /// What it is on behalf of, e.g. a rule: `aws:SourceArn`.
    pub source_arn: String,
    /// Whose that is: `aws:SourceAccount`.
    pub account_id: String,
    pub region: String,
}

/// What a kind of target takes beside the body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Parameters {
    #[default]
    None,
    Sqs(ToQueue),
    Events(ToBus),
    Sns(ToTopic),
    Logs(ToLogs),
    Http(ToEndpoint),
    Destination(ToDestination),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToQueue {
    /// MessageGroupId.
    pub group: Option<String>,
    /// Without one, a FIFO queue with content-based deduplication makes it of the body; another gets
    /// the delivery's id.
    pub deduplication_id: Option<String>,
    pub attributes: Vec<Attribute>,
    pub delay_s: Option<u32>,
}

/// An entry of PutEvents beside its detail, which is the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToBus {
    pub source: String,
    pub detail_type: String,
    pub resources: Vec<String>,
    /// In milliseconds since 1970; that of the try if not given.
    pub time_ms: Option<i64>,
}

/// A Publish beside its message, which is the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToTopic {
    pub subject: Option<String>,
    /// MessageStructure is `json`.
    pub is_structured: bool,
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
    pub attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToLogs {
    /// The log stream; one of the target's choice if not given.
    pub stream: Option<String>,
    /// Of the log event, in milliseconds since 1970; that of the try if not given.
    pub time_ms: Option<i64>,
}

/// A request of HTTP beside its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToEndpoint {
    pub method: String,
    pub headers: Vec<(String, String)>,
}

/// What a rule or pipe adds to a request to an API destination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToDestination {
    /// For the stars of the endpoint's path, in their order.
    pub path: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
}

/// A message attribute as it is stored here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    pub name: String,
    /// E.g. `String`, `Number.int`.
    pub data_type: String,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    Text(String),
    Binary(#[serde(with = "in_base64")] Vec<u8>),
}

impl Attribute {
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            data_type: "String".to_owned(),
            value: Value::Text(value.into()),
        }
    }

    /// What a filter sees of it: bytes it does not.
    pub fn asked(&self) -> Option<serde_json::Value> {
        let Value::Text(text) = &self.value else {
            return None;
        };
        let kind = self.data_type.split('.').next().unwrap_or_default();
        match (self.data_type.as_str(), kind) {
            ("String.Array", _) => {
                let list: Option<serde_json::Value> = serde_json::from_str(text).ok();
                list.filter(serde_json::Value::is_array)
            }
            (_, "Number") => {
                let number: Option<serde_json::Number> = serde_json::from_str(text.trim()).ok();
                number.map(serde_json::Value::Number)
            }
            _ => Some(serde_json::Value::String(text.clone())),
        }
    }
}

impl From<&(String, MessageAttribute)> for Attribute {
    fn from((name, held): &(String, MessageAttribute)) -> Self {
        Self {
            name: name.clone(),
            data_type: held.data_type.clone(),
            value: match &held.value {
                AttributeValue::Text(text) => Value::Text(text.clone()),
                AttributeValue::Binary(bytes) => Value::Binary(bytes.to_vec()),
            },
        }
    }
}

/// Where a delivery goes that could not be made: a queue, whose policy is asked as a target's is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Of the queue.
    pub arn: String,
    /// The delivery's if not given.
    pub body: Option<String>,
    pub attributes: Vec<Attribute>,
    /// Whether it is said why, in the words of EventBridge and its scheduler: the attributes
    /// ERROR_CODE, ERROR_MESSAGE, EXHAUSTED_RETRY_CONDITION and RETRY_ATTEMPTS.
    pub says_why: bool,
    /// MessageGroupId, for a queue that is FIFO.
    pub group: Option<String>,
}

impl Delivery {
    /// One without parameters, which is tried as [`Retry::default`] says.
    pub fn new(from: Sender, target: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            from,
            role: None,
            target: target.into(),
            body: body.into(),
            parameters: Parameters::None,
            retry: Retry::default(),
            dead_letter: None,
            ordered_by: None,
            trace_header: None,
        }
    }

    /// Who asks its target: the role if there is one, or the service on behalf of its source.
    pub fn asker(&self) -> Asker<'_> {
        let from = &self.from;
        let role = self.role.as_deref();
        let session =
            role.and_then(|role| Principal::session_of(role, session_of(&from.principal)));
        let service = || Principal::Service(from.principal.clone());
        Asker {
            principal: Cow::Owned(session.unwrap_or_else(service)),
            source_arn: Some(&from.source_arn),
            source_account: Some(&from.account_id),
        }
    }

    /// The failure of one whose target's policy does not let its sender do this.
    pub fn not_allowed(&self, action: &str) -> Failure {
        let who = self.role.as_deref().unwrap_or(&self.from.principal);
        let target = &self.target;
        let message = format!(
            "{who} is not authorized to perform: {action} on resource: {target} because no \
             resource-based policy allows the {action} action"
        );
        Failure::last("NO_PERMISSIONS", message)
    }

    /// The name under which its target is registered: the service of an ARN, or `http`.
    pub fn kind(&self) -> &str {
        kind_of(&self.target)
    }
}

/// The name of a session that a service takes a role on in.
fn session_of(service: &str) -> &str {
    service.split('.').next().unwrap_or(service)
}

pub fn kind_of(target: &str) -> &str {
    if target.starts_with("http://") || target.starts_with("https://") {
        return "http";
    }
    let service = target
        .strip_prefix("arn:")
        .and_then(|rest| rest.split(':').nth(1));
    service.unwrap_or_default()
}

mod in_base64 {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(D::Error::custom)
    }
}
