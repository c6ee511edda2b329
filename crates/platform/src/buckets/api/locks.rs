//! Object lock: of a bucket, and the retention and legal hold of versions.

use jiff::Timestamp;
use wire::{
    Context,
    s3::{
        DefaultRetention as DefaultShape, GetObjectLegalHoldOutput, GetObjectLegalHoldRequest,
        GetObjectLockConfigurationOutput, GetObjectLockConfigurationRequest,
        GetObjectRetentionOutput, GetObjectRetentionRequest, ObjectLockConfiguration,
        ObjectLockLegalHold, ObjectLockRetention, ObjectLockRule, PutObjectLegalHoldOutput,
        PutObjectLegalHoldRequest, PutObjectLockConfigurationOutput,
        PutObjectLockConfigurationRequest, PutObjectRetentionOutput, PutObjectRetentionRequest,
    },
};

use super::{
    config::of_bucket,
    get::{hold_name, version_id},
    given::{self, no_lock},
};
use crate::buckets::{
    Buckets,
    error::{Code, Error, Result},
    lock::{DefaultRetention, Mode, Retention, may_change},
    registry::Bucket,
    tables::{ObjectLock, Versioning},
};

impl Buckets {
    pub(super) async fn put_lock(
        &self,
        cx: &Context,
        input: PutObjectLockConfigurationRequest,
    ) -> Result<PutObjectLockConfigurationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let action = "s3:PutBucketObjectLockConfiguration";
        self.allowed(cx, &bucket, action, None)?;
        let asked = input.object_lock_configuration;
        let asked = asked.ok_or_else(Error::malformed_xml)?;
        if asked.object_lock_enabled.as_deref() != Some("Enabled") {
            return Err(Error::malformed_xml());
        }
        let default = asked.rule.map(default).transpose()?;
        let change = self.registry().change(&bucket, |record| {
            if record.versioning != Versioning::Enabled {
                let message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock \
                               configuration";
                return Err(Error::new(Code::InvalidBucketState, message));
            }
            record.object_lock = Some(ObjectLock { default });
            Ok(())
        });
        change.await?;
        Ok(PutObjectLockConfigurationOutput::default())
    }

    pub(super) async fn get_lock(
        &self,
        cx: &Context,
        input: GetObjectLockConfigurationRequest,
    ) -> Result<GetObjectLockConfigurationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let action = "s3:GetBucketObjectLockConfiguration";
        self.allowed(cx, &bucket, action, None)?;
        let Some(lock) = &bucket.record.object_lock else {
            let message = "Object Lock configuration does not exist for this bucket";
            let code = Code::ObjectLockConfigurationNotFound;
            return Err(of_bucket(code, message, &bucket));
        };
        let rule = lock.default.map(|default| ObjectLockRule {
            default_retention: Some(DefaultShape {
                mode: Some(default.mode.name().to_owned()),
                days: default.days,
                years: default.years,
                ..DefaultShape::default()
            }),
        });
        Ok(GetObjectLockConfigurationOutput {
            object_lock_configuration: Some(ObjectLockConfiguration {
                object_lock_enabled: Some("Enabled".to_owned()),
                rule,
            }),
        })
    }

    pub(super) async fn put_retention(
        &self,
        cx: &Context,
        input: PutObjectRetentionRequest,
    ) -> Result<PutObjectRetentionOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        check_lock(&bucket)?;
        self.find_readable(cx, &bucket, &input.key, version_id, "s3:PutObjectRetention")
            .await?;
        let asked = input.retention.ok_or_else(Error::malformed_xml)?;
        let new = retention(asked, cx.now)?;
        let bypass = self.may_bypass(cx, &bucket, input.bypass_governance_retention)?;
        let now = cx.now;
        self.change_version(&bucket, &input.key, version_id, None, move |record| {
            if !may_change(record.retention, new, bypass, now) {
                let message = "Access Denied because object protected by object lock.";
                return Err(Error::new(Code::AccessDenied, message));
            }
            record.retention = new;
            Ok(())
        })
        .await?;
        Ok(PutObjectRetentionOutput::default())
    }

    pub(super) async fn get_retention(
        &self,
        cx: &Context,
        input: GetObjectRetentionRequest,
    ) -> Result<GetObjectRetentionOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        check_lock(&bucket)?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:GetObjectRetention")
            .await?;
        let kept = found.version.record.retention.ok_or_else(none_set)?;
        Ok(GetObjectRetentionOutput {
            retention: Some(ObjectLockRetention {
                mode: Some(kept.mode.name().to_owned()),
                retain_until_date: Some(kept.until),
                ..ObjectLockRetention::default()
            }),
        })
    }

    pub(super) async fn put_hold(
        &self,
        cx: &Context,
        input: PutObjectLegalHoldRequest,
    ) -> Result<PutObjectLegalHoldOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        let status = input.legal_hold.and_then(|hold| hold.status);
        let status = status.ok_or_else(Error::malformed_xml)?;
        let is_on = given::hold(&status, "Status").map_err(|_| Error::malformed_xml())?;
        check_lock(&bucket)?;
        self.find_readable(cx, &bucket, &input.key, version_id, "s3:PutObjectLegalHold")
            .await?;
        self.change_version(&bucket, &input.key, version_id, None, move |record| {
            record.legal_hold = Some(is_on);
            Ok(())
        })
        .await?;
        Ok(PutObjectLegalHoldOutput::default())
    }

    pub(super) async fn get_hold(
        &self,
        cx: &Context,
        input: GetObjectLegalHoldRequest,
    ) -> Result<GetObjectLegalHoldOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        check_lock(&bucket)?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:GetObjectLegalHold")
            .await?;
        let is_on = found.version.record.legal_hold.ok_or_else(none_set)?;
        Ok(GetObjectLegalHoldOutput {
            legal_hold: Some(ObjectLockLegalHold {
                status: Some(hold_name(is_on)),
            }),
        })
    }
}

fn check_lock(bucket: &Bucket) -> Result<()> {
    match bucket.record.object_lock {
        Some(_) => Ok(()),
        None => Err(no_lock()),
    }
}

fn none_set() -> Error {
    let message = "The specified object does not have a ObjectLock configuration";
    Error::new(Code::NoSuchObjectLockConfiguration, message)
}

fn default(rule: ObjectLockRule) -> Result<DefaultRetention> {
    let asked = rule.default_retention.ok_or_else(Error::malformed_xml)?;
    if asked.default_event_hold.is_some() {
        return Err(Error::not_built("Event holds"));
    }
    let mode = asked.mode.as_deref().and_then(Mode::named);
    let mode = mode.ok_or_else(Error::malformed_xml)?;
    let (days, years) = (asked.days, asked.years);
    let period = match (days, years) {
        (Some(period), None) | (None, Some(period)) => period,
        _ => return Err(Error::malformed_xml()),
    };
    if period < 1 {
        let message = "Default retention period must be a positive integer value.";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    Ok(DefaultRetention { mode, days, years })
}

/// The retention that is asked for; an empty one takes it away.
fn retention(asked: ObjectLockRetention, now: Timestamp) -> Result<Option<Retention>> {
    if asked.event_hold.is_some() || asked.event_hold_duration.is_some() {
        return Err(Error::not_built("Event holds"));
    }
    let (mode, until) = match (asked.mode.as_deref(), asked.retain_until_date) {
        (None, None) => return Ok(None),
        (Some(mode), Some(until)) => (mode, until),
        _ => return Err(Error::malformed_xml()),
    };
    let mode = Mode::named(mode).ok_or_else(Error::malformed_xml)?;
    if until <= now {
        // S3 shows the time as its servers in California write it.
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-8));
        let shown = until.to_zoned_datetime(zone);
        let shown = shown.strftime("%a %b %d %H:%M:%S PST %Y").to_string();
        let message = "The retain until date must be in the future!";
        return Err(Error::argument(message, "RetainUntilDate", shown));
    }
    Ok(Some(Retention { mode, until }))
}
