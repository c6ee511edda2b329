//! Layers: their versions, who may use them, and functions that have them.

use std::time::{Duration, SystemTime};

use super::*;
use crate::functions::limits;

const OTHER: &str = "222222222222";

fn publish(name: &str, files: &[(&str, &[u8])]) -> api::PublishLayerVersionRequest {
    api::PublishLayerVersionRequest {
        layer_name: name.into(),
        content: api::LayerVersionContentInput {
            zip_file: Some(zip_of(files)),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn layer_arn(name: &str, version: u64) -> String {
    format!("arn:aws:lambda:us-east-1:{ACCOUNT}:layer:{name}:{version}")
}

fn others() -> Context {
    Context {
        account_id: OTHER.into(),
        ..cx().clone()
    }
}

impl World {
    async fn publish_layer(&self, name: &str) -> api::PublishLayerVersionResponse {
        let input = publish(name, &[(name, b"x")]);
        let made = self.functions.publish_layer_version(cx(), input).await;
        made.unwrap()
    }

    async fn delete_layer(&self, name: &str, version: i64) {
        let input = api::DeleteLayerVersionRequest {
            layer_name: name.into(),
            version_number: version,
        };
        let deleted = self.functions.delete_layer_version(cx(), input).await;
        deleted.unwrap();
    }

    async fn layer_versions(
        &self,
        input: api::ListLayerVersionsRequest,
    ) -> (Vec<i64>, Option<String>) {
        let found = self.functions.list_layer_versions(cx(), input).await;
        let found = found.unwrap();
        let versions = found.layer_versions.unwrap();
        let versions = versions.iter().map(|item| item.version.unwrap());
        (versions.collect(), found.next_marker)
    }
}

fn versions_of(name: &str) -> api::ListLayerVersionsRequest {
    api::ListLayerVersionsRequest {
        layer_name: name.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_number_never_comes_again() {
    let world = World::new().await;
    let first = world.publish_layer("l").await;
    assert_eq!(first.layer_version_arn, Some(layer_arn("l", 1)));
    assert_eq!(first.description.as_deref(), Some(""));
    assert_eq!(first.compatible_runtimes, None);
    let second = world.publish_layer("l").await;
    let sha = |made: &api::PublishLayerVersionResponse| {
        made.content
            .as_ref()
            .and_then(|content| content.code_sha256.clone())
    };
    assert_eq!((second.version, sha(&second)), (Some(2), sha(&first)));
    world.delete_layer("l", 1).await;
    world.delete_layer("l", 2).await;
    world.delete_layer("l", 2).await;
    assert!(world.layer_versions(versions_of("l")).await.0.is_empty());
    let world = world.again().await;
    assert_eq!(world.publish_layer("l").await.version, Some(3));
    let get = |version_number| api::GetLayerVersionRequest {
        layer_name: "l".into(),
        version_number,
    };
    let got = world
        .functions
        .get_layer_version(cx(), get(3))
        .await
        .unwrap();
    let location = got.content.unwrap().location.unwrap();
    let token = location.split("/_lambent/code/").nth(1).unwrap();
    assert!(world.functions.linked_package(token, cx().now).is_some());
    refused(
        world.functions.get_layer_version(cx(), get(2)).await,
        "ResourceNotFoundException",
        "The resource you requested does not exist.",
    );
    refused(
        world.functions.get_layer_version(cx(), get(0)).await,
        "InvalidParameterValueException",
        "Layer Version Cannot be less than 1.",
    );
}

#[tokio::test]
async fn lists_go_page_by_page_and_by_what_layers_are_for() {
    let world = World::new().await;
    for (name, runtime) in [
        ("a", "python3.12"),
        ("a", "python3.13"),
        ("b", "python3.13"),
    ] {
        let input = api::PublishLayerVersionRequest {
            compatible_runtimes: Some(vec![runtime.into()]),
            compatible_architectures: Some(vec!["x86_64".into()]),
            ..publish(name, &[("f", b"x")])
        };
        world
            .functions
            .publish_layer_version(cx(), input)
            .await
            .unwrap();
    }
    for name in ["c", "c", "c"] {
        world.publish_layer(name).await;
    }
    let list = async |input| {
        let found = world.functions.list_layers(cx(), input).await.unwrap();
        let layers = found.layers.unwrap();
        let names = layers.into_iter().map(|item| {
            let version = item.latest_matching_version.unwrap().version.unwrap();
            format!("{}:{version}", item.layer_name.unwrap())
        });
        (names.collect::<Vec<_>>(), found.next_marker)
    };
    let all = api::ListLayersRequest::default();
    assert_eq!(list(all.clone()).await.0, ["a:2", "b:1", "c:3"]);
    let older = api::ListLayersRequest {
        compatible_runtime: Some("python3.12".into()),
        ..all.clone()
    };
    assert_eq!(list(older).await.0, ["a:1"]);
    let arm = api::ListLayersRequest {
        compatible_architecture: Some("arm64".into()),
        ..all.clone()
    };
    assert_eq!(list(arm).await.0, [""; 0]);
    let two = api::ListLayersRequest {
        max_items: Some(2),
        ..all
    };
    let (page, more) = list(two.clone()).await;
    assert_eq!(page, ["a:2", "b:1"]);
    let (page, more) = list(api::ListLayersRequest {
        marker: more,
        ..two
    })
    .await;
    assert_eq!((page, more), (vec!["c:3".to_owned()], None));

    let two = api::ListLayerVersionsRequest {
        max_items: Some(2),
        ..versions_of("c")
    };
    let (page, more) = world.layer_versions(two.clone()).await;
    assert_eq!(page, [3, 2]);
    let next = api::ListLayerVersionsRequest {
        marker: more,
        ..two
    };
    assert_eq!(world.layer_versions(next).await, (vec![1], None));
}

#[tokio::test]
async fn what_is_no_layer_is_refused() {
    let world = World::new().await;
    let input = api::PublishLayerVersionRequest {
        content: api::LayerVersionContentInput {
            s3_bucket: Some("bucket".into()),
            s3_key: Some("key".into()),
            ..Default::default()
        },
        ..publish("l", &[])
    };
    refused(
        world.functions.publish_layer_version(cx(), input).await,
        "InvalidParameterValueException",
        "A layer from S3 (S3Bucket, S3Key) is not supported by this platform yet",
    );
    let input = api::PublishLayerVersionRequest {
        compatible_runtimes: Some(vec!["cobol".into()]),
        ..publish("l", &[("f", b"x")])
    };
    let wrong = world.functions.publish_layer_version(cx(), input).await;
    let error = wrong.unwrap_err();
    assert_eq!(error.code, "ValidationException");
    assert!(
        error
            .message
            .starts_with("1 validation error detected: Value '[cobol]' at")
    );
    // Nothing of these is left, their numbers neither.
    assert_eq!(world.publish_layer("l").await.version, Some(1));
}

#[tokio::test]
async fn a_function_keeps_its_layers_when_they_are_deleted() {
    let world = World::new().await;
    world.publish_layer("one").await;
    world.publish_layer("two").await;
    let mut input = request("f");
    input.layers = Some(vec![layer_arn("one", 1), layer_arn("two", 1)]);
    world.functions.create_function(cx(), input).await.unwrap();
    let made = world.settled("f").await;
    let shown = |found: &api::FunctionConfiguration| {
        let layers = found.layers.clone().unwrap_or_default();
        let arns = layers.into_iter().map(|layer| {
            assert!(layer.code_size.unwrap() > 0);
            layer.arn.unwrap()
        });
        arns.collect::<Vec<_>>()
    };
    assert_eq!(shown(&made), [layer_arn("one", 1), layer_arn("two", 1)]);
    let definition = world.executor.definition("f").unwrap();
    let names = definition.layers.iter().map(|layer| {
        let mut files = std::fs::read_dir(&layer.0).unwrap();
        files
            .next()
            .unwrap()
            .unwrap()
            .file_name()
            .into_string()
            .unwrap()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["one", "two"]);
    drop(definition);

    world.delete_layer("one", 1).await;
    world.delete_layer("two", 1).await;
    let later = SystemTime::now() + limits::COLLECT_GRACE * 2;
    let world = world.again().await;
    world.functions.collect(later).await.unwrap();
    world.invoke("f", b"{}").await.unwrap();
    assert_eq!(world.executor.definition("f").unwrap().layers.len(), 2);
    // It may go on naming what it has, in another order too.
    let mut change = update("f");
    change.layers = Some(vec![layer_arn("two", 1), layer_arn("one", 1)]);
    world
        .functions
        .update_function_configuration(cx(), change)
        .await
        .unwrap();
    let changed = world.settled("f").await;
    assert_eq!(shown(&changed), [layer_arn("two", 1), layer_arn("one", 1)]);
    let mut change = update("f");
    change.layers = Some(Vec::new());
    world
        .functions
        .update_function_configuration(cx(), change)
        .await
        .unwrap();
    let changed = world.settled("f").await;
    assert_eq!((shown(&changed), changed.layers), (Vec::new(), None));
    let mut change = update("f");
    change.layers = Some(vec![layer_arn("one", 1)]);
    refused(
        world
            .functions
            .update_function_configuration(cx(), change)
            .await,
        "InvalidParameterValueException",
        &format!("Layer version {} does not exist.", layer_arn("one", 1)),
    );
}

#[tokio::test]
async fn what_a_function_cannot_have_is_refused() {
    let world = World::new().await;
    for name in ["a", "a", "b", "c", "d", "e", "f"] {
        world.publish_layer(name).await;
    }
    let create = async |arns: &[String]| {
        let mut input = request("g");
        input.layers = Some(arns.to_vec());
        let error = world
            .functions
            .create_function(cx(), input)
            .await
            .unwrap_err();
        assert_eq!(error.code, "InvalidParameterValueException");
        error.message.clone()
    };
    let six: Vec<String> = ["a", "b", "c", "d", "e", "f"]
        .map(|name| layer_arn(name, 1))
        .into();
    assert_eq!(create(&six).await, "Cannot reference more than 5 layers.");
    let twice = [layer_arn("a", 1), layer_arn("a", 2)];
    assert!(
        create(&twice)
            .await
            .contains("are versions of the same layer")
    );
    let elsewhere = layer_arn("a", 1).replace("us-east-1", "eu-west-1");
    assert!(create(&[elsewhere]).await.ends_with("in region us-east-1."));
    let unknown = layer_arn("a", 9);
    let message = format!("Layer version {unknown} does not exist.");
    assert_eq!(create(&[unknown]).await, message);
}

#[tokio::test]
async fn code_and_layers_share_a_limit() {
    let world = World::new().await;
    // Zeros are small when they are zipped. One package for all, as it takes a while to unpack.
    let large = zip_of(&[("bootstrap", &vec![0_u8; 90 << 20])]);
    for name in ["a", "b", "c"] {
        let mut input = publish(name, &[]);
        input.content.zip_file = Some(large.clone());
        let published = world.functions.publish_layer_version(cx(), input).await;
        published.unwrap();
    }
    let create = async |layers: &[&str]| {
        let mut input = request("f");
        let layers = layers.iter().map(|name| layer_arn(name, 1));
        input.layers = Some(layers.collect());
        world.functions.create_function(cx(), input).await
    };
    let error = create(&["a", "b", "c"]).await.unwrap_err();
    let expected = "Function code combined with layers exceeds the maximum allowed size of \
                    262144000 bytes. The actual size is 283115530 bytes.";
    assert_eq!(error.message, expected);
    create(&["a", "b"]).await.unwrap();
    world.settled("f").await;
    let input = api::UpdateFunctionCodeRequest {
        function_name: "f".into(),
        zip_file: Some(large),
        ..Default::default()
    };
    let updated = world.functions.update_function_code(cx(), input).await;
    let error = updated.unwrap_err();
    assert!(error.message.starts_with("Function code combined with"));
}

#[tokio::test]
async fn another_account_uses_what_the_policy_gives_it() {
    let world = World::new().await;
    world.publish_layer("l").await;
    let create = async || {
        let mut input = request("f");
        input.layers = Some(vec![layer_arn("l", 1)]);
        world.functions.create_function(&others(), input).await
    };
    let get = async || {
        let input = api::GetLayerVersionByArnRequest {
            arn: layer_arn("l", 1),
        };
        world
            .functions
            .get_layer_version_by_arn(&others(), input)
            .await
    };
    let sentence = format!(
        "User: arn:aws:iam::{OTHER}:root is not authorized to perform: lambda:GetLayerVersion on \
         resource: {} because no resource-based policy allows the lambda:GetLayerVersion action",
        layer_arn("l", 1)
    );
    refused(create().await, "AccessDeniedException", &sentence);
    refused(get().await, "AccessDeniedException", &sentence);

    let permission = |id: &str, principal: &str| api::AddLayerVersionPermissionRequest {
        layer_name: "l".into(),
        version_number: 1,
        statement_id: id.into(),
        action: "lambda:GetLayerVersion".into(),
        principal: principal.into(),
        ..Default::default()
    };
    let add = async |input| {
        world
            .functions
            .add_layer_version_permission(cx(), input)
            .await
    };
    add(permission("other", "333333333333")).await.unwrap();
    let organization = api::AddLayerVersionPermissionRequest {
        organization_id: Some("o-abcdefghij".into()),
        ..permission("org", "*")
    };
    add(organization).await.unwrap();
    refused(get().await, "AccessDeniedException", &sentence);
    let added = add(permission("s", OTHER)).await.unwrap();
    assert!(
        added
            .statement
            .unwrap()
            .contains("arn:aws:iam::222222222222:root")
    );
    get().await.unwrap();
    create().await.unwrap();
    // The account has its own functions; it published nothing.
    let input = publish(
        &format!("arn:aws:lambda:us-east-1:{ACCOUNT}:layer:l"),
        &[("f", b"x")],
    );
    let denied = world
        .functions
        .publish_layer_version(&others(), input)
        .await;
    assert_eq!(denied.unwrap_err().code, "AccessDeniedException");
    // A policy is of a version.
    world.publish_layer("l").await;
    let input = api::GetLayerVersionByArnRequest {
        arn: layer_arn("l", 2),
    };
    let denied = world
        .functions
        .get_layer_version_by_arn(&others(), input)
        .await;
    assert_eq!(denied.unwrap_err().code, "AccessDeniedException");
}

#[tokio::test]
async fn policies_are_changed_by_statement_and_revision() {
    let world = World::new().await;
    world.publish_layer("l").await;
    let policy = async || {
        let input = api::GetLayerVersionPolicyRequest {
            layer_name: "l".into(),
            version_number: 1,
        };
        world.functions.get_layer_version_policy(cx(), input).await
    };
    let none = "No policy is associated with the given resource.";
    refused(policy().await, "ResourceNotFoundException", none);
    let permission = |id: &str| api::AddLayerVersionPermissionRequest {
        layer_name: "l".into(),
        version_number: 1,
        statement_id: id.into(),
        action: "lambda:GetLayerVersion".into(),
        principal: "*".into(),
        ..Default::default()
    };
    let add = async |input| {
        world
            .functions
            .add_layer_version_permission(cx(), input)
            .await
    };
    let added = add(permission("s1")).await.unwrap();
    let found = policy().await.unwrap();
    assert_eq!(found.revision_id, added.revision_id);
    let text: serde_json::Value = serde_json::from_str(&found.policy.unwrap()).unwrap();
    let expected = serde_json::json!({
        "Version": "2012-10-17", "Id": "default", "Statement": [{
            "Sid": "s1", "Effect": "Allow", "Principal": "*", "Action": "lambda:GetLayerVersion",
            "Resource": layer_arn("l", 1),
        }],
    });
    assert_eq!(text, expected);
    assert_eq!(
        add(permission("s1")).await.unwrap_err().code,
        "ResourceConflictException"
    );
    let stale = api::AddLayerVersionPermissionRequest {
        revision_id: Some("wrong".into()),
        ..permission("s2")
    };
    refused(
        add(stale).await,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy \
         API to retrieve the latest Revision Id",
    );
    let nowhere = api::AddLayerVersionPermissionRequest {
        version_number: 2,
        ..permission("s2")
    };
    let message = format!("Layer version {} does not exist.", layer_arn("l", 2));
    refused(add(nowhere).await, "ResourceNotFoundException", &message);
    let remove = async |id: &str| {
        let input = api::RemoveLayerVersionPermissionRequest {
            layer_name: "l".into(),
            version_number: 1,
            statement_id: id.into(),
            revision_id: None,
        };
        world
            .functions
            .remove_layer_version_permission(cx(), input)
            .await
    };
    let message = "Statement s9 is not found in resource policy.";
    refused(remove("s9").await, "ResourceNotFoundException", message);
    remove("s1").await.unwrap();
    refused(policy().await, "ResourceNotFoundException", none);
}

#[tokio::test]
async fn layers_count_as_an_accounts_code_and_unused_ones_are_collected() {
    let world = World::new().await;
    let made = world.publish_layer("l").await;
    let size = made.content.unwrap().code_size.unwrap();
    let settings = async || {
        let found = world
            .functions
            .get_account_settings(cx(), Default::default())
            .await;
        found.unwrap().account_usage.unwrap().total_code_size
    };
    assert_eq!(settings().await, Some(size));
    let unpacked = || {
        std::fs::read_dir(world.dir.path().join("code"))
            .unwrap()
            .count()
    };
    let later = SystemTime::now() + limits::COLLECT_GRACE + Duration::from_secs(1);
    world.functions.collect(later).await.unwrap();
    // Beside the mark of the machine's start.
    assert_eq!(unpacked(), 2);
    world.delete_layer("l", 1).await;
    assert_eq!(settings().await, Some(0));
    world.functions.collect(later).await.unwrap();
    assert_eq!(unpacked(), 1);
}
