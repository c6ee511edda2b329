//! A rule's targets: what they may be, putting, listing and removing them.

use wire::{Context, arn::Arn, event_bridge as api};

use super::{
    Buses,
    error::{Error, Result},
    held::Target,
    limits,
    names::SERVICE,
    paging::page,
    tables::{HttpRecord, InputRecord, RetryRecord, TargetRecord},
};

impl Buses {
    pub(super) async fn put_targets_of(
        &self,
        cx: &Context,
        input: api::PutTargetsRequest,
    ) -> Result<api::PutTargetsResponse> {
        let given = input.targets.into_iter();
        let given: Vec<TargetRecord> = given.map(|it| self.read(it)).collect::<Result<_>>()?;
        let bus = input.event_bus_name.as_deref();
        self.change_rule(cx, &input.rule, bus, |record| {
            for target in given {
                match record.targets.iter_mut().find(|held| held.id == target.id) {
                    Some(held) => *held = target,
                    None => record.targets.push(target),
                }
            }
            match record.targets.len() > limits::TARGETS_MAX {
                true => Err(Error::OverLimit),
                false => Ok(()),
            }
        })
        .await?;
        Ok(api::PutTargetsResponse {
            failed_entry_count: Some(0),
            failed_entries: Some(Vec::new()),
        })
    }

    pub(super) async fn remove_targets_of(
        &self,
        cx: &Context,
        input: api::RemoveTargetsRequest,
    ) -> Result<api::RemoveTargetsResponse> {
        let bus = input.event_bus_name.as_deref();
        let mut failed = Vec::new();
        self.change_rule(cx, &input.rule, bus, |record| {
            for id in input.ids {
                let before = record.targets.len();
                record.targets.retain(|held| held.id != id);
                if record.targets.len() == before {
                    failed.push(api::RemoveTargetsResultEntry {
                        error_code: Some("ResourceNotFoundException".to_owned()),
                        error_message: Some(format!(
                            "Rule {} does not have a target with the Id {id}.",
                            record.name
                        )),
                        target_id: Some(id),
                    });
                }
            }
            Ok(())
        })
        .await?;
        Ok(api::RemoveTargetsResponse {
            failed_entry_count: i32::try_from(failed.len()).ok(),
            failed_entries: Some(failed),
        })
    }

    pub(super) fn list_targets_of(
        &self,
        cx: &Context,
        input: &api::ListTargetsByRuleRequest,
    ) -> Result<api::ListTargetsByRuleResponse> {
        let key = self.key(cx, input.event_bus_name.as_deref())?;
        let bus = self.bus_of_rule(&key, &input.rule)?;
        let mut targets: Vec<&TargetRecord> =
            bus.rule(&input.rule)?.record.targets.iter().collect();
        targets.sort_by(|one, other| one.id.cmp(&other.id));
        let (listed, next_token) = page(
            targets.into_iter(),
            |target| target.id.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        Ok(api::ListTargetsByRuleResponse {
            targets: Some(listed.into_iter().map(shown).collect()),
            next_token,
        })
    }

    /// A target as it is stored, if it can be one.
    fn read(&self, given: api::Target) -> Result<TargetRecord> {
        refuse_what_is_not_there(&given)?;
        let inputs = [
            given.input.is_some(),
            given.input_path.is_some(),
            given.input_transformer.is_some(),
        ];
        if inputs.into_iter().filter(|is_given| *is_given).count() > 1 {
            return Err(Error::invalid(format!(
                "Only one of Input, InputPath, or InputTransformer must be provided for target {}.",
                given.id
            )));
        }
        let input = match (given.input, given.input_path, given.input_transformer) {
            (Some(text), ..) => constant(text)?,
            (_, Some(path), _) => InputRecord::Path(path),
            (.., Some(transformer)) => InputRecord::Template {
                paths: transformer
                    .input_paths_map
                    .map(|map| map.into_iter().collect()),
                template: transformer.input_template,
            },
            (None, None, None) => InputRecord::Event,
        };
        let target = TargetRecord {
            id: given.id,
            arn: given.arn,
            role: given.role_arn,
            input,
            message_group: given.sqs_parameters.and_then(|it| it.message_group_id),
            http: given.http_parameters.map(|it| HttpRecord {
                path: it.path_parameter_values,
                headers: it.header_parameters.map(|map| map.into_iter().collect()),
                query: it
                    .query_string_parameters
                    .map(|map| map.into_iter().collect()),
            }),
            dead_letter: given.dead_letter_config.and_then(|it| it.arn),
            retry: given.retry_policy.map(|it| RetryRecord {
                attempts: it.maximum_retry_attempts,
                age_s: it.maximum_event_age_in_seconds,
            }),
        };
        self.check_arn(&target)?;
        Ok(Target::new(target)?.record)
    }

    fn check_arn(&self, target: &TargetRecord) -> Result<()> {
        let id = &target.id;
        let arn: Arn = target
            .arn
            .parse()
            .map_err(|_| Error::parameter(&target.arn, "Provided Arn is not in correct format."))?;
        if arn.service == "sqs" && arn.resource.ends_with(".fifo") && target.message_group.is_none()
        {
            return Err(Error::invalid(format!(
                "Parameter(s) SqsParameters must be specified for target: {id}."
            )));
        }
        let is_destination = arn.service == SERVICE && arn.resource.starts_with("api-destination/");
        if arn.service == SERVICE && !is_destination && !arn.resource.starts_with("event-bus/") {
            return Err(Error::parameter(
                &target.arn,
                "It is neither a bus nor an API destination.",
            ));
        }
        if target.http.is_some() && !is_destination {
            return Err(Error::invalid(format!(
                "HttpParameters are not supported for target: {id}."
            )));
        }
        if !self.0.deliveries.takes(&target.arn) {
            let service = &arn.service;
            return Err(Error::Unsupported(format!(
                "A target of the service {service}"
            )));
        }
        if let Some(letter) = &target.dead_letter {
            let queue: Option<Arn> = letter.parse().ok();
            if queue.is_none_or(|queue| queue.service != "sqs" || queue.resource.ends_with(".fifo"))
            {
                return Err(Error::parameter(
                    "DeadLetterConfig.Arn",
                    "It must be the ARN of a standard queue.",
                ));
            }
        }
        Ok(())
    }
}

fn constant(text: String) -> Result<InputRecord> {
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(InputRecord::Constant(text)),
        Err(_) => Err(Error::parameter("Input", "JSON syntax error in Input.")),
    }
}

/// Parameters of targets that this platform has not got.
fn refuse_what_is_not_there(target: &api::Target) -> Result<()> {
    let given = [
        ("KinesisParameters", target.kinesis_parameters.is_some()),
        (
            "RunCommandParameters",
            target.run_command_parameters.is_some(),
        ),
        ("EcsParameters", target.ecs_parameters.is_some()),
        ("BatchParameters", target.batch_parameters.is_some()),
        (
            "RedshiftDataParameters",
            target.redshift_data_parameters.is_some(),
        ),
        (
            "SageMakerPipelineParameters",
            target.sage_maker_pipeline_parameters.is_some(),
        ),
        ("AppSyncParameters", target.app_sync_parameters.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(Error::Unsupported(format!("A target with {name}"))),
        None => Ok(()),
    }
}

fn shown(target: &TargetRecord) -> api::Target {
    let (mut input, mut input_path, mut input_transformer) = (None, None, None);
    match target.input.clone() {
        InputRecord::Event => {}
        InputRecord::Constant(text) => input = Some(text),
        InputRecord::Path(path) => input_path = Some(path),
        InputRecord::Template { paths, template } => {
            input_transformer = Some(api::InputTransformer {
                input_paths_map: paths.map(|paths| paths.into_iter().collect()),
                input_template: template,
            });
        }
    }
    api::Target {
        id: target.id.clone(),
        arn: target.arn.clone(),
        role_arn: target.role.clone(),
        input,
        input_path,
        input_transformer,
        sqs_parameters: target
            .message_group
            .clone()
            .map(|group| api::SqsParameters {
                message_group_id: Some(group),
            }),
        http_parameters: target.http.clone().map(|http| api::HttpParameters {
            path_parameter_values: http.path,
            header_parameters: http.headers.map(|all| all.into_iter().collect()),
            query_string_parameters: http.query.map(|all| all.into_iter().collect()),
        }),
        dead_letter_config: target.dead_letter.clone().map(super::bus::shown_letter),
        retry_policy: target.retry.map(|retry| api::RetryPolicy {
            maximum_retry_attempts: retry.attempts,
            maximum_event_age_in_seconds: retry.age_s,
        }),
        ..Default::default()
    }
}
