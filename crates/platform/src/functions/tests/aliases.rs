//! Aliases, and what versions and aliases have each of their own.

use super::{
    versions::{alias, key},
    *,
};
use crate::functions::execution::Invocation;

fn routing(version: &str, weight: f64) -> Option<api::AliasRoutingConfiguration> {
    Some(api::AliasRoutingConfiguration {
        additional_version_weights: Some([(version.to_owned(), weight)].into_iter().collect()),
    })
}

fn invocation() -> Invocation {
    Invocation {
        request_id: "r".into(),
        payload: Bytes::from_static(b"{}"),
        client_context: None,
        cognito_identity: None,
        invoked_function_arn: String::new(),
        trace_id: None,
        log_tail: false,
    }
}

#[tokio::test]
async fn an_alias_leads_to_its_version_and_is_changed_at_once() {
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    world.remember(256).await;
    world.publish("f").await;
    let functions = &world.functions;
    let made = functions
        .create_alias(cx(), alias("live", "1"))
        .await
        .unwrap();
    assert_eq!(made.alias_arn, Some(arn("f:live")));
    assert_eq!(
        (made.description.as_deref(), &made.routing_config),
        (Some(""), &None)
    );
    assert_eq!(world.invoked("f:live").await.unwrap(), "1");
    let sent = world.executor.last.lock().unwrap().take().unwrap();
    assert_eq!(sent.invoked_function_arn, arn("f:live"));
    let shown = world.get("live").await.unwrap();
    assert_eq!(
        (shown.version.as_deref(), shown.function_arn),
        (Some("1"), Some(arn("f:live")))
    );

    let taken = functions.create_alias(cx(), alias("live", "2")).await;
    let message = format!("Alias already exists: {}", arn("f:live"));
    refused(taken, "ResourceConflictException", &message);
    let stale = api::UpdateAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
        revision_id: Some("other".into()),
        ..Default::default()
    };
    let updated = functions.update_alias(cx(), stale.clone()).await;
    assert_eq!(updated.unwrap_err().code, "PreconditionFailedException");
    let moved = api::UpdateAliasRequest {
        revision_id: made.revision_id.clone(),
        function_version: Some("2".into()),
        ..stale.clone()
    };
    let moved = functions.update_alias(cx(), moved).await.unwrap();
    assert_ne!(moved.revision_id, made.revision_id);
    assert_eq!(world.invoked("f:live").await.unwrap(), "2");

    // What an alias names stays, by its first version or the other one.
    let routed = api::UpdateAliasRequest {
        revision_id: None,
        routing_config: routing("1", 0.1),
        ..stale
    };
    functions.update_alias(cx(), routed).await.unwrap();
    for version in ["f:1", "f:2"] {
        let message = "Unable to delete version because the following aliases reference it: [live]";
        refused(
            world.delete(version).await,
            "ResourceConflictException",
            message,
        );
    }
    let world = world.again().await;
    let ask = api::GetAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
    };
    let kept = world.functions.get_alias(cx(), ask.clone()).await.unwrap();
    assert_eq!(kept.routing_config, routing("1", 0.1));
    let delete = api::DeleteAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
    };
    world
        .functions
        .delete_alias(cx(), delete.clone())
        .await
        .unwrap();
    world.functions.delete_alias(cx(), delete).await.unwrap();
    let gone = world.functions.get_alias(cx(), ask).await;
    let message = format!("Cannot find alias arn: {}", arn("f:live"));
    refused(gone, "ResourceNotFoundException", &message);
    world.delete("f:1").await.unwrap();
}

#[tokio::test]
async fn an_alias_names_what_is_there_and_at_most_two() {
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    world.remember(256).await;
    world.publish("f").await;
    let check = async |version: &str, routing, code, message: &str| {
        let input = api::CreateAliasRequest {
            routing_config: routing,
            ..alias("live", version)
        };
        refused(
            world.functions.create_alias(cx(), input).await,
            code,
            message,
        );
    };
    let invalid = "InvalidParameterValueException";
    let two = [("1".to_owned(), 0.5), ("2".to_owned(), 0.5)];
    let two = Some(api::AliasRoutingConfiguration {
        additional_version_weights: Some(two.into_iter().collect()),
    });
    let message = "Number of items in AdditionalVersionWeights cannot be greater than 1";
    check("1", two, invalid, message).await;
    let message = "Invalid function version 1. Function version 1 is already included in routing \
                   configuration.";
    check("1", routing("1", 0.5), invalid, message).await;
    let message = "$LATEST is not supported for an alias pointing to more than 1 version";
    check("$LATEST", routing("1", 0.5), invalid, message).await;
    let message = format!("Function not found: {}", arn("f:10"));
    let unknown = "ResourceNotFoundException";
    check("10", routing("1", 0.5), unknown, &message).await;
    check("1", routing("10", 0.5), unknown, &message).await;
    let input = api::CreateAliasRequest {
        function_name: "g".into(),
        ..alias("live", "1")
    };
    let message = format!("Function not found: {}", arn("g:1"));
    refused(
        world.functions.create_alias(cx(), input).await,
        unknown,
        &message,
    );
    world
        .functions
        .create_alias(cx(), alias("latest", "$LATEST"))
        .await
        .unwrap();
    assert_eq!(world.invoked("f:latest").await.unwrap(), "$LATEST");
}

#[tokio::test]
async fn aliases_are_listed_by_page_and_by_version() {
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    for name in ["c", "a", "b"] {
        world
            .functions
            .create_alias(cx(), alias(name, "1"))
            .await
            .unwrap();
    }
    world
        .functions
        .create_alias(cx(), alias("d", "$LATEST"))
        .await
        .unwrap();
    let list = async |version: Option<&str>| {
        let mut input = api::ListAliasesRequest {
            function_name: "f".into(),
            function_version: version.map(str::to_owned),
            max_items: Some(2),
            ..Default::default()
        };
        let mut names = Vec::new();
        loop {
            let page = world
                .functions
                .list_aliases(cx(), input.clone())
                .await
                .unwrap();
            names.extend(
                page.aliases
                    .unwrap()
                    .into_iter()
                    .map(|alias| alias.name.unwrap()),
            );
            let Some(next) = page.next_marker else {
                return names.concat();
            };
            input.marker = Some(next);
        }
    };
    assert_eq!(list(None).await, "abcd");
    assert_eq!(list(Some("1")).await, "abc");
    assert_eq!(list(Some("$LATEST")).await, "d");
    assert_eq!(list(Some("2")).await, "");
}

/// Numbers from 0 up to 1 that are the same at each run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> f64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap();
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

#[tokio::test]
async fn an_aliases_requests_are_divided_as_its_weight_says() {
    const REQUESTS: u32 = 10_000;
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    world.remember(256).await;
    world.publish("f").await;
    world
        .functions
        .create_alias(cx(), alias("live", "1"))
        .await
        .unwrap();
    let (mut seeded, function) = (Seeded(1), key("f"));
    for weight in [0.0, 0.01, 0.2, 0.5, 0.9, 1.0] {
        let input = api::UpdateAliasRequest {
            function_name: "f".into(),
            name: "live".into(),
            routing_config: routing("2", weight),
            ..Default::default()
        };
        world.functions.update_alias(cx(), input).await.unwrap();
        let mut second = 0_u32;
        for _ in 0..REQUESTS {
            let random = seeded.next();
            let run = world
                .functions
                .run_at(&function, Some("live"), || random, invocation());
            second += u32::from(&*run.await.unwrap().executed_version == "2");
        }
        // Four standard deviations of the binomial distribution.
        let all = f64::from(REQUESTS);
        let bound = 4.0 * (all * weight * (1.0 - weight)).sqrt();
        let off = (f64::from(second) - all * weight).abs();
        assert!(off <= bound, "{second} of {REQUESTS} at weight {weight}");
    }
}

#[tokio::test]
async fn each_qualifier_has_a_policy_of_its_own() {
    let world = World::new().await;
    world.active("f").await;
    let one = world.publish("f").await;
    let functions = &world.functions;
    let live = functions
        .create_alias(cx(), alias("live", "1"))
        .await
        .unwrap();
    let allow = |name: &str, revision_id: Option<String>| api::AddPermissionRequest {
        function_name: name.into(),
        statement_id: "s".into(),
        action: "lambda:InvokeFunction".into(),
        principal: "222222222222".into(),
        revision_id,
        ..Default::default()
    };
    let policy = async |qualifier: Option<&str>| {
        let input = api::GetPolicyRequest {
            function_name: "f".into(),
            qualifier: qualifier.map(str::to_owned),
        };
        functions.get_policy(cx(), input).await
    };
    let none = "The resource you requested does not exist.";
    refused(policy(Some("1")).await, "ResourceNotFoundException", none);
    functions
        .add_permission(cx(), allow("f:1", one.revision_id))
        .await
        .unwrap();
    let wrong = functions.add_permission(cx(), allow("f:live", Some("other".into())));
    assert_eq!(wrong.await.unwrap_err().code, "PreconditionFailedException");
    functions
        .add_permission(cx(), allow("f:live", live.revision_id))
        .await
        .unwrap();
    refused(policy(None).await, "ResourceNotFoundException", none);
    let of_alias = policy(Some("live")).await.unwrap();
    assert!(of_alias.policy.unwrap().contains(&arn("f:live")));
    let ask = api::GetAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
    };
    let revised = functions.get_alias(cx(), ask).await.unwrap().revision_id;
    assert_eq!(revised, of_alias.revision_id);
    for (name, code) in [
        ("f:gone", "Cannot find alias arn: "),
        ("f:9", "Function not found: "),
    ] {
        let added = functions.add_permission(cx(), allow(name, None)).await;
        refused(
            added,
            "ResourceNotFoundException",
            &format!("{code}{}", arn(name)),
        );
    }

    // Another account may do what is said of what it names, and nothing to the rest.
    let other = wire::Context {
        account_id: "222222222222".into(),
        ..cx().clone()
    };
    let invoke = async |name: &str| {
        let input = api::InvocationRequest {
            function_name: arn(name),
            ..Default::default()
        };
        functions.invoke(&other, input).await
    };
    assert_eq!(invoke("f").await.unwrap_err().code, "AccessDeniedException");
    assert!(invoke("f:1").await.is_ok() && invoke("f:live").await.is_ok());
    let remove = |qualifier: &str| api::RemovePermissionRequest {
        function_name: "f".into(),
        statement_id: "s".into(),
        qualifier: Some(qualifier.into()),
        ..Default::default()
    };
    functions
        .remove_permission(cx(), remove("live"))
        .await
        .unwrap();
    assert_eq!(
        invoke("f:live").await.unwrap_err().code,
        "AccessDeniedException"
    );
    assert!(invoke("f:1").await.is_ok());
    // What is said of a version goes with it.
    let gone = api::DeleteAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
    };
    functions.delete_alias(cx(), gone).await.unwrap();
    world.delete("f:1").await.unwrap();
    refused(policy(Some("1")).await, "ResourceNotFoundException", none);
}

#[tokio::test]
async fn an_alias_has_a_url_of_its_own() {
    let world = World::new().await;
    world.active("f").await;
    world.publish("f").await;
    let functions = &world.functions;
    let url = |qualifier: Option<&str>| api::CreateFunctionUrlConfigRequest {
        function_name: "f".into(),
        qualifier: qualifier.map(str::to_owned),
        auth_type: "NONE".into(),
        ..Default::default()
    };
    let early = functions
        .create_function_url_config(cx(), url(Some("live")))
        .await;
    refused(
        early,
        "ResourceNotFoundException",
        "Function does not exist",
    );
    functions
        .create_alias(cx(), alias("live", "1"))
        .await
        .unwrap();
    let made = functions
        .create_function_url_config(cx(), url(Some("live")))
        .await
        .unwrap();
    assert_eq!(made.function_arn, arn("f:live"));
    let own = functions
        .create_function_url_config(cx(), url(None))
        .await
        .unwrap();
    assert_ne!(own.function_url, made.function_url);
    let id = |url: &str| url.split(['/', '.']).nth(2).unwrap().to_owned();
    let target = functions.url_target(&id(&made.function_url)).unwrap();
    assert_eq!(target.qualifier.as_deref(), Some("live"));
    assert!(!target.allows(None));
    let permission = api::AddPermissionRequest {
        function_name: "f:live".into(),
        statement_id: "s".into(),
        action: "lambda:InvokeFunctionUrl".into(),
        principal: "*".into(),
        function_url_auth_type: Some("NONE".into()),
        ..Default::default()
    };
    functions.add_permission(cx(), permission).await.unwrap();
    assert!(
        functions
            .url_target(&id(&made.function_url))
            .unwrap()
            .allows(None)
    );
    assert!(
        !functions
            .url_target(&id(&own.function_url))
            .unwrap()
            .allows(None)
    );
    let list = api::ListFunctionUrlConfigsRequest {
        function_name: "f".into(),
        ..Default::default()
    };
    let listed = functions
        .list_function_url_configs(cx(), list)
        .await
        .unwrap();
    assert_eq!(listed.function_url_configs.len(), 2);
    let delete = api::DeleteAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
    };
    functions.delete_alias(cx(), delete).await.unwrap();
    assert!(functions.url_target(&id(&made.function_url)).is_none());
    let world = world.again().await;
    assert!(
        world
            .functions
            .url_target(&id(&made.function_url))
            .is_none()
    );
    assert!(world.functions.url_target(&id(&own.function_url)).is_some());
}
