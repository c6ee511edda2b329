//! Versions, from the API to what the executor is asked for.

use super::*;
use crate::functions::execution::FunctionKey;

pub(super) fn publish(name: &str) -> api::PublishVersionRequest {
    api::PublishVersionRequest {
        function_name: name.into(),
        ..Default::default()
    }
}

pub(super) fn alias(name: &str, version: &str) -> api::CreateAliasRequest {
    api::CreateAliasRequest {
        function_name: "f".into(),
        name: name.into(),
        function_version: version.into(),
        ..Default::default()
    }
}

pub(super) fn key(name: &str) -> FunctionKey {
    FunctionKey {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        name: name.into(),
    }
}

impl World {
    pub(super) async fn publish(&self, name: &str) -> api::FunctionConfiguration {
        let made = self.functions.publish_version(cx(), publish(name)).await;
        made.unwrap()
    }

    pub(super) async fn remember(&self, memory_mb: i32) {
        let mut input = update("f");
        input.memory_size = Some(memory_mb);
        let updated = self.functions.update_function_configuration(cx(), input);
        updated.await.unwrap();
        self.settled("f").await;
    }

    pub(super) async fn get(
        &self,
        qualifier: &str,
    ) -> Result<api::FunctionConfiguration, wire::Error> {
        let input = api::GetFunctionConfigurationRequest {
            function_name: "f".into(),
            qualifier: Some(qualifier.into()),
        };
        self.functions.get_function_configuration(cx(), input).await
    }

    pub(super) async fn invoked(&self, name: &str) -> Result<String, wire::Error> {
        let input = api::InvocationRequest {
            function_name: name.into(),
            ..Default::default()
        };
        let answer = self.functions.invoke(cx(), input).await?;
        Ok(answer.executed_version.unwrap())
    }

    pub(super) async fn delete(
        &self,
        name: &str,
    ) -> Result<api::DeleteFunctionResponse, wire::Error> {
        let input = api::DeleteFunctionRequest {
            function_name: name.into(),
            qualifier: None,
        };
        self.functions.delete_function(cx(), input).await
    }

    async fn versions(&self) -> Vec<String> {
        let mut input = api::ListVersionsByFunctionRequest {
            function_name: "f".into(),
            max_items: Some(2),
            ..Default::default()
        };
        let mut versions = Vec::new();
        loop {
            let page = self
                .functions
                .list_versions_by_function(cx(), input.clone());
            let page = page.await.unwrap();
            let listed = page.versions.unwrap().into_iter();
            versions.extend(listed.map(|version| version.version.unwrap()));
            let Some(next) = page.next_marker else {
                return versions;
            };
            input.marker = Some(next);
        }
    }
}

#[tokio::test]
async fn a_version_stays_what_it_was() {
    let world = World::new().await;
    let latest = world.active("f").await;
    let one = world.publish("f").await;
    assert_eq!(one.version.as_deref(), Some("1"));
    assert_eq!(one.function_arn, Some(arn("f:1")));
    assert_eq!(one.state.as_deref(), Some("Active"));
    assert_eq!(one.code_sha256, latest.code_sha256);
    assert_ne!(
        world.configuration("f").await.revision_id,
        latest.revision_id
    );
    // Nothing has changed, so nothing is made.
    assert_eq!(world.publish("f").await.revision_id, one.revision_id);

    world.remember(512).await;
    let described = api::PublishVersionRequest {
        description: Some("second".into()),
        ..publish("f")
    };
    let two = world.functions.publish_version(cx(), described).await;
    let two = two.unwrap();
    assert_eq!(
        (two.version.as_deref(), two.memory_size),
        (Some("2"), Some(512))
    );
    assert_eq!(two.description.as_deref(), Some("second"));
    // A description of the version is no change of the function.
    assert_eq!(world.publish("f").await.version.as_deref(), Some("2"));

    let code = api::UpdateFunctionCodeRequest {
        function_name: "f".into(),
        zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/bash\n")])),
        publish: Some(true),
        ..Default::default()
    };
    let three = world.functions.update_function_code(cx(), code).await;
    let three = three.unwrap();
    assert_eq!(three.function_arn, Some(arn("f:3")));
    assert_eq!(three.state.as_deref(), Some("Pending"));
    world.settled("f").await;
    assert_eq!(
        world.get("3").await.unwrap().state.as_deref(),
        Some("Active")
    );

    let check = async |world: &World| {
        for (version, memory_mb) in [("1", 128), ("2", 512), ("3", 512)] {
            let shown = world.get(version).await.unwrap();
            assert_eq!(shown.memory_size, Some(memory_mb));
            assert_eq!(
                world.invoked(&format!("f:{version}")).await.unwrap(),
                version
            );
            let deployed = world.executor.version("f", version).unwrap();
            assert_eq!(i64::from(deployed.memory_mb), i64::from(memory_mb));
            let script = std::fs::read(deployed.code.0.join("bootstrap")).unwrap();
            assert_eq!(script.starts_with(b"#!/bin/bash"), version == "3");
        }
        assert_eq!(world.invoked("f").await.unwrap(), "$LATEST");
    };
    check(&world).await;
    let world = world.again().await;
    assert_eq!(world.versions().await, ["$LATEST", "1", "2", "3"]);
    check(&world).await;
    // The package of the first two is nobody else's by now.
    let later = std::time::SystemTime::now() + Duration::from_secs(3600);
    let world = world.again().await;
    world.functions.collect(later).await.unwrap();
    check(&world).await;
}

#[tokio::test]
async fn a_number_is_never_given_twice() {
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    world.invoked("f:1").await.unwrap();
    world.delete("f:1").await.unwrap();
    assert!(world.executor.version("f", "1").is_none());
    assert_eq!(world.versions().await, ["$LATEST"]);
    // One that is gone is as good as deleted.
    world.delete("f:1").await.unwrap();
    let gone = format!("Function not found: {}", arn("f:1"));
    refused(world.get("1").await, "ResourceNotFoundException", &gone);
    refused(
        world.invoked("f:1").await,
        "ResourceNotFoundException",
        &gone,
    );
    let world = world.again().await;
    assert_eq!(world.publish("f").await.version.as_deref(), Some("2"));
    refused(
        world.get("02").await,
        "ResourceNotFoundException",
        &format!("Function not found: {}", arn("f:02")),
    );
}

#[tokio::test]
async fn what_is_published_has_to_be_what_was_meant() {
    let world = World::new().await;
    let latest = world.active("f").await;
    let wrong = api::PublishVersionRequest {
        code_sha256: Some("other".into()),
        ..publish("f")
    };
    let message = format!(
        "CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({0}). Please try \
         again with the CodeSHA256 in $LATEST.",
        latest.code_sha256.as_deref().unwrap()
    );
    let published = world.functions.publish_version(cx(), wrong).await;
    refused(published, "InvalidParameterValueException", &message);
    let stale = api::PublishVersionRequest {
        revision_id: Some("other".into()),
        ..publish("f")
    };
    let published = world.functions.publish_version(cx(), stale).await;
    assert_eq!(published.unwrap_err().code, "PreconditionFailedException");
    let exact = api::PublishVersionRequest {
        code_sha256: latest.code_sha256,
        revision_id: latest.revision_id,
        ..publish("f")
    };
    world.functions.publish_version(cx(), exact).await.unwrap();
    let qualified = world.functions.publish_version(cx(), publish("f:1")).await;
    assert_eq!(
        qualified.unwrap_err().code,
        "InvalidParameterValueException"
    );
}

#[tokio::test]
async fn a_version_made_with_its_function_becomes_what_that_becomes() {
    let world = World::new().await;
    world.executor.open.send_replace(false);
    let published = |name| api::CreateFunctionRequest {
        publish: Some(true),
        ..request(name)
    };
    let made = world.functions.create_function(cx(), published("f")).await;
    let made = made.unwrap();
    assert_eq!(made.version.as_deref(), Some("1"));
    assert_eq!(made.function_arn, Some(arn("f")));
    assert_eq!(
        world.get("1").await.unwrap().state.as_deref(),
        Some("Pending")
    );
    let early = world.invoked("f:1").await.unwrap_err();
    assert_eq!(early.code, "ResourceConflictException");
    // A crash before it is deployed is gone over.
    let world = world.again().await;
    world.settled("f").await;
    assert_eq!(
        world.get("1").await.unwrap().state.as_deref(),
        Some("Active")
    );
    assert_eq!(world.publish("f").await.version.as_deref(), Some("1"));
    assert_eq!(world.invoked("f:1").await.unwrap(), "1");

    world.delete("f").await.unwrap();
    *world.executor.fail.lock().unwrap() = Some("no".into());
    world
        .functions
        .create_function(cx(), published("f"))
        .await
        .unwrap();
    world.settled("f").await;
    let failed = world.get("1").await.unwrap();
    assert_eq!(failed.state.as_deref(), Some("Failed"));
    assert_eq!(failed.state_reason.as_deref(), Some("no"));
}

#[tokio::test]
async fn a_function_goes_with_all_that_is_its() {
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    world.invoked("f:1").await.unwrap();
    world
        .functions
        .create_alias(cx(), alias("live", "1"))
        .await
        .unwrap();
    // Of another function whose name begins the same nothing goes.
    world.active("f2").await;
    world.publish("f2").await;
    world.delete("f").await.unwrap();
    assert!(world.executor.version("f", "1").is_none());
    let world = world.again().await;
    assert_eq!(world.invoked("f2:1").await.unwrap(), "1");
    world.active("f").await;
    assert_eq!(world.versions().await, ["$LATEST"]);
    refused(
        world.get("live").await,
        "ResourceNotFoundException",
        &format!("Function not found: {}", arn("f:live")),
    );
    assert!(!world.functions.exists(&key("f"), Some("1")));
    assert!(world.functions.exists(&key("f"), Some("$LATEST")));
    assert_eq!(world.publish("f").await.version.as_deref(), Some("1"));
}

#[tokio::test]
async fn all_versions_are_listed_page_by_page() {
    let world = World::new().await;
    for (name, versions) in [("a", 3), ("b", 0), ("c", 1)] {
        world.active(name).await;
        for memory_mb in 0..versions {
            let mut input = update(name);
            input.memory_size = Some(200 + memory_mb);
            world
                .functions
                .update_function_configuration(cx(), input)
                .await
                .unwrap();
            world.settled(name).await;
            world.publish(name).await;
        }
    }
    for size in 1..8 {
        let mut input = api::ListFunctionsRequest {
            max_items: Some(size),
            function_version: Some("ALL".into()),
            ..Default::default()
        };
        let mut listed = Vec::new();
        loop {
            let page = world
                .functions
                .list_functions(cx(), input.clone())
                .await
                .unwrap();
            let arns = page.functions.unwrap().into_iter();
            let before = listed.len();
            listed.extend(arns.map(|one| one.function_arn.unwrap()));
            assert!(listed.len() > before, "no page is empty");
            let Some(next) = page.next_marker else { break };
            input.marker = Some(next);
        }
        let all = [
            "a:$LATEST",
            "a:1",
            "a:2",
            "a:3",
            "b:$LATEST",
            "c:$LATEST",
            "c:1",
        ];
        assert_eq!(listed, all.map(arn), "by {size}");
    }
}
