//! Operations on dashboards.

use wire::{Context, Timestamp, cloudwatch as api};

use super::{place, token};
use crate::metrics::{
    Metrics,
    dashboards::{Dashboard, DashboardRecord, arn},
    error::{Error, Result},
};

/// Entries of one answer.
const PAGE: usize = 1_000;

impl Metrics {
    pub(super) async fn put_dashboard_of(
        &self,
        cx: &Context,
        input: api::PutDashboardInput,
    ) -> Result<api::PutDashboardOutput> {
        if input.tags.is_some_and(|tags| !tags.is_empty()) {
            return Err(Error::unsupported("Tags of a dashboard"));
        }
        let dashboard = Dashboard {
            name: input.dashboard_name,
            record: DashboardRecord {
                body: input.dashboard_body,
                modified_at_ms: cx.now.as_millisecond(),
            },
        };
        self.put_dashboard(&cx.account_id, dashboard).await?;
        Ok(api::PutDashboardOutput {
            dashboard_validation_messages: Some(Vec::new()),
        })
    }

    pub(super) async fn dashboard_of(
        &self,
        cx: &Context,
        input: api::GetDashboardInput,
    ) -> Result<api::GetDashboardOutput> {
        let found = self
            .dashboard(&cx.account_id, &input.dashboard_name)
            .await?;
        Ok(api::GetDashboardOutput {
            dashboard_arn: Some(arn(&cx.account_id, &found.name)),
            dashboard_body: Some(found.record.body),
            dashboard_name: Some(found.name),
        })
    }

    pub(super) async fn dashboards_of(
        &self,
        cx: &Context,
        input: api::ListDashboardsInput,
    ) -> Result<api::ListDashboardsOutput> {
        let after: Option<String> = input.next_token.as_deref().map(place).transpose()?;
        let prefix = input.dashboard_name_prefix.unwrap_or_default();
        let mut found = self.dashboards(&cx.account_id, &prefix).await?;
        found.retain(|dashboard| after.as_ref().is_none_or(|after| dashboard.name > *after));
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        let last = found.last().filter(|_| more);
        let next_token = last.map(|last| token(&last.name)).transpose()?;
        let shown = |dashboard: Dashboard| api::DashboardEntry {
            dashboard_arn: Some(arn(&cx.account_id, &dashboard.name)),
            last_modified: Timestamp::from_millisecond(dashboard.record.modified_at_ms).ok(),
            size: i64::try_from(dashboard.record.body.len()).ok(),
            dashboard_name: Some(dashboard.name),
        };
        Ok(api::ListDashboardsOutput {
            dashboard_entries: Some(found.into_iter().map(shown).collect()),
            next_token,
        })
    }
}
