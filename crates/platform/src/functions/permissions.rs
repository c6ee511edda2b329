//! AddPermission, RemovePermission and GetPolicy: the resource policies of a function, its versions
//! and its aliases, each of its own, kept as the statements that Lambda shows.

use serde_json::{Map, Value, json};
use wire::{
    Context,
    lambda::{AddPermissionRequest, FunctionName, GetPolicyResponse},
};

use super::{
    Functions, arn_of,
    definitions::Draft,
    error::{Error, Result},
    execution::FunctionKey,
    key_of, limits, new_revision_id, not_found,
    qualifier::LATEST,
    tables::{Policy, UNQUALIFIED},
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
        if name.qualifier.as_deref() == Some(LATEST) {
            return Err(Error::invalid(
                "We currently do not support adding policies for $LATEST.",
            ));
        }
        let qualifier = name.qualifier.as_deref();
        let principal = principal(cx, &input.principal)?;
        self.find_resource(&key, qualifier)?;
        let statement = statement(&arn_of(&key, qualifier), principal, &input);
        let text = statement.to_string();
        let added = self.change_all(&key, |draft| {
            draft.check_policy_revision(&key, qualifier, input.revision_id.as_deref())?;
            let held = draft.record.policy(qualifier);
            if held.iter().any(|held| sid(held) == input.statement_id) {
                return Err(Error::Conflict(format!(
                    "The statement id ({}) provided already exists. Please provide a new \
                     statement id, or remove the existing statement.",
                    input.statement_id
                )));
            }
            let mut statements = held.to_vec();
            statements.push(statement);
            if policy_text(&statements).len() > limits::POLICY_BYTES_MAX {
                return Err(Error::PolicyTooLong {
                    max: limits::POLICY_BYTES_MAX,
                });
            }
            draft.set_policy(qualifier, statements);
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
        let qualifier = name.qualifier.as_deref();
        self.find_resource(&key, qualifier)?;
        let removed = self.change_all(&key, |draft| {
            let held = draft.record.policy(qualifier);
            if held.is_empty() {
                return Err(Error::NotFound(
                    "No policy is associated with the given resource.".to_owned(),
                ));
            }
            let mut statements = held.to_vec();
            statements.retain(|held| sid(held) != statement_id);
            if statements.len() == held.len() {
                return Err(Error::NotFound(format!(
                    "Statement {statement_id} is not found in resource policy."
                )));
            }
            draft.check_policy_revision(&key, qualifier, revision_id)?;
            draft.set_policy(qualifier, statements);
            Ok(())
        });
        removed.await.map(drop)
    }

    pub(super) fn policy(&self, cx: &Context, name: &FunctionName) -> Result<GetPolicyResponse> {
        let entry = self.0.definitions.get(&key_of(cx, &name.name));
        let qualifier = name.qualifier.as_deref().filter(|asked| *asked != LATEST);
        let policies = entry.as_ref().map(|entry| &entry.record.policies);
        let policy = policies.and_then(|held| held.get(qualifier.unwrap_or(UNQUALIFIED)));
        let policy = policy.ok_or_else(|| {
            Error::NotFound("The resource you requested does not exist.".to_owned())
        })?;
        Ok(GetPolicyResponse {
            policy: Some(policy_text(&policy.statements)),
            revision_id: Some(policy.revision_id.clone()),
        })
    }
}

impl Draft {
    /// The revision that a change of a policy may name: the policy's, or of what it is about.
    fn check_policy_revision(
        &self,
        key: &FunctionKey,
        qualifier: Option<&str>,
        asked: Option<&str>,
    ) -> Result<()> {
        let version = qualifier.and_then(|number| self.published.version(number));
        let alias = qualifier.and_then(|alias| self.published.aliases.get(alias));
        let of_resource = match (qualifier, version, alias) {
            (None, ..) => &self.record.revision_id,
            (_, Some(version), _) => &version.revision_id,
            (_, _, Some(alias)) => &alias.revision_id,
            // Deleted between the look and the change.
            (Some(_), None, None) => return Err(not_found(key, qualifier)),
        };
        let policy = self.record.policies.get(qualifier.unwrap_or(UNQUALIFIED));
        let of_policy = policy.map(|policy| policy.revision_id.as_str());
        match asked {
            Some(asked) if asked != of_resource && Some(asked) != of_policy => {
                Err(Error::WrongRevision { ask: "GetPolicy" })
            }
            _ => Ok(()),
        }
    }

    /// Puts a policy in place of another; what it is about then has the policy's revision.
    fn set_policy(&mut self, qualifier: Option<&str>, statements: Vec<Value>) {
        let revision_id = new_revision_id();
        match qualifier {
            None => self.record.revision_id.clone_from(&revision_id),
            Some(qualifier) => self.published.revise(qualifier, &revision_id),
        }
        let place = qualifier.unwrap_or(UNQUALIFIED).to_owned();
        if statements.is_empty() {
            self.record.policies.remove(&place);
        } else {
            let policy = Policy {
                revision_id,
                statements,
            };
            self.record.policies.insert(place, policy);
        }
    }
}

pub(super) fn policy_text(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Id": "default", "Statement": statements}).to_string()
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
