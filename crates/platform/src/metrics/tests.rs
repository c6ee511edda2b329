//! Metrics and alarms over a real store, at times that are arguments; what alarms send goes to a
//! topic that notes it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use store::{Store, StoreConfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    alarms::{
        Actions, AlarmKey, AlarmRecord, AlarmSource, AlarmStat, Asked, Comparison, Entry,
        MetricTerms, Missing, NewAlarm, NewState, StateValue, Terms, evaluate, read_history,
    },
    data::{Found, Query, Source, Stat, Times},
    index::Filter,
    statistic::Statistic,
    *,
};
use crate::{
    clock::Clock,
    deliveries::{Delivery, Failure, Plan, Target},
    platform,
    queues::Queues,
    secrets::Secrets,
};

const ACCOUNT: &str = "111111111111";
const TOPIC: &str = "arn:aws:sns:us-east-1:111111111111:told";

/// What the topic was told.
#[derive(Default)]
struct Told(Mutex<Vec<serde_json::Value>>);

#[async_trait]
impl Target for Told {
    async fn plan(&self, _: &Delivery) -> Result<Plan, Failure> {
        Ok(Plan::Try)
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        let body = serde_json::from_str(&delivery.body).expect("it is JSON");
        self.0.lock().unwrap().push(body);
        Ok(())
    }
}

struct World {
    dir: TempDir,
    told: Arc<Told>,
    parts: Parts,
}

struct Parts {
    store: Store,
    keeping: JoinHandle<()>,
    metrics: Metrics,
    background: Background,
}

impl Parts {
    async fn open(dir: &Path, told: &Arc<Told>) -> Self {
        let config = StoreConfig::new(dir.join("store").to_str().unwrap());
        let store = Store::open(config, &platform::migrations()).await.unwrap();
        let secrets = Arc::new(Secrets::open(&dir.join("functions.key")).unwrap());
        let clock = Arc::new(Clock::new());
        let queues = Queues::open(store.clone(), secrets, clock, "http://localhost");
        let (queues, keeping) = queues.await.unwrap();
        let deliveries = Deliveries::open(store.clone(), queues);
        deliveries.register("sns", told.clone());
        let background = Background::default();
        deliveries.begin(&background).await;
        let metrics = Metrics::open(store.clone(), deliveries, &background)
            .await
            .unwrap();
        Self {
            store,
            keeping,
            metrics,
            background,
        }
    }
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let told = Arc::new(Told::default());
        let parts = Parts::open(dir.path(), &told).await;
        Self { dir, told, parts }
    }

    /// As after the end of the process.
    async fn restarted(self) -> Self {
        let Self { dir, told, parts } = self;
        parts.background.stop();
        parts.keeping.abort();
        parts.store.close().await;
        let parts = Parts::open(dir.path(), &told).await;
        Self { dir, told, parts }
    }

    fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    async fn put(&self, at_s: i64, value: f64) {
        let datum = Datum::new(load(), "Percent", at_s, value);
        self.metrics().put(&home(), vec![datum]).await.unwrap();
    }

    async fn find(
        &self,
        statistic: &str,
        period_s: i64,
        start_s: i64,
        end_s: i64,
    ) -> Vec<(i64, f64)> {
        let query = Query {
            id: "m1".into(),
            source: Source::Stat(Stat {
                metric: load(),
                period_s,
                statistic: Statistic::parse(statistic).unwrap(),
                statistic_name: statistic.into(),
                unit: None,
            }),
            label: None,
            returned: true,
        };
        let times = Times {
            start: at(start_s),
            end: at(end_s),
            now: at(end_s),
        };
        let found = self.metrics().data(&home(), &[query], times).await.unwrap();
        let [Found { points, .. }] = found.as_slice() else {
            panic!("{found:?}")
        };
        points.iter().map(|(at, value)| (*at, *value)).collect()
    }

    async fn look(&self, at_s: i64) {
        evaluate::pass(self.metrics().clone(), at(at_s))
            .await
            .unwrap();
    }

    fn state(&self, name: &str) -> StateValue {
        let alarm = self.metrics().alarms().get(&key(name));
        alarm.expect("it is there").state.value
    }

    async fn set(&self, name: &str, value: StateValue) {
        let new = NewState {
            value,
            reason: "by hand".into(),
            reason_data: None,
        };
        let now_ms = Timestamp::now().as_millisecond();
        self.metrics()
            .set_alarm_state(&key(name), new, now_ms)
            .await
            .unwrap();
    }

    async fn put_alarm(&self, name: &str, terms: Terms) {
        let new = NewAlarm {
            name: name.into(),
            description: None,
            terms,
            actions_enabled: true,
            actions: Actions {
                ok: vec![TOPIC.into()],
                alarm: vec![TOPIC.into()],
                insufficient_data: Vec::new(),
            },
            tags: [].into(),
        };
        let now_ms = Timestamp::now().as_millisecond();
        self.metrics()
            .put_alarm(&home(), new, now_ms)
            .await
            .unwrap();
    }

    /// The states that the topic was told of, once there are so many.
    async fn told(&self, count: usize) -> Vec<String> {
        let told = || self.told.0.lock().unwrap().clone();
        let enough = async {
            while told().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let enough = tokio::time::timeout(Duration::from_secs(60), enough).await;
        enough.expect("it is told");
        let one = |told: &serde_json::Value| {
            let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("AlarmName"), text("NewStateValue"))
        };
        told().iter().map(one).collect()
    }

    async fn history(&self) -> Vec<Entry> {
        let asked = Asked {
            account_id: ACCOUNT.into(),
            region: "us-east-1".into(),
            name: None,
            alarm_types: Vec::new(),
            kind: None,
            from_ms: 0,
            to_ms: i64::MAX,
            ascending: true,
            after: None,
            limit: 100,
        };
        let read = self.parts.store.read(move |tx| read_history(tx, &asked));
        read.await.unwrap()
    }
}

fn home() -> Home {
    Home {
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
    }
}

fn key(name: &str) -> AlarmKey {
    AlarmKey {
        home: home(),
        name: name.into(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn load() -> Metric {
    Metric::new("test", "load", [("Host", "one")])
}

/// This minute, so that nothing here is too old for anything.
fn minute() -> i64 {
    Timestamp::now().as_second().div_euclid(60) * 60
}

fn above(threshold: f64, missing: Option<Missing>) -> Terms {
    Terms::Metric(MetricTerms {
        source: AlarmSource::One(AlarmStat {
            namespace: "test".into(),
            metric_name: "load".into(),
            dimensions: load().dimensions,
            period_s: 60,
            statistic: "Maximum".into(),
            unit: None,
        }),
        evaluation_periods: 1,
        datapoints_to_alarm: None,
        threshold,
        comparison: Comparison::GreaterThanThreshold,
        missing,
        low_sample_count: None,
    })
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let (world, minute) = (World::new().await, minute());
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..50 {
        let metrics = world.metrics().clone();
        let datum = Datum::new(load(), "Percent", minute, f64::from(n));
        puts.spawn(async move { metrics.put(&home(), vec![datum]).await });
    }
    for put in puts.join_all().await {
        put.unwrap();
    }
    world.put(minute - 60, 7.0).await;
    let world = world.restarted().await;
    let of = async |statistic: &str| world.find(statistic, 60, minute - 60, minute + 60).await;
    assert_eq!(
        of("SampleCount").await,
        [(minute - 60, 1.0), (minute, 50.0)]
    );
    assert_eq!(of("Sum").await, [(minute - 60, 7.0), (minute, 1225.0)]);
    assert_eq!(of("p90").await, [(minute - 60, 7.0), (minute, 44.0)]);
    let whole = world.find("Maximum", 300, minute - 60, minute + 60).await;
    assert_eq!(whole, [(minute - 60, 49.0)]);
    let (listed, more) = world.metrics().list(&home(), &Filter::default(), None);
    assert_eq!((listed, more), (vec![load()], false));
}

#[tokio::test]
async fn old_points_become_coarser_and_then_go() {
    let (world, now) = (World::new().await, minute());
    let day = 24 * 3600;
    let begins = |days: i64| (now - days * day).div_euclid(3600) * 3600;
    let second = now - 4 * 3600;
    for (at_s, high_resolution) in [
        (second, true),
        (second + 1, true),
        (begins(16), false),
        (begins(16) + 60, false),
        (begins(70), false),
        (begins(70) + 600, false),
        (begins(500), false),
    ] {
        let datum = Datum {
            high_resolution,
            ..Datum::new(load(), "Percent", at_s, 1.0)
        };
        world.metrics().put(&home(), vec![datum]).await.unwrap();
    }
    roll_up::pass(world.metrics().clone(), now).await.unwrap();
    let rows = world.parts.store.read(|tx| {
        let sql = "SELECT at_s, period_s FROM metric_points ORDER BY at_s";
        let rows = tx.query(sql, store::params![])?;
        rows.iter()
            .map(|row| Ok((row.get::<i64>("at_s")?, row.get::<i64>("period_s")?)))
            .collect::<store::Result<Vec<_>>>()
    });
    let expected = [(begins(70), 3600), (begins(16), 300), (second, 60)];
    assert_eq!(rows.await.unwrap(), expected);
    let sums = world.find("Sum", 3600, begins(70), now).await;
    assert_eq!(sums.iter().map(|(_, sum)| sum).sum::<f64>(), 6.0);
    // A year and more later nothing is left.
    roll_up::pass(world.metrics().clone(), now + 460 * day)
        .await
        .unwrap();
    assert_eq!(world.metrics().series_count(), 0);
    assert_eq!(world.find("Sum", 3600, begins(70), now).await, []);
}

#[tokio::test]
async fn an_alarm_acts_once_for_each_change_whatever_ends_in_between() {
    let (world, minute) = (World::new().await, minute());
    world.put_alarm("hot", above(50.0, None)).await;
    assert_eq!(world.state("hot"), StateValue::InsufficientData);
    world.put(minute, 80.0).await;
    // The minute is not over yet.
    world.look(minute + 20).await;
    assert_eq!(world.state("hot"), StateValue::InsufficientData);
    world.look(minute + 66).await;
    assert_eq!(world.state("hot"), StateValue::Alarm);
    assert_eq!(world.told(1).await, ["hot ALARM"]);
    world.look(minute + 126).await;
    let world = world.restarted().await;
    assert_eq!(world.state("hot"), StateValue::Alarm);
    world.look(minute + 127).await;
    world.put(minute + 120, 20.0).await;
    world.look(minute + 186).await;
    assert_eq!(world.state("hot"), StateValue::Ok);
    assert_eq!(world.told(2).await, ["hot ALARM", "hot OK"]);
    let kinds: Vec<String> = world
        .history()
        .await
        .into_iter()
        .map(|entry| entry.kind)
        .collect();
    let change = ["StateUpdate", "Action"];
    let expected = [&["ConfigurationUpdate"][..], &change, &change].concat();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    let mut wanted: Vec<&str> = expected;
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
}

#[tokio::test]
async fn what_is_missing_is_told_after_a_while_and_breaches_at_once_where_it_does() {
    let (world, minute) = (World::new().await, minute());
    world.put_alarm("known", above(50.0, None)).await;
    world
        .put_alarm("alive", above(50.0, Some(Missing::Breaching)))
        .await;
    world.set("known", StateValue::Ok).await;
    world.look(minute + 66).await;
    assert_eq!(world.state("alive"), StateValue::Alarm);
    assert_eq!(world.state("known"), StateValue::Ok, "it was just set");
    world.look(minute + 366).await;
    assert_eq!(world.state("known"), StateValue::InsufficientData);
}

#[tokio::test]
async fn a_rule_follows_the_alarms_that_it_names() {
    let world = World::new().await;
    for name in ["one", "two"] {
        world
            .put_alarm(name, above(50.0, Some(Missing::Ignore)))
            .await;
    }
    let rule = format!(
        "ALARM(one) OR ALARM(\"{}\")",
        "arn:aws:cloudwatch:us-east-1:111111111111:alarm:two"
    );
    world.put_alarm("either", Terms::Composite { rule }).await;
    let above_it = Terms::Composite {
        rule: "NOT OK(either)".into(),
    };
    world.put_alarm("above", above_it).await;
    assert_eq!(world.state("either"), StateValue::Ok);
    world.set("two", StateValue::Alarm).await;
    assert_eq!(world.state("either"), StateValue::Alarm);
    assert_eq!(world.state("above"), StateValue::Alarm);
    world.set("one", StateValue::Alarm).await;
    world.set("two", StateValue::Ok).await;
    assert_eq!(world.state("either"), StateValue::Alarm);
    world.set("one", StateValue::Ok).await;
    assert_eq!(world.state("above"), StateValue::Ok);
    let told = world.told(10).await;
    let of = |name: &str| -> Vec<String> {
        let ours = told.iter().filter(|told| told.starts_with(name));
        ours.cloned().collect()
    };
    assert_eq!(of("either"), ["either OK", "either ALARM", "either OK"]);
    assert_eq!(of("above"), ["above OK", "above ALARM", "above OK"]);
    let message = world.told.0.lock().unwrap().clone();
    let risen = message
        .iter()
        .find(|told| told["AlarmName"] == "either" && told["NewStateValue"] == "ALARM");
    let child = &risen.unwrap()["TriggeringChildren"][0];
    assert_eq!(
        child["Arn"],
        "arn:aws:cloudwatch:us-east-1:111111111111:alarm:two"
    );
    // What another rule needs stays, and what leads back to itself is refused.
    let gone = world
        .metrics()
        .delete_alarms(&home(), &["one".into()], 0)
        .await;
    assert!(matches!(gone, Err(Error::Validation(_))));
    let circle = NewAlarm {
        name: "either".into(),
        description: None,
        terms: Terms::Composite {
            rule: "ALARM(above)".into(),
        },
        actions_enabled: true,
        actions: Actions::default(),
        tags: [].into(),
    };
    let refused = world.metrics().put_alarm(&home(), circle, 0).await;
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
}

#[tokio::test]
async fn an_alarm_whose_actions_are_off_changes_and_tells_nobody() {
    let world = World::new().await;
    world
        .put_alarm("quiet", above(50.0, Some(Missing::Ignore)))
        .await;
    let off = |alarm: &mut AlarmRecord| alarm.actions_enabled = false;
    world
        .metrics()
        .change_alarms(&home(), &["quiet".into()], off)
        .await
        .unwrap();
    world.set("quiet", StateValue::Alarm).await;
    assert_eq!(world.state("quiet"), StateValue::Alarm);
    let on = |alarm: &mut AlarmRecord| alarm.actions_enabled = true;
    world
        .metrics()
        .change_alarms(&home(), &["quiet".into()], on)
        .await
        .unwrap();
    world.set("quiet", StateValue::Ok).await;
    assert_eq!(world.told(1).await, ["quiet OK"]);
}
