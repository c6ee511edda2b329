//! Layers: packages that functions share, each version of which is there to stay.
//!
//! Their records are read from the store when they are asked for; an invocation never does. A
//! function keeps what it needs of a layer version in its own record, so that it goes on running
//! when the version is deleted.

mod list;
mod permissions;
mod publish;
mod tables;
mod uses;

use std::collections::BTreeSet;

use store::Page;
use wire::{
    Context,
    arn::Arn,
    lambda::{GetLayerVersionResponse, LayerVersionContentOutput},
    time::lambda_last_modified,
};

use super::{
    Functions, code,
    error::{Error, Result},
};

pub use tables::migrations;
pub use uses::{Asked, LayerUse};

use tables::{LAYER_VERSIONS, LayerVersionRecord, newest_first};

const SCAN_PAGE: u32 = 500;

/// Which layer: names are unique within an account and region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

impl LayerKey {
    /// A layer as operations name it: by its name, or by its ARN.
    fn named(cx: &Context, name: &str) -> Self {
        match Self::of_arn(name) {
            Some((key, _)) => key,
            None => Self {
                account_id: cx.account_id.clone(),
                region: cx.region.clone(),
                name: name.to_owned(),
            },
        }
    }

    /// The layer of an ARN, and the version if it names one.
    fn of_arn(arn: &str) -> Option<(Self, Option<u64>)> {
        let arn: Arn = arn.parse().ok()?;
        let rest = arn.resource.strip_prefix("layer:")?;
        let (name, version) = match rest.split_once(':') {
            Some((name, version)) => (name, Some(version.parse().ok()?)),
            None => (rest, None),
        };
        let key = Self {
            account_id: arn.account_id,
            region: arn.region,
            name: name.to_owned(),
        };
        Some((key, version))
    }

    fn arn(&self) -> String {
        let resource = format!("layer:{}", self.name);
        Arn::new("lambda", &self.region, &self.account_id, resource).to_string()
    }

    fn version_arn(&self, version: u64) -> String {
        format!("{}:{version}", self.arn())
    }

    fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.name]
    }

    fn is_of(&self, cx: &Context) -> bool {
        (&self.account_id, &self.region) == (&cx.account_id, &cx.region)
    }
}

/// As Lambda wants it to be.
fn version_number(asked: i64) -> Result<u64> {
    let version = u64::try_from(asked).ok().filter(|version| *version > 0);
    version.ok_or_else(|| Error::invalid("Layer Version Cannot be less than 1."))
}

fn no_such_version(layer: &LayerKey, version: u64) -> Error {
    let arn = layer.version_arn(version);
    Error::NotFound(format!("Layer version {arn} does not exist."))
}

impl Functions {
    pub(super) async fn layer_version(
        &self,
        cx: &Context,
        name: &str,
        version: i64,
    ) -> Result<GetLayerVersionResponse> {
        let layer = LayerKey::named(cx, name);
        self.readable(cx, &layer, version_number(version)?).await
    }

    pub(super) async fn layer_version_by_arn(
        &self,
        cx: &Context,
        arn: &str,
    ) -> Result<GetLayerVersionResponse> {
        let Some((layer, Some(version))) = LayerKey::of_arn(arn) else {
            return Err(uses::not_ours(arn));
        };
        self.readable(cx, &layer, version).await
    }

    /// A version that its account or its policy lets the caller see.
    async fn readable(
        &self,
        cx: &Context,
        layer: &LayerKey,
        version: u64,
    ) -> Result<GetLayerVersionResponse> {
        let found = self.find_layer_version(layer, version).await?;
        permissions::check(cx, layer, version, found.as_ref())?;
        let found = found.ok_or_else(|| {
            Error::NotFound("The resource you requested does not exist.".to_owned())
        })?;
        Ok(self.layer_shown(cx, &found))
    }

    fn layer_shown(&self, cx: &Context, record: &LayerVersionRecord) -> GetLayerVersionResponse {
        let token = code::link_token(&self.0.secrets, record.code.blob, cx.now);
        let base = self.0.base_url.trim_end_matches('/');
        let item = list::item(record);
        GetLayerVersionResponse {
            content: Some(LayerVersionContentOutput {
                location: Some(format!("{base}{}{token}", code::LINK_PATH)),
                code_sha256: Some(record.code.sha256()),
                code_size: i64::try_from(record.code.size).ok(),
                ..LayerVersionContentOutput::default()
            }),
            layer_arn: Some(record.layer().arn()),
            layer_version_arn: item.layer_version_arn,
            description: item.description,
            created_date: item.created_date,
            version: item.version,
            compatible_architectures: item.compatible_architectures,
            compatible_runtimes: item.compatible_runtimes,
            license_info: item.license_info,
        }
    }

    async fn find_layer_version(
        &self,
        layer: &LayerKey,
        version: u64,
    ) -> Result<Option<LayerVersionRecord>> {
        let layer = layer.clone();
        let read = self.0.store.read(move |tx| {
            let [account, region, name] = layer.parts();
            LAYER_VERSIONS.get(tx, &[account, region, name, &newest_first(version)])
        });
        Ok(read.await?.map(|stored| stored.record))
    }

    /// Every version below a key's first parts, in their order, a page at a time, as long as
    /// `see` wants more.
    async fn scan_layers(
        &self,
        prefix: &[&str],
        after: Option<Vec<String>>,
        mut see: impl FnMut(LayerVersionRecord) -> bool,
    ) -> Result<()> {
        let prefix: Vec<String> = prefix.iter().map(|part| (*part).to_owned()).collect();
        let mut after = after;
        loop {
            let (below, from) = (prefix.clone(), after.clone());
            let page = self.0.store.read(move |tx| {
                let below: Vec<&str> = below.iter().map(String::as_str).collect();
                let from: Option<Vec<&str>> = from
                    .as_ref()
                    .map(|parts| parts.iter().map(String::as_str).collect());
                let page = Page {
                    prefix: &below,
                    after: from.as_deref(),
                    limit: SCAN_PAGE,
                };
                LAYER_VERSIONS.list(tx, page)
            });
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.parts().map(str::to_owned).collect());
            for stored in page {
                if !see(stored.record) {
                    return Ok(());
                }
            }
        }
    }

    /// Bytes of all packages of an account's layers in a region.
    pub(super) async fn layers_size(&self, cx: &Context) -> Result<u64> {
        let mut size = 0_u64;
        self.scan_layers(&[&cx.account_id, &cx.region], None, |record| {
            size = size.saturating_add(record.code.size);
            true
        })
        .await?;
        Ok(size)
    }

    /// The blobs that layer versions refer to.
    pub(super) async fn layer_blobs(&self) -> Result<BTreeSet<String>> {
        let mut blobs = BTreeSet::new();
        self.scan_layers(&[], None, |record| {
            blobs.insert(record.code.blob.to_string());
            true
        })
        .await?;
        Ok(blobs)
    }
}

fn created_date(record: &LayerVersionRecord) -> String {
    lambda_last_modified(record.created)
}
