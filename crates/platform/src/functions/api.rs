//! Lambda's API: the generated trait, and which of AWS's errors each of ours is.

mod refusal;
mod shared;
mod streams;

use wire::{
    Context, Error as Refusal,
    lambda::{self as api, FunctionName, Lambda},
};

use super::{AsyncEvent, Functions, error::Error};

pub(crate) use refusal::refusal;

use refusal::resource_refusal;

type Answer<T> = Result<T, Refusal>;

/// Runs a change to its end also when the caller is gone by then: half of one would leave memory
/// and store apart.
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Answer<T> {
    match tokio::spawn(change).await {
        Ok(done) => done.map_err(refusal),
        Err(error) => Err(refusal(Error::platform(error))),
    }
}

fn name(cx: &Context, name: &str, qualifier: Option<&str>) -> Answer<FunctionName> {
    FunctionName::resolve(cx, name, qualifier)
}

impl Functions {
    /// What an asynchronous invocation is to run, checked as one that is waited for.
    pub(crate) fn event(&self, cx: &Context, input: api::InvocationRequest) -> Answer<AsyncEvent> {
        let (cx, name) = self.shared(
            cx,
            "lambda:InvokeFunction",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        self.accepted_event(&cx, &name, input).map_err(refusal)
    }
}

impl Lambda for Functions {
    async fn create_function(
        &self,
        cx: &Context,
        input: api::CreateFunctionRequest,
    ) -> Answer<api::FunctionConfiguration> {
        let name = FunctionName::for_creation(cx, &input.function_name)?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.create(&cx, name, input).await }).await
    }

    async fn update_function_code(
        &self,
        cx: &Context,
        input: api::UpdateFunctionCodeRequest,
    ) -> Answer<api::FunctionConfiguration> {
        let (cx, name) =
            self.shared(cx, "lambda:UpdateFunctionCode", &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.update_code(&cx, &name, input).await }).await
    }

    async fn update_function_configuration(
        &self,
        cx: &Context,
        input: api::UpdateFunctionConfigurationRequest,
    ) -> Answer<api::FunctionConfiguration> {
        let name = name(cx, &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.update_configuration(&cx, &name, input).await }).await
    }

    async fn delete_function(
        &self,
        cx: &Context,
        input: api::DeleteFunctionRequest,
    ) -> Answer<api::DeleteFunctionResponse> {
        let (cx, name) = self.shared(
            cx,
            "lambda:DeleteFunction",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.delete(&cx, &name).await }).await?;
        Ok(api::DeleteFunctionResponse {
            status_code: Some(204),
        })
    }

    async fn get_function(
        &self,
        cx: &Context,
        input: api::GetFunctionRequest,
    ) -> Answer<api::GetFunctionResponse> {
        let (cx, name) = self.shared(
            cx,
            "lambda:GetFunction",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        self.get(&cx, &name).map_err(refusal)
    }

    async fn get_function_configuration(
        &self,
        cx: &Context,
        input: api::GetFunctionConfigurationRequest,
    ) -> Answer<api::FunctionConfiguration> {
        let (cx, name) = self.shared(
            cx,
            "lambda:GetFunctionConfiguration",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        self.get_configuration(&cx, &name).map_err(refusal)
    }

    async fn list_functions(
        &self,
        cx: &Context,
        input: api::ListFunctionsRequest,
    ) -> Answer<api::ListFunctionsResponse> {
        self.list(cx, &input).map_err(refusal)
    }

    async fn list_versions_by_function(
        &self,
        cx: &Context,
        input: api::ListVersionsByFunctionRequest,
    ) -> Answer<api::ListVersionsByFunctionResponse> {
        let (cx, name) = self.shared(
            cx,
            "lambda:ListVersionsByFunction",
            &input.function_name,
            None,
        )?;
        self.list_versions(&cx, &name, &input).map_err(refusal)
    }

    async fn publish_version(
        &self,
        cx: &Context,
        input: api::PublishVersionRequest,
    ) -> Answer<api::FunctionConfiguration> {
        let (cx, name) = self.shared(cx, "lambda:PublishVersion", &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.publish(&cx, &name, input).await }).await
    }

    async fn create_alias(
        &self,
        cx: &Context,
        input: api::CreateAliasRequest,
    ) -> Answer<api::AliasConfiguration> {
        let (cx, name) = self.shared(cx, "lambda:CreateAlias", &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.create_alias_of(&cx, &name, input).await }).await
    }

    async fn get_alias(
        &self,
        cx: &Context,
        input: api::GetAliasRequest,
    ) -> Answer<api::AliasConfiguration> {
        let (cx, name) = self.shared(cx, "lambda:GetAlias", &input.function_name, None)?;
        self.alias(&cx, &name, &input.name).map_err(refusal)
    }

    async fn update_alias(
        &self,
        cx: &Context,
        input: api::UpdateAliasRequest,
    ) -> Answer<api::AliasConfiguration> {
        let (cx, name) = self.shared(cx, "lambda:UpdateAlias", &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.update_alias_of(&cx, &name, input).await }).await
    }

    async fn delete_alias(&self, cx: &Context, input: api::DeleteAliasRequest) -> Answer<()> {
        let (cx, name) = self.shared(cx, "lambda:DeleteAlias", &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.delete_alias_of(&cx, &name, &input.name).await }).await
    }

    async fn list_aliases(
        &self,
        cx: &Context,
        input: api::ListAliasesRequest,
    ) -> Answer<api::ListAliasesResponse> {
        let (cx, name) = self.shared(cx, "lambda:ListAliases", &input.function_name, None)?;
        self.list_aliases_of(&cx, &name, &input).map_err(refusal)
    }

    async fn invoke(
        &self,
        cx: &Context,
        input: api::InvocationRequest,
    ) -> Answer<api::InvocationResponse> {
        let (cx, name) = self.shared(
            cx,
            "lambda:InvokeFunction",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        self.invoke_function(&cx, &name, input)
            .await
            .map_err(refusal)
    }

    async fn get_account_settings(
        &self,
        cx: &Context,
        _: api::GetAccountSettingsRequest,
    ) -> Answer<api::GetAccountSettingsResponse> {
        self.account_settings(cx).await.map_err(refusal)
    }

    async fn tag_resource(&self, cx: &Context, input: api::TagResourceRequest) -> Answer<()> {
        let cx = self.shared_resource(cx, "lambda:TagResource", &input.resource)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.tag(&cx, &input.resource, input.tags).await }).await
    }

    async fn untag_resource(&self, cx: &Context, input: api::UntagResourceRequest) -> Answer<()> {
        let cx = self.shared_resource(cx, "lambda:UntagResource", &input.resource)?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.untag(&cx, &input.resource, &input.tag_keys).await }).await
    }

    async fn list_tags(
        &self,
        cx: &Context,
        input: api::ListTagsRequest,
    ) -> Answer<api::ListTagsResponse> {
        let cx = self.shared_resource(cx, "lambda:ListTags", &input.resource)?;
        let tags = self.tags(&cx, &input.resource).map_err(refusal)?;
        Ok(api::ListTagsResponse { tags: Some(tags) })
    }

    async fn put_function_concurrency(
        &self,
        cx: &Context,
        input: api::PutFunctionConcurrencyRequest,
    ) -> Answer<api::Concurrency> {
        let (cx, name) = self.shared(
            cx,
            "lambda:PutFunctionConcurrency",
            &input.function_name,
            None,
        )?;
        let asked = input.reserved_concurrent_executions;
        let (this, cx) = (self.clone(), cx.into_owned());
        let reserved = to_its_end(async move { this.reserve(&cx, &name, asked).await }).await?;
        Ok(api::Concurrency {
            reserved_concurrent_executions: i32::try_from(reserved).ok(),
        })
    }

    async fn get_function_concurrency(
        &self,
        cx: &Context,
        input: api::GetFunctionConcurrencyRequest,
    ) -> Answer<api::GetFunctionConcurrencyResponse> {
        let (cx, name) = self.shared(
            cx,
            "lambda:GetFunctionConcurrency",
            &input.function_name,
            None,
        )?;
        let reserved = self.reserved(&cx, &name).map_err(refusal)?;
        Ok(api::GetFunctionConcurrencyResponse {
            reserved_concurrent_executions: reserved.and_then(|n| i32::try_from(n).ok()),
        })
    }

    async fn delete_function_concurrency(
        &self,
        cx: &Context,
        input: api::DeleteFunctionConcurrencyRequest,
    ) -> Answer<()> {
        let (cx, name) = self.shared(
            cx,
            "lambda:DeleteFunctionConcurrency",
            &input.function_name,
            None,
        )?;
        let (this, cx) = (self.clone(), cx.into_owned());
        to_its_end(async move { this.unreserve(&cx, &name).await }).await
    }

    async fn put_function_recursion_config(
        &self,
        cx: &Context,
        input: api::PutFunctionRecursionConfigRequest,
    ) -> Answer<api::PutFunctionRecursionConfigResponse> {
        let name = name(cx, &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.clone());
        let asked = input.recursive_loop;
        to_its_end(async move { this.put_recursion(&cx, &name, &asked).await }).await
    }

    async fn get_function_recursion_config(
        &self,
        cx: &Context,
        input: api::GetFunctionRecursionConfigRequest,
    ) -> Answer<api::GetFunctionRecursionConfigResponse> {
        let name = name(cx, &input.function_name, None)?;
        self.recursion(cx, &name).map_err(refusal)
    }

    async fn put_provisioned_concurrency_config(
        &self,
        cx: &Context,
        input: api::PutProvisionedConcurrencyConfigRequest,
    ) -> Answer<api::PutProvisionedConcurrencyConfigResponse> {
        let name = name(cx, &input.function_name, Some(&input.qualifier))?;
        let asked = input.provisioned_concurrent_executions;
        let (this, cx) = (self.clone(), cx.clone());
        let put = to_its_end(async move { this.put_provisioned(&cx, &name, asked).await }).await?;
        Ok(api::PutProvisionedConcurrencyConfigResponse {
            requested_provisioned_concurrent_executions: put
                .requested_provisioned_concurrent_executions,
            allocated_provisioned_concurrent_executions: put
                .allocated_provisioned_concurrent_executions,
            available_provisioned_concurrent_executions: put
                .available_provisioned_concurrent_executions,
            status: put.status,
            status_reason: put.status_reason,
            last_modified: put.last_modified,
        })
    }

    async fn get_provisioned_concurrency_config(
        &self,
        cx: &Context,
        input: api::GetProvisionedConcurrencyConfigRequest,
    ) -> Answer<api::GetProvisionedConcurrencyConfigResponse> {
        let name = name(cx, &input.function_name, Some(&input.qualifier))?;
        let got = self.get_provisioned(cx, &name).map_err(refusal)?;
        Ok(api::GetProvisionedConcurrencyConfigResponse {
            requested_provisioned_concurrent_executions: got
                .requested_provisioned_concurrent_executions,
            allocated_provisioned_concurrent_executions: got
                .allocated_provisioned_concurrent_executions,
            available_provisioned_concurrent_executions: got
                .available_provisioned_concurrent_executions,
            status: got.status,
            status_reason: got.status_reason,
            last_modified: got.last_modified,
        })
    }

    async fn delete_provisioned_concurrency_config(
        &self,
        cx: &Context,
        input: api::DeleteProvisionedConcurrencyConfigRequest,
    ) -> Answer<()> {
        let name = name(cx, &input.function_name, Some(&input.qualifier))?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.delete_provisioned(&cx, &name).await }).await
    }

    async fn list_provisioned_concurrency_configs(
        &self,
        cx: &Context,
        input: api::ListProvisionedConcurrencyConfigsRequest,
    ) -> Answer<api::ListProvisionedConcurrencyConfigsResponse> {
        let name = name(cx, &input.function_name, None)?;
        self.list_provisioned(cx, &name, &input).map_err(refusal)
    }

    async fn create_function_url_config(
        &self,
        cx: &Context,
        input: api::CreateFunctionUrlConfigRequest,
    ) -> Answer<api::CreateFunctionUrlConfigResponse> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.create_url(&cx, &name, input).await }).await
    }

    async fn get_function_url_config(
        &self,
        cx: &Context,
        input: api::GetFunctionUrlConfigRequest,
    ) -> Answer<api::GetFunctionUrlConfigResponse> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        self.get_url(cx, &name).map_err(refusal)
    }

    async fn update_function_url_config(
        &self,
        cx: &Context,
        input: api::UpdateFunctionUrlConfigRequest,
    ) -> Answer<api::UpdateFunctionUrlConfigResponse> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.update_url(&cx, &name, input).await }).await
    }

    async fn delete_function_url_config(
        &self,
        cx: &Context,
        input: api::DeleteFunctionUrlConfigRequest,
    ) -> Answer<()> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.delete_url(&cx, &name).await }).await
    }

    async fn list_function_url_configs(
        &self,
        cx: &Context,
        input: api::ListFunctionUrlConfigsRequest,
    ) -> Answer<api::ListFunctionUrlConfigsResponse> {
        let name = name(cx, &input.function_name, None)?;
        self.list_urls(cx, &name, &input).map_err(refusal)
    }

    async fn add_permission(
        &self,
        cx: &Context,
        input: api::AddPermissionRequest,
    ) -> Answer<api::AddPermissionResponse> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        let added = async move { this.add_permission_to(&cx, &name, input).await };
        Ok(api::AddPermissionResponse {
            statement: Some(to_its_end(added).await?),
        })
    }

    async fn remove_permission(
        &self,
        cx: &Context,
        input: api::RemovePermissionRequest,
    ) -> Answer<()> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move {
            let revision = input.revision_id.as_deref();
            this.remove_permission_from(&cx, &name, &input.statement_id, revision)
                .await
        })
        .await
    }

    async fn get_policy(
        &self,
        cx: &Context,
        input: api::GetPolicyRequest,
    ) -> Answer<api::GetPolicyResponse> {
        let (cx, name) = self.shared(
            cx,
            "lambda:GetPolicy",
            &input.function_name,
            input.qualifier.as_deref(),
        )?;
        self.policy(&cx, &name).map_err(refusal)
    }

    async fn publish_layer_version(
        &self,
        cx: &Context,
        input: api::PublishLayerVersionRequest,
    ) -> Answer<api::PublishLayerVersionResponse> {
        let (this, cx) = (self.clone(), cx.clone());
        let made = to_its_end(async move { this.publish_layer(&cx, input).await }).await?;
        Ok(api::PublishLayerVersionResponse {
            content: made.content,
            layer_arn: made.layer_arn,
            layer_version_arn: made.layer_version_arn,
            description: made.description,
            created_date: made.created_date,
            version: made.version,
            compatible_architectures: made.compatible_architectures,
            compatible_runtimes: made.compatible_runtimes,
            license_info: made.license_info,
        })
    }

    async fn get_layer_version(
        &self,
        cx: &Context,
        input: api::GetLayerVersionRequest,
    ) -> Answer<api::GetLayerVersionResponse> {
        let found = self.layer_version(cx, &input.layer_name, input.version_number);
        found.await.map_err(refusal)
    }

    async fn get_layer_version_by_arn(
        &self,
        cx: &Context,
        input: api::GetLayerVersionByArnRequest,
    ) -> Answer<api::GetLayerVersionResponse> {
        let found = self.layer_version_by_arn(cx, &input.arn);
        found.await.map_err(refusal)
    }

    async fn list_layers(
        &self,
        cx: &Context,
        input: api::ListLayersRequest,
    ) -> Answer<api::ListLayersResponse> {
        self.layers(cx, &input).await.map_err(refusal)
    }

    async fn list_layer_versions(
        &self,
        cx: &Context,
        input: api::ListLayerVersionsRequest,
    ) -> Answer<api::ListLayerVersionsResponse> {
        self.layer_versions(cx, &input).await.map_err(refusal)
    }

    async fn delete_layer_version(
        &self,
        cx: &Context,
        input: api::DeleteLayerVersionRequest,
    ) -> Answer<()> {
        let deleted = self.delete_layer(cx, &input.layer_name, input.version_number);
        deleted.await.map_err(refusal)
    }

    async fn add_layer_version_permission(
        &self,
        cx: &Context,
        input: api::AddLayerVersionPermissionRequest,
    ) -> Answer<api::AddLayerVersionPermissionResponse> {
        let added = self.add_layer_permission(cx, input);
        added.await.map_err(refusal)
    }

    async fn remove_layer_version_permission(
        &self,
        cx: &Context,
        input: api::RemoveLayerVersionPermissionRequest,
    ) -> Answer<()> {
        let removed = self.remove_layer_permission(cx, input);
        removed.await.map_err(refusal)
    }

    async fn get_layer_version_policy(
        &self,
        cx: &Context,
        input: api::GetLayerVersionPolicyRequest,
    ) -> Answer<api::GetLayerVersionPolicyResponse> {
        let found = self.layer_policy(cx, &input.layer_name, input.version_number);
        found.await.map_err(refusal)
    }

    async fn create_code_signing_config(
        &self,
        cx: &Context,
        input: api::CreateCodeSigningConfigRequest,
    ) -> Answer<api::CreateCodeSigningConfigResponse> {
        let code_signing_config = self.create_signing(cx, input).await.map_err(refusal)?;
        Ok(api::CreateCodeSigningConfigResponse {
            code_signing_config,
        })
    }

    async fn get_code_signing_config(
        &self,
        cx: &Context,
        input: api::GetCodeSigningConfigRequest,
    ) -> Answer<api::GetCodeSigningConfigResponse> {
        let found = self.signing(cx, &input.code_signing_config_arn).await;
        Ok(api::GetCodeSigningConfigResponse {
            code_signing_config: found.map_err(resource_refusal)?,
        })
    }

    async fn update_code_signing_config(
        &self,
        cx: &Context,
        input: api::UpdateCodeSigningConfigRequest,
    ) -> Answer<api::UpdateCodeSigningConfigResponse> {
        let changed = self.update_signing(cx, input).await;
        Ok(api::UpdateCodeSigningConfigResponse {
            code_signing_config: changed.map_err(resource_refusal)?,
        })
    }

    async fn delete_code_signing_config(
        &self,
        cx: &Context,
        input: api::DeleteCodeSigningConfigRequest,
    ) -> Answer<api::DeleteCodeSigningConfigResponse> {
        let deleted = self.delete_signing(cx, &input.code_signing_config_arn);
        deleted.await.map_err(resource_refusal)?;
        Ok(api::DeleteCodeSigningConfigResponse {})
    }

    async fn list_code_signing_configs(
        &self,
        cx: &Context,
        input: api::ListCodeSigningConfigsRequest,
    ) -> Answer<api::ListCodeSigningConfigsResponse> {
        self.list_signing(cx, &input).await.map_err(refusal)
    }

    async fn list_functions_by_code_signing_config(
        &self,
        cx: &Context,
        input: api::ListFunctionsByCodeSigningConfigRequest,
    ) -> Answer<api::ListFunctionsByCodeSigningConfigResponse> {
        let found = self.signed_functions(cx, &input).await;
        found.map_err(resource_refusal)
    }

    async fn put_function_code_signing_config(
        &self,
        cx: &Context,
        input: api::PutFunctionCodeSigningConfigRequest,
    ) -> Answer<api::PutFunctionCodeSigningConfigResponse> {
        let name = name(cx, &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.clone());
        let arn = input.code_signing_config_arn;
        let shown = api::PutFunctionCodeSigningConfigResponse {
            code_signing_config_arn: arn.clone(),
            function_name: name.name.clone(),
        };
        to_its_end(async move { this.set_signing(&cx, &name, Some(&arn)).await }).await?;
        Ok(shown)
    }

    async fn get_function_code_signing_config(
        &self,
        cx: &Context,
        input: api::GetFunctionCodeSigningConfigRequest,
    ) -> Answer<api::GetFunctionCodeSigningConfigResponse> {
        let name = name(cx, &input.function_name, None)?;
        let arn = self.signing_of(cx, &name).map_err(refusal)?;
        Ok(api::GetFunctionCodeSigningConfigResponse {
            code_signing_config_arn: arn.unwrap_or_default(),
            function_name: name.name,
        })
    }

    async fn delete_function_code_signing_config(
        &self,
        cx: &Context,
        input: api::DeleteFunctionCodeSigningConfigRequest,
    ) -> Answer<()> {
        let name = name(cx, &input.function_name, None)?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.set_signing(&cx, &name, None).await }).await
    }

    async fn put_runtime_management_config(
        &self,
        cx: &Context,
        input: api::PutRuntimeManagementConfigRequest,
    ) -> Answer<api::PutRuntimeManagementConfigResponse> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        let (this, cx) = (self.clone(), cx.clone());
        to_its_end(async move { this.manage_runtime(&cx, &name, input).await }).await
    }

    async fn get_runtime_management_config(
        &self,
        cx: &Context,
        input: api::GetRuntimeManagementConfigRequest,
    ) -> Answer<api::GetRuntimeManagementConfigResponse> {
        let name = name(cx, &input.function_name, input.qualifier.as_deref())?;
        self.runtime_management(cx, &name).map_err(refusal)
    }
}
