//! The policy of a layer version: who of other accounts may get it, which is to use it.

use serde_json::{Value, json};
use wire::{
    Context,
    lambda::{
        AddLayerVersionPermissionRequest, AddLayerVersionPermissionResponse,
        GetLayerVersionPolicyResponse, RemoveLayerVersionPermissionRequest,
    },
};

use super::{
    super::{
        Functions,
        error::{Error, Result},
        limits, new_revision_id,
    },
    LayerKey, no_such_version,
    tables::{LAYER_VERSIONS, LayerVersionRecord, newest_first},
    version_number,
};
use crate::identity::{
    Principal,
    policy::{
        Bounds, Kind, Policy, Request,
        resource::{self, Refused},
    },
};

const GET: &str = "lambda:GetLayerVersion";

impl Functions {
    pub(in super::super) async fn add_layer_permission(
        &self,
        cx: &Context,
        input: AddLayerVersionPermissionRequest,
    ) -> Result<AddLayerVersionPermissionResponse> {
        let version = version_number(input.version_number)?;
        let layer = LayerKey::named(cx, &input.layer_name);
        let statement = statement(&layer, version, &input);
        let text = statement.to_string();
        let changed = self.change_layer_policy(cx, layer, version, move |record| {
            check_revision(record, input.revision_id.as_deref())?;
            if record
                .policy
                .iter()
                .any(|held| sid(held) == input.statement_id)
            {
                return Err(Error::Conflict(format!(
                    "The statement id ({}) provided already exists. Please provide a new \
                     statement id, or remove the existing statement.",
                    input.statement_id
                )));
            }
            record.policy.push(statement.clone());
            if policy_text(record).len() > limits::POLICY_BYTES_MAX {
                return Err(Error::PolicyTooLong {
                    max: limits::POLICY_BYTES_MAX,
                });
            }
            Ok(())
        });
        Ok(AddLayerVersionPermissionResponse {
            statement: Some(text),
            revision_id: Some(changed.await?),
        })
    }

    pub(in super::super) async fn remove_layer_permission(
        &self,
        cx: &Context,
        input: RemoveLayerVersionPermissionRequest,
    ) -> Result<()> {
        let version = version_number(input.version_number)?;
        let layer = LayerKey::named(cx, &input.layer_name);
        let changed = self.change_layer_policy(cx, layer, version, move |record| {
            check_revision(record, input.revision_id.as_deref())?;
            let before = record.policy.len();
            record.policy.retain(|held| sid(held) != input.statement_id);
            match record.policy.len() == before {
                true => Err(Error::NotFound(format!(
                    "Statement {} is not found in resource policy.",
                    input.statement_id
                ))),
                false => Ok(()),
            }
        });
        changed.await.map(drop)
    }

    pub(in super::super) async fn layer_policy(
        &self,
        cx: &Context,
        name: &str,
        version: i64,
    ) -> Result<GetLayerVersionPolicyResponse> {
        let (layer, version) = (LayerKey::named(cx, name), version_number(version)?);
        own(cx, "lambda:GetLayerVersionPolicy", &layer, version)?;
        let found = self.find_layer_version(&layer, version).await?;
        let found = found.ok_or_else(|| no_such_version(&layer, version))?;
        if found.policy.is_empty() {
            return Err(Error::NotFound(
                "No policy is associated with the given resource.".to_owned(),
            ));
        }
        Ok(GetLayerVersionPolicyResponse {
            policy: Some(policy_text(&found)),
            revision_id: Some(found.revision_id),
        })
    }

    /// Gives the policy's new revision.
    async fn change_layer_policy(
        &self,
        cx: &Context,
        layer: LayerKey,
        version: u64,
        act: impl Fn(&mut LayerVersionRecord) -> Result<()> + Send + 'static,
    ) -> Result<String> {
        own(cx, "lambda:AddLayerVersionPermission", &layer, version)?;
        let revision_id = new_revision_id();
        let changed = self.0.store.try_write(move |tx| {
            let [account, region, name] = layer.parts();
            let key = [account, region, name, &newest_first(version)];
            let stored = LAYER_VERSIONS.get(tx, &key)?;
            let stored = stored.ok_or_else(|| no_such_version(&layer, version))?;
            let mut record = stored.record;
            act(&mut record)?;
            record.revision_id.clone_from(&revision_id);
            LAYER_VERSIONS.update(tx, &key, stored.revision, &record)?;
            Ok::<_, Error>(revision_id.clone())
        });
        changed.await
    }
}

/// Whether the caller may get this version. One of another account that is not there is refused
/// like one that is.
pub fn check(
    cx: &Context,
    layer: &LayerKey,
    version: u64,
    found: Option<&LayerVersionRecord>,
) -> Result<()> {
    let policy = found.filter(|found| !found.policy.is_empty());
    let policy = policy.map(policy_text).and_then(|text| {
        let bounds = Bounds {
            bytes_max: limits::POLICY_BYTES_MAX,
            statements_max: limits::POLICY_BYTES_MAX,
        };
        let parsed = Policy::parse(&text, Kind::Resource, bounds);
        parsed
            .inspect_err(|error| tracing::error!(%error, "a layer's policy cannot be read"))
            .ok()
    });
    let arn = layer.version_arn(version);
    let principal = Principal::of(&cx.account_id, cx.role.as_deref());
    let request = request(cx, &principal, GET, layer, &arn);
    match resource::decide(&request, policy.as_ref()) {
        Ok(_) => Ok(()),
        Err(refused) => Err(Error::AccessDenied(
            refused.sentence(&request, GET).unwrap_or_default(),
        )),
    }
}

/// What another account gets that asks for what no policy gives away.
pub fn denied(cx: &Context, action: &str, layer: &LayerKey, arn: &str) -> Error {
    let principal = Principal::of(&cx.account_id, cx.role.as_deref());
    let request = request(cx, &principal, action, layer, arn);
    let sentence = Refused::NotAllowed.sentence(&request, action);
    Error::AccessDenied(sentence.unwrap_or_default())
}

fn own(cx: &Context, action: &str, layer: &LayerKey, version: u64) -> Result<()> {
    match layer.is_of(cx) {
        true => Ok(()),
        false => Err(denied(cx, action, layer, &layer.version_arn(version))),
    }
}

fn request<'a>(
    cx: &'a Context,
    principal: &'a Principal,
    action: &'a str,
    layer: &'a LayerKey,
    arn: &'a str,
) -> Request<'a> {
    Request {
        source_ip: cx.origin.ip,
        is_secure: cx.origin.is_secure,
        user_agent: cx.origin.user_agent.as_deref(),
        referer: cx.origin.referer.as_deref(),
        ..Request::new(
            principal,
            action,
            arn,
            &layer.account_id,
            &layer.region,
            cx.now,
        )
    }
}

fn check_revision(record: &LayerVersionRecord, asked: Option<&str>) -> Result<()> {
    match asked {
        Some(asked) if asked != record.revision_id => Err(Error::WrongRevision {
            ask: "GetLayerPolicy",
        }),
        _ => Ok(()),
    }
}

fn policy_text(record: &LayerVersionRecord) -> String {
    json!({"Version": "2012-10-17", "Id": "default", "Statement": record.policy}).to_string()
}

fn sid(statement: &Value) -> &str {
    let sid = statement.get("Sid").and_then(Value::as_str);
    sid.unwrap_or_default()
}

/// The principal has passed the model's pattern: everybody, an account, or an account's root.
fn statement(layer: &LayerKey, version: u64, input: &AddLayerVersionPermissionRequest) -> Value {
    let partition = wire::arn::partition(&layer.region);
    let principal = match input.principal.as_str() {
        "*" => json!("*"),
        arn if arn.starts_with("arn:") => json!({"AWS": arn}),
        account => json!({"AWS": format!("arn:{partition}:iam::{account}:root")}),
    };
    let mut statement = json!({
        "Sid": input.statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": input.action,
        "Resource": layer.version_arn(version),
    });
    if let Some(organization) = &input.organization_id {
        statement["Condition"] = json!({"StringEquals": {"aws:PrincipalOrgID": organization}});
    }
    statement
}
