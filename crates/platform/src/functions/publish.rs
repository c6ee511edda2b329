//! PublishVersion: what `$LATEST` is becomes a version that stays so.

use wire::{
    Context,
    lambda::{FunctionConfiguration, FunctionName, PublishVersionRequest},
};

use super::{
    Functions,
    definitions::{Draft, Entry},
    deployment::check_updatable,
    error::{Error, Result},
    key_of, limits, new_revision_id,
    reserved::refuse_qualifier,
    snapstart,
    tables::{FunctionRecord, LastUpdate, State, UpdateStatus, VersionRecord},
    update::check_revision,
};

impl Functions {
    pub(super) async fn publish(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: PublishVersionRequest,
    ) -> Result<FunctionConfiguration> {
        if input.publish_to.is_some() {
            return Err(Error::Unsupported {
                what: "Publishing to $LATEST.PUBLISHED (PublishTo)",
            });
        }
        refuse_qualifier(name)?;
        let key = key_of(cx, &name.name);
        let size = self.find(&key)?.record.spec.code.size;
        self.check_version_size(cx, size).await?;
        let (entry, number) = self
            .change_all(&key, |draft| {
                check_revision(&draft.record, input.revision_id.as_deref())?;
                check_updatable(&draft.record)?;
                check_code(&draft.record, input.code_sha256.as_deref())?;
                self.publish_draft(draft, cx.now, input.description.clone())
            })
            .await?;
        let version = entry.published.versions.get(&number);
        if version.is_some_and(|version| snapstart::is_pending(version)) {
            self.settle_later(key);
        }
        self.published(&entry, number)
    }

    /// Makes a version of what `$LATEST` is, unless the last one is the same. Gives its number.
    pub(super) fn publish_draft(
        &self,
        draft: &mut Draft,
        now: jiff::Timestamp,
        description: Option<String>,
    ) -> Result<u64> {
        let record = &draft.record;
        if let Some(last) = draft.published.versions.get(&record.last_version)
            && self.is_unchanged(record, last)?
        {
            return Ok(last.number);
        }
        if draft.published.versions.len() >= limits::VERSIONS_MAX {
            return Err(Error::TooManyVersions {
                max: limits::VERSIONS_MAX,
            });
        }
        let number = record.last_version + 1;
        let version = version_of(record, number, now, description);
        draft.record.last_version = number;
        draft.record.revision_id = new_revision_id();
        draft.published.put_version(version);
        Ok(number)
    }

    /// A version as Lambda shows it, named with its number.
    pub(super) fn published(&self, entry: &Entry, number: u64) -> Result<FunctionConfiguration> {
        let version = entry.published.versions.get(&number);
        let version = version.ok_or_else(|| super::not_found(&entry.key, None))?;
        let shown = version.of_function(&entry.record);
        self.shown(&shown, Some(&version.id()), &version.id())
    }

    /// Whether nothing of a function has changed since a version of it was published.
    fn is_unchanged(&self, record: &FunctionRecord, last: &VersionRecord) -> Result<bool> {
        let mut spec = record.spec.clone();
        spec.generation = last.spec.generation;
        // Sealed, the same variables look different each time.
        spec.environment.clone_from(&last.spec.environment);
        let same = spec == last.spec
            && record.role == last.role
            && record.description == last.latest_description;
        let variables = |spec| self.environment(record, spec);
        Ok(same && variables(&record.spec)? == variables(&last.spec)?)
    }
}

/// A version of a function that is active, or is being deployed.
fn version_of(
    record: &FunctionRecord,
    number: u64,
    now: jiff::Timestamp,
    description: Option<String>,
) -> VersionRecord {
    let unsettled = record.is_unsettled() || record.spec.snap_start;
    VersionRecord {
        number,
        spec: record.spec.clone(),
        role: record.role.clone(),
        description: description.unwrap_or_else(|| record.description.clone()),
        latest_description: record.description.clone(),
        last_modified: now,
        revision_id: new_revision_id(),
        state: if unsettled {
            State::Pending
        } else {
            State::Active
        },
        state_reason: unsettled.then(super::tables::Reason::creating),
        last_update: (!unsettled).then_some(LastUpdate {
            status: UpdateStatus::Successful,
            reason: None,
        }),
        vpc_shown: record.vpc_shown,
    }
}

fn check_code(record: &FunctionRecord, asked: Option<&str>) -> Result<()> {
    let current = record.spec.code_sha256();
    match asked {
        Some(asked) if asked != current => Err(Error::Invalid(format!(
            "CodeSHA256 ({asked}) is different from current CodeSHA256 in $LATEST ({current}). \
             Please try again with the CodeSHA256 in $LATEST."
        ))),
        _ => Ok(()),
    }
}
