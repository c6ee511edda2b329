//! Provisioned concurrency, from the API to what the executor is asked for.

use std::collections::HashMap;

use super::{
    versions::{alias, key},
    *,
};

fn put(qualifier: &str, count: i32) -> api::PutProvisionedConcurrencyConfigRequest {
    api::PutProvisionedConcurrencyConfigRequest {
        function_name: "f".into(),
        qualifier: qualifier.into(),
        provisioned_concurrent_executions: count,
    }
}

impl World {
    async fn provisioned(
        &self,
        qualifier: &str,
    ) -> Result<api::GetProvisionedConcurrencyConfigResponse, wire::Error> {
        let input = api::GetProvisionedConcurrencyConfigRequest {
            function_name: "f".into(),
            qualifier: qualifier.into(),
        };
        let functions = &self.functions;
        functions
            .get_provisioned_concurrency_config(cx(), input)
            .await
    }

    async fn until_ready(&self, qualifier: &str) {
        let waiting = async {
            loop {
                let found = self.provisioned(qualifier).await.unwrap();
                if found.status.as_deref() == Some("READY") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting);
        waited.await.expect("it becomes ready");
    }

    /// Versions and how many of their environments the executor is to keep ready.
    fn targets(&self) -> HashMap<String, u32> {
        let all = self.executor.provisioned.lock().unwrap();
        let held = all.get(&key("f")).into_iter().flatten();
        held.map(|(version, count)| (version.to_string(), *count))
            .collect()
    }

    /// A function with two versions that differ, and an alias of the first.
    async fn published_twice() -> Self {
        let world = Self::new().await;
        world.active("f").await;
        world.publish("f").await;
        world.remember(256).await;
        world.publish("f").await;
        let made = world.functions.create_alias(cx(), alias("live", "1"));
        made.await.unwrap();
        world
    }
}

fn only(version: &str, count: u32) -> HashMap<String, u32> {
    HashMap::from([(version.to_owned(), count)])
}

#[tokio::test]
async fn what_is_asked_for_is_kept_ready_also_after_a_restart() {
    let world = World::published_twice().await;
    let functions = &world.functions;
    let asked = functions.put_provisioned_concurrency_config(cx(), put("1", 3));
    let asked = asked.await.unwrap();
    assert_eq!(asked.status.as_deref(), Some("IN_PROGRESS"));
    assert_eq!(asked.allocated_provisioned_concurrent_executions, Some(0));
    assert_eq!(
        asked.last_modified.as_deref(),
        Some("2023-11-14T22:13:20+0000")
    );
    world.until_ready("1").await;
    assert_eq!(world.targets(), only("1", 3));
    let world = world.again().await;
    world.until_ready("1").await;
    assert_eq!(world.targets(), only("1", 3));
    let list = api::ListProvisionedConcurrencyConfigsRequest {
        function_name: "f".into(),
        ..Default::default()
    };
    let listed = world
        .functions
        .list_provisioned_concurrency_configs(cx(), list);
    let listed = listed
        .await
        .unwrap()
        .provisioned_concurrency_configs
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].function_arn, Some(arn("f:1")));

    let delete = api::DeleteProvisionedConcurrencyConfigRequest {
        function_name: "f".into(),
        qualifier: "1".into(),
    };
    for _ in 0..2 {
        let deleted = world
            .functions
            .delete_provisioned_concurrency_config(cx(), delete.clone());
        deleted.await.unwrap();
    }
    assert_eq!(world.targets(), HashMap::new());
    refused(
        world.provisioned("1").await,
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    );
}

#[tokio::test]
async fn an_alias_takes_its_environments_to_the_version_that_it_names() {
    let world = World::published_twice().await;
    let functions = &world.functions;
    functions
        .put_provisioned_concurrency_config(cx(), put("live", 2))
        .await
        .unwrap();
    world.until_ready("live").await;
    assert_eq!(world.targets(), only("1", 2));
    let taken = functions
        .put_provisioned_concurrency_config(cx(), put("1", 1))
        .await;
    let message = "Version is pointed by a Provisioned Concurrency alias";
    refused(taken, "ResourceConflictException", message);
    let moved = api::UpdateAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
        function_version: Some("2".into()),
        ..Default::default()
    };
    let divided = api::UpdateAliasRequest {
        routing_config: Some(api::AliasRoutingConfiguration {
            additional_version_weights: Some([("2".to_owned(), 0.5)].into_iter().collect()),
        }),
        function_version: None,
        ..moved.clone()
    };
    let message = "Invalid alias configuration for Provisioned Concurrency";
    let divided = functions.update_alias(cx(), divided).await;
    refused(divided, "InvalidParameterValueException", message);
    functions.update_alias(cx(), moved).await.unwrap();
    world.until_ready("live").await;
    assert_eq!(world.targets(), only("2", 2));

    functions
        .put_provisioned_concurrency_config(cx(), put("1", 1))
        .await
        .unwrap();
    functions
        .create_alias(cx(), alias("other", "1"))
        .await
        .unwrap();
    let taken = functions
        .put_provisioned_concurrency_config(cx(), put("other", 1))
        .await;
    let message = "Alias can't be used for Provisioned Concurrency configuration on an already \
                   Provisioned version";
    refused(taken, "ResourceConflictException", message);
    let gone = api::DeleteAliasRequest {
        function_name: "f".into(),
        name: "live".into(),
    };
    functions.delete_alias(cx(), gone).await.unwrap();
    assert_eq!(world.targets(), only("1", 1));
    let message = format!("Cannot find alias arn: {}", arn("f:live"));
    refused(
        world.provisioned("live").await,
        "ResourceNotFoundException",
        &message,
    );
}

#[tokio::test]
async fn there_is_no_more_than_the_function_and_the_account_have() {
    let world = World::published_twice().await;
    let functions = &world.functions;
    let put = async |qualifier: &str, count| {
        functions
            .put_provisioned_concurrency_config(cx(), put(qualifier, count))
            .await
    };
    let invalid = "InvalidParameterValueException";
    let message =
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
    refused(put("$LATEST", 1).await, invalid, message);
    let unknown = format!("Function not found: {}", arn("f:9"));
    refused(put("9", 1).await, "ResourceNotFoundException", &unknown);
    let message = "Specified ConcurrentExecutions for function is greater than account's \
                   unreserved concurrency [1000].";
    refused(put("1", 1001).await, invalid, message);
    let message = "Specified ConcurrentExecutions for function decreases account's \
                   UnreservedConcurrentExecution below its minimum value of [100].";
    refused(put("1", 901).await, invalid, message);
    put("1", 2).await.unwrap();
    let reserve = async |count| {
        let input = api::PutFunctionConcurrencyRequest {
            function_name: "f".into(),
            reserved_concurrent_executions: count,
        };
        functions.put_function_concurrency(cx(), input).await
    };
    let message = " ReservedConcurrentExecutions  1 should not be lower than function's total \
                   provisioned concurrency [2].";
    refused(reserve(1).await, invalid, message);
    reserve(2).await.unwrap();
    let message = "Requested Provisioned Concurrency should not be greater than the \
                   reservedConcurrentExecution for function";
    refused(put("2", 1).await, invalid, message);
    refused(put("1", 3).await, invalid, message);
    put("1", 1).await.unwrap();
    put("2", 1).await.unwrap();
}
