//! A function as Lambda shows it.

use wire::{
    Map,
    lambda::{
        DeadLetterConfig, EnvironmentResponse, EphemeralStorage, FunctionConfiguration,
        ImageConfigResponse, LoggingConfig, RuntimeVersionConfig, SnapStartResponse, TracingConfig,
        TracingConfigResponse, VpcConfigResponse, function_arn,
    },
    time::lambda_last_modified,
};

use super::{
    Functions, durable,
    error::{Error, Result},
    layers::LayerUse,
    requested,
    tables::{FunctionRecord, Reason, Spec},
};

impl Functions {
    /// All that Lambda tells of a version, under the name it was asked by.
    pub(super) fn shown(
        &self,
        record: &FunctionRecord,
        qualifier: Option<&str>,
        version: &str,
    ) -> Result<FunctionConfiguration> {
        let update = record.last_update.as_ref();
        let update_reason = update.and_then(|update| update.reason.as_ref());
        let state_reason = record.state_reason.as_ref();
        Ok(FunctionConfiguration {
            state: Some(record.state.as_str().to_owned()),
            state_reason: state_reason.map(text),
            state_reason_code: state_reason.map(code),
            last_update_status: update.map(|update| update.status.as_str().to_owned()),
            last_update_status_reason: update_reason.map(text),
            last_update_status_reason_code: update_reason.map(code),
            runtime_version_config: self.runtime_version(record, &record.spec).map(|version| {
                RuntimeVersionConfig {
                    runtime_version_arn: Some(version),
                    error: None,
                }
            }),
            ..self.listed(record, qualifier, version)?
        })
    }

    /// What lists tell of a version: nothing of its state.
    pub(super) fn listed(
        &self,
        record: &FunctionRecord,
        qualifier: Option<&str>,
        version: &str,
    ) -> Result<FunctionConfiguration> {
        let spec = &record.spec;
        let (variables, image) = (self.environment(record, spec)?, spec.image.as_ref());
        Ok(FunctionConfiguration {
            function_name: Some(record.name.clone()),
            function_arn: Some(function_arn(
                &record.region,
                &record.account_id,
                &record.name,
                qualifier,
            )),
            runtime: Some(spec.runtime.clone()).filter(|_| image.is_none()),
            role: Some(record.role.clone()),
            handler: Some(spec.handler.clone()).filter(|_| image.is_none()),
            code_size: i64::try_from(spec.code.size).ok(),
            description: Some(record.description.clone()),
            timeout: signed(spec.timeout_s),
            memory_size: signed(spec.memory_mb),
            last_modified: Some(lambda_last_modified(record.last_modified)),
            code_sha256: Some(spec.code_sha256()),
            version: Some(version.to_owned()),
            vpc_config: record.vpc_shown.then(|| VpcConfigResponse {
                subnet_ids: Some(Vec::new()),
                security_group_ids: Some(Vec::new()),
                vpc_id: Some(String::new()),
                ipv6_allowed_for_dual_stack: Some(false),
            }),
            environment: variables.map(|variables| EnvironmentResponse {
                variables: Some(variables),
                error: None,
            }),
            tracing_config: Some(TracingConfigResponse {
                mode: Some(tracing_mode(spec).to_owned()),
            }),
            revision_id: Some(record.revision_id.clone()),
            layers: Some(spec.layers.iter().map(LayerUse::shown).collect::<Vec<_>>())
                .filter(|layers| !layers.is_empty()),
            package_type: Some(if image.is_some() { "Image" } else { "Zip" }.to_owned()),
            image_config_response: image.and_then(|image| image.overrides.as_ref()).map(|own| {
                ImageConfigResponse {
                    image_config: Some(own.shown()),
                    error: None,
                }
            }),
            architectures: Some(vec![spec.architecture.clone()]),
            dead_letter_config: spec.dead_letter.clone().map(|target_arn| DeadLetterConfig {
                target_arn: Some(target_arn),
            }),
            ephemeral_storage: Some(EphemeralStorage {
                size: signed(spec.tmp_mb).unwrap_or_default(),
            }),
            snap_start: Some(SnapStartResponse {
                apply_on: Some(apply_on(spec).to_owned()),
                optimization_status: Some(
                    self.optimization_status(record.key(), spec, version)
                        .to_owned(),
                ),
            }),
            logging_config: Some(LoggingConfig {
                log_format: Some(spec.logging.format.clone()),
                application_log_level: spec.logging.application_level.clone(),
                system_log_level: spec.logging.system_level.clone(),
                log_group: Some(spec.logging.group.clone()),
            }),
            durable_config: spec.durable.map(durable::shown),
            ..FunctionConfiguration::default()
        })
    }

    /// The variables of a spec, opened.
    pub(super) fn environment(
        &self,
        record: &FunctionRecord,
        spec: &Spec,
    ) -> Result<Option<Map<String>>> {
        let Some(sealed) = &spec.environment else {
            return Ok(None);
        };
        let opened = self.0.secrets.open_sealed(&record.arn(), sealed);
        let json = opened.map_err(Error::platform)?;
        serde_json::from_slice(&json).map_err(Error::platform)
    }

    /// Variables as they are stored.
    pub(super) fn sealed(
        &self,
        arn: &str,
        variables: Option<&Map<String>>,
    ) -> Result<Option<String>> {
        let Some(variables) = variables else {
            return Ok(None);
        };
        let json = requested::environment(variables)?;
        let sealed = self.0.secrets.seal(arn, json.as_bytes());
        Ok(Some(sealed.map_err(Error::platform)?))
    }
}

pub(super) fn is_active(asked: Option<&TracingConfig>) -> bool {
    asked.and_then(|asked| asked.mode.as_deref()) == Some("Active")
}

fn apply_on(spec: &Spec) -> &'static str {
    match spec.snap_start {
        true => "PublishedVersions",
        false => "None",
    }
}

fn tracing_mode(spec: &Spec) -> &'static str {
    if spec.tracing_active {
        "Active"
    } else {
        "PassThrough"
    }
}

fn signed(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

fn text(reason: &Reason) -> String {
    reason.text.clone()
}

fn code(reason: &Reason) -> String {
    reason.code.clone()
}
