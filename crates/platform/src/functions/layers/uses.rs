//! The layers of a function: which it may have, and what of them it keeps.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use wire::{Context, lambda::Layer};

use super::{
    super::{
        Functions,
        error::{Error, Result},
        execution::CodeDirectory,
        limits,
        tables::{Code, Spec},
    },
    LayerKey, permissions,
};

/// A layer version that a function has, as it was when the function got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerUse {
    /// Of the version.
    pub arn: String,
    pub code: Code,
}

/// The layers that a request asks for, which stay until it has been stored.
pub struct Asked {
    pub layers: Vec<LayerUse>,
    _held: Vec<Arc<CodeDirectory>>,
}

impl LayerUse {
    pub fn shown(&self) -> Layer {
        Layer {
            arn: Some(self.arn.clone()),
            code_size: i64::try_from(self.code.size).ok(),
            ..Layer::default()
        }
    }
}

impl Functions {
    /// The layers that a request names, in their order. Those that the function has already it may
    /// name also when they are deleted.
    pub(in super::super) async fn layers_asked(
        &self,
        cx: &Context,
        arns: &[String],
        held: &[LayerUse],
    ) -> Result<Asked> {
        if arns.len() > limits::LAYERS_MAX {
            return Err(Error::Invalid(format!(
                "Cannot reference more than {} layers.",
                limits::LAYERS_MAX
            )));
        }
        let mut seen = BTreeMap::new();
        let mut layers = Vec::new();
        for arn in arns {
            let Some((layer, Some(version))) = LayerKey::of_arn(arn) else {
                return Err(not_ours(arn));
            };
            if layer.region != cx.region {
                return Err(Error::Invalid(format!(
                    "Layers are not in the same region as the function. Layers are expected to be \
                     in region {}.",
                    cx.region
                )));
            }
            if let Some(other) = seen.insert(layer.clone(), arn) {
                return Err(Error::Invalid(format!(
                    "Two different versions of the same layer are not allowed to be referenced in \
                     the same function. {arn} and {other} are versions of the same layer."
                )));
            }
            if let Some(held) = held.iter().find(|held| held.arn == *arn) {
                layers.push(held.clone());
                continue;
            }
            let found = self.find_layer_version(&layer, version).await?;
            permissions::check(cx, &layer, version, found.as_ref())?;
            let Some(found) = found else {
                return Err(Error::Invalid(format!(
                    "Layer version {arn} does not exist."
                )));
            };
            layers.push(LayerUse {
                arn: arn.clone(),
                code: found.code,
            });
        }
        let held = layers.iter().map(|layer| self.0.packages.hold(&layer.code));
        Ok(Asked {
            _held: held.collect(),
            layers,
        })
    }

    /// Refuses what would be too much together: code and layers share one limit.
    pub(in super::super) async fn check_unzipped(
        &self,
        code: &Code,
        layers: &[LayerUse],
    ) -> Result<()> {
        if layers.is_empty() {
            return Ok(());
        }
        let mut size = 0_u64;
        for code in std::iter::once(code).chain(layers.iter().map(|layer| &layer.code)) {
            let directory = self.0.packages.directory(code).await?;
            let walked = tokio::task::spawn_blocking(move || size_of(&directory.0));
            let walked = walked.await.map_err(Error::platform)?;
            size = size.saturating_add(walked.map_err(Error::disk)?);
        }
        let max = limits::UNZIPPED_BYTES_MAX;
        match size > max {
            true => Err(Error::Invalid(format!(
                "Function code combined with layers exceeds the maximum allowed size of {max} \
                 bytes. The actual size is {size} bytes."
            ))),
            false => Ok(()),
        }
    }

    /// The directories of a function's layers, in merge order.
    pub(in super::super) async fn layer_directories(
        &self,
        spec: &Spec,
    ) -> Result<Vec<Arc<CodeDirectory>>> {
        let mut directories = Vec::new();
        for layer in &spec.layers {
            directories.push(self.0.packages.directory(&layer.code).await?);
        }
        Ok(directories)
    }
}

/// A layer that AWS itself provides, or nothing that is one.
pub fn not_ours(arn: &str) -> Error {
    Error::Invalid(format!(
        "The layer {arn} is not supported by this platform yet: it has the layers that were \
         published to it"
    ))
}

/// Bytes of all files below a directory, whose depth is bounded where it was unpacked.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut size = 0_u64;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        size = size.saturating_add(match found.is_dir() {
            true => size_of(&entry.path())?,
            false if found.is_file() => found.len(),
            false => 0,
        });
    }
    Ok(size)
}
