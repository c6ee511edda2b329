//! Alarms: watched metrics and rules over other alarms, and what is told when their state changes.
//!
//! Alarms are in memory as they are in the store. Whatever changes one takes the lane, so that changes
//! come one after the other; a change of state is one transaction with its history and the deliveries
//! of its actions, so that each change acts once, whatever ends in between. Metric alarms are looked
//! at when their time has come (`evaluate.rs`), composite ones when an alarm that they name changes.

mod change;
pub(super) mod evaluate;
mod history;
mod messages;
mod record;
mod rule;
mod verdict;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use jiff::Timestamp;
use store::{Page, ReadTx, Store};
use tokio::task::AbortHandle;

pub use change::NewState;
pub use history::{
    Asked, Entry, KEPT_MS, SQL as HISTORY_SQL, delete_before as delete_history,
    read as read_history,
};
pub use record::{
    Actions, AlarmKey, AlarmQuery, AlarmRecord, AlarmSource, AlarmStat, Comparison, MetricTerms,
    Missing, State, StateValue, Terms,
};
pub use rule::Rule;

use super::{
    Metrics,
    error::{Error, Result},
    series::Home,
};
use crate::{
    background::{Background, Wake},
    deliveries::Deliveries,
};
use record::ALARMS;

/// Alarms of one account and region; CloudWatch's quota.
const ALARMS_MAX: usize = 5_000;

/// What there is of alarms.
pub struct Alarms {
    deliveries: Deliveries,
    all: RwLock<BTreeMap<AlarmKey, Arc<AlarmRecord>>>,
    /// Held by whoever changes an alarm.
    lane: tokio::sync::Mutex<()>,
    /// By alarm, which of its times it was looked at last.
    looked: Mutex<HashMap<AlarmKey, i64>>,
    wake: Wake,
    timer: Mutex<Option<AbortHandle>>,
}

impl Alarms {
    pub async fn open(store: &Store, deliveries: Deliveries) -> Result<Self> {
        let all = store.read(load).await?;
        Ok(Self {
            deliveries,
            all: RwLock::new(all),
            lane: tokio::sync::Mutex::default(),
            looked: Mutex::default(),
            wake: Wake::default(),
            timer: Mutex::default(),
        })
    }

    pub fn get(&self, key: &AlarmKey) -> Option<Arc<AlarmRecord>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(key).cloned()
    }

    /// Those of an account and region, by name.
    pub fn of(&self, home: &Home) -> Vec<Arc<AlarmRecord>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let from = AlarmKey {
            home: home.clone(),
            name: String::new(),
        };
        let ours = all.range(from..).take_while(|(key, _)| key.home == *home);
        ours.map(|(_, alarm)| alarm.clone()).collect()
    }

    fn every(&self) -> Vec<Arc<AlarmRecord>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    fn set(&self, alarm: AlarmRecord) -> Arc<AlarmRecord> {
        let alarm = Arc::new(alarm);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(alarm.key(), alarm.clone());
        alarm
    }

    /// An alarm that a rule of another one in the same account and region names.
    fn named(&self, home: &Home, name: &str) -> Option<Arc<AlarmRecord>> {
        let prefix = record::arn(&home.region, &home.account_id, "");
        let name = name.strip_prefix(&prefix).unwrap_or(name).to_owned();
        self.get(&AlarmKey {
            home: home.clone(),
            name,
        })
    }

    /// The composite alarms whose rule names an alarm.
    pub fn parents(&self, alarm: &AlarmRecord) -> Vec<Arc<AlarmRecord>> {
        let (name, arn) = (&alarm.name, alarm.arn());
        let names = |other: &Arc<AlarmRecord>| {
            let rule = rule_of(other);
            rule.is_some_and(|rule| rule.alarms().iter().any(|n| n == name || *n == arn))
        };
        self.of(&alarm.home()).into_iter().filter(names).collect()
    }

    /// The alarms that the rule of an alarm names.
    pub fn children(&self, alarm: &AlarmRecord) -> Vec<Arc<AlarmRecord>> {
        let rule = rule_of(alarm);
        let names = rule.as_ref().map(Rule::alarms).unwrap_or_default();
        let home = alarm.home();
        names
            .iter()
            .filter_map(|name| self.named(&home, name))
            .collect()
    }
}

fn load(tx: &mut ReadTx) -> store::Result<BTreeMap<AlarmKey, Arc<AlarmRecord>>> {
    let mut all = BTreeMap::new();
    let mut last: Option<Vec<String>> = None;
    loop {
        let after: Option<Vec<&str>> = last
            .as_ref()
            .map(|l| l.iter().map(String::as_str).collect());
        let page = Page {
            prefix: &[],
            after: after.as_deref(),
            limit: 500,
        };
        let found = ALARMS.list(tx, page)?;
        let Some(end) = found.last() else {
            return Ok(all);
        };
        last = Some(end.key.parts().map(str::to_owned).collect());
        for stored in found {
            all.insert(stored.record.key(), Arc::new(stored.record));
        }
    }
}

/// The rule of a composite alarm. What was stored has been parsed once.
fn rule_of(alarm: &AlarmRecord) -> Option<Rule> {
    match &alarm.terms {
        Terms::Composite { rule } => Rule::parse(rule).ok(),
        Terms::Metric(_) => None,
    }
}

/// What is put; state and tags of one that is there already stay.
#[derive(Debug, Clone)]
pub struct NewAlarm {
    pub name: String,
    pub description: Option<String>,
    pub terms: Terms,
    pub actions_enabled: bool,
    pub actions: Actions,
    pub tags: BTreeMap<String, String>,
}

impl Metrics {
    pub(super) fn alarms(&self) -> &Alarms {
        &self.0.alarms
    }

    /// Looks at alarms when their time has come, from now on.
    pub(super) fn keep_looking(&self, background: &Background) {
        let (metrics, wake) = (self.clone(), self.alarms().wake.clone());
        background.keep("alarms", evaluate::RECONCILE_EVERY, wake, move || {
            evaluate::pass(metrics.clone(), Timestamp::now())
        });
    }

    pub async fn put_alarm(&self, home: &Home, new: NewAlarm, now_ms: i64) -> Result<()> {
        let alarms = self.alarms();
        let _lane = alarms.lane.lock().await;
        let key = AlarmKey {
            home: home.clone(),
            name: new.name.clone(),
        };
        let before = alarms.get(&key);
        if before.is_none() && alarms.of(home).len() >= ALARMS_MAX {
            return Err(Error::LimitExceeded(format!(
                "The maximum limit of {ALARMS_MAX} alarms has been exceeded"
            )));
        }
        let is_composite = matches!(new.terms, Terms::Composite { .. });
        if let Some(before) = &before
            && matches!(before.terms, Terms::Composite { .. }) != is_composite
        {
            return Err(Error::validation(format!(
                "An alarm of another type with the name {} already exists",
                new.name
            )));
        }
        let alarm = AlarmRecord {
            account_id: home.account_id.clone(),
            region: home.region.clone(),
            name: new.name,
            description: new.description,
            terms: new.terms,
            actions_enabled: new.actions_enabled,
            actions: new.actions,
            tags: before
                .as_ref()
                .map_or(new.tags, |before| before.tags.clone()),
            state: match &before {
                Some(before) => before.state.clone(),
                None => State::initial(now_ms),
            },
            configured_at_ms: now_ms,
        };
        self.check_rule(&alarm)?;
        let entry = match before {
            None => Entry::configured(&alarm, now_ms, "created", "Create"),
            Some(_) => Entry::configured(&alarm, now_ms, "updated", "Update"),
        };
        self.store_alarm(&alarm, Some(entry)).await?;
        let alarm = alarms.set(alarm);
        match is_composite {
            true => self.look_at_new_rule(&alarm, now_ms).await,
            false => {
                self.look_later(&alarm, now_ms);
                Ok(())
            }
        }
    }

    /// Alarms that a rule names are there, and none of them waits for this one.
    fn check_rule(&self, alarm: &AlarmRecord) -> Result<()> {
        let Some(rule) = rule_of(alarm) else {
            return Ok(());
        };
        let (alarms, home) = (self.alarms(), alarm.home());
        let own = alarm.arn();
        let missing: Vec<&str> = rule
            .alarms()
            .into_iter()
            .filter(|name| *name != alarm.name && *name != own)
            .filter(|name| alarms.named(&home, name).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(Error::validation(format!(
                "Could not save the composite alarm as alarms [{}] in the alarm rule do not exist",
                missing.join(", ")
            )));
        }
        let mut open: Vec<String> = rule.alarms().into_iter().map(str::to_owned).collect();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = open.pop() {
            if name == alarm.name || name == own {
                return Err(Error::unsupported(
                    "A composite alarm whose rule leads back to itself",
                ));
            }
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(rule) = alarms.named(&home, &name).as_deref().and_then(rule_of) {
                open.extend(rule.alarms().into_iter().map(str::to_owned));
            }
        }
        Ok(())
    }

    /// Deletes alarms, all or none; those that are not there are passed over.
    pub async fn delete_alarms(&self, home: &Home, names: &[String], now_ms: i64) -> Result<()> {
        let alarms = self.alarms();
        let _lane = alarms.lane.lock().await;
        let key = |name: &String| AlarmKey {
            home: home.clone(),
            name: name.clone(),
        };
        let gone: Vec<Arc<AlarmRecord>> =
            names.iter().filter_map(|n| alarms.get(&key(n))).collect();
        let composite = gone.iter().filter(|alarm| rule_of(alarm).is_some()).count();
        if composite > 1 {
            return Err(Error::validation(
                "Only one composite alarm can be deleted in a request",
            ));
        }
        for alarm in &gone {
            let stays = |parent: &Arc<AlarmRecord>| !names.contains(&parent.name);
            let parents: Vec<String> = alarms
                .parents(alarm)
                .iter()
                .filter(|parent| stays(parent))
                .map(|parent| parent.name.clone())
                .collect();
            if !parents.is_empty() {
                return Err(Error::validation(format!(
                    "Cannot delete {} as there are composite alarm(s) depending on it: {}",
                    alarm.name,
                    parents.join(", ")
                )));
            }
        }
        let rows: Vec<(Arc<AlarmRecord>, Entry)> = gone
            .iter()
            .map(|alarm| {
                let entry = Entry::configured(alarm, now_ms, "deleted", "Delete");
                (alarm.clone(), entry)
            })
            .collect();
        let deleted = self.0.store.write(move |tx| {
            for (alarm, entry) in &rows {
                ALARMS.delete(tx, &[&alarm.account_id, &alarm.region, &alarm.name])?;
                entry.insert(tx, &alarm.account_id, &alarm.region)?;
            }
            Ok(())
        });
        deleted.await?;
        let mut all = alarms.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut looked = alarms.looked.lock().unwrap_or_else(PoisonError::into_inner);
        for alarm in gone {
            all.remove(&alarm.key());
            looked.remove(&alarm.key());
        }
        Ok(())
    }

    /// Changes something of alarms other than their state; names that are not there are passed over.
    pub async fn change_alarms(
        &self,
        home: &Home,
        names: &[String],
        change: impl Fn(&mut AlarmRecord),
    ) -> Result<()> {
        let alarms = self.alarms();
        let _lane = alarms.lane.lock().await;
        for name in names {
            let key = AlarmKey {
                home: home.clone(),
                name: name.clone(),
            };
            if let Some(before) = alarms.get(&key) {
                let mut alarm = (*before).clone();
                change(&mut alarm);
                if alarm != *before {
                    self.store_alarm(&alarm, None).await?;
                    alarms.set(alarm);
                }
            }
        }
        Ok(())
    }

    async fn store_alarm(&self, alarm: &AlarmRecord, entry: Option<Entry>) -> Result<()> {
        let alarm = alarm.clone();
        let stored = self.0.store.write(move |tx| {
            let key = [alarm.account_id.as_str(), &alarm.region, &alarm.name];
            ALARMS.put(tx, &key, &alarm)?;
            match &entry {
                Some(entry) => entry.insert(tx, &alarm.account_id, &alarm.region),
                None => Ok(()),
            }
        });
        Ok(stored.await?)
    }
}
