//! UpdateFunctionCode and UpdateFunctionConfiguration.

use wire::{
    Context,
    lambda::{
        FunctionConfiguration, FunctionName, UpdateFunctionCodeRequest,
        UpdateFunctionConfigurationRequest,
    },
};

use super::{
    Functions, code_store,
    deployment::{begin_update, check_updatable},
    durable,
    error::{Error, Result},
    images, key_of,
    layers::{Asked, LayerUse},
    qualifier::LATEST,
    requested,
    reserved::refuse_qualifier,
    snapstart,
    tables::FunctionRecord,
    view,
};

impl Functions {
    pub(super) async fn update_code(
        &self,
        cx: &Context,
        name: &FunctionName,
        mut input: UpdateFunctionCodeRequest,
    ) -> Result<FunctionConfiguration> {
        refuse_qualifier(name)?;
        let key = key_of(cx, &name.name);
        let before = self.find(&key)?;
        let asked = code_store::Asked {
            bucket: &mut input.s3_bucket,
            key: &mut input.s3_key,
            version: &mut input.s3_object_version,
            zip: &mut input.zip_file,
        };
        self.fetch_code(cx, asked).await?;
        check_code_request(&input, before.record.spec.image.is_some())?;
        check_revision(&before.record, input.revision_id.as_deref())?;
        check_updatable(&before.record)?;
        let asked = input.architectures.as_deref();
        let architecture = asked.map(|asked| requested::architecture(Some(asked)));
        let architecture = architecture.transpose()?;
        let signing = before.record.code_signing.as_deref();
        self.check_signature(cx, signing).await?;
        let mut taken = before.record.spec.clone();
        taken.architecture = architecture.clone().unwrap_or(taken.architecture);
        let _image = match (input.image_uri, input.zip_file) {
            (Some(uri), _) => {
                let image = before.record.spec.image.as_ref();
                let overrides = image.and_then(|image| image.overrides.clone());
                Some(self.take_image(&mut taken, uri, overrides).await?)
            }
            (None, Some(zip)) => {
                let size = zip.len() as u64;
                self.check_code_size(cx, Some(&key), size).await?;
                taken.code = self.0.packages.take(zip).await?;
                self.check_unzipped(&taken.code, &taken.layers).await?;
                None
            }
            (None, None) => {
                return Err(Error::invalid("Please provide a source for function code."));
            }
        };
        let apply = |record: &mut FunctionRecord| {
            let mut spec = record.spec.clone();
            spec.code = taken.code.clone();
            spec.image.clone_from(&taken.image);
            spec.architecture = architecture.clone().unwrap_or(spec.architecture);
            begin_update(record, spec);
            record.last_modified = cx.now;
        };
        if input.dry_run == Some(true) {
            let mut record = before.record.clone();
            record.spec.code = taken.code;
            record.spec.image = taken.image;
            return self.shown(&record, None, LATEST);
        }
        let (entry, published) = self
            .change_all(&key, |draft| {
                check_revision(&draft.record, input.revision_id.as_deref())?;
                check_updatable(&draft.record)?;
                apply(&mut draft.record);
                match input.publish {
                    Some(true) => self.publish_draft(draft, cx.now, None).map(Some),
                    _ => Ok(None),
                }
            })
            .await?;
        self.settle_later(key);
        match published {
            Some(number) => self.published(&entry, number),
            None => self.shown(&entry.record, None, LATEST),
        }
    }

    pub(super) async fn update_configuration(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: UpdateFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration> {
        refuse_qualifier(name)?;
        let key = key_of(cx, &name.name);
        let before = self.find(&key)?;
        requested::refuse_unsupported_update(&input)?;
        images::check_update(&input, before.record.spec.image.is_some())?;
        if let Some(runtime) = &input.runtime {
            let launch = self.0.runtimes.launch(runtime);
            launch.map_err(|error| Error::Invalid(error.to_string()))?;
        }
        let spec = &before.record.spec;
        let layers = match &input.layers {
            Some(arns) => Some(self.layers_asked(cx, arns, &spec.layers).await?),
            None => None,
        };
        if let Some(layers) = &layers {
            let adds = |layer: &LayerUse| !spec.layers.contains(layer);
            if layers.layers.iter().any(adds) {
                let signing = before.record.code_signing.as_deref();
                self.check_signature(cx, signing).await?;
            }
            self.check_unzipped(&spec.code, &layers.layers).await?;
        }
        let (entry, ()) = self
            .change(&key, |record| {
                check_revision(record, input.revision_id.as_deref())?;
                check_updatable(record)?;
                self.apply(record, &input, layers.as_ref())?;
                record.last_modified = cx.now;
                Ok(())
            })
            .await?;
        self.settle_later(key);
        self.shown(&entry.record, None, LATEST)
    }

    /// What is not named stays as it is.
    fn apply(
        &self,
        record: &mut FunctionRecord,
        input: &UpdateFunctionConfigurationRequest,
        layers: Option<&Asked>,
    ) -> Result<()> {
        let mut spec = record.spec.clone();
        if let Some(layers) = layers {
            spec.layers.clone_from(&layers.layers);
        }
        if let Some(runtime) = &input.runtime {
            spec.runtime.clone_from(runtime);
        }
        if let Some(handler) = &input.handler {
            spec.handler.clone_from(handler);
        }
        if let Some(timeout) = input.timeout {
            spec.timeout_s = requested::timeout_s(timeout)?;
        }
        if let Some(memory) = input.memory_size {
            spec.memory_mb = requested::memory_mb(memory)?;
        }
        if let Some(storage) = &input.ephemeral_storage {
            spec.tmp_mb = requested::tmp_mb(storage)?;
        }
        if let Some(given) = &input.environment {
            let variables = given.variables.clone().unwrap_or_default();
            spec.environment = self.sealed(&record.arn(), Some(&variables))?;
        }
        if let Some(logging) = &input.logging_config {
            spec.logging = requested::logging(&record.name, Some(&spec.logging), Some(logging))?;
        }
        if input.tracing_config.is_some() {
            spec.tracing_active = view::is_active(input.tracing_config.as_ref());
        }
        // One without an ARN changes nothing; an empty ARN takes it away.
        let dead_letter = input.dead_letter_config.as_ref();
        if dead_letter.is_some_and(|config| config.target_arn.is_some()) {
            spec.dead_letter = requested::dead_letter(dead_letter)?;
        }
        if let Some(image) = spec.image.as_mut().filter(|_| input.image_config.is_some()) {
            image.overrides = images::overrides(input.image_config.as_ref())?;
        }
        spec.durable = durable::updated(spec.durable, input.durable_config.as_ref())?;
        spec.snap_start = snapstart::asked(input.snap_start.as_ref(), spec.snap_start);
        snapstart::check(spec.snap_start, &spec.runtime)?;
        if let Some(role) = &input.role {
            record.role.clone_from(role);
        }
        if let Some(description) = &input.description {
            record.description.clone_from(description);
        }
        record.vpc_shown |= input.vpc_config.is_some();
        begin_update(record, spec);
        Ok(())
    }
}

fn check_code_request(input: &UpdateFunctionCodeRequest, is_image: bool) -> Result<()> {
    images::check_code(input, is_image)?;
    let unsupported = [
        (
            input.s3_bucket.is_some()
                || input.s3_key.is_some()
                || input.s3_object_version.is_some()
                || input.s3_object_storage_mode.is_some(),
            "Code from S3 (S3Bucket, S3Key)",
        ),
        (
            input.publish_to.is_some(),
            "Publishing to $LATEST.PUBLISHED (PublishTo)",
        ),
        (
            input.source_kms_key_arn.is_some(),
            "A KMS key for code (SourceKMSKeyArn)",
        ),
    ];
    match unsupported.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Error::Unsupported { what }),
        None => Ok(()),
    }
}

pub(super) fn check_revision(record: &FunctionRecord, asked: Option<&str>) -> Result<()> {
    match asked {
        Some(asked) if asked != record.revision_id => Err(Error::WrongRevision {
            ask: "GetFunction/GetAlias",
        }),
        _ => Ok(()),
    }
}
