//! AddPermission, RemovePermission and GetPolicy: a function's resource policy, kept as the
//! statements that Lambda shows.

use serde_json::{Map, Value, json};
use wire::{
    Context,
    lambda::{AddPermissionRequest, FunctionName, GetPolicyResponse},
};

use super::{
    Functions, arn_of,
    error::{Error, Result},
    is_alias, key_of, limits, new_revision_id, not_found,
    tables::FunctionRecord,
};

impl Functions {
    /// Gives the statement that was added, as JSON.
    pub(super) async fn add_permission_to(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: AddPermissionRequest,
    ) -> Result<String> {
        let key = key_of(cx, &name.name);
        if name.qualifier.as_deref() == Some("$LATEST") {
            return Err(Error::invalid(
                "We currently do not support adding policies for $LATEST.",
            ));
        }
        let principal = principal(cx, &input.principal)?;
        self.find(&key)?;
        self.only_unqualified(cx, name)?;
        let statement = statement(&arn_of(&key, None), principal, &input);
        let text = statement.to_string();
        let added = self.change(&key, |record| {
            check_revision(record, input.revision_id.as_deref())?;
            let taken = record
                .policy
                .iter()
                .any(|held| sid(held) == input.statement_id);
            if taken {
                return Err(Error::Conflict(format!(
                    "The statement id ({}) provided already exists. Please provide a new \
                     statement id, or remove the existing statement.",
                    input.statement_id
                )));
            }
            record.policy.push(statement);
            if policy_text(record).len() > limits::POLICY_BYTES_MAX {
                return Err(Error::PolicyTooLong {
                    max: limits::POLICY_BYTES_MAX,
                });
            }
            record.revision_id = new_revision_id();
            Ok(())
        });
        added.await?;
        Ok(text)
    }

    pub(super) async fn remove_permission_from(
        &self,
        cx: &Context,
        name: &FunctionName,
        statement_id: &str,
        revision_id: Option<&str>,
    ) -> Result<()> {
        let key = key_of(cx, &name.name);
        if self.0.definitions.get(&key).is_none() {
            let arn = name.arn(cx);
            return Err(Error::NotFound(format!("No policy found for: {arn}")));
        }
        self.only_unqualified(cx, name)?;
        let removed = self.change(&key, |record| {
            if record.policy.is_empty() {
                return Err(Error::NotFound(
                    "No policy is associated with the given resource.".to_owned(),
                ));
            }
            let before = record.policy.len();
            record.policy.retain(|held| sid(held) != statement_id);
            if record.policy.len() == before {
                return Err(Error::NotFound(format!(
                    "Statement {statement_id} is not found in resource policy."
                )));
            }
            check_revision(record, revision_id)?;
            record.revision_id = new_revision_id();
            Ok(())
        });
        removed.await.map(drop)
    }

    pub(super) fn policy(&self, cx: &Context, name: &FunctionName) -> Result<GetPolicyResponse> {
        let entry = self.0.definitions.get(&key_of(cx, &name.name));
        let unqualified = name.qualifier.as_deref().is_none_or(|q| q == "$LATEST");
        let entry = entry.filter(|entry| unqualified && !entry.record.policy.is_empty());
        let Some(entry) = entry else {
            return Err(Error::NotFound(
                "The resource you requested does not exist.".to_owned(),
            ));
        };
        Ok(GetPolicyResponse {
            policy: Some(policy_text(&entry.record)),
            revision_id: Some(entry.record.revision_id.clone()),
        })
    }

    fn only_unqualified(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        let key = key_of(cx, &name.name);
        match name.qualifier.as_deref() {
            None => Ok(()),
            Some(alias) if is_alias(alias) => Err(Error::AliasNotFound {
                arn: arn_of(&key, Some(alias)),
            }),
            other => Err(not_found(&key, other)),
        }
    }
}

fn check_revision(record: &FunctionRecord, asked: Option<&str>) -> Result<()> {
    match asked {
        Some(asked) if asked != record.revision_id => {
            Err(Error::WrongRevision { ask: "GetPolicy" })
        }
        _ => Ok(()),
    }
}

fn policy_text(record: &FunctionRecord) -> String {
    json!({"Version": "2012-10-17", "Id": "default", "Statement": record.policy}).to_string()
}

fn sid(statement: &Value) -> &str {
    statement
        .get("Sid")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Everybody, an account, a user or role, or a service.
fn principal(cx: &Context, asked: &str) -> Result<Value> {
    let partition = wire::arn::partition(&cx.region);
    let account = asked.len() == 12 && asked.bytes().all(|b| b.is_ascii_digit());
    let service = asked.ends_with(".amazonaws.com")
        || asked.ends_with(".amazonaws.com.cn")
        || asked.ends_with(".amazon.com");
    if asked == "*" {
        Ok(json!("*"))
    } else if account {
        Ok(json!({"AWS": format!("arn:{partition}:iam::{asked}:root")}))
    } else if asked.starts_with("arn:") && asked.contains(":iam::") {
        Ok(json!({"AWS": asked}))
    } else if service {
        Ok(json!({"Service": asked}))
    } else {
        Err(Error::invalid(
            "The provided principal was invalid. Please check the principal and try again.",
        ))
    }
}

fn statement(resource: &str, principal: Value, input: &AddPermissionRequest) -> Value {
    let mut statement = json!({
        "Sid": input.statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": input.action,
        "Resource": resource,
    });
    let mut condition = Map::new();
    let mut put = |operator: &str, key: &str, value: Option<&String>| {
        if let Some(value) = value {
            let keys = condition.entry(operator).or_insert_with(|| json!({}));
            keys[key] = json!(value);
        }
    };
    put(
        "StringEquals",
        "AWS:SourceAccount",
        input.source_account.as_ref(),
    );
    put(
        "StringEquals",
        "lambda:EventSourceToken",
        input.event_source_token.as_ref(),
    );
    put(
        "StringEquals",
        "lambda:FunctionUrlAuthType",
        input.function_url_auth_type.as_ref(),
    );
    put(
        "StringEquals",
        "aws:PrincipalOrgID",
        input.principal_org_id.as_ref(),
    );
    let via_url = input.invoked_via_function_url.map(|via| via.to_string());
    put("Bool", "lambda:InvokedViaFunctionUrl", via_url.as_ref());
    put("ArnLike", "AWS:SourceArn", input.source_arn.as_ref());
    if !condition.is_empty() {
        statement["Condition"] = Value::Object(condition);
    }
    statement
}
