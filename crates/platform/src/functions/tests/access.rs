use sandbox::NetworkPolicy;

use super::*;
use crate::functions::AuthType;

fn permission(name: &str, sid: &str) -> api::AddPermissionRequest {
    api::AddPermissionRequest {
        function_name: name.into(),
        statement_id: sid.into(),
        action: "lambda:InvokeFunctionUrl".into(),
        principal: "*".into(),
        function_url_auth_type: Some("NONE".into()),
        ..Default::default()
    }
}

fn url(name: &str) -> api::CreateFunctionUrlConfigRequest {
    api::CreateFunctionUrlConfigRequest {
        function_name: name.into(),
        auth_type: "NONE".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_url_leads_to_its_function_and_opens_with_the_policy() {
    let world = World::new().await;
    let functions = &world.functions;
    let missing = functions.create_function_url_config(cx(), url("f")).await;
    refused(
        missing,
        "ResourceNotFoundException",
        "Function does not exist",
    );
    world.active("f").await;
    let made = functions
        .create_function_url_config(cx(), url("f"))
        .await
        .unwrap();
    assert_eq!(made.invoke_mode, None);
    let id = made.function_url.strip_prefix("http://").unwrap();
    let (id, rest) = id.split_once('.').unwrap();
    assert_eq!(rest, "lambda-url.us-east-1.localhost:4566/");
    assert_eq!(id.len(), 32);
    let again = functions.create_function_url_config(cx(), url("f")).await;
    let message = format!(
        "Failed to create function url config for [functionArn = {}]. Error message:  \
         FunctionUrlConfig exists for this Lambda function",
        arn("f")
    );
    refused(again, "ResourceConflictException", &message);

    let target = functions.url_target(id).unwrap();
    assert_eq!(
        (target.auth_type, target.allows(None)),
        (AuthType::None, false)
    );
    let added = functions
        .add_permission(cx(), permission("f", "open"))
        .await
        .unwrap();
    let statement = format!(
        "{{\"Sid\":\"open\",\"Effect\":\"Allow\",\"Principal\":\"*\",\
         \"Action\":\"lambda:InvokeFunctionUrl\",\"Resource\":\"{}\",\
         \"Condition\":{{\"StringEquals\":{{\"lambda:FunctionUrlAuthType\":\"NONE\"}}}}}}",
        arn("f")
    );
    assert_eq!(added.statement.as_deref(), Some(statement.as_str()));
    assert!(functions.url_target(id).unwrap().allows(None));

    // Also after a restart, and not after its end.
    let world = world.again().await;
    let functions = &world.functions;
    assert!(functions.url_target(id).unwrap().allows(None));
    let change = api::UpdateFunctionUrlConfigRequest {
        function_name: "f".into(),
        auth_type: Some("AWS_IAM".into()),
        ..Default::default()
    };
    functions
        .update_function_url_config(cx(), change)
        .await
        .unwrap();
    let target = functions.url_target(id).unwrap();
    assert!(!target.allows(None) && target.allows(Some(ACCOUNT)));
    let delete = api::DeleteFunctionUrlConfigRequest {
        function_name: "f".into(),
        qualifier: None,
    };
    functions
        .delete_function_url_config(cx(), delete.clone())
        .await
        .unwrap();
    assert!(functions.url_target(id).is_none());
    let again = functions.delete_function_url_config(cx(), delete).await;
    let none = "The resource you requested does not exist.";
    refused(again, "ResourceNotFoundException", none);
}

#[tokio::test]
async fn statements_come_and_go() {
    let world = World::new().await;
    let functions = &world.functions;
    let active = world.active("f").await;
    let get = || api::GetPolicyRequest {
        function_name: "f".into(),
        qualifier: None,
    };
    let none = "The resource you requested does not exist.";
    let empty = functions.get_policy(cx(), get()).await;
    refused(empty, "ResourceNotFoundException", none);
    let mut stale = permission("f", "one");
    stale.revision_id = Some("wrong".into());
    let stale = functions.add_permission(cx(), stale).await;
    assert_eq!(stale.unwrap_err().code, "PreconditionFailedException");
    let mut first = permission("f", "one");
    first.revision_id = active.revision_id;
    functions.add_permission(cx(), first).await.unwrap();
    let twice = functions.add_permission(cx(), permission("f", "one")).await;
    assert_eq!(twice.unwrap_err().code, "ResourceConflictException");
    let policy = functions.get_policy(cx(), get()).await.unwrap();
    assert_eq!(
        policy.revision_id,
        world.configuration("f").await.revision_id
    );
    let text = policy.policy.unwrap();
    assert!(text.starts_with(
        "{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":[{\"Sid\":\"one\","
    ));

    let mut latest = permission("f", "two");
    latest.qualifier = Some("$LATEST".into());
    let latest = functions.add_permission(cx(), latest).await;
    let message = "We currently do not support adding policies for $LATEST.";
    refused(latest, "InvalidParameterValueException", message);
    let mut nobody = permission("f", "two");
    nobody.principal = "invalid.nonaws.com".into();
    let nobody = functions.add_permission(cx(), nobody).await.unwrap_err();
    assert!(
        nobody
            .message
            .starts_with("The provided principal was invalid.")
    );

    let remove = |sid: &str| api::RemovePermissionRequest {
        function_name: "f".into(),
        statement_id: sid.into(),
        ..Default::default()
    };
    let unknown = functions.remove_permission(cx(), remove("x")).await;
    let message = "Statement x is not found in resource policy.";
    refused(unknown, "ResourceNotFoundException", message);
    functions
        .remove_permission(cx(), remove("one"))
        .await
        .unwrap();
    let empty = functions.remove_permission(cx(), remove("one")).await;
    let message = "No policy is associated with the given resource.";
    refused(empty, "ResourceNotFoundException", message);
}

#[tokio::test]
async fn tags_that_cannot_be_are_refused() {
    let world = World::new().await;
    world.create("f").await;
    for (key, value, expect) in [
        ("", "x".to_owned(), "between 1 and 128"),
        (
            "k".repeat(129).as_str(),
            "x".to_owned(),
            "between 1 and 128",
        ),
        ("k", "v".repeat(257), "at most 256"),
        ("AWS:cloudformation:stack", "x".to_owned(), "reserved"),
    ] {
        let input = api::TagResourceRequest {
            resource: arn("f"),
            tags: [(key.to_owned(), value)].into(),
        };
        let error = world.functions.tag_resource(cx(), input).await.unwrap_err();
        assert_eq!(error.code, "InvalidParameterValueException");
        assert!(error.message.contains(expect), "{}", error.message);
    }
}

#[tokio::test]
async fn tags_are_kept_and_the_networks_tag_takes_effect() {
    let world = World::new().await;
    let functions = &world.functions;
    world.active("f").await;
    let tag = |key: &str, value: &str| api::TagResourceRequest {
        resource: arn("f"),
        tags: wire::Map::from([(key.to_owned(), value.to_owned())]),
    };
    let untagged = world.configuration("f").await.revision_id;
    functions.tag_resource(cx(), tag("a", "1")).await.unwrap();
    assert_ne!(world.configuration("f").await.revision_id, untagged);
    let before = world.executor.definition("f").unwrap();
    assert_eq!(before.network, NetworkPolicy::World);
    let bad = functions
        .tag_resource(cx(), tag("lambent:network", "10.0.0.0/99"))
        .await;
    assert_eq!(bad.unwrap_err().code, "InvalidParameterValueException");
    functions
        .tag_resource(cx(), tag("lambent:network", "off"))
        .await
        .unwrap();
    world.settled("f").await;
    let after = world.executor.definition("f").unwrap();
    assert_eq!(after.network, NetworkPolicy::Off);
    assert!(after.generation > before.generation);
    let untag = api::UntagResourceRequest {
        resource: arn("f"),
        tag_keys: vec!["lambent:network".into(), "none".into()],
    };
    functions.untag_resource(cx(), untag).await.unwrap();
    world.settled("f").await;
    assert_eq!(
        world.executor.definition("f").unwrap().network,
        NetworkPolicy::World
    );
    let list = api::ListTagsRequest { resource: arn("f") };
    let tags = functions.list_tags(cx(), list).await.unwrap().tags.unwrap();
    assert_eq!(tags, wire::Map::from([("a".to_owned(), "1".to_owned())]));

    let many = (0..50).map(|n| (format!("{n}"), String::new())).collect();
    let many = api::TagResourceRequest {
        resource: arn("f"),
        tags: many,
    };
    let many = functions.tag_resource(cx(), many).await;
    let message = "Number of tags exceeds resource tag limit.";
    refused(many, "InvalidParameterValueException", message);
    let none = api::TagResourceRequest {
        resource: arn("f"),
        tags: wire::Map::new(),
    };
    let none = functions.tag_resource(cx(), none).await.unwrap_err();
    assert_eq!(
        none.message,
        "An error occurred and the request cannot be processed."
    );
    let missing = api::ListTagsRequest { resource: arn("g") };
    let missing = functions.list_tags(cx(), missing).await;
    let message = format!("Function not found: {}", arn("g"));
    refused(missing, "ResourceNotFoundException", &message);
}

#[tokio::test]
async fn reservations_are_kept_within_the_account() {
    let world = World::new().await;
    world.active("f").await;
    world.active("g").await;
    let put = |name: &str, n| api::PutFunctionConcurrencyRequest {
        function_name: name.into(),
        reserved_concurrent_executions: n,
    };
    let functions = &world.functions;
    functions
        .put_function_concurrency(cx(), put("f", 500))
        .await
        .unwrap();
    let too_much = functions
        .put_function_concurrency(cx(), put("g", 401))
        .await;
    let message = "Specified ReservedConcurrentExecutions for function decreases account's \
                   UnreservedConcurrentExecution below its minimum value of [100].";
    refused(too_much, "InvalidParameterValueException", message);
    functions
        .put_function_concurrency(cx(), put("g", 400))
        .await
        .unwrap();
    let missing = functions.put_function_concurrency(cx(), put("h", 1)).await;
    let message = format!("Function not found: {}:$LATEST", arn("h"));
    refused(missing, "ResourceNotFoundException", &message);
    let qualified = functions
        .put_function_concurrency(cx(), put("f:1", 1))
        .await;
    assert_eq!(
        qualified.unwrap_err().code,
        "InvalidParameterValueException"
    );

    let world = world.again().await;
    let functions = &world.functions;
    assert_eq!(world.executor.reserved.lock().unwrap().len(), 2);
    let delete = api::DeleteFunctionConcurrencyRequest {
        function_name: "f".into(),
    };
    functions
        .delete_function_concurrency(cx(), delete)
        .await
        .unwrap();
    let get = api::GetFunctionConcurrencyRequest {
        function_name: "f".into(),
    };
    let got = functions.get_function_concurrency(cx(), get).await.unwrap();
    assert_eq!(got.reserved_concurrent_executions, None);
    assert_eq!(world.executor.reserved.lock().unwrap().len(), 1);
    let settings = functions
        .get_account_settings(cx(), Default::default())
        .await;
    let limit = settings.unwrap().account_limit.unwrap();
    assert_eq!(limit.unreserved_concurrent_executions, Some(600));
}

#[tokio::test]
async fn another_account_may_do_what_the_policy_says() {
    let world = World::new().await;
    let functions = &world.functions;
    world.active("f").await;
    let other = wire::Context {
        account_id: "222222222222".into(),
        ..cx().clone()
    };
    let invoke = |name: String| api::InvocationRequest {
        function_name: name,
        payload: Some("1".into()),
        ..Default::default()
    };
    let get = || api::GetFunctionRequest {
        function_name: arn("f"),
        qualifier: None,
    };
    let denied = functions.invoke(&other, invoke(arn("f"))).await;
    assert_eq!(denied.unwrap_err().code, "AccessDeniedException");
    let allow = |sid: &str, action: &str| api::AddPermissionRequest {
        action: action.into(),
        principal: "222222222222".into(),
        function_url_auth_type: None,
        ..permission("f", sid)
    };
    let conditional = api::AddPermissionRequest {
        source_account: Some("222222222222".into()),
        ..allow("conditional", "lambda:*")
    };
    functions.add_permission(cx(), conditional).await.unwrap();
    let denied = functions.invoke(&other, invoke(arn("f"))).await;
    assert_eq!(denied.unwrap_err().code, "AccessDeniedException");

    let one = allow("one", "lambda:InvokeFunction");
    functions.add_permission(cx(), one).await.unwrap();
    let answer = functions.invoke(&other, invoke(arn("f"))).await.unwrap();
    assert_eq!(answer.status_code, Some(200));
    let sent = world.executor.last.lock().unwrap().take().unwrap();
    assert_eq!(sent.invoked_function_arn, arn("f"));
    // A version of it is another resource, a name alone is the caller's own.
    let latest = functions.invoke(&other, invoke(arn("f") + ":$LATEST"));
    assert_eq!(latest.await.unwrap_err().code, "AccessDeniedException");
    let own = functions.invoke(&other, invoke("f".into())).await;
    assert_eq!(own.unwrap_err().code, "ResourceNotFoundException");
    let third = wire::Context {
        account_id: "333333333333".into(),
        ..cx().clone()
    };
    let denied = functions.invoke(&third, invoke(arn("f"))).await;
    assert_eq!(denied.unwrap_err().code, "AccessDeniedException");

    let denied = functions.get_function(&other, get()).await.unwrap_err();
    assert_eq!(denied.code, "AccessDeniedException");
    let all = allow("all", "lambda:*");
    functions.add_permission(cx(), all).await.unwrap();
    functions.get_function(&other, get()).await.unwrap();
    let tag = api::TagResourceRequest {
        resource: arn("f"),
        tags: wire::Map::from([("a".to_owned(), "1".to_owned())]),
    };
    functions.tag_resource(&other, tag).await.unwrap();
    let list = || api::ListTagsRequest { resource: arn("f") };
    let tags = functions.list_tags(&other, list()).await.unwrap().tags;
    assert_eq!(tags.unwrap().len(), 1);
    let denied = functions.list_tags(&third, list()).await.unwrap_err();
    assert_eq!(denied.code, "AccessDeniedException");
}
