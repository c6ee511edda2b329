//! What a caller asks of a mapping, checked as Lambda checks it.

use wire::{
    arn::Arn,
    lambda::{
        CreateEventSourceMappingRequest, DestinationConfig, EventSourceMappingMetricsConfig,
        FilterCriteria, ProvisionedPollerConfig, ScalingConfig, UpdateEventSourceMappingRequest,
    },
};

use super::{
    error::{Error, Result},
    filter::Criteria,
    limits,
    tables::{Provisioned, Settings},
};
use crate::queues::definition::QueueKey;

/// The members that creating and updating share and that are about queues.
pub struct Asked {
    pub batch_size: Option<i32>,
    pub window_s: Option<i32>,
    pub filters: Option<FilterCriteria>,
    pub response_types: Option<Vec<String>>,
    pub scaling: Option<ScalingConfig>,
    pub provisioned: Option<ProvisionedPollerConfig>,
    pub metrics: Option<EventSourceMappingMetricsConfig>,
    pub kms_key: Option<String>,
    /// The first of those members that queues do not have.
    pub foreign: Option<&'static str>,
}

/// Takes what creating and updating share out of a request of either.
macro_rules! asked {
    ($input:ident) => {{
        let foreign = [
            (
                "ParallelizationFactor",
                $input.parallelization_factor.is_some(),
            ),
            (
                "DestinationConfig",
                has_destination($input.destination_config.as_ref()),
            ),
            (
                "MaximumRecordAgeInSeconds",
                $input.maximum_record_age_in_seconds.is_some(),
            ),
            (
                "BisectBatchOnFunctionError",
                $input.bisect_batch_on_function_error == Some(true),
            ),
            (
                "MaximumRetryAttempts",
                $input.maximum_retry_attempts.is_some(),
            ),
            (
                "TumblingWindowInSeconds",
                $input.tumbling_window_in_seconds.is_some_and(|s| s > 0),
            ),
            (
                "SourceAccessConfigurations",
                is_some_list($input.source_access_configurations.as_ref()),
            ),
            (
                "AmazonManagedKafkaEventSourceConfig",
                $input.amazon_managed_kafka_event_source_config.is_some(),
            ),
            (
                "SelfManagedKafkaEventSourceConfig",
                $input.self_managed_kafka_event_source_config.is_some(),
            ),
            (
                "DocumentDBEventSourceConfig",
                $input.document_db_event_source_config.is_some(),
            ),
            ("LoggingConfig", $input.logging_config.is_some()),
        ];
        Asked {
            batch_size: $input.batch_size,
            window_s: $input.maximum_batching_window_in_seconds,
            filters: $input.filter_criteria,
            response_types: $input.function_response_types,
            scaling: $input.scaling_config,
            provisioned: $input.provisioned_poller_config,
            metrics: $input.metrics_config,
            kms_key: $input.kms_key_arn,
            foreign: foreign
                .into_iter()
                .find(|(_, given)| *given)
                .map(|(name, _)| name),
        }
    }};
}

impl From<CreateEventSourceMappingRequest> for Asked {
    fn from(input: CreateEventSourceMappingRequest) -> Self {
        let of_streams = [
            ("StartingPosition", input.starting_position.is_some()),
            (
                "StartingPositionTimestamp",
                input.starting_position_timestamp.is_some(),
            ),
            ("Topics", is_some_list(input.topics.as_ref())),
            ("Queues", is_some_list(input.queues.as_ref())),
        ];
        let of_streams = of_streams.into_iter().find(|(_, given)| *given);
        let asked = asked!(input);
        Self {
            foreign: asked.foreign.or(of_streams.map(|(name, _)| name)),
            ..asked
        }
    }
}

impl From<UpdateEventSourceMappingRequest> for Asked {
    fn from(input: UpdateEventSourceMappingRequest) -> Self {
        asked!(input)
    }
}

fn has_destination(config: Option<&DestinationConfig>) -> bool {
    config.is_some_and(|config| {
        let failure = config
            .on_failure
            .as_ref()
            .and_then(|it| it.destination.as_ref());
        let success = config
            .on_success
            .as_ref()
            .and_then(|it| it.destination.as_ref());
        failure.or(success).is_some()
    })
}

fn is_some_list<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// The queue that an event source is; Lambda's other sources are refused by name.
pub fn source(arn: Option<&str>, has_kafka_servers: bool) -> Result<QueueKey> {
    let unrecognized = || Error::invalid("Unrecognized event source.");
    if has_kafka_servers {
        return Err(unsupported("kafka"));
    }
    let arn: Arn = arn
        .ok_or_else(unrecognized)?
        .parse()
        .map_err(|_| unrecognized())?;
    match arn.service.as_str() {
        "sqs" => QueueKey::try_from(&arn).map_err(|_| unrecognized()),
        other @ ("kinesis" | "dynamodb" | "kafka" | "mq" | "rds") => Err(unsupported(other)),
        _ => Err(unrecognized()),
    }
}

fn unsupported(service: &str) -> Error {
    Error::Unsupported {
        what: match service {
            "kinesis" => "An event source mapping of a Kinesis stream",
            "dynamodb" => "An event source mapping of a DynamoDB stream",
            "kafka" => "An event source mapping of Apache Kafka",
            "mq" => "An event source mapping of Amazon MQ",
            _ => "An event source mapping of DocumentDB",
        },
    }
}

impl Asked {
    /// What has nothing to do with a queue, whatever else there is.
    pub fn check_foreign(&self) -> Result<()> {
        match self.foreign {
            Some(name) => Err(Error::Invalid(format!(
                "Unsupported {name} parameter for given event source mapping type."
            ))),
            None => Ok(()),
        }
    }

    /// The settings as they will be: what is not asked for stays as before, or is as Lambda has it.
    pub fn settings(self, is_fifo: bool, before: Option<&Settings>) -> Result<Settings> {
        if self.kms_key.is_some_and(|key| !key.is_empty()) {
            return Err(Error::Unsupported { what: "KMSKeyArn" });
        }
        let before_or = |held: fn(&Settings) -> u32, default| before.map_or(default, held);
        let batch_size = unsigned(self.batch_size);
        let settings = Settings {
            batch_size: batch_size.unwrap_or_else(|| before_or(|it| it.batch_size, 10)),
            window_s: unsigned(self.window_s).unwrap_or_else(|| before_or(|it| it.window_s, 0)),
            filters: match self.filters {
                Some(asked) => filters(asked)?,
                None => before.and_then(|before| before.filters.clone()),
            },
            reports_item_failures: match self.response_types {
                Some(types) => !types.is_empty(),
                None => before.is_some_and(|before| before.reports_item_failures),
            },
            // An empty one takes it away.
            maximum_concurrency: match self.scaling {
                Some(scaling) => unsigned(scaling.maximum_concurrency),
                None => before.and_then(|before| before.maximum_concurrency),
            },
            provisioned: match self.provisioned {
                Some(asked) => provisioned(&asked)?,
                None => before.and_then(|before| before.provisioned),
            },
            metrics: match self.metrics {
                Some(asked) => metrics(asked)?,
                None => before.and_then(|before| before.metrics.clone()),
            },
        };
        check_together(&settings, is_fifo)?;
        Ok(settings)
    }
}

/// The ranges of each member alone are the model's.
fn check_together(settings: &Settings, is_fifo: bool) -> Result<()> {
    if is_fifo && settings.window_s > 0 {
        return Err(Error::invalid(
            "Batching window is not supported for FIFO queues",
        ));
    }
    if is_fifo && settings.batch_size > limits::FIFO_BATCH_MAX {
        return Err(Error::Invalid(format!(
            "Batch size must be less than or equal to {} for FIFO queues",
            limits::FIFO_BATCH_MAX
        )));
    }
    if settings.batch_size > limits::WINDOWLESS_BATCH_MAX && settings.window_s == 0 {
        return Err(Error::invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is \
             greater than 10",
        ));
    }
    if settings.maximum_concurrency.is_some() && settings.provisioned.is_some() {
        return Err(Error::invalid(
            "ProvisionedPollerConfig and ScalingConfig cannot be used together.",
        ));
    }
    Ok(())
}

fn filters(asked: FilterCriteria) -> Result<Option<Vec<String>>> {
    let filters = asked.filters.unwrap_or_default();
    if filters.len() > limits::FILTERS_MAX {
        return Err(Error::Invalid(format!(
            "The number of filters exceeds the limit of {}.",
            limits::FILTERS_MAX
        )));
    }
    let invalid = || Error::invalid("Invalid filter pattern definition.");
    let patterns: Option<Vec<String>> = filters.into_iter().map(|filter| filter.pattern).collect();
    let patterns = patterns.ok_or_else(invalid)?;
    Criteria::compile(patterns.iter().map(String::as_str)).map_err(|_| invalid())?;
    Ok(Some(patterns).filter(|patterns| !patterns.is_empty()))
}

fn provisioned(asked: &ProvisionedPollerConfig) -> Result<Option<Provisioned>> {
    if asked.poller_group_name.is_some() {
        return Err(Error::invalid(
            "Unsupported PollerGroupName parameter for given event source mapping type.",
        ));
    }
    if asked.minimum_pollers.is_none() && asked.maximum_pollers.is_none() {
        return Ok(None);
    }
    let maximum = unsigned(asked.maximum_pollers);
    let minimum = unsigned(asked.minimum_pollers).unwrap_or(limits::POLLERS_MIN);
    let pollers = Provisioned {
        minimum,
        maximum: maximum.unwrap_or(limits::POLLERS_DEFAULT_MAX.max(minimum)),
    };
    let fits = |number, most| (limits::POLLERS_MIN..=most).contains(&number);
    if !fits(pollers.minimum, limits::POLLERS_MINIMUM_MAX)
        || !fits(pollers.maximum, limits::POLLERS_MAXIMUM_MAX)
        || pollers.minimum > pollers.maximum
    {
        return Err(Error::Invalid(format!(
            "For SQS event source mappings, MinimumPollers must be between {} and {}, and \
             MaximumPollers between {} and {} and not less than MinimumPollers.",
            limits::POLLERS_MIN,
            limits::POLLERS_MINIMUM_MAX,
            limits::POLLERS_MIN,
            limits::POLLERS_MAXIMUM_MAX,
        )));
    }
    Ok(Some(pollers))
}

fn metrics(asked: EventSourceMappingMetricsConfig) -> Result<Option<Vec<String>>> {
    let metrics = asked.metrics.unwrap_or_default();
    // The others are Kafka's.
    if metrics.iter().any(|metric| metric != "EventCount") {
        return Err(Error::invalid(
            "Unsupported MetricsConfig parameter for given event source mapping type.",
        ));
    }
    Ok(Some(metrics).filter(|metrics| !metrics.is_empty()))
}

/// The model has refused what is below zero.
fn unsigned(asked: Option<i32>) -> Option<u32> {
    asked.and_then(|asked| u32::try_from(asked).ok())
}
