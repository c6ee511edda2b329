//! The names by which an execution is known outside: its ARN, the checkpoint tokens of an
//! invocation, the ids of callbacks. All lead back by themselves, and none is secret: who may use
//! one is decided by the account.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use wire::arn::Arn;

use super::core::Head;

/// `arn:aws:lambda:<region>:<account>:function:<name>:<version>/durable-execution/<name>/<id>`
pub fn arn(head: &Head) -> String {
    let function = function_arn(head);
    let Head { name, id, .. } = head;
    format!("{function}/durable-execution/{name}/{id}")
}

/// Of the version that runs.
pub fn function_arn(head: &Head) -> String {
    let version = Some(head.version.as_str());
    wire::lambda::function_arn(&head.region, &head.account_id, &head.function, version)
}

/// The id in an ARN, and the account and region that it names.
pub fn of_arn(arn: &str) -> Option<(Arn, String)> {
    let arn: Arn = arn.parse().ok()?;
    let (_, rest) = arn.resource.split_once("/durable-execution/")?;
    let (_, id) = rest.split_once('/')?;
    let id = id.to_owned();
    Some((arn, id))
}

/// Which invocation may checkpoint, and after which of its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointToken {
    pub invocation: String,
    pub sequence: u64,
}

impl CheckpointToken {
    pub fn text(&self) -> String {
        BASE64_STANDARD.encode(format!("{}:{}", self.invocation, self.sequence))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()?;
        let (invocation, sequence) = text.split_once(':')?;
        Some(Self {
            invocation: invocation.to_owned(),
            sequence: sequence.parse().ok()?,
        })
    }
}

/// The callback of an operation. Without padding, as it stands in paths.
pub fn callback_id(execution: &str, operation: &str) -> String {
    BASE64_STANDARD_NO_PAD.encode(format!("{execution}:{operation}"))
}

/// Execution and operation of a callback's id.
pub fn of_callback(id: &str) -> Option<(String, String)> {
    let text = BASE64_STANDARD_NO_PAD
        .decode(id.trim_end_matches('='))
        .ok()?;
    let text = String::from_utf8(text).ok()?;
    let (execution, operation) = text.split_once(':')?;
    Some((execution.to_owned(), operation.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        let token = CheckpointToken {
            invocation: "i".into(),
            sequence: 7,
        };
        assert_eq!(CheckpointToken::parse(&token.text()), Some(token));
        assert_eq!(CheckpointToken::parse("AAAA"), None);
        let id = callback_id("e", "o");
        assert_eq!(of_callback(&id), Some(("e".into(), "o".into())));
        assert_eq!(of_callback("?"), None);
        let arn = "arn:aws:lambda:us-east-1:111111111111:function:f:$LATEST/durable-execution/n/i";
        let (of, id) = of_arn(arn).unwrap();
        assert_eq!((&*of.account_id, &*id), ("111111111111", "i"));
        assert!(of_arn("arn:aws:lambda:us-east-1:111111111111:function:f").is_none());
    }
}
