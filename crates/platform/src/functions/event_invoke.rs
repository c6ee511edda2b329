//! How a function takes events that nobody waits for: what its FunctionEventInvokeConfigs say, by
//! version or alias, and what follows from them and from the function for one event.
//!
//! Whether a destination that is not a function is there, the caller knows: functions know no
//! other service.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use wire::{
    Context,
    arn::Arn,
    lambda::{
        self as api, DestinationConfig, FunctionEventInvokeConfig, FunctionName, OnFailure,
        OnSuccess,
    },
};

use super::{
    Functions, arn_of,
    error::{Error, Result},
    execution::FunctionKey,
    key_of,
    list::page_size,
    qualifier::{LATEST, configured, named},
    tables::EventInvoke,
};

/// Lambda's own where nothing else was asked for.
const RETRIES_DEFAULT: u32 = 2;
const AGE_DEFAULT_S: u32 = 21_600;

/// What holds for a function's events now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTerms {
    /// Which function of this name it is: a newer one has a higher number.
    pub born: i64,
    /// The function with the qualifier of the event, `$LATEST` if it has none.
    pub arn: String,
    pub retries_max: u32,
    pub age_max_s: u32,
    pub on_success: Option<String>,
    pub on_failure: Option<String>,
    pub dead_letter: Option<String>,
    /// Its reserved concurrency is 0: it does not run, and its events do not wait.
    pub is_off: bool,
    pub timeout_s: u32,
}

/// The members of the requests that put and update.
#[derive(Debug, Clone, Default)]
pub struct AskedEventInvoke {
    pub retries_max: Option<i32>,
    pub age_max_s: Option<i32>,
    pub destinations: Option<DestinationConfig>,
}

impl Functions {
    /// None where there is no such function, version or alias.
    pub fn event_terms(&self, key: &FunctionKey, qualifier: Option<&str>) -> Option<EventTerms> {
        let entry = self.0.definitions.get(key)?;
        let qualifier = qualifier.unwrap_or(LATEST);
        let configured = configured(&entry, Some(qualifier))?;
        let spec = configured.spec();
        let record = &entry.record;
        let config = record.event_invoke.get(qualifier);
        Some(EventTerms {
            born: record.born,
            arn: arn_of(key, Some(qualifier)),
            retries_max: config
                .and_then(|config| config.retries_max)
                .unwrap_or(RETRIES_DEFAULT),
            age_max_s: config
                .and_then(|config| config.age_max_s)
                .unwrap_or(AGE_DEFAULT_S),
            on_success: config.and_then(|config| config.on_success.clone()),
            on_failure: config.and_then(|config| config.on_failure.clone()),
            dead_letter: spec.dead_letter.clone(),
            is_off: record.reserved_concurrency == Some(0),
            timeout_s: spec.timeout_s,
        })
    }

    /// The log group that what it says goes to; none where there is no such function.
    pub fn log_group(&self, key: &FunctionKey, qualifier: Option<&str>) -> Option<String> {
        let entry = self.0.definitions.get(key)?;
        let configured = configured(&entry, Some(qualifier.unwrap_or(LATEST)))?;
        Some(configured.spec().logging.group.clone())
    }

    /// Which function of this name there is, if there is one.
    pub fn born(&self, key: &FunctionKey) -> Option<i64> {
        Some(self.0.definitions.get(key)?.record.born)
    }

    /// PutFunctionEventInvokeConfig, and with `keep` UpdateFunctionEventInvokeConfig, which leaves
    /// as it is what is not named. `check` says of destinations that are no functions whether they
    /// can be.
    pub async fn put_event_invoke(
        &self,
        cx: &Context,
        name: &FunctionName,
        asked: AskedEventInvoke,
        keep: bool,
        check: impl Fn(&Arn) -> Result<()> + Send,
    ) -> Result<FunctionEventInvokeConfig> {
        let AskedEventInvoke {
            retries_max,
            age_max_s,
            destinations,
        } = asked;
        if retries_max.is_none() && age_max_s.is_none() && destinations.is_none() {
            return Err(Error::invalid(
                "You must specify at least one of error handling or destination setting.",
            ));
        }
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.as_deref().unwrap_or(LATEST);
        let entry = self.0.definitions.get(&key).ok_or_else(no_function)?;
        if named(&entry, Some(qualifier)).is_none() {
            return Err(no_function());
        }
        if let Some(config) = &destinations {
            self.check_destinations(&key, config, check)?;
        }
        let destinations = destinations.map(|config| (success(&config), failure(&config)));
        let (_, config) = self
            .change(&key, |record| {
                let before = record.event_invoke.get(qualifier);
                if keep && before.is_none() {
                    return Err(no_config(&key, qualifier));
                }
                let before = before.filter(|_| keep);
                let unsigned = |asked: Option<i32>| asked.and_then(|n| u32::try_from(n).ok());
                let held = before.map(|held| (held.on_success.clone(), held.on_failure.clone()));
                let (on_success, on_failure) = destinations.or(held).unwrap_or_default();
                let config = EventInvoke {
                    retries_max: unsigned(retries_max)
                        .or_else(|| before.and_then(|held| held.retries_max)),
                    age_max_s: unsigned(age_max_s)
                        .or_else(|| before.and_then(|held| held.age_max_s)),
                    on_success,
                    on_failure,
                    last_modified: cx.now,
                };
                record
                    .event_invoke
                    .insert(qualifier.to_owned(), config.clone());
                Ok(config)
            })
            .await
            .map_err(|error| match error {
                Error::FunctionNotFound { .. } => no_function(),
                other => other,
            })?;
        Ok(shown(&key, qualifier, &config))
    }

    pub fn get_event_invoke(
        &self,
        cx: &Context,
        name: &FunctionName,
    ) -> Result<FunctionEventInvokeConfig> {
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.as_deref().unwrap_or(LATEST);
        let entry = self.0.definitions.get(&key);
        let config = entry
            .as_ref()
            .and_then(|entry| entry.record.event_invoke.get(qualifier));
        let config = config.ok_or_else(|| no_config(&key, qualifier))?;
        Ok(shown(&key, qualifier, config))
    }

    pub async fn delete_event_invoke(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.as_deref().unwrap_or(LATEST);
        let deleted = self.change(&key, |record| {
            let removed = record.event_invoke.remove(qualifier);
            removed.map(drop).ok_or_else(|| no_config(&key, qualifier))
        });
        match deleted.await {
            Ok(_) => Ok(()),
            Err(Error::FunctionNotFound { .. }) => Err(no_config(&key, qualifier)),
            Err(other) => Err(other),
        }
    }

    /// All of a function's, by qualifier.
    pub fn list_event_invokes(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: &api::ListFunctionEventInvokeConfigsRequest,
    ) -> Result<api::ListFunctionEventInvokeConfigsResponse> {
        let key = key_of(cx, &name.name);
        let entry = self.0.definitions.get(&key).ok_or_else(no_function)?;
        let limit = page_size(input.max_items, LIST_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let mut behind = entry
            .record
            .event_invoke
            .iter()
            .filter(|(qualifier, _)| after.as_ref().is_none_or(|after| *qualifier > after));
        let page: Vec<_> = behind.by_ref().take(limit).collect();
        let more = behind.next().is_some();
        Ok(api::ListFunctionEventInvokeConfigsResponse {
            next_marker: page
                .last()
                .filter(|_| more)
                .map(|(qualifier, _)| BASE64_URL_SAFE_NO_PAD.encode(qualifier)),
            function_event_invoke_configs: Some(
                page.into_iter()
                    .map(|(qualifier, config)| shown(&key, qualifier, config))
                    .collect(),
            ),
        })
    }

    fn check_destinations(
        &self,
        own: &FunctionKey,
        config: &DestinationConfig,
        check: impl Fn(&Arn) -> Result<()>,
    ) -> Result<()> {
        for (text, is_success) in [(success(config), true), (failure(config), false)] {
            let Some(text) = text else { continue };
            let arn: Arn = match text.parse() {
                Ok(arn) => arn,
                Err(_) => return Err(no_such(config)),
            };
            match arn.service.as_str() {
                "lambda" => self.check_function(own, &text, &arn)?,
                "sqs" | "sns" | "events" => check(&arn)?,
                "s3" if !is_success => return Err(unsupported("An S3 bucket as a destination")),
                _ => return Err(no_such(config)),
            }
        }
        Ok(())
    }

    fn check_function(&self, own: &FunctionKey, text: &str, arn: &Arn) -> Result<()> {
        let invalid = || Error::Invalid(format!("The destination ARN {text} is invalid."));
        let (key, qualifier) = function_at(arn).ok_or_else(invalid)?;
        if key == *own {
            return Err(Error::invalid(
                "You can't specify the function as a destination for itself.",
            ));
        }
        let entry = self.0.definitions.get(&key).ok_or_else(invalid)?;
        let named = named(&entry, qualifier.as_deref());
        named.map(drop).ok_or_else(invalid)
    }
}

const LIST_DEFAULT: usize = 50;

/// The function that an ARN is of, and its qualifier.
pub fn function_at(arn: &Arn) -> Option<(FunctionKey, Option<String>)> {
    let (name, qualifier) = api::function_of(arn)?;
    let key = FunctionKey {
        account_id: arn.account_id.clone(),
        region: arn.region.clone(),
        name: name.to_owned(),
    };
    Some((key, qualifier.map(str::to_owned)))
}

fn read_marker(marker: &str) -> Result<String> {
    super::list::read_marker(marker)
}

fn unsupported(what: &'static str) -> Error {
    Error::Unsupported { what }
}

fn no_function() -> Error {
    Error::NotFound("The function doesn't exist.".to_owned())
}

fn no_config(key: &FunctionKey, qualifier: &str) -> Error {
    Error::NotFound(format!(
        "The function {} doesn't have an EventInvokeConfig",
        arn_of(key, Some(qualifier))
    ))
}

/// As Lambda writes the object that it does not take.
fn no_such(config: &DestinationConfig) -> Error {
    let written = |name: &str, destination: Option<String>| match destination {
        Some(arn) => format!("{name}(destination={arn})"),
        None => "null".to_owned(),
    };
    Error::Invalid(format!(
        "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
        written("OnSuccess", success(config)),
        written("OnFailure", failure(config)),
    ))
}

/// An empty ARN is none.
fn success(config: &DestinationConfig) -> Option<String> {
    let given = config.on_success.as_ref()?.destination.clone();
    given.filter(|arn| !arn.is_empty())
}

fn failure(config: &DestinationConfig) -> Option<String> {
    let given = config.on_failure.as_ref()?.destination.clone();
    given.filter(|arn| !arn.is_empty())
}

fn shown(key: &FunctionKey, qualifier: &str, config: &EventInvoke) -> FunctionEventInvokeConfig {
    let signed = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
    FunctionEventInvokeConfig {
        last_modified: Some(config.last_modified),
        function_arn: Some(arn_of(key, Some(qualifier))),
        maximum_retry_attempts: signed(config.retries_max),
        maximum_event_age_in_seconds: signed(config.age_max_s),
        destination_config: Some(DestinationConfig {
            on_success: Some(OnSuccess {
                destination: config.on_success.clone(),
            }),
            on_failure: Some(OnFailure {
                destination: config.on_failure.clone(),
            }),
        }),
    }
}
