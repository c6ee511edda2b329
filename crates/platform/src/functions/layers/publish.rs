//! PublishLayerVersion and DeleteLayerVersion.

use wire::{
    Context,
    lambda::{GetLayerVersionResponse, LayerVersionContentInput, PublishLayerVersionRequest},
};

use super::{
    super::{
        Functions, code_store,
        error::{Error, Result},
        new_revision_id, runtimes,
    },
    LayerKey, permissions,
    tables::{LAYER_VERSIONS, LAYERS, LayerRecord, LayerVersionRecord, newest_first},
    version_number,
};

impl Functions {
    /// Stores a package as the next version of a layer. The same package again is another version.
    pub(in super::super) async fn publish_layer(
        &self,
        cx: &Context,
        mut input: PublishLayerVersionRequest,
    ) -> Result<GetLayerVersionResponse> {
        let layer = LayerKey::named(cx, &input.layer_name);
        own(cx, "lambda:PublishLayerVersion", &layer)?;
        let compatible_runtimes = input.compatible_runtimes.unwrap_or_default();
        runtimes::check_compatible(&compatible_runtimes).map_err(Error::Constraint)?;
        let given = &mut input.content;
        let asked = code_store::Asked {
            bucket: &mut given.s3_bucket,
            key: &mut given.s3_key,
            version: &mut given.s3_object_version,
            zip: &mut given.zip_file,
        };
        self.fetch_code(cx, asked).await?;
        let zip = content(input.content)?;
        self.check_code_size(cx, None, zip.len() as u64).await?;
        let code = self.0.packages.take(zip).await?;
        let record = LayerVersionRecord {
            account_id: layer.account_id.clone(),
            region: layer.region.clone(),
            name: layer.name.clone(),
            // Given by the store, below.
            version: 0,
            description: input.description.unwrap_or_default(),
            license_info: input.license_info,
            compatible_architectures: input.compatible_architectures.unwrap_or_default(),
            compatible_runtimes,
            created: cx.now,
            code,
            policy: Vec::new(),
            revision_id: new_revision_id(),
        };
        let written = self.0.store.write(move |tx| {
            let [account, region, name] = layer.parts();
            let counter = LAYERS.get(tx, &[account, region, name])?;
            let last_version = counter.map_or(0, |stored| stored.record.last_version) + 1;
            LAYERS.put(tx, &[account, region, name], &LayerRecord { last_version })?;
            let record = LayerVersionRecord {
                version: last_version,
                ..record.clone()
            };
            let key = [account, region, name, &newest_first(last_version)];
            LAYER_VERSIONS.insert(tx, &key, &record)?;
            Ok(record)
        });
        Ok(self.layer_shown(cx, &written.await?))
    }

    /// Functions that have the version keep it. One that is not there is as good as deleted.
    pub(in super::super) async fn delete_layer(
        &self,
        cx: &Context,
        name: &str,
        version: i64,
    ) -> Result<()> {
        let layer = LayerKey::named(cx, name);
        own(cx, "lambda:DeleteLayerVersion", &layer)?;
        let version = version_number(version)?;
        let deleted = self.0.store.write(move |tx| {
            let [account, region, name] = layer.parts();
            LAYER_VERSIONS.delete(tx, &[account, region, name, &newest_first(version)])
        });
        deleted.await?;
        Ok(())
    }
}

/// What only a layer's own account does, in its own region.
fn own(cx: &Context, action: &str, layer: &LayerKey) -> Result<()> {
    match layer.is_of(cx) {
        true => Ok(()),
        false => Err(permissions::denied(cx, action, layer, &layer.arn())),
    }
}

fn content(content: LayerVersionContentInput) -> Result<bytes::Bytes> {
    let s3 = content.s3_bucket.is_some()
        || content.s3_key.is_some()
        || content.s3_object_version.is_some()
        || content.s3_object_storage_mode.is_some();
    if s3 {
        return Err(Error::Unsupported {
            what: "A layer from S3 (S3Bucket, S3Key)",
        });
    }
    let zip = content.zip_file;
    zip.ok_or_else(|| Error::invalid("Please provide a source for layer code."))
}
