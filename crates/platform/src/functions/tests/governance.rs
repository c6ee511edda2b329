//! Code signing, and which version of a runtime a function gets.

use super::*;

fn publishers() -> api::AllowedPublishers {
    let profile = "arn:aws:signer:us-east-1:111111111111:/signing-profiles/p/abcdefgh12";
    api::AllowedPublishers {
        signing_profile_version_arns: vec![profile.into()],
    }
}

fn policies(policy: &str) -> Option<api::CodeSigningPolicies> {
    Some(api::CodeSigningPolicies {
        untrusted_artifact_on_deployment: Some(policy.into()),
    })
}

impl World {
    async fn signing(&self, policy: &str) -> String {
        let input = api::CreateCodeSigningConfigRequest {
            allowed_publishers: publishers(),
            code_signing_policies: policies(policy),
            ..Default::default()
        };
        let made = self.functions.create_code_signing_config(cx(), input).await;
        made.unwrap().code_signing_config.code_signing_config_arn
    }

    async fn sign(&self, name: &str, arn: &str) -> Result<(), wire::Error> {
        let input = api::PutFunctionCodeSigningConfigRequest {
            code_signing_config_arn: arn.into(),
            function_name: name.into(),
        };
        let put = self.functions.put_function_code_signing_config(cx(), input);
        put.await.map(drop)
    }

    async fn update_code(&self, name: &str) -> Result<(), wire::Error> {
        let input = api::UpdateFunctionCodeRequest {
            function_name: name.into(),
            zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/bash\n")])),
            ..Default::default()
        };
        let updated = self.functions.update_function_code(cx(), input).await;
        if updated.is_ok() {
            self.settled(name).await;
        }
        updated.map(drop)
    }
}

#[tokio::test]
async fn enforced_code_signing_lets_no_unsigned_code_in() {
    let world = World::new().await;
    let (enforced, warned) = (world.signing("Enforce").await, world.signing("Warn").await);
    let mut input = request("f");
    input.code_signing_config_arn = Some(enforced.clone());
    let refused = world.functions.create_function(cx(), input).await;
    assert_eq!(refused.unwrap_err().code, "CodeVerificationFailedException");
    let mut input = request("f");
    input.code_signing_config_arn = Some(warned.clone());
    world.functions.create_function(cx(), input).await.unwrap();
    world.settled("f").await;
    world.update_code("f").await.unwrap();

    // What runs goes on running; only the next code is checked.
    world.sign("f", &enforced).await.unwrap();
    world.invoke("f", b"{}").await.unwrap();
    let refused = world.update_code("f").await.unwrap_err();
    assert_eq!(refused.code, "CodeVerificationFailedException");
    let layer = api::PublishLayerVersionRequest {
        layer_name: "l".into(),
        content: api::LayerVersionContentInput {
            zip_file: Some(zip_of(&[("f", b"x")])),
            ..Default::default()
        },
        ..Default::default()
    };
    let layer = world
        .functions
        .publish_layer_version(cx(), layer)
        .await
        .unwrap();
    let mut change = update("f");
    change.layers = Some(vec![layer.layer_version_arn.unwrap()]);
    let refused = world
        .functions
        .update_function_configuration(cx(), change)
        .await;
    assert_eq!(refused.unwrap_err().code, "CodeVerificationFailedException");

    let world = world.again().await;
    assert!(world.update_code("f").await.is_err());
    let input = api::UpdateCodeSigningConfigRequest {
        code_signing_config_arn: enforced,
        code_signing_policies: policies("Warn"),
        ..Default::default()
    };
    let updated = world
        .functions
        .update_code_signing_config(cx(), input)
        .await;
    assert_eq!(
        updated.unwrap().code_signing_config.allowed_publishers,
        publishers()
    );
    world.update_code("f").await.unwrap();
}

#[tokio::test]
async fn a_configuration_is_deleted_when_nothing_uses_it() {
    let world = World::new().await;
    world.active("f").await;
    let arn = world.signing("Warn").await;
    world.sign("f", &arn).await.unwrap();
    let using = async || {
        let input = api::ListFunctionsByCodeSigningConfigRequest {
            code_signing_config_arn: arn.clone(),
            ..Default::default()
        };
        let found = world
            .functions
            .list_functions_by_code_signing_config(cx(), input);
        found.await.unwrap().function_arns.unwrap()
    };
    assert_eq!(using().await, [super::arn("f")]);
    let delete = async || {
        let input = api::DeleteCodeSigningConfigRequest {
            code_signing_config_arn: arn.clone(),
        };
        world
            .functions
            .delete_code_signing_config(cx(), input)
            .await
    };
    assert_eq!(
        delete().await.unwrap_err().code,
        "ResourceConflictException"
    );
    let input = api::DeleteFunctionCodeSigningConfigRequest {
        function_name: "f".into(),
    };
    world
        .functions
        .delete_function_code_signing_config(cx(), input)
        .await
        .unwrap();
    let input = api::GetFunctionCodeSigningConfigRequest {
        function_name: "f".into(),
    };
    let none = world
        .functions
        .get_function_code_signing_config(cx(), input)
        .await;
    assert_eq!(none.unwrap().code_signing_config_arn, "");
    assert!(using().await.is_empty());
    delete().await.unwrap();
    assert_eq!(
        delete().await.unwrap_err().code,
        "ResourceNotFoundException"
    );
    let refused = world.sign("f", &arn).await.unwrap_err();
    assert_eq!(refused.code, "CodeSigningConfigNotFoundException");
    let list = world
        .functions
        .list_code_signing_configs(cx(), Default::default());
    assert_eq!(list.await.unwrap().code_signing_configs, Some(Vec::new()));
}

#[tokio::test]
async fn a_runtime_is_pinned_to_the_version_that_is_here() {
    let world = World::new().await;
    let shown = world.active("f").await.runtime_version_config.unwrap();
    let version = shown.runtime_version_arn.unwrap();
    let put = async |when: &str, arn: Option<&str>| {
        let input = api::PutRuntimeManagementConfigRequest {
            function_name: "f".into(),
            qualifier: None,
            update_runtime_on: when.into(),
            runtime_version_arn: arn.map(str::to_owned),
        };
        world
            .functions
            .put_runtime_management_config(cx(), input)
            .await
    };
    let get = async || {
        let input = api::GetRuntimeManagementConfigRequest {
            function_name: "f".into(),
            qualifier: None,
        };
        let found = world.functions.get_runtime_management_config(cx(), input);
        let found = found.await.unwrap();
        (found.update_runtime_on.unwrap(), found.runtime_version_arn)
    };
    assert_eq!(get().await, ("Auto".into(), None));
    put("Manual", Some(&version)).await.unwrap();
    assert_eq!(get().await, ("Manual".into(), Some(version.clone())));
    for (when, arn) in [
        ("Manual", None),
        ("Auto", Some(version.as_str())),
        ("Manual", Some("arn:aws:lambda:us-east-1::runtime:0123")),
    ] {
        let refused = put(when, arn).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameterValueException");
    }
    assert_eq!(get().await.0, "Manual");
    // Another runtime has another version, and that is not what it was pinned to.
    let mut change = update("f");
    change.runtime = Some("provided.al2".into());
    world
        .functions
        .update_function_configuration(cx(), change)
        .await
        .unwrap();
    let failed = world.settled("f").await;
    assert_eq!(failed.last_update_status.as_deref(), Some("Failed"));
    assert!(failed.last_update_status_reason.unwrap().contains(&version));
    put("FunctionUpdate", None).await.unwrap();
    assert_eq!(get().await, ("FunctionUpdate".into(), None));
}
