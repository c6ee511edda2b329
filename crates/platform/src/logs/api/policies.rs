//! Resource policies.

use wire::{Context, cloudwatch_logs as api};

use super::{groups::limit, token};
use crate::logs::{
    LogService,
    error::{Error, Result},
    policies,
    tables::PolicyRecord,
};

impl LogService {
    pub(super) async fn put_policy(
        &self,
        cx: &Context,
        input: api::PutResourcePolicyRequest,
    ) -> Result<api::PutResourcePolicyResponse> {
        if input.resource_arn.is_some() {
            return Err(Error::unsupported("resource policies of single log groups"));
        }
        let (Some(name), Some(document)) = (input.policy_name, input.policy_document) else {
            return Err(Error::parameter(
                "Policy name and policy document must be specified.",
            ));
        };
        let policy = PolicyRecord {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name,
            document,
            updated_ms: cx.now.as_millisecond(),
        };
        let policy = self.policies.put(policy).await?;
        let document = policy.document.clone();
        Ok(api::PutResourcePolicyResponse {
            resource_policy: Some(shown(policy, document)),
            revision_id: None,
        })
    }

    pub(super) async fn delete_policy(
        &self,
        cx: &Context,
        input: api::DeleteResourcePolicyRequest,
    ) -> Result<()> {
        let name = input.policy_name.unwrap_or_default();
        match self
            .policies
            .delete(&cx.account_id, &cx.region, &name)
            .await?
        {
            true => Ok(()),
            false => Err(Error::NotFound(format!(
                "Policy with name [{name}] does not exist."
            ))),
        }
    }

    pub(super) async fn describe_policies(
        &self,
        cx: &Context,
        input: api::DescribeResourcePoliciesRequest,
    ) -> Result<api::DescribeResourcePoliciesResponse> {
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        let mut all = match input.policy_scope.as_deref() {
            // There are none of single resources.
            Some("RESOURCE") => Vec::new(),
            _ => self.policies.list(&cx.account_id, &cx.region),
        };
        all.retain(|policy| after.as_ref().is_none_or(|after| policy.name > *after));
        let (page, next_token) =
            token::page(all, limit(input.limit, 50), |policy| policy.name.clone());
        let shown = |policy: PolicyRecord| {
            let document = policies::shown(&policy.document);
            shown(policy, document)
        };
        Ok(api::DescribeResourcePoliciesResponse {
            resource_policies: Some(page.into_iter().map(shown).collect()),
            next_token,
        })
    }
}

fn shown(policy: PolicyRecord, document: String) -> api::ResourcePolicy {
    api::ResourcePolicy {
        policy_name: Some(policy.name),
        policy_document: Some(document),
        last_updated_time: Some(policy.updated_ms),
        policy_scope: Some("ACCOUNT".to_owned()),
        ..Default::default()
    }
}
