//! Functions from container images: found by a tag, pinned by a digest, pulled layer by layer.
//!
//! What an image is follows from its manifest, which is read when a function is created or its code
//! updated; from then on the function has that digest, whatever becomes of the tag. Its layers are
//! pulled in the background while the function is pending, kept as blobs under their own digests,
//! and unpacked once for all images that have them. `reference.rs` reads names, `registry.rs` and
//! `local.rs` get what they name, `manifest.rs` understands it, `unpack.rs` makes directories of
//! layers.

mod guard;
mod limits;
mod local;
mod manifest;
mod reference;
mod registry;
mod requested;
mod unpack;
mod unpacked;

use std::{io, path::PathBuf, sync::Arc};

use sandbox::Image;
use serde::{Deserialize, Serialize};
use store::{BlobHash, BlobStore};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Functions,
    code::Packages,
    error::Error,
    execution::CodeDirectory,
    tables::{Code, Spec},
};
use manifest::{Found, ImageDefaults, Manifest};
use reference::{Reference, RegistryReference, Version};
use registry::Registries;
use unpacked::Unpacked;

pub use registry::Credentials;
pub use requested::{ImageOverrides, check_code, check_create, check_update, overrides};

/// Where images may come from.
#[derive(Debug, Clone, Default)]
pub struct ImagesConfig {
    /// The directory below which files of this machine may be images; none may without.
    pub directory: Option<PathBuf>,
    pub credentials: Credentials,
}

/// The image of a function, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// As its owner named it.
    pub uri: String,
    /// With the digest in place of the tag.
    pub resolved_uri: String,
    /// The lowest first.
    pub layers: Vec<Layer>,
    pub defaults: ImageDefaults,
    /// What the function has in place of those.
    pub overrides: Option<ImageOverrides>,
}

/// A layer as it is stored: compressed as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub blob: BlobHash,
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("it is not there")]
    NotFound,
    #[error("the registry does not let this platform have it")]
    Denied,
    #[error("{0}")]
    Invalid(String),
    #[error(
        "unpacked it is larger than {} bytes, or has too many files",
        limits::IMAGE_BYTES_MAX
    )]
    TooLarge,
    #[error("the registry cannot be used: {0}")]
    Unreachable(String),
    /// Our disk, not the image.
    #[error("keep an image")]
    Io(#[from] io::Error),
    #[error("keep an image")]
    Store(#[from] store::Error),
}

/// What reading a manifest gives.
pub struct Resolved {
    pub digest: BlobHash,
    pub resolved_uri: String,
    pub layers: Vec<Layer>,
    pub defaults: ImageDefaults,
}

pub struct Images {
    directory: Option<PathBuf>,
    registries: Registries,
    blobs: BlobStore,
    unpacked: Unpacked,
    pulling: Semaphore,
    unpacking: Semaphore,
}

impl Images {
    pub async fn open(
        root: PathBuf,
        blobs: BlobStore,
        packages: &Packages,
        config: ImagesConfig,
    ) -> io::Result<Self> {
        Ok(Self {
            directory: config.directory,
            registries: Registries::new(config.credentials)?,
            unpacked: Unpacked::open(root, packages.held()).await?,
            blobs,
            pulling: Semaphore::new(limits::PULLS_AT_ONCE),
            unpacking: Semaphore::new(limits::UNPACKED_AT_ONCE),
        })
    }

    /// Finds out what an image is; none where the URI names none. The layers of local images are
    /// stored at once, as their files may change.
    pub async fn resolve(&self, uri: &str, architecture: &str) -> Result<Resolved, ImageError> {
        let reference = Reference::parse(uri)
            .ok_or_else(|| ImageError::Invalid("the URI names no image".to_owned()))?;
        let (root, architecture) = (self.directory.clone(), architecture.to_owned());
        let local = match reference {
            Reference::Registry(reference) => {
                return self.resolve_remote(&reference, &architecture).await;
            }
            Reference::Layout { path, tag } => {
                local::layout(root, path, tag, architecture.clone()).await?
            }
            Reference::Archive { path } => local::archive(root, path).await?,
        };
        let defaults = manifest::defaults(&local.configuration, &architecture)?;
        let layers = local.layers(&self.blobs).await?;
        let named = &local.manifest.layers;
        if !named.is_empty()
            && layers
                .iter()
                .map(|l| l.blob)
                .ne(named.iter().map(|l| l.blob))
        {
            let what = "the content of a layer is not what its digest says".to_owned();
            return Err(ImageError::Invalid(what));
        }
        Ok(Resolved {
            digest: local.digest,
            resolved_uri: format!("{uri}@sha256:{}", local.digest),
            layers,
            defaults,
        })
    }

    async fn resolve_remote(
        &self,
        reference: &RegistryReference,
        architecture: &str,
    ) -> Result<Resolved, ImageError> {
        let mut session = self.registries.session(reference);
        let (mut digest, bytes) = session.manifest(&reference.version).await?;
        let mut found = manifest::read(&bytes)?;
        if let Found::Index(manifests) = &found {
            digest = manifest::for_architecture(manifests, architecture)?;
            let (_, bytes) = session.manifest(&Version::Digest(digest)).await?;
            found = manifest::read(&bytes)?;
        }
        let Found::Manifest(Manifest { config, layers }) = found else {
            return Err(ImageError::Invalid("it is an index of indexes".to_owned()));
        };
        let configuration = session.configuration(config).await?;
        Ok(Resolved {
            digest,
            resolved_uri: format!("{}@sha256:{digest}", reference.name),
            layers,
            defaults: manifest::defaults(&configuration, architecture)?,
        })
    }

    /// The directories of an image's layers, the lowest first: pulled and unpacked as far as they
    /// are not there. They stay as long as what this gives is held.
    pub async fn directories(
        &self,
        image: &ImageSpec,
    ) -> Result<Vec<Arc<CodeDirectory>>, ImageError> {
        let held: Vec<_> = image
            .layers
            .iter()
            .map(|layer| self.unpacked.hold(layer))
            .collect();
        let mut missing = Vec::new();
        for (layer, directory) in image.layers.iter().zip(&held) {
            if !self.unpacked.is_there(directory).await? {
                missing.push((layer, directory));
            }
        }
        if missing.is_empty() {
            return Ok(held);
        }
        let pulled = async {
            let _turn = turn(&self.pulling).await?;
            for (layer, _) in &missing {
                self.pull(image, layer).await?;
            }
            Ok::<_, ImageError>(())
        };
        registry::in_time(limits::PULL_WITHIN, pulled).await??;
        let _turn = turn(&self.unpacking).await?;
        let mut budget = unpack::Budget::default();
        for (layer, directory) in missing {
            // Another image with the same layer may have been first.
            if !self.unpacked.is_there(directory).await? {
                budget = self.unpacked.unpack(&self.blobs, layer, budget).await?;
            }
        }
        Ok(held)
    }

    async fn pull(&self, image: &ImageSpec, layer: &Layer) -> Result<(), ImageError> {
        if self.blobs.contains(layer.blob).await? {
            return Ok(());
        }
        let Some(Reference::Registry(reference)) = Reference::parse(&image.uri) else {
            let what = "a layer of it is not stored here any more".to_owned();
            return Err(ImageError::Invalid(what));
        };
        tracing::info!(image = image.uri, layer = %layer.blob, size = layer.size, "pull a layer");
        let mut session = self.registries.session(&reference);
        session.layer(layer, &self.blobs).await
    }

    pub(super) fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }
}

impl ImageSpec {
    pub fn new(uri: String, found: Resolved, overrides: Option<ImageOverrides>) -> Self {
        Self {
            uri,
            resolved_uri: found.resolved_uri,
            layers: found.layers,
            defaults: found.defaults,
            overrides,
        }
    }

    /// What is executed, from these directories of its layers.
    pub fn launch(&self, directories: &[Arc<CodeDirectory>]) -> Image {
        let (defaults, own) = (&self.defaults, self.overrides.clone().unwrap_or_default());
        let entry_point = own.entry_point.as_ref().unwrap_or(&defaults.entry_point);
        // As with Docker, another entry point has nothing to do with the image's command.
        let command = match (&own.command, &own.entry_point) {
            (Some(command), _) => command.as_slice(),
            (None, Some(_)) => &[],
            (None, None) => &defaults.command,
        };
        let directory = own.working_directory.as_ref();
        let directory = directory.unwrap_or(&defaults.working_directory);
        let mut hiding = directories.iter();
        let lowest = hiding.rposition(|layer| unpack::hides_all_below(&layer.0));
        Image {
            layers: directories[lowest.unwrap_or(0)..]
                .iter()
                .map(|layer| layer.0.clone())
                .collect(),
            program: entry_point.iter().chain(command).cloned().collect(),
            directory: match directory.is_empty() {
                true => "/".to_owned(),
                false => directory.clone(),
            },
        }
    }

    /// The image's own variables, which are there before any others.
    pub fn variables(&self) -> Vec<(String, String)> {
        let environment = self.defaults.environment.iter();
        let pairs = environment.filter_map(|variable| variable.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl Functions {
    /// Makes an image the code of a spec. What it needs stays as long as what this gives is held.
    pub(super) async fn take_image(
        &self,
        spec: &mut Spec,
        uri: String,
        overrides: Option<ImageOverrides>,
    ) -> Result<Vec<Arc<CodeDirectory>>, Error> {
        let found = self.0.images.resolve(&uri, &spec.architecture).await;
        let found = found.map_err(|error| refusal(&uri, error))?;
        spec.code = Code {
            blob: found.digest,
            // Lambda shows none, and counts none.
            size: 0,
        };
        let image = ImageSpec::new(uri, found, overrides);
        let held = image.layers.iter();
        let held = held
            .map(|layer| self.0.images.unpacked.hold(layer))
            .collect();
        spec.image = Some(image);
        Ok(held)
    }
}

async fn turn(places: &Semaphore) -> Result<SemaphorePermit<'_>, ImageError> {
    let turn = places.acquire().await;
    turn.map_err(|_| ImageError::Io(io::ErrorKind::BrokenPipe.into()))
}

fn refusal(uri: &str, error: ImageError) -> Error {
    match error {
        ImageError::Io(error) => Error::disk(error),
        ImageError::Store(error) => error.into(),
        ImageError::NotFound => Error::Invalid(format!(
            "Source image {uri} does not exist. Provide a valid source image."
        )),
        ImageError::Denied => Error::Invalid(format!(
            "Lambda does not have permission to access the image {uri}. Check the registry's \
             permissions."
        )),
        other => Error::Invalid(format!(
            "Source image {uri} is not valid. Provide a valid source image. The reason: {other}."
        )),
    }
}
