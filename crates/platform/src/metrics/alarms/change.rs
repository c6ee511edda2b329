//! Changes of state: stored together with what they tell, and handed on to the alarms whose rules
//! name the one that changed.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::{
    AlarmKey, AlarmRecord, State, StateValue,
    history::Entry,
    messages::{Change, Child, triggering},
    record::ALARMS,
    rule_of,
};
use crate::{
    deliveries::{
        Delivery, DeliveryError, Parameters, Sender, StagedDeliveries, ToBus, ToTopic, kind_of,
    },
    metrics::{
        Metrics,
        error::{Error, Result},
    },
};

/// How many alarms one change may make change.
const CHANGES_MAX: usize = 1_000;

/// What an alarm is to be from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct NewState {
    pub value: StateValue,
    pub reason: String,
    /// JSON.
    pub reason_data: Option<String>,
}

impl Metrics {
    /// SetAlarmState.
    pub async fn set_alarm_state(&self, key: &AlarmKey, new: NewState, now_ms: i64) -> Result<()> {
        let _lane = self.alarms().lane.lock().await;
        let alarm = self.alarms().get(key).ok_or(Error::NoSuchAlarm)?;
        self.moved(&alarm, new, now_ms).await
    }

    /// What a look at an alarm came to, unless that has changed meanwhile.
    pub(super) async fn judged(
        &self,
        seen: &Arc<AlarmRecord>,
        new: NewState,
        now_ms: i64,
    ) -> Result<()> {
        let _lane = self.alarms().lane.lock().await;
        match self.alarms().get(&seen.key()) {
            Some(alarm) if Arc::ptr_eq(&alarm, seen) => self.moved(&alarm, new, now_ms).await,
            _ => Ok(()),
        }
    }

    /// A composite alarm that was put is looked at once; all that it names is what it changes by.
    /// The lane is held.
    pub(super) async fn look_at_new_rule(
        &self,
        alarm: &Arc<AlarmRecord>,
        now_ms: i64,
    ) -> Result<()> {
        let children = self.alarms().children(alarm);
        let children: Vec<Child> = children.iter().map(|child| child_of(child)).collect();
        let Some(new) = self.by_rule(alarm, &children) else {
            return Ok(());
        };
        let alarm = self.become_so(alarm, new, &children, now_ms).await?;
        self.hand_on(alarm, now_ms).await
    }

    /// The lane is held.
    async fn moved(&self, alarm: &Arc<AlarmRecord>, new: NewState, now_ms: i64) -> Result<()> {
        let is_other = alarm.state.value != new.value;
        let alarm = self.become_so(alarm, new, &[], now_ms).await?;
        match is_other {
            true => self.hand_on(alarm, now_ms).await,
            false => Ok(()),
        }
    }

    /// Looks at the rules that name an alarm which has changed, and at those that name these.
    async fn hand_on(&self, changed: Arc<AlarmRecord>, now_ms: i64) -> Result<()> {
        let mut open = VecDeque::from([changed]);
        for _ in 0..CHANGES_MAX {
            let Some(changed) = open.pop_front() else {
                return Ok(());
            };
            let child = [child_of(&changed)];
            for parent in self.alarms().parents(&changed) {
                if let Some(new) = self.by_rule(&parent, &child) {
                    open.push_back(self.become_so(&parent, new, &child, now_ms).await?);
                }
            }
        }
        tracing::warn!("a change of an alarm made too many others change");
        Ok(())
    }

    /// What the rule of a composite alarm says now, if that is something else.
    fn by_rule(&self, alarm: &AlarmRecord, children: &[Child]) -> Option<NewState> {
        let (rule, home) = (rule_of(alarm)?, alarm.home());
        let state = |name: &str| Some(self.alarms().named(&home, name)?.state.value);
        let value = match rule.holds(&state) {
            true => StateValue::Alarm,
            false => StateValue::Ok,
        };
        (value != alarm.state.value).then(|| NewState {
            value,
            reason: reason(children),
            reason_data: Some(triggering(children)),
        })
    }

    /// Stores a state with its history and the deliveries of its actions, in one transaction. One
    /// that only says another reason tells nobody.
    async fn become_so(
        &self,
        before: &Arc<AlarmRecord>,
        new: NewState,
        children: &[Child],
        now_ms: i64,
    ) -> Result<Arc<AlarmRecord>> {
        let mut alarm = (**before).clone();
        let is_other = alarm.state.value != new.value;
        alarm.state = State {
            value: new.value,
            reason: new.reason,
            reason_data: new.reason_data,
            updated_at_ms: now_ms,
            transitioned_at_ms: match is_other {
                true => now_ms,
                false => alarm.state.transitioned_at_ms,
            },
        };
        let (mut entries, mut staged) = (Vec::new(), None);
        if is_other {
            entries.push(Entry::moved(&alarm, &before.state));
            let change = Change {
                alarm: &alarm,
                before: &before.state,
                children,
            };
            staged = self.told(&change, &mut entries).await?;
        }
        let (stored, rows) = (alarm.clone(), staged.as_ref().map(StagedDeliveries::rows));
        let written = self.0.store.write(move |tx| {
            let key = [stored.account_id.as_str(), &stored.region, &stored.name];
            ALARMS.put(tx, &key, &stored)?;
            for entry in &entries {
                entry.insert(tx, &stored.account_id, &stored.region)?;
            }
            rows.iter().try_for_each(|rows| rows.insert(tx))
        });
        // What became of a write that failed is for the store to say.
        written.await?;
        if let Some(staged) = staged {
            staged.committed(true);
        }
        Ok(self.alarms().set(alarm))
    }

    /// The deliveries of a change; what cannot be handed over is in the history.
    async fn told(
        &self,
        change: &Change<'_>,
        entries: &mut Vec<Entry>,
    ) -> Result<Option<StagedDeliveries>> {
        let (alarm, deliveries) = (change.alarm, &self.alarms().deliveries);
        let value = alarm.state.value;
        let mut all = Vec::new();
        let actions = match alarm.actions_enabled {
            true => alarm.actions_of(value),
            false => &[],
        };
        let mut acted = Vec::new();
        for target in actions {
            match action(change, target).filter(|_| deliveries.takes(target)) {
                Some(delivery) => {
                    acted.push(target);
                    all.push(delivery);
                }
                None => {
                    let why = "this platform does not serve such targets yet";
                    entries.push(Entry::acted(alarm, value, target, Some(why)));
                }
            }
        }
        all.extend(event(change).filter(|delivery| deliveries.takes(&delivery.target)));
        let (staged, trouble) = match deliveries.stage(all).await {
            Ok(staged) => (Some(staged), None),
            Err(DeliveryError::TooManyLanes) => (None, Some("too many deliveries wait")),
            Err(error @ DeliveryError::Engine(_)) => return Err(Error::platform(error)),
        };
        for target in acted {
            entries.push(Entry::acted(alarm, value, target, trouble));
        }
        Ok(staged)
    }
}

fn child_of(alarm: &AlarmRecord) -> Child {
    Child {
        arn: alarm.arn(),
        value: alarm.state.value,
        since_ms: alarm.state.updated_at_ms,
    }
}

/// Who made a composite alarm change, the last of them named.
fn reason(children: &[Child]) -> String {
    let Some(child) = children.iter().max_by_key(|child| child.since_ms) else {
        return "The alarm rule has no alarms".to_owned();
    };
    let at = Timestamp::from_millisecond(child.since_ms).unwrap_or_default();
    let at = at.strftime("%A %d %B, %Y %H:%M:%S UTC");
    format!(
        "{} transitioned to {} at {at}",
        child.arn,
        child.value.name()
    )
}

/// The delivery of an action, by what its ARN is of.
fn action(change: &Change<'_>, target: &str) -> Option<Delivery> {
    match kind_of(target) {
        "sns" => {
            let from = sender(change, "cloudwatch.amazonaws.com");
            let mut delivery = Delivery::new(from, target, change.notification());
            delivery.parameters = Parameters::Sns(ToTopic {
                subject: Some(change.subject()),
                ..ToTopic::default()
            });
            Some(delivery)
        }
        "lambda" => {
            let from = sender(change, "lambda.alarms.cloudwatch.amazonaws.com");
            Some(Delivery::new(from, target, change.function_event()))
        }
        _ => None,
    }
}

/// What the default bus is told of every change.
fn event(change: &Change<'_>) -> Option<Delivery> {
    let alarm = change.alarm;
    let bus = wire::arn::Arn::new(
        "events",
        &alarm.region,
        &alarm.account_id,
        "event-bus/default",
    );
    let from = sender(change, "cloudwatch.amazonaws.com");
    let mut delivery = Delivery::new(from, bus.to_string(), change.bus_detail());
    delivery.parameters = Parameters::Events(ToBus {
        source: "aws.cloudwatch".to_owned(),
        detail_type: "CloudWatch Alarm State Change".to_owned(),
        resources: vec![alarm.arn()],
        time_ms: Some(alarm.state.updated_at_ms),
    });
    Some(delivery)
}

fn sender(change: &Change<'_>, principal: &str) -> Sender {
    let alarm = change.alarm;
    Sender {
        principal: principal.to_owned(),
        source_arn: alarm.arn(),
        account_id: alarm.account_id.clone(),
        region: alarm.region.clone(),
    }
}
