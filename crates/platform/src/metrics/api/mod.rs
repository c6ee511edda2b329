//! CloudWatch's API: the generated trait, and which of AWS's errors each of ours is. Only here are
//! `wire`'s shapes known.

mod alarms;
mod dashboards;
mod data;
mod described;
mod put;
mod statistics;

use std::collections::BTreeMap;

use wire::{
    Context, Error as Refusal,
    cloudwatch::{self as api, CloudWatch, errors},
};

use super::{
    Metrics,
    error::{Error, Result},
    series::{Home, Metric},
};

type Answer<T> = std::result::Result<T, Refusal>;

impl CloudWatch for Metrics {
    async fn put_metric_data(&self, cx: &Context, input: api::PutMetricDataInput) -> Answer<()> {
        let data = put::data(input, cx.now.as_second()).map_err(refusal)?;
        self.put(&home(cx), data).await.map_err(refusal)
    }

    async fn get_metric_statistics(
        &self,
        cx: &Context,
        input: api::GetMetricStatisticsInput,
    ) -> Answer<api::GetMetricStatisticsOutput> {
        self.statistics_of(cx, input).await.map_err(refusal)
    }

    async fn get_metric_data(
        &self,
        cx: &Context,
        input: api::GetMetricDataInput,
    ) -> Answer<api::GetMetricDataOutput> {
        self.data_of(cx, input).await.map_err(refusal)
    }

    async fn list_metrics(
        &self,
        cx: &Context,
        input: api::ListMetricsInput,
    ) -> Answer<api::ListMetricsOutput> {
        self.listed(cx, input).map_err(refusal)
    }

    async fn put_metric_alarm(&self, cx: &Context, input: api::PutMetricAlarmInput) -> Answer<()> {
        self.put_metric_alarm_of(cx, input).await.map_err(refusal)
    }

    async fn put_composite_alarm(
        &self,
        cx: &Context,
        input: api::PutCompositeAlarmInput,
    ) -> Answer<()> {
        self.put_composite_alarm_of(cx, input)
            .await
            .map_err(refusal)
    }

    async fn delete_alarms(&self, cx: &Context, input: api::DeleteAlarmsInput) -> Answer<()> {
        let now_ms = cx.now.as_millisecond();
        let deleted = self
            .delete_alarms(&home(cx), &input.alarm_names, now_ms)
            .await;
        deleted.map_err(refusal)
    }

    async fn describe_alarms(
        &self,
        cx: &Context,
        input: api::DescribeAlarmsInput,
    ) -> Answer<api::DescribeAlarmsOutput> {
        self.described(cx, input).map_err(refusal)
    }

    async fn describe_alarms_for_metric(
        &self,
        cx: &Context,
        input: api::DescribeAlarmsForMetricInput,
    ) -> Answer<api::DescribeAlarmsForMetricOutput> {
        Ok(self.described_for_metric(cx, &input))
    }

    async fn describe_alarm_history(
        &self,
        cx: &Context,
        input: api::DescribeAlarmHistoryInput,
    ) -> Answer<api::DescribeAlarmHistoryOutput> {
        self.history_of(cx, input).await.map_err(refusal)
    }

    async fn set_alarm_state(&self, cx: &Context, input: api::SetAlarmStateInput) -> Answer<()> {
        self.set_alarm_state_of(cx, input).await.map_err(refusal)
    }

    async fn enable_alarm_actions(
        &self,
        cx: &Context,
        input: api::EnableAlarmActionsInput,
    ) -> Answer<()> {
        self.enable_actions_of(cx, &input.alarm_names, true)
            .await
            .map_err(refusal)
    }

    async fn disable_alarm_actions(
        &self,
        cx: &Context,
        input: api::DisableAlarmActionsInput,
    ) -> Answer<()> {
        self.enable_actions_of(cx, &input.alarm_names, false)
            .await
            .map_err(refusal)
    }

    async fn list_tags_for_resource(
        &self,
        cx: &Context,
        input: api::ListTagsForResourceInput,
    ) -> Answer<api::ListTagsForResourceOutput> {
        let tags = self.tags_of(cx, &input.resource_arn).map_err(refusal)?;
        Ok(api::ListTagsForResourceOutput { tags: Some(tags) })
    }

    async fn tag_resource(
        &self,
        cx: &Context,
        input: api::TagResourceInput,
    ) -> Answer<api::TagResourceOutput> {
        let tagged = self.tag_of(cx, input).await.map_err(refusal);
        tagged.map(|()| api::TagResourceOutput::default())
    }

    async fn untag_resource(
        &self,
        cx: &Context,
        input: api::UntagResourceInput,
    ) -> Answer<api::UntagResourceOutput> {
        let untagged = self.untag_of(cx, input).await.map_err(refusal);
        untagged.map(|()| api::UntagResourceOutput::default())
    }

    async fn put_dashboard(
        &self,
        cx: &Context,
        input: api::PutDashboardInput,
    ) -> Answer<api::PutDashboardOutput> {
        self.put_dashboard_of(cx, input).await.map_err(refusal)
    }

    async fn get_dashboard(
        &self,
        cx: &Context,
        input: api::GetDashboardInput,
    ) -> Answer<api::GetDashboardOutput> {
        self.dashboard_of(cx, input).await.map_err(refusal)
    }

    async fn list_dashboards(
        &self,
        cx: &Context,
        input: api::ListDashboardsInput,
    ) -> Answer<api::ListDashboardsOutput> {
        self.dashboards_of(cx, input).await.map_err(refusal)
    }

    async fn delete_dashboards(
        &self,
        cx: &Context,
        input: api::DeleteDashboardsInput,
    ) -> Answer<api::DeleteDashboardsOutput> {
        let deleted = self.delete_dashboards(&cx.account_id, input.dashboard_names);
        deleted.await.map_err(refusal)?;
        Ok(api::DeleteDashboardsOutput::default())
    }
}

fn home(cx: &Context) -> Home {
    Home {
        account_id: cx.account_id.clone(),
        region: cx.region.clone(),
    }
}

fn dimensions(given: Option<Vec<api::Dimension>>) -> BTreeMap<String, String> {
    let given = given.unwrap_or_default().into_iter();
    given
        .map(|dimension| (dimension.name, dimension.value))
        .collect()
}

fn shown_dimensions(dimensions: &BTreeMap<String, String>) -> Vec<api::Dimension> {
    let dimensions = dimensions.iter();
    let shown = dimensions.map(|(name, value)| api::Dimension {
        name: name.clone(),
        value: value.clone(),
    });
    shown.collect()
}

fn shown_metric(metric: &Metric) -> api::Metric {
    api::Metric {
        namespace: Some(metric.namespace.clone()),
        metric_name: Some(metric.name.clone()),
        dimensions: Some(shown_dimensions(&metric.dimensions)),
    }
}

/// Where a next page begins, in a token that says nothing to its holder.
fn token(place: &impl serde::Serialize) -> Result<String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let text = serde_json::to_vec(place).map_err(Error::platform)?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

fn place<T: serde::de::DeserializeOwned>(token: &str) -> Result<T> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::Token)?;
    serde_json::from_slice(&text).map_err(|_| Error::Token)
}

fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::Invalid(_) | Error::Unsupported { .. } => errors::invalid_parameter_value(message),
        Error::Combination(_) => errors::invalid_parameter_combination(message),
        Error::Missing(_) => errors::missing_required_parameter(message),
        Error::Validation(_) => errors::validation(message),
        Error::Token => errors::invalid_next_token(message),
        Error::NoSuchAlarm => errors::resource_not_found(message),
        Error::NotFound(_) => errors::resource_not_found_exception(message),
        Error::NoSuchDashboard(_) => errors::dashboard_not_found_error(message),
        Error::Dashboard(found) => {
            let shown = found.into_iter().map(|(path, text)| {
                let mut members = wire::Members::new(2);
                members.set(0, path.into());
                members.set(1, text.into());
                wire::Value::Structure(members)
            });
            let shown = wire::Value::List(shown.collect());
            errors::dashboard_invalid_input_error(message)
                .with("dashboardValidationMessages", shown)
        }
        Error::Format(_) => errors::invalid_format_fault(message),
        Error::LimitExceeded(_) => errors::limit_exceeded_fault(message),
        Error::Platform(source) => {
            tracing::error!(
                error = &*source as &dyn std::error::Error,
                "a request failed"
            );
            errors::internal_service_fault(message)
        }
    }
}
