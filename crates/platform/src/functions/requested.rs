//! What a request asks of a function, checked: the rules that creating and updating share.
//!
//! Pure but for the runtimes' table. What Lambda has and this platform has not is refused here.

use std::collections::BTreeMap;

use wire::{
    Map,
    arn::Arn,
    lambda::{
        CreateFunctionRequest, DeadLetterConfig, EphemeralStorage, FileSystemConfig, LoggingConfig,
        UpdateFunctionConfigurationRequest, VpcConfig,
    },
};

use super::{
    error::{Error, Result},
    limits, network,
    tables::Logging,
};

pub fn refuse_unsupported_create(input: &CreateFunctionRequest) -> Result<()> {
    let code = &input.code;
    let s3 = code.s3_bucket.is_some()
        || code.s3_key.is_some()
        || code.s3_object_version.is_some()
        || code.s3_object_storage_mode.is_some();
    refuse(&[
        (s3, "Code from S3 (S3Bucket, S3Key)"),
        (
            input.publish_to.is_some(),
            "Publishing to $LATEST.PUBLISHED (PublishTo)",
        ),
        (
            input.tenancy_config.is_some(),
            "Tenant isolation (TenancyConfig)",
        ),
        (
            input.code.source_kms_key_arn.is_some(),
            "A KMS key for code (SourceKMSKeyArn)",
        ),
        (
            input.capacity_provider_config.is_some(),
            "A capacity provider (CapacityProviderConfig)",
        ),
        (
            input.runtime_config.is_some(),
            "A managed runtime version (RuntimeConfig)",
        ),
        (
            input.accelerator_config.is_some(),
            "An accelerator (AcceleratorConfig)",
        ),
    ])?;
    refuse_unsupported(&Asked {
        vpc: input.vpc_config.as_ref(),
        kms_key: input.kms_key_arn.as_deref(),
        file_systems: input.file_system_configs.as_deref(),
    })
}

pub fn refuse_unsupported_update(input: &UpdateFunctionConfigurationRequest) -> Result<()> {
    refuse(&[
        (
            input.capacity_provider_config.is_some(),
            "A capacity provider (CapacityProviderConfig)",
        ),
        (
            input.runtime_config.is_some(),
            "A managed runtime version (RuntimeConfig)",
        ),
        (
            input.accelerator_config.is_some(),
            "An accelerator (AcceleratorConfig)",
        ),
    ])?;
    refuse_unsupported(&Asked {
        vpc: input.vpc_config.as_ref(),
        kms_key: input.kms_key_arn.as_deref(),
        file_systems: input.file_system_configs.as_deref(),
    })
}

/// What both requests may ask for and no function can have yet. Empty values ask for nothing.
struct Asked<'a> {
    vpc: Option<&'a VpcConfig>,
    kms_key: Option<&'a str>,
    file_systems: Option<&'a [FileSystemConfig]>,
}

fn refuse_unsupported(asked: &Asked<'_>) -> Result<()> {
    let given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let vpc = asked
        .vpc
        .is_some_and(|vpc| given(&vpc.subnet_ids) || given(&vpc.security_group_ids));
    refuse(&[
        (vpc, "A VPC (VpcConfig)"),
        (
            asked.kms_key.is_some_and(|arn| !arn.is_empty()),
            "A KMS key of one's own (KMSKeyArn)",
        ),
        (
            asked.file_systems.is_some_and(|all| !all.is_empty()),
            "A file system (FileSystemConfigs)",
        ),
    ])
}

/// The queue or topic for events that failed. One without an ARN is none.
pub fn dead_letter(asked: Option<&DeadLetterConfig>) -> Result<Option<String>> {
    let target = asked.and_then(|config| config.target_arn.as_deref());
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Ok(None);
    };
    let invalid = || Error::Invalid(format!("The target ARN {target} is invalid."));
    let arn: Arn = target.parse().map_err(|_| invalid())?;
    match arn.service.as_str() {
        "sns" | "sqs" if arn.resource.ends_with(".fifo") => Err(Error::invalid(
            "A dead-letter queue or topic of a function has to be a standard one.",
        )),
        "sns" | "sqs" if !arn.resource.is_empty() => Ok(Some(target.to_owned())),
        _ => Err(invalid()),
    }
}

fn refuse(asked: &[(bool, &'static str)]) -> Result<()> {
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Error::Unsupported { what }),
        None => Ok(()),
    }
}

/// A machine runs functions of its own kind only.
pub fn architecture(asked: Option<&[String]>) -> Result<String> {
    let own = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x86_64",
    };
    match asked.and_then(<[String]>::first) {
        Some(other) if other != own => Err(Error::Invalid(format!(
            "The architecture {other} is not supported by this platform yet: this machine runs \
             {own} functions only"
        ))),
        _ => Ok(own.to_owned()),
    }
}

pub fn timeout_s(asked: i32) -> Result<u32> {
    bounded("timeout", asked, limits::TIMEOUT_S_MAX)
}

pub fn memory_mb(asked: i32) -> Result<u32> {
    bounded("memorySize", asked, limits::MEMORY_MB_MAX)
}

pub fn tmp_mb(asked: &EphemeralStorage) -> Result<u32> {
    bounded("ephemeralStorage.size", asked.size, limits::TMP_MB_MAX)
}

/// The model's bounds are those of all that can be had anywhere; a function's own are narrower.
fn bounded(member: &str, asked: i32, max: i32) -> Result<u32> {
    if asked > max {
        return Err(Error::Constraint(format!(
            "1 validation error detected: Value '{asked}' at '{member}' failed to satisfy \
             constraint: Member must have value less than or equal to {max}"
        )));
    }
    Ok(u32::try_from(asked).unwrap_or_default())
}

/// What a function cannot set for itself.
const RESERVED_VARIABLES: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// The variables as JSON in the order in which they were given, as they are measured and sealed.
pub fn environment(variables: &Map<String>) -> Result<String> {
    let unable = "Lambda was unable to configure your environment variables because the \
                  environment variables you have provided";
    let reserved: Vec<&str> = variables
        .keys()
        .map(String::as_str)
        .filter(|name| RESERVED_VARIABLES.contains(name))
        .collect();
    if !reserved.is_empty() {
        return Err(Error::Invalid(format!(
            "{unable} contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    if variables.values().any(|value| value.contains('\0')) {
        return Err(Error::Invalid(format!(
            "{unable} contain a null character."
        )));
    }
    let json = serde_json::to_string(variables).map_err(Error::platform)?;
    if json.len() > limits::ENVIRONMENT_BYTES_MAX {
        return Err(Error::Invalid(format!(
            "{unable} exceeded the 4KB limit. String measured: {json}"
        )));
    }
    Ok(json)
}

/// The logging of a function, from what it was and what is asked.
pub fn logging(
    name: &str,
    before: Option<&Logging>,
    asked: Option<&LoggingConfig>,
) -> Result<Logging> {
    let own = format!("/aws/lambda/{name}");
    let none = LoggingConfig::default();
    let asked = asked.unwrap_or(&none);
    let format = asked.log_format.clone();
    let format = format.or_else(|| before.map(|before| before.format.clone()));
    let format = format.unwrap_or_else(|| "Text".to_owned());
    let group = asked.log_group.clone();
    let group = group.or_else(|| before.map(|before| before.group.clone()));
    let group = group.unwrap_or(own);
    if format != "JSON" {
        if asked.application_log_level.is_some() || asked.system_log_level.is_some() {
            return Err(Error::invalid(
                "ApplicationLogLevel and SystemLogLevel can only be set when LogFormat is JSON.",
            ));
        }
        return Ok(Logging {
            format,
            group,
            application_level: None,
            system_level: None,
        });
    }
    let level = |asked: &Option<String>, before: Option<&String>| {
        let level = asked.clone().or_else(|| before.cloned());
        Some(level.unwrap_or_else(|| "INFO".to_owned()))
    };
    Ok(Logging {
        format,
        group,
        application_level: level(
            &asked.application_log_level,
            before.and_then(|before| before.application_level.as_ref()),
        ),
        system_level: level(
            &asked.system_log_level,
            before.and_then(|before| before.system_level.as_ref()),
        ),
    })
}

pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > limits::TAGS_MAX {
        return Err(Error::invalid("Number of tags exceeds resource tag limit."));
    }
    let length = |text: &str| text.chars().count();
    for (key, value) in tags {
        if key.is_empty() || length(key) > limits::TAG_KEY_LENGTH_MAX {
            return Err(Error::Invalid(format!(
                "A tag's key has to have between 1 and {} characters: {key}",
                limits::TAG_KEY_LENGTH_MAX
            )));
        }
        if length(value) > limits::TAG_VALUE_LENGTH_MAX {
            return Err(Error::Invalid(format!(
                "A tag's value has to have at most {} characters; that of {key} has {}",
                limits::TAG_VALUE_LENGTH_MAX,
                length(value)
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::Invalid(format!(
                "Tag keys that begin with aws: are reserved for AWS: {key}"
            )));
        }
    }
    let network = network::parse(tags.get(network::TAG).map(String::as_str));
    network.map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(())
}
