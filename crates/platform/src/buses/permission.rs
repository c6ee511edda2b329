//! A bus's resource policy: who else may put events on it.

use serde_json::{Value, json};
use wire::{Context, arn, event_bridge as api};

use super::{
    Buses,
    error::{Error, Result},
    held::{Bus, read_policy},
    limits,
    names::{BusKey, DEFAULT},
};
use crate::identity::{
    Principal,
    policy::{PolicyError, Request, resource},
};

impl Buses {
    pub(super) async fn put_permission_of(
        &self,
        cx: &Context,
        input: api::PutPermissionRequest,
    ) -> Result<()> {
        let key = self.key(cx, input.event_bus_name.as_deref())?;
        self.assure_default(&key, cx.now).await?;
        let changing = self.0.changing.lock().await;
        let bus = self.bus(&key)?;
        let policy = match &input.policy {
            Some(whole) => whole.clone(),
            None => with_statement(&key, bus.record.policy.as_deref(), &input)?,
        };
        if policy.len() > limits::POLICY_BYTES_MAX {
            return Err(Error::PolicyTooLong(limits::POLICY_BYTES_MAX));
        }
        read_policy(&policy).map_err(bad)?;
        let mut record = bus.record.clone();
        record.policy = Some(policy);
        record.modified = cx.now;
        self.store_bus(&changing, bus.with(record)).await
    }

    pub(super) async fn remove_permission_of(
        &self,
        cx: &Context,
        input: api::RemovePermissionRequest,
    ) -> Result<()> {
        let key = self.key(cx, input.event_bus_name.as_deref())?;
        let changing = self.0.changing.lock().await;
        let none = || Error::NotFound("EventBus does not have a policy.".to_owned());
        let bus = match (self.0.buses.get(&key), key.name.as_str()) {
            (Some(bus), _) => bus,
            (None, DEFAULT) => return Err(none()),
            (None, _) => return Err(Error::NoBus(key.name)),
        };
        let mut record = bus.record.clone();
        let policy = record.policy.take().ok_or_else(none)?;
        if !input.remove_all_permissions.unwrap_or(false) {
            let id = input
                .statement_id
                .as_deref()
                .ok_or_else(|| Error::invalid("Parameter StatementId must be specified."))?;
            record.policy = without_statement(&policy, id)?;
        }
        record.modified = cx.now;
        self.store_bus(&changing, bus.with(record)).await
    }
}

impl Bus {
    /// Whether a caller may put events on the bus.
    pub fn check_put(&self, cx: &Context) -> Result<()> {
        let key = &self.record.key;
        if cx.account_id == key.account_id && self.policy.is_none() {
            return Ok(());
        }
        let principal = Principal::of(&cx.account_id, cx.role.as_deref());
        let arn = key.arn();
        let request = Request {
            source_ip: cx.origin.ip,
            is_secure: cx.origin.is_secure,
            ..Request::new(
                &principal,
                PUT_EVENTS,
                &arn,
                &key.account_id,
                &key.region,
                cx.now,
            )
        };
        resource::decide(&request, self.policy.as_ref()).map_err(|refused| {
            let sentence = refused.sentence(&request, PUT_EVENTS);
            Error::AccessDenied(sentence.unwrap_or_default())
        })?;
        Ok(())
    }

    /// Whether the policy lets this principal put events here, by what the platform does for it.
    pub fn admits(&self, from: &Principal, source: (&str, &str), now: jiff::Timestamp) -> bool {
        let key = &self.record.key;
        let arn = key.arn();
        let request = Request {
            is_secure: true,
            source_arn: Some(source.0),
            source_account: Some(source.1),
            ..Request::new(from, PUT_EVENTS, &arn, &key.account_id, &key.region, now)
        };
        resource::decide(&request, self.policy.as_ref()).is_ok()
    }
}

const PUT_EVENTS: &str = "events:PutEvents";

/// The policy with a statement more, over one of the same id.
fn with_statement(
    key: &BusKey,
    policy: Option<&str>,
    input: &api::PutPermissionRequest,
) -> Result<String> {
    let missing = || {
        Error::invalid(
            "Parameters Action, Principal and StatementId must be specified, or a Policy.",
        )
    };
    let action = input.action.as_deref().ok_or_else(missing)?;
    let principal = input.principal.as_deref().ok_or_else(missing)?;
    let id = input.statement_id.as_deref().ok_or_else(missing)?;
    if action != PUT_EVENTS {
        return Err(Error::invalid(
            "Provided value in parameter 'action' is not supported.",
        ));
    }
    let mut statement = json!({
        "Sid": id,
        "Effect": "Allow",
        "Principal": principal_of(key, principal)?,
        "Action": action,
        "Resource": key.arn(),
    });
    if let Some(condition) = &input.condition {
        statement["Condition"] = json!({
            condition.type_.as_str(): { condition.key.as_str(): condition.value },
        });
    }
    let mut statements = policy.map_or_else(|| Ok(Vec::new()), statements)?;
    match statements.iter_mut().find(|held| held["Sid"] == id) {
        Some(held) => *held = statement,
        None => statements.push(statement),
    }
    Ok(document(statements))
}

fn principal_of(key: &BusKey, principal: &str) -> Result<Value> {
    let is_account = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
    match principal {
        "*" => Ok(json!("*")),
        account if is_account => {
            let partition = arn::partition(&key.region);
            Ok(json!({ "AWS": format!("arn:{partition}:iam::{account}:root") }))
        }
        _ => Err(Error::invalid(
            "Provided value in parameter 'principal' is not valid.",
        )),
    }
}

/// None if nothing is left.
fn without_statement(policy: &str, id: &str) -> Result<Option<String>> {
    let mut statements = statements(policy)?;
    let before = statements.len();
    statements.retain(|held| held["Sid"] != id);
    if statements.len() == before {
        return Err(Error::NotFound(
            "Statement with the provided id does not exist.".to_owned(),
        ));
    }
    Ok((!statements.is_empty()).then(|| document(statements)))
}

fn statements(policy: &str) -> Result<Vec<Value>> {
    let parsed: Value = serde_json::from_str(policy).map_err(Error::platform)?;
    Ok(match &parsed["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    })
}

fn document(statements: Vec<Value>) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn bad(error: PolicyError) -> Error {
    Error::parameter("Policy", &format!("{error}."))
}
