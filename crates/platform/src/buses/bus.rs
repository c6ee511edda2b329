//! Making, showing, changing and deleting buses.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio::sync::MutexGuard;
use wire::{
    Context,
    event_bridge::{self as api, DeadLetterConfig},
};

use super::{
    Buses,
    error::{Error, Result},
    held::{Bus, no_rule},
    limits,
    names::{BusKey, DEFAULT},
    paging::{begins, page},
    tables::{BUSES, BusRecord},
    tags,
};

/// That definitions are being changed, by nobody else.
pub type Changing<'a> = MutexGuard<'a, ()>;

impl Buses {
    pub(super) async fn create_bus(
        &self,
        cx: &Context,
        input: api::CreateEventBusRequest,
    ) -> Result<api::CreateEventBusResponse> {
        if input.event_source_name.is_some() {
            return Err(Error::Unsupported(
                "A bus of a partner event source".to_owned(),
            ));
        }
        refuse_key(input.kms_key_identifier.as_deref())?;
        refuse_log(input.log_config.as_ref())?;
        if input.name.contains('/') {
            return Err(Error::parameter(
                "Name",
                "Event bus name must not contain '/'.",
            ));
        }
        let mut tags = BTreeMap::new();
        tags::add(&mut tags, input.tags.unwrap_or_default())?;
        let key = BusKey::new(&cx.account_id, &cx.region, &input.name);
        let changing = self.0.changing.lock().await;
        if key.name == DEFAULT || self.0.buses.get(&key).is_some() {
            return Err(Error::Exists {
                what: "Event bus",
                name: key.name,
            });
        }
        let held = self.0.buses.under(&cx.account_id, &cx.region);
        let made = held.iter().filter(|bus| bus.record.key.name != DEFAULT);
        if made.count() >= limits::BUSES_MAX {
            return Err(Error::OverLimit);
        }
        let record = BusRecord {
            description: input.description.clone(),
            dead_letter: input.dead_letter_config.and_then(|config| config.arn),
            tags,
            ..empty(key.clone(), cx.now)
        };
        let dead_letter_config = record.dead_letter.clone().map(shown_letter);
        let mut bus = Bus::new(record);
        // Archives outlive their bus, and take up again with one of its name.
        let archives = self
            .0
            .archives
            .under(&cx.account_id, &cx.region)
            .into_iter();
        bus.archives = archives.filter(|it| it.record.bus == key).collect();
        self.store_bus(&changing, bus).await?;
        Ok(api::CreateEventBusResponse {
            event_bus_arn: Some(key.arn()),
            description: input.description,
            dead_letter_config,
            ..Default::default()
        })
    }

    pub(super) async fn delete_bus(&self, cx: &Context, name: &str) -> Result<()> {
        let key = self.key(cx, Some(name))?;
        if key.name == DEFAULT {
            return Err(Error::invalid("Cannot delete event bus default."));
        }
        let _changing = self.0.changing.lock().await;
        let Some(bus) = self.0.buses.get(&key) else {
            return Ok(());
        };
        if !bus.rules.is_empty() {
            return Err(Error::invalid(
                "Event bus can't be deleted since it has rules.",
            ));
        }
        let parts = key.clone();
        let gone = move |tx: &mut store::Tx| BUSES.delete(tx, &parts.parts());
        self.0.store.write(gone).await?;
        self.0.buses.remove(&key);
        Ok(())
    }

    pub(super) async fn describe_bus(
        &self,
        cx: &Context,
        name: Option<&str>,
    ) -> Result<api::DescribeEventBusResponse> {
        let key = self.key(cx, name)?;
        self.assure_default(&key, cx.now).await?;
        let bus = self.bus(&key)?;
        let record = bus.record.clone();
        Ok(api::DescribeEventBusResponse {
            arn: Some(key.arn()),
            name: Some(key.name),
            description: record.description,
            policy: record.policy,
            dead_letter_config: record.dead_letter.map(shown_letter),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            ..Default::default()
        })
    }

    pub(super) async fn update_bus(
        &self,
        cx: &Context,
        input: api::UpdateEventBusRequest,
    ) -> Result<api::UpdateEventBusResponse> {
        refuse_key(input.kms_key_identifier.as_deref())?;
        refuse_log(input.log_config.as_ref())?;
        let key = self.key(cx, input.name.as_deref())?;
        self.assure_default(&key, cx.now).await?;
        let changing = self.0.changing.lock().await;
        let bus = self.bus(&key)?;
        let mut record = bus.record.clone();
        if input.description.is_some() {
            record.description = input.description;
        }
        if let Some(config) = input.dead_letter_config {
            record.dead_letter = config.arn;
        }
        record.modified = cx.now;
        let shown = record.clone();
        self.store_bus(&changing, bus.with(record)).await?;
        Ok(api::UpdateEventBusResponse {
            arn: Some(key.arn()),
            name: Some(key.name),
            description: shown.description,
            dead_letter_config: shown.dead_letter.map(shown_letter),
            ..Default::default()
        })
    }

    pub(super) async fn list_buses(
        &self,
        cx: &Context,
        input: &api::ListEventBusesRequest,
    ) -> Result<api::ListEventBusesResponse> {
        let default = BusKey::new(&cx.account_id, &cx.region, DEFAULT);
        self.assure_default(&default, cx.now).await?;
        let prefix = input.name_prefix.as_deref();
        let all = self.0.buses.under(&cx.account_id, &cx.region).into_iter();
        let all = all.filter(|bus| begins(&bus.record.key.name, prefix));
        let (listed, next_token) = page(
            all,
            |bus| bus.record.key.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let shown = listed.into_iter().map(|bus| {
            let record = &bus.record;
            api::EventBus {
                name: Some(record.key.name.clone()),
                arn: Some(record.key.arn()),
                description: record.description.clone(),
                policy: record.policy.clone(),
                creation_time: Some(record.created),
                last_modified_time: Some(record.modified),
                managed_by: None,
            }
        });
        Ok(api::ListEventBusesResponse {
            event_buses: Some(shown.collect()),
            next_token,
        })
    }

    /// The bus that a caller names, by its name or ARN. Another account's is not the caller's to
    /// change.
    pub(super) fn key(&self, cx: &Context, given: Option<&str>) -> Result<BusKey> {
        let key = BusKey::read(&cx.account_id, &cx.region, given);
        let key = key.ok_or_else(|| {
            Error::parameter("EventBusName", "Provided Arn is not in correct format.")
        })?;
        self.check_own(cx, &key)?;
        Ok(key)
    }

    pub(super) fn check_own(&self, cx: &Context, key: &BusKey) -> Result<()> {
        if key.account_id != cx.account_id {
            return Err(Error::AccessDenied(format!(
                "The event bus {} is another account's.",
                key.arn()
            )));
        }
        match key.region == cx.region {
            true => Ok(()),
            false => Err(Error::NoBus(key.name.clone())),
        }
    }

    /// Every account has a default bus in every region; it is stored when it is first looked at.
    pub(super) async fn assure_default(&self, key: &BusKey, now: Timestamp) -> Result<()> {
        if key.name != DEFAULT || self.0.buses.get(key).is_some() {
            return Ok(());
        }
        let changing = self.0.changing.lock().await;
        match self.0.buses.get(key) {
            Some(_) => Ok(()),
            None => {
                let bus = Bus::new(empty(key.clone(), now));
                self.store_bus(&changing, bus).await
            }
        }
    }

    pub(super) fn bus(&self, key: &BusKey) -> Result<Arc<Bus>> {
        let found = self.0.buses.get(key);
        found.ok_or_else(|| Error::NoBus(key.name.clone()))
    }

    /// The bus on which a rule is. A default bus that nobody has looked at yet has none.
    pub(super) fn bus_of_rule(&self, key: &BusKey, rule: &str) -> Result<Arc<Bus>> {
        match (self.0.buses.get(key), key.name.as_str()) {
            (Some(bus), _) => Ok(bus),
            (None, DEFAULT) => Err(no_rule(key, rule)),
            (None, _) => Err(Error::NoBus(key.name.clone())),
        }
    }

    /// Stores a bus's record, and keeps the bus.
    pub(super) async fn store_bus(&self, _: &Changing<'_>, bus: Bus) -> Result<()> {
        let record = bus.record.clone();
        let put = move |tx: &mut store::Tx| BUSES.put(tx, &record.key.parts(), &record);
        self.0.store.write(put).await?;
        self.0.buses.put(bus.record.key.clone(), bus);
        Ok(())
    }
}

fn empty(key: BusKey, now: Timestamp) -> BusRecord {
    BusRecord {
        key,
        description: None,
        policy: None,
        dead_letter: None,
        tags: BTreeMap::new(),
        created: now,
        modified: now,
    }
}

pub fn shown_letter(arn: String) -> DeadLetterConfig {
    DeadLetterConfig { arn: Some(arn) }
}

/// There is no KMS yet: everything is sealed with the platform's own key.
pub fn refuse_key(key: Option<&str>) -> Result<()> {
    match key.is_some_and(|key| !key.is_empty()) {
        true => Err(Error::Unsupported("A KmsKeyIdentifier".to_owned())),
        false => Ok(()),
    }
}

fn refuse_log(config: Option<&api::LogConfig>) -> Result<()> {
    let level = config.and_then(|config| config.level.as_deref());
    match level.is_none_or(|level| level == "OFF") {
        true => Ok(()),
        false => Err(Error::Unsupported("A LogConfig".to_owned())),
    }
}
