//! Lifecycle configurations, in S3's shapes and in ours.

use wire::{
    Context,
    s3::{
        AbortIncompleteMultipartUpload, DeleteBucketLifecycleRequest,
        GetBucketLifecycleConfigurationOutput, GetBucketLifecycleConfigurationRequest,
        LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter,
        NoncurrentVersionExpiration, NoncurrentVersionTransition,
        PutBucketLifecycleConfigurationOutput, PutBucketLifecycleConfigurationRequest, Tag,
        Transition as TransitionShape,
    },
};

use super::{
    config::{as_tags, of_bucket, shapes},
    given::storage_class,
};
use crate::buckets::{
    Buckets,
    error::{Code, Error, Result},
    lifecycle::{
        Expiration, Filter, Lifecycle, Noncurrent, NoncurrentTransition, Rule, Transition,
    },
};

const MINIMUM_SIZES: [&str; 2] = ["all_storage_classes_128K", "varies_by_storage_class"];

impl Buckets {
    pub(super) async fn put_lifecycle(
        &self,
        cx: &Context,
        input: PutBucketLifecycleConfigurationRequest,
    ) -> Result<PutBucketLifecycleConfigurationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutLifecycleConfiguration", None)?;
        let minimum_size = input.transition_default_minimum_object_size;
        let minimum_size = minimum_size.unwrap_or_else(|| MINIMUM_SIZES[0].to_owned());
        if !MINIMUM_SIZES.contains(&minimum_size.as_str()) {
            return Err(Error::request(format!(
                "Invalid TransitionDefaultMinimumObjectSize found: {minimum_size}"
            )));
        }
        let asked = input.lifecycle_configuration;
        let asked = asked.ok_or_else(Error::malformed_xml)?;
        let rules: Vec<Rule> = asked.rules.into_iter().map(rule).collect::<Result<_>>()?;
        if rules.is_empty() || rules.len() > 1000 {
            return Err(Error::malformed_xml());
        }
        for (at, rule) in rules.iter().enumerate() {
            if rules[..at].iter().any(|other| other.id == rule.id) {
                let message = "Rule ID must be unique. Found same ID for more than one rule";
                return Err(Error::new(Code::InvalidArgument, message));
            }
        }
        let shown = minimum_size.clone();
        let lifecycle = Lifecycle {
            rules,
            minimum_size,
        };
        self.set(&bucket, move |record| record.lifecycle = Some(lifecycle))
            .await?;
        self.lifecycles_changed();
        Ok(PutBucketLifecycleConfigurationOutput {
            transition_default_minimum_object_size: Some(shown),
        })
    }

    pub(super) async fn get_lifecycle(
        &self,
        cx: &Context,
        input: GetBucketLifecycleConfigurationRequest,
    ) -> Result<GetBucketLifecycleConfigurationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetLifecycleConfiguration", None)?;
        let Some(lifecycle) = &bucket.record.lifecycle else {
            let message = "The lifecycle configuration does not exist";
            let code = Code::NoSuchLifecycleConfiguration;
            return Err(of_bucket(code, message, &bucket));
        };
        Ok(GetBucketLifecycleConfigurationOutput {
            rules: Some(lifecycle.rules.iter().map(shape).collect()),
            transition_default_minimum_object_size: Some(lifecycle.minimum_size.clone()),
        })
    }

    pub(super) async fn delete_lifecycle(
        &self,
        cx: &Context,
        input: DeleteBucketLifecycleRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutLifecycleConfiguration", None)?;
        self.set(&bucket, |record| record.lifecycle = None).await
    }
}

fn rule(shape: LifecycleRule) -> Result<Rule> {
    let malformed = Error::malformed_xml;
    let filter = match (shape.filter, &shape.prefix) {
        (None, None) | (Some(_), Some(_)) => return Err(malformed()),
        (None, Some(_)) => None,
        (Some(given), None) => Some(filter(given)?),
    };
    let is_enabled = match shape.status.as_str() {
        "Enabled" => true,
        "Disabled" => false,
        _ => return Err(malformed()),
    };
    let noncurrent = match shape.noncurrent_version_expiration {
        None => None,
        Some(given) if given.noncurrent_days.is_none() => return Err(malformed()),
        Some(given) => Some(Noncurrent {
            days: Some(positive(given.noncurrent_days, "NoncurrentDays")?),
            keep: given.newer_noncurrent_versions,
        }),
    };
    let transitions = shape.transitions.unwrap_or_default().into_iter();
    let noncurrent_transitions = shape.noncurrent_version_transitions.unwrap_or_default();
    let made = Rule {
        id: shape.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        is_enabled,
        prefix: shape.prefix,
        filter,
        expiration: shape.expiration.map(expiration).transpose()?,
        noncurrent,
        transitions: transitions.map(transition).collect::<Result<_>>()?,
        noncurrent_transitions: noncurrent_transitions
            .into_iter()
            .map(noncurrent_transition)
            .collect::<Result<_>>()?,
        abort_uploads_days: match shape.abort_incomplete_multipart_upload {
            None => None,
            Some(given) => Some(positive(
                given.days_after_initiation,
                "DaysAfterInitiation",
            )?),
        },
    };
    if made.id.len() > 255 {
        let message = "ID length should not exceed allowed limit of 255";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let has_action = made.expiration.is_some()
        || made.noncurrent.is_some()
        || made.abort_uploads_days.is_some()
        || !made.transitions.is_empty()
        || !made.noncurrent_transitions.is_empty();
    match has_action {
        true => Ok(made),
        false => Err(Error::request(
            "At least one action needs to be specified in a rule",
        )),
    }
}

fn positive(days: Option<i32>, name: &str) -> Result<i32> {
    let days = days.ok_or_else(Error::malformed_xml)?;
    match days > 0 {
        true => Ok(days),
        false => {
            let message = format!("'{name}' for Expiration action must be a positive integer");
            Err(Error::new(Code::InvalidArgument, message))
        }
    }
}

fn filter(given: LifecycleRuleFilter) -> Result<Filter> {
    let count = usize::from(given.prefix.is_some())
        + usize::from(given.tag.is_some())
        + usize::from(given.object_size_greater_than.is_some())
        + usize::from(given.object_size_less_than.is_some())
        + usize::from(given.and.is_some());
    if count > 1 {
        return Err(Error::malformed_xml());
    }
    let Some(and) = given.and else {
        return Ok(Filter {
            prefix: given.prefix,
            tags: as_tags(given.tag.into_iter().collect()),
            larger_than: given.object_size_greater_than,
            smaller_than: given.object_size_less_than,
            is_and: false,
        });
    };
    let tags = as_tags(and.tags.unwrap_or_default());
    for (at, (key, _)) in tags.iter().enumerate() {
        if tags[..at].iter().any(|(known, _)| known == key) {
            return Err(Error::request("Duplicate Tag Keys are not allowed."));
        }
    }
    Ok(Filter {
        prefix: and.prefix,
        tags,
        larger_than: and.object_size_greater_than,
        smaller_than: and.object_size_less_than,
        is_and: true,
    })
}

fn midnight(date: jiff::Timestamp) -> Result<jiff::Timestamp> {
    match date.as_millisecond() % 86_400_000 {
        0 => Ok(date),
        _ => Err(Error::argument(
            "'Date' must be at midnight GMT",
            "Date",
            wire::time::print(wire::schema::TimestampFormat::Iso8601, date),
        )),
    }
}

fn expiration(given: LifecycleExpiration) -> Result<Expiration> {
    match (given.days, given.date, given.expired_object_delete_marker) {
        (days @ Some(_), None, None) => Ok(Expiration::Days(positive(days, "Days")?)),
        (None, Some(date), None) => Ok(Expiration::Date(midnight(date)?)),
        (None, None, Some(marker)) => Ok(Expiration::Marker(marker)),
        _ => Err(Error::malformed_xml()),
    }
}

fn class(given: Option<&str>) -> Result<String> {
    let given = given.ok_or_else(Error::malformed_xml)?;
    match storage_class(Some(given)) {
        Ok(class) if class != "STANDARD" && class != "REDUCED_REDUNDANCY" => Ok(class),
        _ => Err(Error::malformed_xml()),
    }
}

fn transition(given: TransitionShape) -> Result<Transition> {
    if given.days.is_some() == given.date.is_some() {
        return Err(Error::malformed_xml());
    }
    Ok(Transition {
        days: given.days,
        date: given.date.map(midnight).transpose()?,
        class: class(given.storage_class.as_deref())?,
    })
}

fn noncurrent_transition(given: NoncurrentVersionTransition) -> Result<NoncurrentTransition> {
    Ok(NoncurrentTransition {
        days: Some(given.noncurrent_days.ok_or_else(Error::malformed_xml)?),
        keep: given.newer_noncurrent_versions,
        class: class(given.storage_class.as_deref())?,
    })
}

fn shape(rule: &Rule) -> LifecycleRule {
    let transitions = rule.transitions.iter().map(|to| TransitionShape {
        date: to.date,
        days: to.days,
        storage_class: Some(to.class.clone()),
    });
    let noncurrent = rule.noncurrent_transitions.iter();
    let noncurrent = noncurrent.map(|to| NoncurrentVersionTransition {
        noncurrent_days: to.days,
        storage_class: Some(to.class.clone()),
        newer_noncurrent_versions: to.keep,
    });
    LifecycleRule {
        expiration: rule.expiration.as_ref().map(expiration_shape),
        id: Some(rule.id.clone()),
        prefix: rule.prefix.clone(),
        filter: rule.filter.as_ref().map(filter_shape),
        status: if rule.is_enabled {
            "Enabled"
        } else {
            "Disabled"
        }
        .to_owned(),
        transitions: super::listing::some(transitions.collect()),
        noncurrent_version_transitions: super::listing::some(noncurrent.collect()),
        noncurrent_version_expiration: rule.noncurrent.as_ref().map(|given| {
            NoncurrentVersionExpiration {
                noncurrent_days: given.days,
                newer_noncurrent_versions: given.keep,
            }
        }),
        abort_incomplete_multipart_upload: rule.abort_uploads_days.map(|days| {
            AbortIncompleteMultipartUpload {
                days_after_initiation: Some(days),
            }
        }),
    }
}

fn expiration_shape(expiration: &Expiration) -> LifecycleExpiration {
    let mut shape = LifecycleExpiration::default();
    match expiration {
        Expiration::Days(days) => shape.days = Some(*days),
        Expiration::Date(date) => shape.date = Some(*date),
        Expiration::Marker(marker) => shape.expired_object_delete_marker = Some(*marker),
    }
    shape
}

fn filter_shape(filter: &Filter) -> LifecycleRuleFilter {
    let tags: Vec<Tag> = shapes(&filter.tags);
    if filter.is_and {
        return LifecycleRuleFilter {
            and: Some(LifecycleRuleAndOperator {
                prefix: filter.prefix.clone(),
                tags: super::listing::some(tags),
                object_size_greater_than: filter.larger_than,
                object_size_less_than: filter.smaller_than,
            }),
            ..LifecycleRuleFilter::default()
        };
    }
    LifecycleRuleFilter {
        prefix: filter.prefix.clone(),
        tag: tags.into_iter().next(),
        object_size_greater_than: filter.larger_than,
        object_size_less_than: filter.smaller_than,
        and: None,
    }
}
