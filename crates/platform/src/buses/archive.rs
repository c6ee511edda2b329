//! Archives: what they keep of a bus's events, and for how long.

use std::sync::{Arc, atomic::Ordering};

use store::{ReadTx, Tx};
use uuid::Uuid;
use wire::{Context, event_bridge as api};

use super::{
    Buses,
    bus::refuse_key,
    error::{Error, Result},
    event::Event,
    held::Archive,
    limits,
    names::{BusKey, Named},
    paging::{begins, page},
    tables::{ARCHIVES, ArchiveRecord},
};

const KIND: &str = "archive";
const ENABLED: &str = "ENABLED";
const DAY_US: i64 = 86_400_000_000;

/// An event as an archive keeps it.
#[derive(Debug, Clone)]
pub struct Kept {
    pub archive: String,
    pub at_ms: i64,
    pub seq: i64,
    pub bytes: i64,
    /// Sealed.
    pub event: String,
}

/// Stores events and what they add to their archives.
pub fn insert(tx: &mut Tx, kept: &[Kept]) -> store::Result<()> {
    for row in kept {
        tx.execute(
            "INSERT INTO archived_events (archive, at_ms, seq, bytes, event) \
             VALUES ($1, $2, $3, $4, $5)",
            store::params![&row.archive, row.at_ms, row.seq, row.bytes, &row.event],
        )?;
        tx.execute(
            "INSERT INTO archive_totals (archive, events, bytes) VALUES ($1, 1, $2) \
             ON CONFLICT (archive) DO UPDATE SET events = archive_totals.events + 1, \
             bytes = archive_totals.bytes + excluded.bytes",
            store::params![&row.archive, row.bytes],
        )?;
    }
    Ok(())
}

/// How many events an archive has, and of how many bytes.
type Totals = (i64, i64);

impl Buses {
    pub(super) async fn create_archive_of(
        &self,
        cx: &Context,
        input: api::CreateArchiveRequest,
    ) -> Result<api::CreateArchiveResponse> {
        refuse_key(input.kms_key_identifier.as_deref())?;
        let bus = self.bus_of_arn(cx, "EventSourceArn", &input.event_source_arn)?;
        self.assure_default(&bus, cx.now).await?;
        let key = Named::new(&cx.account_id, &cx.region, &input.archive_name);
        let archive = Archive::new(ArchiveRecord {
            key: key.clone(),
            uid: Uuid::new_v4().to_string(),
            bus: bus.clone(),
            description: input.description,
            pattern: input.event_pattern.filter(|pattern| !pattern.is_empty()),
            retention_days: input.retention_days.unwrap_or(0),
            created: cx.now,
        })?;
        let _changing = self.0.changing.lock().await;
        let held = self.bus(&bus)?;
        if self.0.archives.get(&key).is_some() {
            return Err(Error::Exists {
                what: "Archive",
                name: key.name,
            });
        }
        let all = self.0.archives.under(&cx.account_id, &cx.region);
        if all.len() >= limits::ARCHIVES_MAX {
            return Err(Error::OverLimit);
        }
        let record = archive.record.clone();
        let put = move |tx: &mut Tx| ARCHIVES.insert(tx, &record.key.parts(), &record);
        self.0.store.write(put).await?;
        let archive = Arc::new(archive);
        self.0.archives.put(key.clone(), archive.clone());
        self.0.buses.put(bus, held.with_archive(archive));
        Ok(api::CreateArchiveResponse {
            archive_arn: Some(key.arn(KIND)),
            state: Some(ENABLED.to_owned()),
            state_reason: None,
            creation_time: Some(cx.now),
        })
    }

    pub(super) async fn update_archive_of(
        &self,
        cx: &Context,
        input: api::UpdateArchiveRequest,
    ) -> Result<api::UpdateArchiveResponse> {
        refuse_key(input.kms_key_identifier.as_deref())?;
        let key = Named::new(&cx.account_id, &cx.region, &input.archive_name);
        let _changing = self.0.changing.lock().await;
        let mut record = self.archive(&key)?.record.clone();
        if input.description.is_some() {
            record.description = input.description;
        }
        if let Some(pattern) = input.event_pattern {
            record.pattern = Some(pattern).filter(|pattern| !pattern.is_empty());
        }
        if let Some(days) = input.retention_days {
            record.retention_days = days;
        }
        let archive = Archive::new(record.clone())?;
        let (bus, created) = (record.bus.clone(), record.created);
        let put = move |tx: &mut Tx| ARCHIVES.put(tx, &record.key.parts(), &record);
        self.0.store.write(put).await?;
        let archive = Arc::new(archive);
        self.0.archives.put(key.clone(), archive.clone());
        if let Some(held) = self.0.buses.get(&bus) {
            self.0.buses.put(bus, held.with_archive(archive));
        }
        Ok(api::UpdateArchiveResponse {
            archive_arn: Some(key.arn(KIND)),
            state: Some(ENABLED.to_owned()),
            state_reason: None,
            creation_time: Some(created),
        })
    }

    pub(super) async fn delete_archive_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DeleteArchiveResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let _changing = self.0.changing.lock().await;
        let record = self.archive(&key)?.record.clone();
        let bus = record.bus.clone();
        let gone = move |tx: &mut Tx| {
            ARCHIVES.delete(tx, &record.key.parts())?;
            // Its events go in the background: they may be many.
            tx.execute(
                "DELETE FROM archive_totals WHERE archive = $1",
                store::params![&record.uid],
            )
        };
        self.0.store.write(gone).await?;
        self.0.archives.remove(&key);
        if let Some(held) = self.0.buses.get(&bus) {
            self.0.buses.put(bus, held.without_archive(&key));
        }
        self.0.expire_wake.wake();
        Ok(api::DeleteArchiveResponse {})
    }

    pub(super) async fn describe_archive_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DescribeArchiveResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let record = self.archive(&key)?.record.clone();
        let (events, bytes) = self.totals(&record.uid).await?;
        Ok(api::DescribeArchiveResponse {
            archive_arn: Some(key.arn(KIND)),
            archive_name: Some(key.name),
            event_source_arn: Some(record.bus.arn()),
            description: record.description,
            event_pattern: record.pattern,
            state: Some(ENABLED.to_owned()),
            retention_days: Some(record.retention_days),
            size_bytes: Some(bytes),
            event_count: Some(events),
            creation_time: Some(record.created),
            ..Default::default()
        })
    }

    pub(super) async fn list_archives_of(
        &self,
        cx: &Context,
        input: &api::ListArchivesRequest,
    ) -> Result<api::ListArchivesResponse> {
        let prefix = input.name_prefix.as_deref();
        let (source, state) = (input.event_source_arn.as_deref(), input.state.as_deref());
        let is_asked = |archive: &Arc<Archive>| {
            let record = &archive.record;
            begins(&record.key.name, prefix)
                && source.is_none_or(|source| record.bus.arn() == source)
                && state.is_none_or(|state| state == ENABLED)
        };
        let all = self.0.archives.under(&cx.account_id, &cx.region);
        let (listed, next_token) = page(
            all.into_iter().filter(is_asked),
            |archive| archive.record.key.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let mut archives = Vec::with_capacity(listed.len());
        for archive in listed {
            let record = &archive.record;
            let (events, bytes) = self.totals(&record.uid).await?;
            archives.push(api::Archive {
                archive_name: Some(record.key.name.clone()),
                event_source_arn: Some(record.bus.arn()),
                state: Some(ENABLED.to_owned()),
                state_reason: None,
                retention_days: Some(record.retention_days),
                size_bytes: Some(bytes),
                event_count: Some(events),
                creation_time: Some(record.created),
            });
        }
        Ok(api::ListArchivesResponse {
            archives: Some(archives),
            next_token,
        })
    }

    pub(super) fn archive(&self, key: &Named) -> Result<Arc<Archive>> {
        self.0.archives.get(key).ok_or_else(|| Error::NoSuch {
            what: "Archive",
            name: key.name.clone(),
        })
    }

    /// The caller's own bus, by an ARN.
    pub(super) fn bus_of_arn(&self, cx: &Context, name: &str, arn: &str) -> Result<BusKey> {
        let key = arn.parse().ok().as_ref().and_then(BusKey::of);
        let key = key.ok_or_else(|| Error::parameter(name, "Must contain an event bus ARN."))?;
        match key.account_id == cx.account_id && key.region == cx.region {
            true => Ok(key),
            false => Err(Error::NoBus(key.name)),
        }
    }

    async fn totals(&self, uid: &str) -> Result<Totals> {
        let uid = uid.to_owned();
        let read = move |tx: &mut ReadTx| {
            let row = tx.query_opt(
                "SELECT events, bytes FROM archive_totals WHERE archive = $1",
                store::params![&uid],
            )?;
            row.map_or(Ok((0, 0)), |row| {
                Ok((row.get("events")?, row.get("bytes")?))
            })
        };
        Ok(self.0.store.read(read).await?)
    }

    /// An event on its way into an archive.
    pub(super) fn kept_row(&self, archive: &Archive, event: &Event) -> Result<Kept> {
        let uid = &archive.record.uid;
        let sealed = self.0.secrets.seal(uid, event.text.as_bytes());
        let came_us = event.ingested.as_microsecond();
        let count = |last: i64| Some(came_us.max(last + 1));
        let sequence = &self.0.sequence;
        let last = sequence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let last = last.unwrap_or_else(|last| last);
        Ok(Kept {
            archive: uid.clone(),
            at_ms: event.at_ms,
            seq: came_us.max(last + 1),
            bytes: i64::try_from(event.bytes).unwrap_or(i64::MAX),
            event: sealed.map_err(Error::platform)?,
        })
    }

    /// Deletes events beyond their archives' retention, and those of archives that are gone.
    pub(super) async fn expire_archives(&self) -> Result<(), store::Error> {
        let now_us = self.0.clock.now_ms() * 1_000;
        for archive in self.0.archives.all() {
            let record = &archive.record;
            if record.retention_days > 0 {
                let before = now_us - i64::from(record.retention_days) * DAY_US;
                self.expire(&record.uid, before).await?;
            }
        }
        for uid in self.left_over().await? {
            self.expire(&uid, i64::MAX).await?;
        }
        Ok(())
    }

    async fn expire(&self, uid: &str, before: i64) -> Result<(), store::Error> {
        loop {
            let uid = uid.to_owned();
            let gone = self.0.store.write(move |tx| {
                let oldest = "SELECT seq FROM archived_events WHERE archive = $1 AND seq < $2 \
                              ORDER BY seq LIMIT $3";
                let page = i64::from(limits::EXPIRE_PAGE);
                let rows = tx.query(oldest, store::params![&uid, before, page])?;
                let Some(last) = rows.last() else {
                    return Ok(0);
                };
                let last: i64 = last.get("seq")?;
                let sum = tx.query_one(
                    "SELECT coalesce(sum(bytes), 0) AS bytes FROM archived_events \
                     WHERE archive = $1 AND seq <= $2",
                    store::params![&uid, last],
                )?;
                let bytes: i64 = sum.get("bytes")?;
                let gone = tx.execute(
                    "DELETE FROM archived_events WHERE archive = $1 AND seq <= $2",
                    store::params![&uid, last],
                )?;
                tx.execute(
                    "UPDATE archive_totals SET events = events - $1, bytes = bytes - $2 \
                     WHERE archive = $3",
                    store::params![i64::try_from(gone).unwrap_or(0), bytes, &uid],
                )?;
                Ok(gone)
            });
            if gone.await? < u64::from(limits::EXPIRE_PAGE) {
                return Ok(());
            }
        }
    }

    /// The archives that have events but are no more.
    async fn left_over(&self) -> Result<Vec<String>, store::Error> {
        let all = self.0.archives.all();
        let known: Vec<String> = all.iter().map(|it| it.record.uid.clone()).collect();
        let found = self.0.store.read(move |tx| {
            let mut found = Vec::new();
            let mut after = String::new();
            // From one archive to the next, without reading what is in between.
            loop {
                let next = tx.query_opt(
                    "SELECT archive FROM archived_events WHERE archive > $1 \
                     ORDER BY archive LIMIT 1",
                    store::params![&after],
                )?;
                let Some(row) = next else { return Ok(found) };
                after = row.get("archive")?;
                if !known.contains(&after) {
                    found.push(after.clone());
                }
            }
        });
        found.await
    }
}
