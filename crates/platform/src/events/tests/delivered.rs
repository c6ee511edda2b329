//! Functions as targets of deliveries.

use super::*;
use crate::deliveries::{Deliveries, Delivery, Failure, Plan, Sender, Target};

fn delivery(qualifier: Option<&str>) -> Delivery {
    let rule = Sender {
        principal: "events.amazonaws.com".into(),
        source_arn: format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/r"),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
    };
    let target = api::function_arn("us-east-1", ACCOUNT, "f", qualifier);
    Delivery::new(rule, target, r#"{"n": 1}"#)
}

#[tokio::test]
async fn a_function_takes_what_its_policy_lets_in() {
    let function = Closure::answering(Ok("{}".into()));
    let world = World::new(&function).await;
    let events = &world.parts.events;
    let refused = async |delivery: &Delivery| -> Option<Failure> {
        match events.plan(delivery).await {
            Ok(Plan::Message(..)) => None,
            Ok(_) => panic!("it is a message"),
            Err(failure) => Some(failure),
        }
    };
    let code = |failure: Option<Failure>| failure.expect("it is refused").code;
    assert_eq!(code(refused(&delivery(None)).await), "NO_PERMISSIONS");
    assert_eq!(code(refused(&delivery(Some("live"))).await), "NO_RESOURCE");
    let permission = api::AddPermissionRequest {
        function_name: "f".into(),
        statement_id: "s".into(),
        action: "lambda:InvokeFunction".into(),
        principal: "events.amazonaws.com".into(),
        source_arn: Some(format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/*")),
        ..Default::default()
    };
    let functions = &world.parts.functions;
    functions.add_permission(&cx(), permission).await.unwrap();
    let mut other = delivery(None);
    other.from.source_arn = format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/b");
    assert_eq!(code(refused(&other).await), "NO_PERMISSIONS");
    // A role of the function's account needs none.
    other.role = Some(format!("arn:aws:iam::{ACCOUNT}:role/r"));
    assert_eq!(refused(&other).await, None);

    let deliveries = Deliveries::open(world.parts.store.clone(), world.parts.queues.clone());
    deliveries.register("lambda", Arc::new(events.clone()));
    let delivery = delivery(None);
    deliveries.send(vec![delivery.clone()]).await.unwrap();
    until(async || function.tries("f") == 1).await;
    let asked = &function.asked("f")[0];
    assert_eq!(asked.payload, r#"{"n": 1}"#);
    assert_eq!(asked.request_id, delivery.id);
    world.idle("f").await;
}
