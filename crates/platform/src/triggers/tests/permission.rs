//! Queues of other accounts, which a function reads by its role if the queue's policy lets it.

use super::*;
use crate::queues::{EngineError, definition, permissions::AccessPolicy};

/// A policy that lets the function's role do this.
fn policy(actions: &str) -> Option<AccessPolicy> {
    let text = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Resource": "*",
            "Principal": {{"AWS": "arn:aws:iam::{ACCOUNT}:role/r"}}, "Action": {actions}}}]}}"#
    );
    Some(AccessPolicy::from(text))
}

const READING: &str = r#"["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]"#;

impl World {
    async fn foreign(&self) -> Arc<Queue> {
        let key = QueueKey {
            account_id: "222222222222".into(),
            ..key("q")
        };
        self.queue_at(key, |_| {}).await
    }

    async fn allow(&self, queue: &Arc<Queue>, policy: Option<AccessPolicy>) {
        let change = |definition: &mut definition::Definition| {
            definition.attributes.policy = policy;
            Ok::<(), EngineError>(())
        };
        self.parts.queues.change(queue, change).await.unwrap();
    }

    async fn problem(&self, uuid: &str) -> Option<String> {
        self.get(uuid).await.unwrap().last_processing_result
    }
}

fn of_foreign(input: &mut api::CreateEventSourceMappingRequest) {
    input.event_source_arn = Some("arn:aws:sqs:us-east-1:222222222222:q".into());
}

#[tokio::test]
async fn a_queue_of_another_account_is_mapped_if_its_policy_lets_the_role_read_it() {
    let world = World::new(&Closure::new(async |_| Ok("null".into()))).await;
    let queue = world.foreign().await;
    for (policy, refused) in [
        (None, "ReceiveMessage"),
        (policy(r#""sqs:SendMessage""#), "ReceiveMessage"),
        (policy(r#""sqs:ReceiveMessage""#), "DeleteMessage"),
        (
            policy(r#"["sqs:ReceiveMessage", "sqs:DeleteMessage"]"#),
            "GetQueueAttributes",
        ),
    ] {
        world.allow(&queue, policy).await;
        let mut input = request("q");
        of_foreign(&mut input);
        let mappings = &world.parts.mappings;
        let made = mappings.create_event_source_mapping(&cx(), input).await;
        let error = made.unwrap_err();
        assert_eq!(error.code, "InvalidParameterValueException");
        let action = format!("permissions to call {refused} on SQS");
        assert!(error.message.ends_with(&action), "{}", error.message);
    }
    world.allow(&queue, policy(READING)).await;
    world.map("q", of_foreign).await;
    world.send_all(&queue, ["m".to_owned()]).await;
    until(async || is_empty(&queue)).await;
}

#[tokio::test]
async fn a_permission_that_is_taken_back_ends_the_reading() {
    let function = Closure::new(async |_| Ok("null".into()));
    let world = World::new(&function).await;
    let queue = world.foreign().await;
    world.allow(&queue, policy(READING)).await;
    let uuid = world.map("q", of_foreign).await;
    // No receive is waiting that was permitted.
    world
        .update(&uuid, |input| input.enabled = Some(false))
        .await;
    world.state(&uuid, "Disabled").await;
    world.allow(&queue, None).await;
    world
        .update(&uuid, |input| input.enabled = Some(true))
        .await;
    until(async || world.problem(&uuid).await.is_some()).await;
    let problem = world.problem(&uuid).await.unwrap();
    assert!(problem.contains("ReceiveMessage on SQS"), "{problem}");
    world.send_all(&queue, ["m".to_owned()]).await;
    assert!(function.seen().is_empty());
    world.allow(&queue, policy(READING)).await;
    until(async || is_empty(&queue)).await;
    assert_eq!(world.problem(&uuid).await, None);
}

#[tokio::test]
async fn a_policy_can_deny_the_role_its_own_accounts_queue() {
    let world = World::new(&Closure::new(async |_| Ok("null".into()))).await;
    let queue = world.queue("q", |_| {}).await;
    let denied = policy(READING).map(|policy| {
        let text = policy.text().replace("Allow", "Deny");
        AccessPolicy::from(text)
    });
    world.allow(&queue, denied).await;
    let mappings = &world.parts.mappings;
    let made = mappings
        .create_event_source_mapping(&cx(), request("q"))
        .await;
    assert_eq!(made.unwrap_err().code, "InvalidParameterValueException");
}
