//! A mapping as Lambda shows it.

use wire::lambda::{
    EventSourceMappingConfiguration, EventSourceMappingMetricsConfig, Filter, FilterCriteria,
    ProvisionedPollerConfig, ScalingConfig,
};

use super::{mapping::Mapping, tables::Settings};

pub fn shown(mapping: &Mapping) -> EventSourceMappingConfiguration {
    let record = mapping.record();
    EventSourceMappingConfiguration {
        uuid: Some(record.id.uuid.clone()),
        event_source_mapping_arn: Some(record.id.arn()),
        event_source_arn: Some(record.queue.arn().to_string()),
        function_arn: Some(record.target.arn()),
        last_modified: Some(record.last_modified),
        last_processing_result: mapping.problem(),
        state: Some(mapping.phase().as_str().to_owned()),
        state_transition_reason: Some("USER_INITIATED".to_owned()),
        ..settings(&record.settings)
    }
}

fn settings(settings: &Settings) -> EventSourceMappingConfiguration {
    let filter = |pattern: &String| Filter {
        pattern: Some(pattern.clone()),
    };
    let reports = settings.reports_item_failures;
    let types = reports.then(|| "ReportBatchItemFailures".to_owned());
    EventSourceMappingConfiguration {
        batch_size: signed(settings.batch_size),
        maximum_batching_window_in_seconds: signed(settings.window_s),
        function_response_types: Some(types.into_iter().collect()),
        filter_criteria: settings.filters.as_ref().map(|filters| FilterCriteria {
            filters: Some(filters.iter().map(filter).collect()),
        }),
        scaling_config: settings.maximum_concurrency.map(|maximum| ScalingConfig {
            maximum_concurrency: signed(maximum),
        }),
        provisioned_poller_config: settings.provisioned.map(|pollers| ProvisionedPollerConfig {
            minimum_pollers: signed(pollers.minimum),
            maximum_pollers: signed(pollers.maximum),
            poller_group_name: None,
        }),
        metrics_config: settings
            .metrics
            .as_ref()
            .map(|metrics| EventSourceMappingMetricsConfig {
                metrics: Some(metrics.clone()),
            }),
        ..EventSourceMappingConfiguration::default()
    }
}

fn signed(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}
