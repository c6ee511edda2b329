//! Lifecycle rules: what they say of a version, and the passes that do it.
//!
//! A rule's days are whole: they end at the midnight (UTC) after them, as S3's do. A transition changes
//! the storage class that a version has, and with it what may be done with it; its bytes stay where
//! they are, as there is no other place here.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Buckets,
    error::Result,
    limits,
    list::behind_key,
    lock,
    notify::{Event, Happening},
    place::{self, Failure, New},
    registry::Bucket,
    rows::{self, Version},
    tables::ObjectRecord,
    uploads::{self, Upload},
};
use crate::background::{Background, Wake};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    pub rules: Vec<Rule>,
    /// As it was set, e.g. `all_storage_classes_128K`.
    pub minimum_size: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub id: String,
    pub is_enabled: bool,
    /// The older way to say what a rule is about.
    pub prefix: Option<String>,
    pub filter: Option<Filter>,
    pub expiration: Option<Expiration>,
    pub noncurrent: Option<Noncurrent>,
    pub transitions: Vec<Transition>,
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
    pub abort_uploads_days: Option<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub prefix: Option<String>,
    pub tags: Vec<(String, String)>,
    pub larger_than: Option<i64>,
    pub smaller_than: Option<i64>,
    /// Whether it was written as an And.
    pub is_and: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiration {
    Days(i32),
    Date(Timestamp),
    /// A delete marker that nothing is left behind of.
    Marker(bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noncurrent {
    pub days: Option<i32>,
    pub keep: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub days: Option<i32>,
    pub date: Option<Timestamp>,
    pub class: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoncurrentTransition {
    pub days: Option<i32>,
    pub keep: Option<i32>,
    pub class: String,
}

const DAY_S: i64 = 24 * 3600;

/// The midnight after so many days.
pub fn due(from: Timestamp, days: i32) -> Timestamp {
    let end = from.as_second() + i64::from(days) * DAY_S;
    let midnight = end.div_euclid(DAY_S) * DAY_S;
    let rounded = if midnight == end {
        end
    } else {
        midnight + DAY_S
    };
    Timestamp::from_second(rounded).unwrap_or(Timestamp::MAX)
}

impl Rule {
    /// Whether the rule is about a version like this.
    fn is_about(&self, key: &str, size: u64, tags: &[(String, String)]) -> bool {
        let filter = self.filter.as_ref();
        let own = filter.and_then(|filter| filter.prefix.as_deref());
        let prefix = self.prefix.as_deref().or(own).unwrap_or_default();
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let fits = |filter: &Filter| {
            filter.tags.iter().all(|tag| tags.contains(tag))
                && filter.larger_than.is_none_or(|bound| size > bound)
                && filter.smaller_than.is_none_or(|bound| size < bound)
        };
        self.is_enabled && key.starts_with(prefix) && filter.is_none_or(fits)
    }

    fn expires_at(&self, version: &Version) -> Option<Timestamp> {
        match self.expiration.as_ref()? {
            Expiration::Days(days) => Some(due(version.modified, *days)),
            Expiration::Date(date) => Some(*date),
            Expiration::Marker(_) => None,
        }
    }
}

impl Lifecycle {
    fn rules_for<'a, 'v>(
        &'a self,
        version: &'v Version,
    ) -> impl Iterator<Item = &'a Rule> + use<'a, 'v> {
        let about =
            move |rule: &&Rule| rule.is_about(&version.key, version.size, &version.record.tags);
        self.rules.iter().filter(about)
    }

    /// When a current version expires, and by which rule: the first that comes.
    pub fn expiration(&self, version: &Version) -> Option<(Timestamp, &str)> {
        let all = self
            .rules_for(version)
            .filter_map(|rule| Some((rule.expires_at(version)?, rule.id.as_str())));
        all.min_by_key(|(at, _)| *at)
    }

    /// What is to be done with a current version. `is_alone`: there are no older ones.
    pub fn current(&self, version: &Version, is_alone: bool, now: Timestamp) -> Act {
        if version.is_marker {
            let removes = |rule: &Rule| {
                matches!(
                    rule.expiration,
                    Some(Expiration::Marker(true) | Expiration::Days(_))
                ) && match &rule.expiration {
                    Some(Expiration::Days(days)) => due(version.modified, *days) <= now,
                    _ => true,
                }
            };
            return match is_alone && self.rules_for(version).any(removes) {
                true => Act::Remove,
                false => Act::Nothing,
            };
        }
        if self.expiration(version).is_some_and(|(at, _)| at <= now) {
            return Act::Expire;
        }
        let transitions = self.rules_for(version).flat_map(|rule| &rule.transitions);
        let reached = transitions.filter_map(|to| {
            let at = to
                .date
                .or(to.days.map(|days| due(version.modified, days)))?;
            Some((at, &to.class)).filter(|(at, _)| *at <= now)
        });
        class_change(version, reached)
    }

    /// The same of one that is not current: `newer` are the versions between it and the current one.
    pub fn noncurrent(&self, version: &Version, newer: usize, now: Timestamp) -> Act {
        let since = version.noncurrent_since.unwrap_or(version.modified);
        let is_past = |days: Option<i32>, keep: Option<i32>| {
            let is_due = days.is_none_or(|days| due(since, days) <= now);
            let kept = usize::try_from(keep.unwrap_or_default()).unwrap_or_default();
            is_due && newer >= kept
        };
        let removes = |rule: &Rule| {
            let noncurrent = rule.noncurrent.as_ref();
            noncurrent.is_some_and(|rule| is_past(rule.days, rule.keep))
        };
        if self.rules_for(version).any(removes) {
            return Act::Remove;
        }
        let rules = self.rules_for(version);
        let transitions = rules.flat_map(|rule| &rule.noncurrent_transitions);
        let reached = transitions
            .filter(|to| is_past(to.days, to.keep))
            .map(|to| (due(since, to.days.unwrap_or_default()), &to.class));
        class_change(version, reached)
    }

    fn aborts(&self, upload: &Upload, now: Timestamp) -> bool {
        self.rules.iter().any(|rule| {
            let days = rule.abort_uploads_days;
            rule.is_about(&upload.key, 0, &[])
                && days.is_some_and(|days| due(upload.initiated, days) <= now)
        })
    }
}

/// The latest of the classes that were reached, if it is another than it has.
fn class_change<'a>(
    version: &Version,
    reached: impl Iterator<Item = (Timestamp, &'a String)>,
) -> Act {
    match reached.max_by_key(|(at, _)| *at) {
        Some((_, class)) if *class != version.record.storage_class => Act::Class(class.clone()),
        _ => Act::Nothing,
    }
}

/// What a rule does with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Nothing,
    /// The object goes, or gets a delete marker.
    Expire,
    /// The version goes for good.
    Remove,
    Class(String),
}

impl Buckets {
    pub(super) fn keep_lifecycles(&self, background: &Background, wake: Wake) {
        let this = self.clone();
        background.keep(
            "bucket-lifecycles",
            limits::LIFECYCLE_EVERY,
            wake,
            move || {
                let this = this.clone();
                async move { this.run_lifecycles(Timestamp::now()).await }
            },
        );
    }

    /// One pass over all buckets with rules.
    pub(super) async fn run_lifecycles(&self, now: Timestamp) -> Result<()> {
        for bucket in self.registry().all() {
            if let Some(lifecycle) = bucket.record.lifecycle.clone() {
                self.run_lifecycle(&bucket, &lifecycle, now).await?;
            }
        }
        Ok(())
    }

    async fn run_lifecycle(
        &self,
        bucket: &Arc<Bucket>,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<()> {
        let id = bucket.id();
        let mut from = Vec::new();
        loop {
            let start = from.clone();
            let page = self.store().read(move |tx| {
                let current = rows::scan(tx, id, &start, limits::SCAN_ROWS)?;
                current
                    .into_iter()
                    .map(|version| {
                        let key = version.key.as_bytes();
                        let older = rows::scan_older(tx, id, (key, i64::MIN), 1)?;
                        let is_alone = older.first().is_none_or(|next| next.key != version.key);
                        Ok((version, is_alone))
                    })
                    .collect::<store::Result<Vec<_>>>()
            });
            let page = page.await?;
            for (version, is_alone) in &page {
                let act = lifecycle.current(version, *is_alone, now);
                self.act(bucket, version, act, now).await?;
            }
            match page.last() {
                Some((last, _)) if page.len() == limits::SCAN_ROWS => {
                    from = behind_key(last.key.as_bytes());
                }
                _ => break,
            }
        }
        self.run_noncurrent(bucket, lifecycle, now).await?;
        self.run_aborts(bucket, lifecycle, now).await
    }

    async fn run_noncurrent(
        &self,
        bucket: &Arc<Bucket>,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<()> {
        let id = bucket.id();
        let mut from = (Vec::new(), i64::MIN);
        let (mut key, mut newer) = (String::new(), 0);
        loop {
            let start = from.clone();
            let page = self
                .store()
                .read(move |tx| rows::scan_older(tx, id, (&start.0, start.1), limits::SCAN_ROWS));
            let page = page.await?;
            for version in &page {
                newer = if version.key == key { newer + 1 } else { 0 };
                key.clone_from(&version.key);
                let act = lifecycle.noncurrent(version, newer, now);
                self.act(bucket, version, act, now).await?;
            }
            match page.last() {
                Some(last) if page.len() == limits::SCAN_ROWS => {
                    from = (last.key.as_bytes().to_vec(), 1 - last.seq);
                }
                _ => return Ok(()),
            }
        }
    }

    async fn run_aborts(
        &self,
        bucket: &Arc<Bucket>,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<()> {
        let id = bucket.id();
        let mut from = (Vec::new(), i64::MIN);
        loop {
            let start = from.clone();
            let page = self
                .store()
                .read(move |tx| uploads::scan(tx, id, (&start.0, start.1), limits::SCAN_ROWS));
            let page = page.await?;
            for upload in page.iter().filter(|upload| lifecycle.aborts(upload, now)) {
                self.abort(bucket, upload).await?;
            }
            match page.last() {
                Some(last) if page.len() == limits::SCAN_ROWS => {
                    from = (last.key.as_bytes().to_vec(), last.id + 1);
                }
                _ => return Ok(()),
            }
        }
    }

    /// Does it, if the version is still what it was decided by.
    async fn act(
        &self,
        bucket: &Arc<Bucket>,
        version: &Version,
        act: Act,
        now: Timestamp,
    ) -> Result<()> {
        let happening = |event| Happening::of_lifecycle(event, bucket, now);
        match act {
            Act::Nothing => return Ok(()),
            Act::Expire if bucket.has_versions() => {
                let marker = New {
                    key: version.key.clone(),
                    size: 0,
                    modified: super::api::whole_second(now),
                    is_marker: true,
                    record: ObjectRecord::marker(&bucket.record.account_id),
                    content: unchanged(bucket.id(), version.clone()),
                    conditions: Default::default(),
                    upload: None,
                    happening: Some(happening(Event::LifecycleDeleteMarkerCreated)),
                };
                match self.place(bucket.clone(), marker).await {
                    Ok(_) | Err(Failure::Refused(_)) => {}
                    Err(failure) => return Err(failure.into_error()),
                }
            }
            Act::Expire | Act::Remove => {
                let (old, told) = (version.clone(), happening(Event::LifecycleDelete));
                let removed = self.against(bucket.clone(), move |tx, this, bucket| {
                    let id = bucket.id();
                    let there = rows::find(tx, id, &old.key, &old.version_id)?;
                    let Some(there) = there.filter(|there| there.seq == old.seq) else {
                        return Ok(());
                    };
                    if !lock::may_remove(&there.record, false, now) {
                        return Ok(());
                    }
                    rows::remove(tx, id, &there)?;
                    this.released(&there.record.lies);
                    place::cross(tx, id, &old.key)?;
                    Ok(this.tell(tx, bucket, &there, &told)?)
                });
                removed.await.map_err(Failure::into_error)?;
            }
            Act::Class(class) => {
                let old = version.clone();
                let changed = self.against(bucket.clone(), move |tx, _, bucket| {
                    let there = rows::find(tx, bucket.id(), &old.key, &old.version_id)?;
                    if let Some(mut there) = there.filter(|there| there.seq == old.seq) {
                        there.record.storage_class.clone_from(&class);
                        rows::update(tx, bucket.id(), &there)?;
                    }
                    Ok(())
                });
                changed.await.map_err(Failure::into_error)?;
            }
        }
        self.changed(bucket);
        Ok(())
    }
}

/// A delete marker takes the place of this version only.
fn unchanged(bucket: i64, version: Version) -> place::Content {
    Arc::new(move |tx, _| {
        let there = rows::current(tx, bucket, &version.key)?;
        match there.is_some_and(|there| there.seq == version.seq) {
            true => Ok(super::content::Lies::Nowhere),
            false => Err(super::error::Error::no_key(&version.key).into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn version(modified: &str) -> Version {
        Version {
            key: "logs/a".into(),
            seq: 1,
            version_id: "null".into(),
            is_marker: false,
            modified: at(modified),
            size: 100,
            is_current: true,
            noncurrent_since: None,
            record: ObjectRecord::marker("123456789012"),
        }
    }

    fn lifecycle(rule: Rule) -> Lifecycle {
        let rule = Rule {
            id: "r".into(),
            is_enabled: true,
            ..rule
        };
        Lifecycle {
            rules: vec![rule],
            minimum_size: String::new(),
        }
    }

    #[test]
    fn days_end_at_the_next_midnight() {
        for (from, days, expect) in [
            ("2024-01-01T10:30:00Z", 1, "2024-01-03T00:00:00Z"),
            ("2024-01-01T00:00:00Z", 1, "2024-01-02T00:00:00Z"),
            ("2024-02-28T23:59:59Z", 7, "2024-03-07T00:00:00Z"),
        ] {
            assert_eq!(due(at(from), days), at(expect));
        }
    }

    #[test]
    fn a_rule_is_about_what_its_filter_says() {
        let filter = Filter {
            prefix: Some("logs/".into()),
            tags: vec![("a".into(), "1".into())],
            larger_than: Some(50),
            smaller_than: Some(200),
            is_and: true,
        };
        let rule = Rule {
            is_enabled: true,
            filter: Some(filter),
            ..Rule::default()
        };
        let tags = [
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ];
        for (key, size, tags, expect) in [
            ("logs/x", 100, &tags[..], true),
            ("other", 100, &tags[..], false),
            ("logs/x", 50, &tags[..], false),
            ("logs/x", 200, &tags[..], false),
            ("logs/x", 100, &tags[1..], false),
        ] {
            assert_eq!(rule.is_about(key, size, tags), expect, "{key} {size}");
        }
    }

    #[test]
    fn what_is_current_expires_and_what_is_not_goes_after_its_own_days() {
        let rule = Rule {
            expiration: Some(Expiration::Days(1)),
            noncurrent: Some(Noncurrent {
                days: Some(1),
                keep: Some(2),
            }),
            ..Rule::default()
        };
        let rules = lifecycle(rule);
        let mut version = version("2024-01-01T10:00:00Z");
        let (early, late) = (at("2024-01-02T23:59:59Z"), at("2024-01-03T00:00:00Z"));
        assert_eq!(rules.current(&version, true, early), Act::Nothing);
        assert_eq!(rules.current(&version, true, late), Act::Expire);
        version.noncurrent_since = Some(version.modified);
        assert_eq!(rules.noncurrent(&version, 2, early), Act::Nothing);
        assert_eq!(rules.noncurrent(&version, 1, late), Act::Nothing);
        assert_eq!(rules.noncurrent(&version, 2, late), Act::Remove);
        version.is_marker = true;
        assert_eq!(rules.current(&version, false, late), Act::Nothing);
        assert_eq!(rules.current(&version, true, late), Act::Remove);
    }

    #[test]
    fn of_several_transitions_the_last_that_was_reached_counts() {
        let to = |days, class: &str| Transition {
            days: Some(days),
            date: None,
            class: class.into(),
        };
        let rules = lifecycle(Rule {
            transitions: vec![to(30, "STANDARD_IA"), to(90, "GLACIER")],
            ..Rule::default()
        });
        let version = version("2024-01-01T00:00:00Z");
        for (now, expect) in [
            ("2024-01-15T00:00:00Z", Act::Nothing),
            ("2024-02-15T00:00:00Z", Act::Class("STANDARD_IA".into())),
            ("2024-06-15T00:00:00Z", Act::Class("GLACIER".into())),
        ] {
            assert_eq!(rules.current(&version, true, at(now)), expect);
        }
    }
}
