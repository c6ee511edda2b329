//! Notification configurations: what may be asked for, whether who is to be told can be, and S3's test
//! event.

use wire::{
    Context,
    s3::{
        EventBridgeConfiguration, FilterRule, GetBucketNotificationConfigurationRequest,
        LambdaFunctionConfiguration, NotificationConfiguration, NotificationConfigurationFilter,
        PutBucketNotificationConfigurationRequest, QueueConfiguration, S3KeyFilter,
        TopicConfiguration,
    },
};

use super::listing::some;
use crate::{
    buckets::{
        Buckets,
        error::{Code, Error, Result},
        notify::{Notification, Subscription, is_name, test_event},
        registry::Bucket,
    },
    deliveries::{Delivery, Sender},
};

/// A kind of destination: how S3 names it in errors, and the service of its ARNs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    service: &'static str,
    missing: &'static str,
    forbidden: &'static str,
}

const QUEUE: Kind = Kind {
    name: "Queue",
    service: "sqs",
    missing: "The destination queue does not exist",
    forbidden: "Permissions on the destination queue do not allow S3 to publish notifications from \
                this bucket",
};
const TOPIC: Kind = Kind {
    name: "Topic",
    service: "sns",
    missing: "The destination topic does not exist",
    forbidden: "Permissions on the destination topic do not allow S3 to publish notifications from \
                this bucket",
};
const FUNCTION: Kind = Kind {
    name: "CloudFunction",
    service: "lambda",
    missing: "The destination Lambda does not exist",
    forbidden: "Not authorized to invoke function",
};

const NAMES: [(&str, &str); 5] = [
    ("ArgumentName1", "ArgumentValue1"),
    ("ArgumentName2", "ArgumentValue2"),
    ("ArgumentName3", "ArgumentValue3"),
    ("ArgumentName4", "ArgumentValue4"),
    ("ArgumentName5", "ArgumentValue5"),
];

impl Buckets {
    pub(super) async fn put_notification(
        &self,
        cx: &Context,
        input: PutBucketNotificationConfigurationRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketNotification", None)?;
        let asked = asked(input.notification_configuration)?;
        let to = asked.to;
        for (at, one) in to.iter().enumerate() {
            if to[..at].iter().any(|other| other.0.overlaps(&one.0)) {
                return Err(Error::new(
                    Code::InvalidArgument,
                    "Configurations overlap. Configurations on the same bucket cannot share a \
                     common event type.",
                ));
            }
        }
        if asked.to_event_bridge && !self.deliveries().takes("arn:aws:events:::x") {
            return Err(Error::not_built("Notification of EventBridge"));
        }
        if input.skip_destination_validation != Some(true) {
            self.validate(cx, &bucket, &to).await?;
        }
        let notification = Notification {
            to: to
                .into_iter()
                .map(|(subscription, _)| subscription)
                .collect(),
            to_event_bridge: asked.to_event_bridge,
        };
        self.set(&bucket, move |record| record.notification = notification)
            .await
    }

    /// Whether each destination is there and takes what this bucket tells; queues and topics get a test
    /// event.
    async fn validate(
        &self,
        cx: &Context,
        bucket: &Bucket,
        to: &[(Subscription, Kind)],
    ) -> Result<()> {
        let mut refused = Vec::new();
        let mut tests = Vec::new();
        for (subscription, kind) in to {
            let from = Sender {
                principal: "s3.amazonaws.com".to_owned(),
                source_arn: bucket.arn(),
                account_id: bucket.record.account_id.clone(),
                region: bucket.record.region.clone(),
            };
            let body = test_event(bucket, &cx.request_id, cx.now);
            let test = Delivery::new(from, subscription.arn.clone(), body);
            if !self.deliveries().takes(&subscription.arn) {
                let what = format!("Notification of a {}", kind.name.to_lowercase());
                return Err(Error::not_built(&what));
            }
            match self.deliveries().check(&test).await {
                Ok(()) if *kind != FUNCTION => tests.push(test),
                Ok(()) => {}
                Err(failure) if failure.code.contains("PERMISSION") => {
                    refused.push((subscription.arn.clone(), kind.forbidden));
                }
                Err(_) => refused.push((subscription.arn.clone(), kind.missing)),
            }
        }
        if !refused.is_empty() {
            let message = "Unable to validate the following destination configurations";
            let error = Error::new(Code::InvalidArgument, message);
            let told = NAMES.into_iter().zip(refused);
            return Err(told.fold(error, |error, ((name, value), (arn, why))| {
                error.with(name, arn).with(value, why)
            }));
        }
        let sent = self.deliveries().send(tests).await;
        sent.map_err(|error| Error::platform("test events of a bucket", &error))
    }

    pub(super) async fn get_notification(
        &self,
        cx: &Context,
        input: GetBucketNotificationConfigurationRequest,
    ) -> Result<NotificationConfiguration> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketNotification", None)?;
        let notification = &bucket.record.notification;
        let of = |kind: Kind| {
            let all = notification.to.iter();
            all.filter(move |to| service_of(&to.arn) == Some(kind.service))
        };
        let queues = of(QUEUE).map(|to| QueueConfiguration {
            id: Some(to.id.clone()),
            queue_arn: to.arn.clone(),
            events: to.events.clone(),
            filter: filter_shape(to),
        });
        let topics = of(TOPIC).map(|to| TopicConfiguration {
            id: Some(to.id.clone()),
            topic_arn: to.arn.clone(),
            events: to.events.clone(),
            filter: filter_shape(to),
        });
        let functions = of(FUNCTION).map(|to| LambdaFunctionConfiguration {
            id: Some(to.id.clone()),
            lambda_function_arn: to.arn.clone(),
            events: to.events.clone(),
            filter: filter_shape(to),
        });
        Ok(NotificationConfiguration {
            topic_configurations: some(topics.collect()),
            queue_configurations: some(queues.collect()),
            lambda_function_configurations: some(functions.collect()),
            event_bridge_configuration: notification
                .to_event_bridge
                .then_some(EventBridgeConfiguration {}),
        })
    }
}

struct Asked {
    to: Vec<(Subscription, Kind)>,
    to_event_bridge: bool,
}

fn asked(given: NotificationConfiguration) -> Result<Asked> {
    let mut to = Vec::new();
    for one in given.queue_configurations.into_iter().flatten() {
        to.push(subscription(
            one.id,
            one.queue_arn,
            one.events,
            one.filter,
            QUEUE,
        )?);
    }
    for one in given.topic_configurations.into_iter().flatten() {
        to.push(subscription(
            one.id,
            one.topic_arn,
            one.events,
            one.filter,
            TOPIC,
        )?);
    }
    for one in given.lambda_function_configurations.into_iter().flatten() {
        let arn = one.lambda_function_arn;
        to.push(subscription(one.id, arn, one.events, one.filter, FUNCTION)?);
    }
    Ok(Asked {
        to,
        to_event_bridge: given.event_bridge_configuration.is_some(),
    })
}

fn service_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(2)
}

fn subscription(
    id: Option<String>,
    arn: String,
    events: Vec<String>,
    filter: Option<NotificationConfigurationFilter>,
    kind: Kind,
) -> Result<(Subscription, Kind)> {
    let is_arn = arn.parse::<wire::arn::Arn>().is_ok() && service_of(&arn) == Some(kind.service);
    if !is_arn {
        let message = "The ARN could not be parsed";
        return Err(Error::argument(message, kind.name, arn));
    }
    if events.is_empty() {
        return Err(Error::malformed_xml());
    }
    if let Some(event) = events.iter().find(|event| !is_name(event)) {
        let message = "The event is not supported for notifications";
        return Err(Error::argument(message, "Event", event));
    }
    if arn.ends_with(".fifo") {
        let message = "Unable to validate the following destination configurations";
        return Err(Error::new(Code::InvalidArgument, message)
            .with("ArgumentName1", &arn)
            .with("ArgumentValue1", "FIFO destinations are not supported"));
    }
    let (mut prefix, mut suffix) = (None, None);
    let rules = filter.and_then(|filter| filter.key);
    let rules = rules.and_then(|key| key.filter_rules).unwrap_or_default();
    for rule in rules {
        let (Some(name), Some(value)) = (rule.name, rule.value) else {
            return Err(Error::malformed_xml());
        };
        let slot = match name.to_ascii_lowercase().as_str() {
            "prefix" => &mut prefix,
            "suffix" => &mut suffix,
            _ => {
                let message = "filter rule name must be either prefix or suffix";
                return Err(Error::argument(message, "FilterRule.Name", name));
            }
        };
        if slot.replace(value).is_some() {
            let message = "Cannot specify more than one prefix rule in a filter.";
            return Err(Error::argument(message, "FilterRule.Name", name));
        }
    }
    let subscription = Subscription {
        id: id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        arn,
        events,
        prefix,
        suffix,
    };
    Ok((subscription, kind))
}

fn filter_shape(to: &Subscription) -> Option<NotificationConfigurationFilter> {
    let rule = |name: &str, value: &Option<String>| {
        let value = value.clone()?;
        Some(FilterRule {
            name: Some(name.to_owned()),
            value: Some(value),
        })
    };
    let rules = [rule("Prefix", &to.prefix), rule("Suffix", &to.suffix)];
    let rules: Vec<FilterRule> = rules.into_iter().flatten().collect();
    Some(NotificationConfigurationFilter {
        key: Some(S3KeyFilter {
            filter_rules: Some(some(rules)?),
        }),
    })
}
