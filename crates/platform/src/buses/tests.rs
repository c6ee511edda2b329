//! Buses over a real store and real queues, with a clock that is moved by hand.

use std::path::Path;

use serde_json::{Value, json};
use store::StoreConfig;
use tempfile::TempDir;
use wire::{
    Context, Origin,
    event_bridge::{self as api, EventBridge},
};

use super::*;
use crate::{
    deliveries::{self, Delivery, Plan, Target},
    outbound::Reach,
    platform,
    queues::{
        Created, Queue, Queues,
        definition::{Attributes, Definition, QueueKey},
        message::Receive,
        permissions::AccessPolicy,
    },
};

const ACCOUNT: &str = "111111111111";
const REGION: &str = "us-east-1";

struct World {
    dir: TempDir,
    clock: Arc<Clock>,
    parts: Parts,
}

struct Parts {
    store: Store,
    queues: Queues,
    keeping: JoinHandle<()>,
    buses: Buses,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock::from(1_800_000_000_000));
        let parts = Parts::open(dir.path(), &clock).await;
        Self { dir, clock, parts }
    }

    /// As after the end of the process.
    async fn restarted(self) -> Self {
        let Self { dir, clock, parts } = self;
        parts.keeping.abort();
        parts.store.close().await;
        let parts = Parts::open(dir.path(), &clock).await;
        Self { dir, clock, parts }
    }

    fn cx(&self) -> Context {
        Context {
            request_id: "r".into(),
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            access_key_id: "key".into(),
            role: None,
            host: "localhost".into(),
            origin: Origin::default(),
            trace_header: None,
            now: jiff::Timestamp::from_millisecond(self.clock.now_ms()).unwrap(),
        }
    }

    /// A rule on the default bus whose target is a queue of the same name.
    async fn rule(&self, name: &str, ask: api::PutRuleRequest) -> Arc<Queue> {
        let (buses, cx) = (&self.parts.buses, self.cx());
        let ask = api::PutRuleRequest {
            name: name.into(),
            ..ask
        };
        buses.put_rule(&cx, ask).await.unwrap();
        let queue = self.queue(name).await;
        let targets = api::PutTargetsRequest {
            rule: name.into(),
            targets: vec![api::Target {
                id: "queue".into(),
                arn: queue.key.arn().to_string(),
                ..Default::default()
            }],
            ..Default::default()
        };
        buses.put_targets(&cx, targets).await.unwrap();
        queue
    }

    async fn queue(&self, name: &str) -> Arc<Queue> {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage", "Resource": "*",
        }]});
        let key = QueueKey {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            name: name.into(),
        };
        let definition = Definition {
            id: self.parts.queues.new_id(&key),
            attributes: Attributes {
                policy: Some(AccessPolicy::from(policy.to_string())),
                ..Attributes::new(false)
            },
            key,
            created_s: 0,
            modified_s: 0,
            tags: Default::default(),
            purged_until: 0,
            purged_at_ms: None,
        };
        match self.parts.queues.create(definition).await.unwrap() {
            Created::New(queue) => queue,
            Created::There(_) => panic!("there was one of that name"),
        }
    }

    /// The events that are in a queue; they are there when what sent them has answered.
    async fn events(&self, name: &str) -> Vec<Value> {
        let key = QueueKey {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            name: name.into(),
        };
        let queue = self.parts.queues.find(&key).unwrap();
        let receive = Receive {
            max: 10,
            visibility_timeout_ms: Some(43_200_000),
            wait_ms: 0,
            attempt_id: None,
        };
        let received = self.parts.queues.receive(&queue, receive).await.unwrap();
        let receipts: Vec<_> = received.iter().map(|it| it.receipt).collect();
        self.parts.queues.delete(&queue, &receipts).await;
        let bodies = received
            .iter()
            .map(|it| serde_json::from_str(&it.content.body).unwrap());
        bodies.collect()
    }

    async fn put(&self, source: &str, detail: Value) {
        let entry = api::PutEventsRequestEntry {
            source: Some(source.into()),
            detail_type: Some("kind".into()),
            detail: Some(detail.to_string()),
            ..Default::default()
        };
        let ask = api::PutEventsRequest {
            entries: vec![entry],
            endpoint_id: None,
        };
        let put = self.parts.buses.put_events(&self.cx(), ask).await.unwrap();
        assert_eq!(put.failed_entry_count, Some(0));
    }
}

impl Parts {
    async fn open(dir: &Path, clock: &Arc<Clock>) -> Self {
        let location = dir.join("store");
        std::fs::create_dir_all(&location).unwrap();
        let store = StoreConfig::new(location.to_str().unwrap());
        let store = Store::open(store, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let url = "http://127.0.0.1:4566";
        let queues = Queues::open(store.clone(), secrets.clone(), clock.clone(), url);
        let (queues, keeping) = queues.await.unwrap();
        let deliveries = Deliveries::open(store.clone(), queues.clone());
        let outbound = Outbound::new(Reach { loopback: true }).unwrap();
        let buses = Buses::open(
            store.clone(),
            secrets,
            clock.clone(),
            deliveries.clone(),
            outbound,
        );
        let buses = buses.await.unwrap();
        deliveries.register("events", Arc::new(buses.clone()));
        Self {
            store,
            queues,
            keeping,
            buses,
        }
    }
}

fn asks_for(pattern: Value) -> api::PutRuleRequest {
    api::PutRuleRequest {
        event_pattern: Some(pattern.to_string()),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_a_rule_sends_is_there_when_the_event_is_acknowledged() {
    let world = World::new().await;
    world
        .rule("all", asks_for(json!({"source": [{"prefix": "app"}]})))
        .await;
    world
        .rule("one", asks_for(json!({"source": ["app.a"]})))
        .await;
    world.put("app.a", json!({"n": 1})).await;
    world.put("app.b", json!({"n": 2})).await;
    world.put("other", json!({"n": 3})).await;
    let world = world.restarted().await;
    let details = |events: Vec<Value>| -> Vec<Value> {
        events
            .into_iter()
            .map(|event| event["detail"]["n"].clone())
            .collect()
    };
    assert_eq!(details(world.events("one").await), [1]);
    assert_eq!(details(world.events("all").await), [1, 2]);
    // The rules are there, too.
    world.put("app.a", json!({"n": 4})).await;
    assert_eq!(details(world.events("one").await), [4]);
}

#[tokio::test]
async fn a_scheduled_rule_fires_once_for_its_time_also_after_a_restart() {
    let world = World::new().await;
    let every_minute = api::PutRuleRequest {
        schedule_expression: Some("rate(1 minute)".into()),
        ..Default::default()
    };
    world.rule("tick", every_minute).await;
    world.parts.buses.keep_schedules().await.unwrap();
    assert!(
        world.events("tick").await.is_empty(),
        "its time has not come"
    );
    world.clock.advance(61_000);
    world.parts.buses.keep_schedules().await.unwrap();
    world.parts.buses.keep_schedules().await.unwrap();
    let events = world.events("tick").await;
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(event["detail-type"], "Scheduled Event");
    assert_eq!(event["source"], "aws.events");
    let arn = format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/tick");
    assert_eq!(event["resources"], json!([arn]));
    let time =
        |event: &Value| -> jiff::Timestamp { event["time"].as_str().unwrap().parse().unwrap() };
    let first = time(event);

    // Of the times that nobody was there for, the last is made up for.
    let world = world.restarted().await;
    world.clock.advance(10 * 60_000);
    world.parts.buses.keep_schedules().await.unwrap();
    let events = world.events("tick").await;
    assert_eq!(events.len(), 1);
    let later = time(&events[0]).as_second() - first.as_second();
    assert!(later >= 600 && later % 60 == 0, "{later} s later");

    let (buses, cx) = (&world.parts.buses, world.cx());
    let disable = api::DisableRuleRequest {
        name: "tick".into(),
        event_bus_name: None,
    };
    buses.disable_rule(&cx, disable).await.unwrap();
    world.clock.advance(120_000);
    buses.keep_schedules().await.unwrap();
    assert!(world.events("tick").await.is_empty());
}

#[tokio::test]
async fn a_replay_goes_on_where_it_was_and_an_archive_forgets() {
    let world = World::new().await;
    let (buses, cx) = (&world.parts.buses, world.cx());
    world.rule("r", asks_for(json!({"source": ["app"]}))).await;
    let bus = format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default");
    let archive = api::CreateArchiveRequest {
        archive_name: "a".into(),
        event_source_arn: bus.clone(),
        retention_days: Some(1),
        ..Default::default()
    };
    let archive = buses
        .create_archive(&cx, archive)
        .await
        .unwrap()
        .archive_arn
        .unwrap();
    for n in 0..5 {
        world.clock.advance(1);
        world.put("app", json!({"n": n})).await;
    }
    assert_eq!(world.events("r").await.len(), 5);
    let second = jiff::SignedDuration::from_secs(60);
    let replay = api::StartReplayRequest {
        replay_name: "again".into(),
        event_source_arn: archive,
        event_start_time: cx.now - second,
        event_end_time: cx.now + second,
        destination: api::ReplayDestination {
            arn: bus,
            filter_arns: None,
        },
        description: None,
    };
    buses.start_replay(&cx, replay).await.unwrap();
    let world = world.restarted().await;
    let buses = &world.parts.buses;
    buses.keep_replaying().await.unwrap();
    let events = world.events("r").await;
    let order: Vec<&Value> = events.iter().map(|event| &event["detail"]["n"]).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
    assert!(events.iter().all(|event| event["replay-name"] == "again"));
    let describe = || api::DescribeReplayRequest {
        replay_name: "again".into(),
    };
    let shown = buses
        .describe_replay(&world.cx(), describe())
        .await
        .unwrap();
    assert_eq!(shown.state.as_deref(), Some("COMPLETED"));

    let count = async || {
        let ask = api::DescribeArchiveRequest {
            archive_name: "a".into(),
        };
        buses
            .describe_archive(&world.cx(), ask)
            .await
            .unwrap()
            .event_count
    };
    buses.expire_archives().await.unwrap();
    assert_eq!(count().await, Some(5));
    world.clock.advance(86_400_000 + 1_000);
    buses.expire_archives().await.unwrap();
    assert_eq!(count().await, Some(0));
}

#[tokio::test]
async fn the_default_bus_is_there_before_anybody_used_it() {
    let world = World::new().await;
    let bus = |name: &str| format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}");
    let to = async |name: &str| {
        let from = deliveries::Sender {
            principal: "cloudwatch.amazonaws.com".into(),
            source_arn: format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:a"),
            account_id: ACCOUNT.into(),
            region: REGION.into(),
        };
        let delivery = Delivery::new(from, bus(name), "{}");
        world.parts.buses.plan(&delivery).await
    };
    let nobody = to("default").await;
    assert!(matches!(nobody, Ok(Plan::Spread(all)) if all.is_empty()));
    assert_eq!(to("other").await.err().unwrap().code, "NO_RESOURCE");
}

#[tokio::test]
async fn a_bus_is_open_to_others_as_its_policy_says() {
    let world = World::new().await;
    let (buses, cx) = (&world.parts.buses, world.cx());
    world.rule("r", asks_for(json!({"source": ["app"]}))).await;
    let bus = format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default");
    let put = async || {
        let other = Context {
            account_id: "222222222222".into(),
            ..world.cx()
        };
        let entry = api::PutEventsRequestEntry {
            source: Some("app".into()),
            detail_type: Some("kind".into()),
            detail: Some("{}".into()),
            event_bus_name: Some(bus.clone()),
            ..Default::default()
        };
        let ask = api::PutEventsRequest {
            entries: vec![entry],
            endpoint_id: None,
        };
        buses.put_events(&other, ask).await.map(drop)
    };
    let refused = put().await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("not authorized to perform: events:PutEvents"),
        "{refused}"
    );
    let allow = api::PutPermissionRequest {
        action: Some("events:PutEvents".into()),
        principal: Some("222222222222".into()),
        statement_id: Some("s".into()),
        ..Default::default()
    };
    buses.put_permission(&cx, allow).await.unwrap();
    put().await.unwrap();
    let events = world.events("r").await;
    assert_eq!(events[0]["account"], "222222222222");
    let remove = api::RemovePermissionRequest {
        statement_id: Some("s".into()),
        ..Default::default()
    };
    buses.remove_permission(&cx, remove).await.unwrap();
    assert!(put().await.is_err());
}
