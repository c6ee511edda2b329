//! What functions and queues tell CloudWatch of themselves: the metrics of `AWS/Lambda` and `AWS/SQS`.
//!
//! They count on their paths, in memory. Every ten seconds, and at the end, all is taken and put as data
//! of its minute; what was counted since is lost when the process is killed. How many messages queues
//! hold is told once a minute, as SQS does, while a queue is in use. Knows them and `metrics`, none of
//! which knows this.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    events::Events,
    functions::execution::{Execution, FunctionKey, Taken},
    logs::{GroupKey, Listener},
    metrics::{Datum, Distribution, Home, Metric, Metrics},
    queues::{Queues, Taken as Totals, definition::QueueId},
};

const LAMBDA: &str = "AWS/Lambda";
const SQS: &str = "AWS/SQS";
/// How often all is taken, and how long after the ten seconds that it is of; alarms look at a minute a
/// little later.
const EVERY_MS: i64 = 10_000;
const LATE_MS: i64 = 1_000;
/// A queue is told of for so long after its last use.
const IN_USE_MS: i64 = 6 * 3600 * 1000;
/// The version that a function's plain name means.
const LATEST: &str = "$LATEST";

/// Hears what is logged, for the metrics that are in it.
pub struct Embedded(pub Metrics);

impl Listener for Embedded {
    fn heard(&self, group: &GroupKey, message: &[u8], timestamp_ms: i64) {
        self.0
            .heard(&group.account_id, &group.region, message, timestamp_ms);
    }
}

/// Takes what was counted.
pub struct Measuring {
    execution: Execution,
    events: Events,
    queues: Queues,
    metrics: Metrics,
    told: Mutex<Told>,
}

/// What was told of queues.
#[derive(Default)]
struct Told {
    /// The minute that was told last, as the seconds at which it began.
    minute_s: i64,
    /// When each queue was used last, in milliseconds.
    used_at_ms: HashMap<QueueId, i64>,
}

impl Measuring {
    pub fn new(execution: Execution, events: Events, queues: Queues, metrics: Metrics) -> Self {
        Self {
            execution,
            events,
            queues,
            metrics,
            told: Mutex::default(),
        }
    }

    /// Puts what was counted, for ever.
    pub async fn keep_measuring(&self) {
        loop {
            let now_ms = Timestamp::now().as_millisecond();
            let turn = (now_ms - LATE_MS).div_euclid(EVERY_MS);
            let next_ms = (turn + 1) * EVERY_MS + LATE_MS;
            let wait = Duration::from_millis((next_ms - now_ms).unsigned_abs());
            tokio::time::sleep(wait).await;
            // The ten seconds that were.
            self.put(turn * EVERY_MS).await;
        }
    }

    /// What was counted since, at the end.
    pub async fn finish(&self) {
        self.put(Timestamp::now().as_millisecond()).await;
    }

    async fn put(&self, at_ms: i64) {
        let at_s = at_ms.div_euclid(60_000) * 60;
        let mut by_home = ByHome::default();
        self.of_functions(&mut by_home);
        self.of_queues(&mut by_home, at_ms);
        for (home, values) in by_home.0 {
            let datum = |((metric, unit), values): ((Metric, &'static str), Distribution)| Datum {
                metric,
                unit: unit.to_owned(),
                at_s,
                high_resolution: false,
                values,
            };
            let data = values.into_iter().map(datum).collect();
            if let Err(error) = self.metrics.put(&home, data).await {
                tracing::warn!(%error, "a minute's metrics of functions and queues are lost");
            }
        }
    }

    fn of_functions(&self, all: &mut ByHome) {
        for taken in self.execution.take_measures() {
            let home = home_of(&taken.key.function);
            for dimensions in dimensions_of(&taken) {
                add_taken(all, &home, &dimensions, &taken);
            }
        }
        for (function, peak) in self.execution.take_peaks() {
            let named = vec![("FunctionName", function.name.clone())];
            let home = home_of(&function);
            all.add(
                &home,
                LAMBDA,
                "ConcurrentExecutions",
                &named,
                "Count",
                f64::from(peak),
                1,
            );
            // CloudWatch has the account's by region.
        }
        for (function, measured) in self.events.take_measured() {
            let home = home_of(&function);
            for dimensions in [vec![("FunctionName", function.name.clone())], Vec::new()] {
                let mut count = |name: &str, number: u64| {
                    if number > 0 {
                        all.add(&home, LAMBDA, name, &dimensions, "Count", 1.0, number);
                    }
                };
                count("AsyncEventsReceived", measured.received);
                count("AsyncEventsDropped", measured.dropped);
                count("DestinationDeliveryFailures", measured.destination_errors);
                count("DeadLetterErrors", measured.dead_letter_errors);
                for age_ms in &measured.ages_ms {
                    let age_ms = *age_ms as f64;
                    all.add(
                        &home,
                        LAMBDA,
                        "AsyncEventAge",
                        &dimensions,
                        "Milliseconds",
                        age_ms,
                        1,
                    );
                }
            }
        }
        self.of_accounts(all);
    }

    /// Of all functions of an account. One limit holds over all regions here; it is told where the
    /// account's functions ran.
    fn of_accounts(&self, all: &mut ByHome) {
        for (account_id, peak, unreserved) in self.execution.take_account_peaks() {
            let homes: Vec<Home> = all
                .0
                .keys()
                .filter(|home| home.account_id == account_id)
                .cloned()
                .collect();
            for home in homes {
                let mut most = |name: &str, number: u32| {
                    all.add(&home, LAMBDA, name, &[], "Count", f64::from(number), 1);
                };
                most("ConcurrentExecutions", peak);
                most("UnreservedConcurrentExecutions", unreserved);
            }
        }
    }

    fn of_queues(&self, all: &mut ByHome, at_ms: i64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let minute_s = at_ms.div_euclid(60_000) * 60;
        let is_turn = told.minute_s < minute_s;
        told.minute_s = minute_s;
        let mut used_at_ms = HashMap::new();
        for queue in self.queues.all() {
            let (totals, counts) = (queue.take_totals(), queue.counts());
            let home = Home {
                account_id: queue.key.account_id.clone(),
                region: queue.key.region.clone(),
            };
            let named = [("QueueName", queue.key.name.clone())];
            let mut tell = |name: &str, number: u64| {
                all.add(&home, SQS, name, &named, "Count", number as f64, 1);
            };
            for (name, number) in [
                ("NumberOfMessagesSent", totals.sent),
                ("NumberOfMessagesReceived", totals.received),
                ("NumberOfEmptyReceives", totals.empty_receives),
                ("NumberOfMessagesDeleted", totals.deleted),
            ] {
                if number > 0 {
                    tell(name, number);
                }
            }
            let before = told.used_at_ms.get(&queue.id).copied();
            let holds = counts.visible + counts.in_flight + counts.delayed > 0;
            let is_used = holds || totals != Totals::default();
            let last_ms = match before {
                _ if is_used => at_ms,
                Some(before) => before,
                // One that is new is in use; after a start it is not known of the others.
                None => queue.definition().created_s * 1000,
            };
            if at_ms - last_ms > IN_USE_MS {
                continue;
            }
            used_at_ms.insert(queue.id, last_ms);
            if is_turn || before.is_none() {
                tell("ApproximateNumberOfMessagesVisible", counts.visible);
                tell("ApproximateNumberOfMessagesNotVisible", counts.in_flight);
                tell("ApproximateNumberOfMessagesDelayed", counts.delayed);
            }
        }
        told.used_at_ms = used_at_ms;
    }
}

/// What is put, summed up by metric.
#[derive(Default)]
struct ByHome(HashMap<Home, BTreeMap<(Metric, &'static str), Distribution>>);

type Dimensions = [(&'static str, String)];

impl ByHome {
    /// Adds a value that came so many times.
    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        home: &Home,
        namespace: &str,
        name: &str,
        dimensions: &Dimensions,
        unit: &'static str,
        value: f64,
        times: u64,
    ) {
        let values = Distribution::of(value, times as f64);
        self.add_values(home, (namespace, name), dimensions, unit, values);
    }

    fn add_values(
        &mut self,
        home: &Home,
        (namespace, name): (&str, &str),
        dimensions: &Dimensions,
        unit: &'static str,
        values: Distribution,
    ) {
        let dimensions = dimensions
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let metric = Metric::new(namespace, name, dimensions);
        let metrics = self.0.entry(home.clone()).or_default();
        match metrics.get_mut(&(metric.clone(), unit)) {
            Some(sum) => sum.merge(&values),
            None => {
                metrics.insert((metric, unit), values);
            }
        }
    }
}

fn home_of(function: &FunctionKey) -> Home {
    Home {
        account_id: function.account_id.clone(),
        region: function.region.clone(),
    }
}

/// All functions; the function; what it was asked for as; and for an alias also the version that ran.
fn dimensions_of(taken: &Taken) -> Vec<Vec<(&'static str, String)>> {
    let name = &taken.key.function.name;
    let version = &*taken.key.version;
    let resource = match taken.qualifier.as_deref() {
        None => name.clone(),
        Some(qualifier) => format!("{name}:{qualifier}"),
    };
    let function = ("FunctionName", name.clone());
    let mut all = vec![
        Vec::new(),
        vec![function.clone()],
        vec![function.clone(), ("Resource", resource.clone())],
    ];
    let qualifier = taken.qualifier.as_deref().unwrap_or(LATEST);
    if qualifier != version {
        let executed = ("ExecutedVersion", version.to_owned());
        all.push(vec![function, ("Resource", resource), executed]);
    }
    all
}

fn add_taken(all: &mut ByHome, home: &Home, dimensions: &Dimensions, taken: &Taken) {
    let succeeded = taken.invocations - taken.errors.min(taken.invocations);
    let mut shares = |name: &str, yes: u64, no: u64| {
        for (value, times) in [(1.0, yes), (0.0, no)] {
            if times > 0 {
                all.add(home, LAMBDA, name, dimensions, "Count", value, times);
            }
        }
    };
    shares("Invocations", taken.invocations, 0);
    shares("Errors", taken.errors, succeeded);
    shares("Throttles", taken.throttles, taken.invocations);
    shares("ProvisionedConcurrencyInvocations", taken.provisioned, 0);
    let mut durations: Option<Distribution> = None;
    for (value, times) in &taken.durations {
        let some = Distribution::of(*value, *times as f64);
        match &mut durations {
            Some(all) => all.merge(&some),
            None => durations = Some(some),
        }
    }
    if let Some(mut durations) = durations {
        // What was added up is exact, other than the bins.
        durations.sum = taken.durations_sum_ms;
        all.add_values(
            home,
            (LAMBDA, "Duration"),
            dimensions,
            "Milliseconds",
            durations,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::execution::VersionKey;

    fn taken(qualifier: Option<&str>, version: &str) -> Taken {
        Taken {
            key: VersionKey {
                function: FunctionKey {
                    account_id: "000000000000".into(),
                    region: "us-east-1".into(),
                    name: "resize".into(),
                },
                version: version.into(),
            },
            qualifier: qualifier.map(str::to_owned),
            invocations: 4,
            errors: 1,
            throttles: 2,
            provisioned: 0,
            durations: vec![(1.0, 3), (20.0, 1)],
            durations_sum_ms: 23.0,
        }
    }

    #[test]
    fn dimensions_are_those_of_lambda() {
        let names = |qualifier, version: &str| -> Vec<String> {
            let all = dimensions_of(&taken(qualifier, version));
            let text = |set: &Vec<(&str, String)>| {
                let each: Vec<String> = set.iter().map(|(n, v)| format!("{n}={v}")).collect();
                each.join(",")
            };
            all.iter().map(text).collect()
        };
        let plain = [
            "",
            "FunctionName=resize",
            "FunctionName=resize,Resource=resize",
        ];
        assert_eq!(names(None, "$LATEST"), plain);
        assert_eq!(
            names(Some("3"), "3").last().unwrap(),
            "FunctionName=resize,Resource=resize:3"
        );
        assert_eq!(
            names(Some("live"), "3").last().unwrap(),
            "FunctionName=resize,Resource=resize:live,ExecutedVersion=3"
        );
    }

    #[test]
    fn each_request_is_a_sample() {
        let (mut all, one) = (ByHome::default(), taken(None, "$LATEST"));
        let home = home_of(&one.key.function);
        add_taken(&mut all, &home, &[], &one);
        let of = |name: &str, unit| {
            let found = all.0[&home][&(Metric::new(LAMBDA, name, []), unit)].clone();
            (found.count, found.sum, found.minimum, found.maximum)
        };
        assert_eq!(of("Invocations", "Count"), (4.0, 4.0, 1.0, 1.0));
        assert_eq!(of("Errors", "Count"), (4.0, 1.0, 0.0, 1.0));
        assert_eq!(of("Throttles", "Count"), (6.0, 2.0, 0.0, 1.0));
        assert_eq!(of("Duration", "Milliseconds"), (4.0, 23.0, 1.0, 20.0));
    }
}
