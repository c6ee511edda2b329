//! ListLayers and ListLayerVersions, page by page, newest version first.

use wire::{
    Context,
    lambda::{
        LayerVersionsListItem, LayersListItem, ListLayerVersionsRequest, ListLayerVersionsResponse,
        ListLayersRequest, ListLayersResponse,
    },
};

use super::{
    super::{
        Functions, limits,
        list::{marker, page_size, read_marker},
    },
    LayerKey, created_date,
    tables::{LayerVersionRecord, newest_first},
};
use crate::functions::error::{Error, Result};

impl Functions {
    pub(in super::super) async fn layers(
        &self,
        cx: &Context,
        input: &ListLayersRequest,
    ) -> Result<ListLayersResponse> {
        let limit = page_size(input.max_items, limits::LIST_LAYERS_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        // Behind every version of the last page's last layer, the oldest of which is zero.
        let after = after.map(|name| {
            let oldest = newest_first(0);
            vec![cx.account_id.clone(), cx.region.clone(), name, oldest]
        });
        let (runtime, architecture) = (
            input.compatible_runtime.as_deref(),
            input.compatible_architecture.as_deref(),
        );
        let mut found: Vec<LayersListItem> = Vec::new();
        self.scan_layers(&[&cx.account_id, &cx.region], after, |record| {
            let seen = found.last().and_then(|item| item.layer_name.as_deref());
            if seen != Some(&record.name) && record.fits(runtime, architecture) {
                found.push(LayersListItem {
                    layer_name: Some(record.name.clone()),
                    layer_arn: Some(record.layer().arn()),
                    latest_matching_version: Some(item(&record)),
                });
            }
            found.len() <= limit
        })
        .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().and_then(|item| item.layer_name.as_deref());
        Ok(ListLayersResponse {
            next_marker: last.filter(|_| more).map(marker),
            layers: Some(found),
        })
    }

    pub(in super::super) async fn layer_versions(
        &self,
        cx: &Context,
        input: &ListLayerVersionsRequest,
    ) -> Result<ListLayerVersionsResponse> {
        let layer = LayerKey::named(cx, &input.layer_name);
        if !layer.is_of(cx) {
            return Err(super::permissions::denied(
                cx,
                "lambda:ListLayerVersions",
                &layer,
                &layer.arn(),
            ));
        }
        let limit = page_size(input.max_items, limits::LIST_LAYERS_DEFAULT);
        let [account, region, name] = layer.parts();
        let after = match &input.marker {
            None => None,
            Some(given) => {
                let version = read_marker(given)?.parse::<u64>();
                let version = version.map_err(|_| {
                    Error::invalid("The value of the Marker parameter is not valid.")
                })?;
                let parts = [account, region, name, &newest_first(version)];
                Some(parts.map(str::to_owned).to_vec())
            }
        };
        let (runtime, architecture) = (
            input.compatible_runtime.as_deref(),
            input.compatible_architecture.as_deref(),
        );
        let mut found: Vec<LayerVersionRecord> = Vec::new();
        self.scan_layers(&layer.parts(), after, |record| {
            if record.fits(runtime, architecture) {
                found.push(record);
            }
            found.len() <= limit
        })
        .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|record| record.version.to_string());
        Ok(ListLayerVersionsResponse {
            next_marker: last.filter(|_| more).map(|version| marker(&version)),
            layer_versions: Some(found.iter().map(item).collect()),
        })
    }
}

pub fn item(record: &LayerVersionRecord) -> LayerVersionsListItem {
    let given = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
    LayerVersionsListItem {
        layer_version_arn: Some(record.arn()),
        version: i64::try_from(record.version).ok(),
        description: Some(record.description.clone()),
        created_date: Some(created_date(record)),
        compatible_architectures: given(&record.compatible_architectures),
        compatible_runtimes: given(&record.compatible_runtimes),
        license_info: record.license_info.clone(),
    }
}
