//! Log groups: making, listing and deleting them, and how long they keep what they have.

use tokio::task::spawn_blocking;
use wire::{Context, cloudwatch_logs as api};

use super::{by_identifier, identified, named, tags, token};
use crate::logs::{
    LogService,
    error::{Error, Result},
    limits,
    tables::GroupRecord,
};

impl LogService {
    pub(super) async fn create_group(
        &self,
        cx: &Context,
        input: api::CreateLogGroupRequest,
    ) -> Result<()> {
        if input.kms_key_id.is_some() {
            return Err(Error::unsupported("keys of KMS for log groups"));
        }
        if input
            .log_group_name
            .to_ascii_lowercase()
            .starts_with("aws/")
        {
            return Err(Error::parameter(
                "Log groups starting with AWS/ are reserved for AWS.",
            ));
        }
        let key = named(cx, &input.log_group_name);
        let mut group = GroupRecord::new(&key, cx.now.as_millisecond());
        if let Some(class) = input.log_group_class {
            group.class = class;
        }
        tags::add(&mut group.tags, input.tags.unwrap_or_default())?;
        group.deletion_protection = input.deletion_protection_enabled;
        self.groups.create(group).await
    }

    pub(super) async fn delete_group(
        &self,
        cx: &Context,
        input: api::DeleteLogGroupRequest,
    ) -> Result<()> {
        self.groups.delete(&named(cx, &input.log_group_name)).await
    }

    pub(super) async fn describe_groups(
        &self,
        cx: &Context,
        input: api::DescribeLogGroupsRequest,
    ) -> Result<api::DescribeLogGroupsResponse> {
        let (prefix, pattern) = (input.log_group_name_prefix, input.log_group_name_pattern);
        if prefix.is_some() && pattern.is_some() {
            return Err(Error::parameter(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            ));
        }
        let identifiers = input.log_group_identifiers.map(|all| {
            let keys = all.iter().map(|one| by_identifier(cx, one));
            keys.collect::<Result<Vec<_>>>()
        });
        let identifiers = identifiers.transpose()?;
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        self.groups.settle().await?;
        let mut found = self
            .groups
            .list(&cx.account_id, &cx.region, after.as_deref());
        found.retain(|group| {
            let has = |prefix: &String| group.name.starts_with(prefix.as_str());
            let contains = |pattern: &String| group.name.contains(pattern.as_str());
            prefix.as_ref().is_none_or(has)
                && pattern.as_ref().is_none_or(contains)
                && input
                    .log_group_class
                    .as_ref()
                    .is_none_or(|class| group.class == *class)
                && identifiers
                    .as_ref()
                    .is_none_or(|keys| keys.contains(&group.key()))
        });
        let limit = limit(input.limit, limits::GROUPS_LISTED_MAX);
        let (page, next_token) = token::page(found, limit, |group| group.name.clone());
        let logs = self.groups.logs().clone();
        // Each is looked at on disk for how much it has.
        let shown = spawn_blocking(move || {
            let show = |group: &std::sync::Arc<GroupRecord>| {
                let stored = logs.group(&group.key()).stored_bytes()?;
                Ok(shown(group, stored))
            };
            page.iter().map(show).collect::<std::io::Result<Vec<_>>>()
        });
        Ok(api::DescribeLogGroupsResponse {
            log_groups: Some(shown.await.map_err(Error::platform)??),
            next_token,
        })
    }

    pub(super) async fn list_groups(
        &self,
        cx: &Context,
        input: api::ListLogGroupsRequest,
    ) -> Result<api::ListLogGroupsResponse> {
        if input.data_sources.is_some() || input.field_index_names.is_some() {
            return Err(Error::unsupported("data sources and field indexes"));
        }
        let after = input.next_token.as_deref().map(token::read).transpose()?;
        self.groups.settle().await?;
        let mut found = self
            .groups
            .list(&cx.account_id, &cx.region, after.as_deref());
        found.retain(|group| {
            let matches = |pattern: &String| {
                pattern.split('|').any(|one| match one.strip_prefix('^') {
                    Some(prefix) => group.name.starts_with(prefix),
                    None => group.name.contains(one),
                })
            };
            let has_tags =
                |wanted: &Vec<api::TagFilter>| wanted.iter().all(|tag| tags::has(&group.tags, tag));
            input.log_group_name_pattern.as_ref().is_none_or(matches)
                && input
                    .log_group_class
                    .as_ref()
                    .is_none_or(|class| group.class == *class)
                && input.log_group_tags.as_ref().is_none_or(has_tags)
        });
        let limit = limit(input.limit, 1000);
        let (page, next_token) = token::page(found, limit, |group| group.name.clone());
        let summary = |group: &std::sync::Arc<GroupRecord>| api::LogGroupSummary {
            log_group_name: Some(group.name.clone()),
            log_group_arn: Some(group.key().arn()),
            log_group_class: Some(group.class.clone()),
        };
        Ok(api::ListLogGroupsResponse {
            log_groups: Some(page.iter().map(summary).collect()),
            next_token,
        })
    }

    pub(super) async fn put_retention(
        &self,
        cx: &Context,
        input: api::PutRetentionPolicyRequest,
    ) -> Result<()> {
        let days = input.retention_in_days;
        if !limits::RETENTION_DAYS.contains(&days) {
            let all = limits::RETENTION_DAYS
                .map(|days| days.to_string())
                .join(", ");
            return Err(Error::parameter(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy \
                 constraint: Member must satisfy enum value set: [{all}]"
            )));
        }
        let key = named(cx, &input.log_group_name);
        let set = |group: &mut GroupRecord| {
            group.retention_days = Some(days);
            Ok(())
        };
        self.groups.change(&key, set).await?;
        self.wake_retention.wake();
        Ok(())
    }

    pub(super) async fn delete_retention(
        &self,
        cx: &Context,
        input: api::DeleteRetentionPolicyRequest,
    ) -> Result<()> {
        let key = named(cx, &input.log_group_name);
        let clear = |group: &mut GroupRecord| {
            group.retention_days = None;
            Ok(())
        };
        self.groups.change(&key, clear).await
    }

    pub(super) async fn put_protection(
        &self,
        cx: &Context,
        input: api::PutLogGroupDeletionProtectionRequest,
    ) -> Result<()> {
        let key = by_identifier(cx, &input.log_group_identifier)?;
        let set = |group: &mut GroupRecord| {
            group.deletion_protection = Some(input.deletion_protection_enabled);
            Ok(())
        };
        self.groups.change(&key, set).await
    }

    /// There are no keys to encrypt with: a group that was said to be encrypted and is not would be
    /// worse than none.
    pub(super) async fn associate_key(
        &self,
        cx: &Context,
        input: api::AssociateKmsKeyRequest,
    ) -> Result<()> {
        if let Some(name) = &input.log_group_name {
            self.groups.get(&named(cx, name)).await?;
        }
        Err(Error::unsupported("keys of KMS for log groups"))
    }

    /// No group has one.
    pub(super) async fn disassociate_key(
        &self,
        cx: &Context,
        input: api::DisassociateKmsKeyRequest,
    ) -> Result<()> {
        let name = input.log_group_name.as_deref();
        if name.is_none() && input.resource_identifier.is_some() {
            return Err(Error::unsupported("keys of KMS for query results"));
        }
        let key = identified(cx, name, None)?;
        self.groups.get(&key).await.map(|_| ())
    }
}

fn shown(group: &GroupRecord, stored_bytes: u64) -> api::LogGroup {
    let arn = group.key().arn();
    api::LogGroup {
        log_group_name: Some(group.name.clone()),
        creation_time: Some(group.created_ms),
        retention_in_days: group.retention_days,
        metric_filter_count: i32::try_from(group.metric_filters.len()).ok(),
        arn: Some(format!("{arn}:*")),
        // Of an empty group nothing is said.
        stored_bytes: i64::try_from(stored_bytes).ok().filter(|bytes| *bytes > 0),
        log_group_class: Some(group.class.clone()),
        log_group_arn: Some(arn),
        deletion_protection_enabled: group.deletion_protection,
        ..Default::default()
    }
}

/// How many of a list are given at once, where the model has said what may be asked for.
pub(super) fn limit(asked: Option<i32>, most: usize) -> usize {
    let asked = asked.and_then(|asked| usize::try_from(asked).ok());
    asked.unwrap_or(50).clamp(1, most)
}
