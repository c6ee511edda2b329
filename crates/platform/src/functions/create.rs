//! CreateFunction.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::{
    Context,
    lambda::{CreateFunctionRequest, FunctionConfiguration},
};

use super::{
    Functions, code_store,
    definitions::{Draft, Published},
    durable,
    error::{Error, Result},
    execution::VersionId,
    images, key_of, network, new_revision_id, requested,
    runtime_management::RuntimeUpdates,
    snapstart,
    tables::{FUNCTIONS, FunctionRecord, Reason, Spec, State, VERSIONS},
    view,
};

impl Functions {
    /// Answers when the function is stored, as `Pending`; it becomes active in the background.
    pub(super) async fn create(
        &self,
        cx: &Context,
        name: String,
        mut input: CreateFunctionRequest,
    ) -> Result<FunctionConfiguration> {
        let code = &mut input.code;
        let asked = code_store::Asked {
            bucket: &mut code.s3_bucket,
            key: &mut code.s3_key,
            version: &mut code.s3_object_version,
            zip: &mut code.zip_file,
        };
        self.fetch_code(cx, asked).await?;
        requested::refuse_unsupported_create(&input)?;
        let publish = input.publish == Some(true);
        let is_image = images::check_create(&input)?;
        let (zip, image_uri) = (input.code.zip_file.clone(), input.code.image_uri.clone());
        let overrides = images::overrides(input.image_config.as_ref())?;
        let input_layers = input.layers.clone();
        let mut record = self.requested(cx, name.clone(), input, is_image)?;
        let no_code = || Error::invalid("Please provide a source for function code.");
        let key = key_of(cx, &name);
        if self.0.definitions.get(&key).is_some() {
            return Err(Error::Exists { name });
        }
        let signing = record.code_signing.as_deref();
        self.check_signature(cx, signing).await?;
        let arns = input_layers.unwrap_or_default();
        let asked = self.layers_asked(cx, &arns, &[]).await?;
        record.spec.layers.clone_from(&asked.layers);
        let _image = match is_image {
            true => {
                let uri = image_uri.ok_or_else(no_code)?;
                Some(self.take_image(&mut record.spec, uri, overrides).await?)
            }
            false => {
                let zip = zip.ok_or_else(no_code)?;
                self.check_code_size(cx, Some(&key), zip.len() as u64)
                    .await?;
                record.spec.code = self.0.packages.take(zip).await?;
                self.check_unzipped(&record.spec.code, &record.spec.layers)
                    .await?;
                None
            }
        };
        let _deciding = match &record.code_signing {
            None => None,
            Some(arn) => {
                let deciding = self.0.reservations.lock().await;
                self.signing(cx, arn).await?;
                Some(deciding)
            }
        };
        let _changing = self.0.changes.lock(&key).await;
        let mut draft = Draft {
            record,
            published: Published::default(),
        };
        let version = match publish {
            true => Some(self.publish_draft(&mut draft, cx.now, None)?),
            false => None,
        };
        let Draft { record, published } = draft;
        let (stored, versions) = (record.clone(), published.versions.clone());
        let inserted = self.0.store.write(move |tx| {
            let key = [&*stored.account_id, &*stored.region, &*stored.name];
            for (number, version) in versions.iter() {
                let number = number.to_string();
                VERSIONS.insert(tx, &[key[0], key[1], key[2], &number], version)?;
            }
            FUNCTIONS.insert(tx, &key, &stored)
        });
        match inserted.await {
            Ok(()) => {}
            Err(store::Error::AlreadyExists { .. }) => return Err(Error::Exists { name }),
            Err(error) => {
                self.reload(&key).await;
                if self.0.definitions.get(&key).is_some() {
                    self.settle_later(key);
                }
                return Err(error.into());
            }
        }
        let entry = self.0.definitions.put(record, published, 1);
        self.settle_later(key);
        // With a version published, Lambda shows its number and no qualified ARN.
        let version = version.map_or_else(VersionId::latest, VersionId::published);
        self.shown(&entry.record, None, &version)
    }

    /// The record that a request asks for, but for its code.
    fn requested(
        &self,
        cx: &Context,
        name: String,
        input: CreateFunctionRequest,
        is_image: bool,
    ) -> Result<FunctionRecord> {
        let (runtime, handler) = match (input.runtime, input.handler) {
            _ if is_image => (String::new(), String::new()),
            (Some(runtime), Some(handler)) => (runtime, handler),
            _ => {
                return Err(Error::invalid(
                    "Runtime and Handler are mandatory parameters for functions created with \
                     deployment packages.",
                ));
            }
        };
        if !is_image {
            let launch = self.0.runtimes.launch(&runtime);
            launch.map_err(|error| Error::Invalid(error.to_string()))?;
        }
        let snap_start = snapstart::asked(input.snap_start.as_ref(), false);
        snapstart::check(snap_start, &runtime)?;
        let tags = input.tags.unwrap_or_default().into_iter().collect();
        requested::check_tags(&tags)?;
        let variables = input
            .environment
            .map(|given| given.variables.unwrap_or_default());
        let arn = wire::lambda::function_arn(&cx.region, &cx.account_id, &name, None);
        let spec = Spec {
            generation: cx.now.as_millisecond(),
            architecture: requested::architecture(input.architectures.as_deref())?,
            // Filled in when everything else is known to be right.
            code: super::tables::Code {
                blob: store::BlobHash::of(&Bytes::new()),
                size: 0,
            },
            layers: Vec::new(),
            environment: self.sealed(&arn, variables.as_ref())?,
            memory_mb: requested::memory_mb(input.memory_size.unwrap_or(128))?,
            tmp_mb: match &input.ephemeral_storage {
                Some(asked) => requested::tmp_mb(asked)?,
                None => 512,
            },
            timeout_s: requested::timeout_s(input.timeout.unwrap_or(3))?,
            logging: requested::logging(&name, None, input.logging_config.as_ref())?,
            tracing_active: view::is_active(input.tracing_config.as_ref()),
            network: tags.get(network::TAG).cloned(),
            dead_letter: requested::dead_letter(input.dead_letter_config.as_ref())?,
            image: None,
            runtime_updates: RuntimeUpdates::default(),
            durable: durable::created(input.durable_config.as_ref())?,
            snap_start,
            runtime,
            handler,
        };
        Ok(FunctionRecord {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name,
            spec,
            serving: None,
            role: input.role,
            description: input.description.unwrap_or_default(),
            last_modified: cx.now,
            revision_id: new_revision_id(),
            state: State::Pending,
            state_reason: Some(Reason::creating()),
            last_update: None,
            vpc_shown: input.vpc_config.is_some(),
            reserved_concurrency: None,
            tags,
            urls: Vec::new(),
            policies: BTreeMap::new(),
            last_version: 0,
            provisioned: BTreeMap::new(),
            born: cx.now.as_millisecond(),
            event_invoke: BTreeMap::new(),
            recursive_loop_allowed: false,
            code_signing: input.code_signing_config_arn,
        })
    }
}
