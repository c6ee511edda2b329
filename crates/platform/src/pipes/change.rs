//! Making, changing, starting, stopping and deleting pipes.

use std::{collections::BTreeMap, sync::Arc};

use wire::{Context, Map, pipes as api};

use super::{
    Pipes,
    error::{Error, Result},
    held::{Phase, Pipe},
    limits, requested,
    tables::{PIPES, PipeKey, PipeRecord, Wanted},
};

/// What every operation that changes a pipe answers.
pub struct Changed {
    pub record: Arc<PipeRecord>,
    pub phase: Phase,
}

impl Pipes {
    pub(super) async fn create(
        &self,
        cx: &Context,
        input: api::CreatePipeRequest,
    ) -> Result<Changed> {
        requested::refuse(
            input.log_configuration.as_ref(),
            input.kms_key_identifier.as_deref(),
        )?;
        let key = PipeKey {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: input.name,
        };
        let takes = |target: &str| self.0.deliveries.takes(target);
        requested::target(&input.target, takes)?;
        let mut tags = BTreeMap::new();
        add_tags(&mut tags, input.tags.unwrap_or_default())?;
        let record = PipeRecord {
            description: input.description,
            wanted: requested::wanted(input.desired_state.as_deref()),
            queue: requested::queue(&input.source, &cx.account_id, &cx.region)?,
            source: requested::source(input.source_parameters)?,
            enrichment: requested::enrichment(input.enrichment)?,
            enriching: requested::enriching(input.enrichment_parameters),
            target: input.target,
            targeting: requested::targeting(input.target_parameters)?,
            role: input.role_arn,
            tags,
            created: cx.now,
            modified: cx.now,
            key,
        };
        if self.0.queues.find(&record.queue).is_none() {
            return Err(Error::invalid("The source queue does not exist."));
        }
        let _changing = self.0.changing.lock().await;
        if self.0.pipes.get(&record.key).is_some() {
            return Err(Error::Exists(record.key.name));
        }
        let held = self.0.pipes.under(&cx.account_id, &cx.region);
        if held.len() >= limits::PIPES_MAX {
            return Err(Error::OverLimit);
        }
        let stored = record.clone();
        let put = move |tx: &mut store::Tx| PIPES.insert(tx, &stored.key.parts(), &stored);
        self.0.store.write(put).await?;
        let pipe = Pipe::new(record, Phase::Creating);
        self.0.pipes.put(pipe.clone());
        Ok(self.woken(&pipe))
    }

    pub(super) async fn update(
        &self,
        cx: &Context,
        input: api::UpdatePipeRequest,
    ) -> Result<Changed> {
        requested::refuse(
            input.log_configuration.as_ref(),
            input.kms_key_identifier.as_deref(),
        )?;
        let pipe = self.find(cx, &input.name)?;
        self.change(cx, &pipe, Phase::Updating, |record| {
            record.description = input.description.or(record.description.take());
            if let Some(state) = input.desired_state.as_deref() {
                record.wanted = requested::wanted(Some(state));
            }
            if let Some(source) = input.source_parameters {
                record.source = requested::updated_source(source)?;
            }
            if input.enrichment.is_some() {
                record.enrichment = requested::enrichment(input.enrichment)?;
            }
            if input.enrichment_parameters.is_some() {
                record.enriching = requested::enriching(input.enrichment_parameters);
            }
            if let Some(target) = input.target {
                requested::target(&target, |target| self.0.deliveries.takes(target))?;
                record.target = target;
            }
            if input.target_parameters.is_some() {
                record.targeting = requested::targeting(input.target_parameters)?;
            }
            record.role = input.role_arn;
            Ok(())
        })
        .await
    }

    pub(super) async fn want(&self, cx: &Context, name: &str, wanted: Wanted) -> Result<Changed> {
        let pipe = self.find(cx, name)?;
        let phase = match wanted {
            Wanted::Running => Phase::Starting,
            Wanted::Stopped => Phase::Stopping,
            Wanted::Deleted => Phase::Deleting,
        };
        self.change(cx, &pipe, phase, |record| {
            record.wanted = wanted;
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        cx: &Context,
        pipe: &Arc<Pipe>,
        phase: Phase,
        change: impl FnOnce(&mut PipeRecord) -> Result<()>,
    ) -> Result<Changed> {
        let _changing = self.0.changing.lock().await;
        let mut record = PipeRecord::clone(&pipe.record());
        if record.wanted == Wanted::Deleted {
            let name = record.key.name;
            return Err(Error::Conflict(format!("Pipe {name} is being deleted.")));
        }
        change(&mut record)?;
        record.modified = cx.now;
        let stored = record.clone();
        let put = move |tx: &mut store::Tx| PIPES.put(tx, &stored.key.parts(), &stored);
        self.0.store.write(put).await?;
        pipe.change(record, phase);
        Ok(self.woken(pipe))
    }

    fn woken(&self, pipe: &Arc<Pipe>) -> Changed {
        let changed = Changed {
            record: pipe.record(),
            phase: pipe.phase(),
        };
        self.0.wake.wake();
        changed
    }

    pub(super) async fn retag(
        &self,
        cx: &Context,
        arn: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<()>,
    ) -> Result<()> {
        let pipe = self.find_by_arn(cx, arn)?;
        let _changing = self.0.changing.lock().await;
        let mut record = PipeRecord::clone(&pipe.record());
        change(&mut record.tags)?;
        let stored = record.clone();
        let put = move |tx: &mut store::Tx| PIPES.put(tx, &stored.key.parts(), &stored);
        self.0.store.write(put).await?;
        pipe.put(record);
        Ok(())
    }
}

/// Puts tags beside those that are there, over those of the same key; all or none.
pub fn add_tags(held: &mut BTreeMap<String, String>, given: Map<String>) -> Result<()> {
    let mut tags = held.clone();
    for (key, value) in given {
        if key
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
        {
            return Err(Error::invalid(
                "Tag keys that start with \"aws:\" are reserved for system use.",
            ));
        }
        tags.insert(key, value);
    }
    match tags.len() > limits::TAGS_MAX {
        true => Err(Error::invalid(format!(
            "A pipe has at most {} tags.",
            limits::TAGS_MAX
        ))),
        false => {
            *held = tags;
            Ok(())
        }
    }
}
