//! Images in files of this machine: OCI layout directories and Docker's archives, below the one
//! directory that the operator allows.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::Deserialize;
use store::{BlobHash, BlobStore};
use tokio::{io::AsyncReadExt, io::AsyncSeekExt, task::spawn_blocking};

use super::{
    ImageError, Layer, limits,
    manifest::{self, Descriptor, Found, Manifest},
};

/// The annotation that has a tag in an index.
const TAG: &str = "org.opencontainers.image.ref.name";
const TAR_ENTRIES_MAX: usize = 100_000;

/// A manifest and configuration, and where layers are.
pub struct Local {
    pub digest: BlobHash,
    pub manifest: Manifest,
    pub configuration: Bytes,
    /// The file, and where in it, of each layer.
    places: Vec<Place>,
}

#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    offset: u64,
    size: u64,
}

impl Local {
    /// Puts the layers into the store, and says by which hashes they are there.
    pub async fn layers(&self, blobs: &BlobStore) -> Result<Vec<Layer>, ImageError> {
        let mut layers = Vec::new();
        let mut left = limits::IMAGE_BYTES_MAX;
        for place in &self.places {
            left = left.checked_sub(place.size).ok_or(ImageError::TooLarge)?;
            let mut file = tokio::fs::File::open(&place.file).await?;
            file.seek(SeekFrom::Start(place.offset)).await?;
            let blob = blobs.put_stream(file.take(place.size)).await?;
            if blob.len != place.size {
                let what = "one of its layers is cut short".to_owned();
                return Err(ImageError::Invalid(what));
            }
            layers.push(Layer {
                blob: blob.hash,
                size: blob.len,
            });
        }
        Ok(layers)
    }
}

/// A path that is below the allowed directory, whatever links it has.
fn allowed(root: Option<&Path>, path: &Path) -> Result<PathBuf, ImageError> {
    let Some(root) = root else {
        return Err(ImageError::Invalid(
            "images of this machine's files are not allowed here; the operator can allow a \
             directory with --images"
                .to_owned(),
        ));
    };
    // Not telling apart what is not there from what is not allowed.
    let found = path.canonicalize().map_err(|_| ImageError::NotFound)?;
    match found.starts_with(root) {
        true => Ok(found),
        false => Err(ImageError::NotFound),
    }
}

pub async fn layout(
    root: Option<PathBuf>,
    path: PathBuf,
    tag: Option<String>,
    architecture: String,
) -> Result<Local, ImageError> {
    blocking(move || {
        let directory = allowed(root.as_deref(), &path)?;
        let blob = |hash: BlobHash| {
            let file = directory.join("blobs/sha256").join(hash.to_string());
            allowed(root.as_deref(), &file)
        };
        let read_blob = |hash: BlobHash| {
            let bytes = small(&blob(hash)?)?;
            match BlobHash::of(&bytes) == hash {
                true => Ok(bytes),
                false => Err(ImageError::Invalid(format!("sha256:{hash} is damaged"))),
            }
        };
        let index = small(&allowed(root.as_deref(), &directory.join("index.json"))?)?;
        let Found::Index(mut manifests) = manifest::read(&index)? else {
            return Err(ImageError::Invalid("its index.json is none".to_owned()));
        };
        if let Some(tag) = &tag {
            manifests.retain(|found| tag_of(found) == Some(tag));
        }
        let mut chosen = manifest::for_architecture(&manifests, &architecture)
            .map_err(|_| ImageError::NotFound)?;
        let mut bytes = read_blob(chosen)?;
        if let Found::Index(inner) = manifest::read(&bytes)? {
            chosen = manifest::for_architecture(&inner, &architecture)?;
            bytes = read_blob(chosen)?;
        }
        let Found::Manifest(manifest) = manifest::read(&bytes)? else {
            return Err(ImageError::Invalid("it is an index of indexes".to_owned()));
        };
        let places = manifest.layers.iter().map(|layer| {
            let file = blob(layer.blob)?;
            let size = fs::metadata(&file)?.len();
            Ok(Place {
                file,
                offset: 0,
                size,
            })
        });
        Ok(Local {
            digest: chosen,
            places: places.collect::<Result<_, ImageError>>()?,
            configuration: read_blob(manifest.config)?,
            manifest,
        })
    })
    .await
}

fn tag_of(found: &Descriptor) -> Option<&String> {
    found.annotations.as_ref()?.get(TAG)
}

/// An image in `docker save`'s words.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

pub async fn archive(root: Option<PathBuf>, path: PathBuf) -> Result<Local, ImageError> {
    blocking(move || {
        let file = allowed(root.as_deref(), &path)?;
        let entries = entries(&file)?;
        let read = |name: &str| {
            let (offset, size) = *entries.get(name).ok_or_else(|| missing(name))?;
            if size > limits::MANIFEST_BYTES_MAX as u64 {
                return Err(ImageError::TooLarge);
            }
            let mut opened = File::open(&file)?;
            opened.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            opened.take(size).read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        };
        let saved: Vec<Saved> = serde_json::from_slice(&read("manifest.json")?)
            .map_err(|error| ImageError::Invalid(format!("its manifest.json: {error}")))?;
        let [saved] = saved.as_slice() else {
            let what = format!("the archive has {} images, and not one", saved.len());
            return Err(ImageError::Invalid(what));
        };
        if saved.layers.len() > limits::LAYERS_MAX {
            return Err(ImageError::TooLarge);
        }
        let configuration = read(&saved.config)?;
        let places = saved.layers.iter().map(|name| {
            let (offset, size) = *entries.get(name.as_str()).ok_or_else(|| missing(name))?;
            let file = file.clone();
            Ok(Place { file, offset, size })
        });
        Ok(Local {
            // Archives have no manifest with a digest: the configuration, which lists the layers'
            // digests, is as good a name for the image.
            digest: BlobHash::of(&configuration),
            manifest: Manifest {
                config: BlobHash::of(&configuration),
                layers: Vec::new(),
            },
            places: places.collect::<Result<_, ImageError>>()?,
            configuration,
        })
    })
    .await
}

fn missing(name: &str) -> ImageError {
    ImageError::Invalid(format!("the archive has no {name:.200}"))
}

/// Where in an archive each file's content lies. What links to another file of it has that one's.
fn entries(file: &Path) -> Result<BTreeMap<String, (u64, u64)>, ImageError> {
    let not_tar = |error| ImageError::Invalid(format!("it is no tar archive: {error}"));
    let mut archive = tar::Archive::new(File::open(file)?);
    let (mut entries, mut links) = (BTreeMap::new(), Vec::new());
    for entry in archive.entries_with_seek().map_err(not_tar)? {
        let entry = entry.map_err(not_tar)?;
        if entries.len() + links.len() >= TAR_ENTRIES_MAX {
            return Err(ImageError::TooLarge);
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let kind = entry.header().entry_type();
        if kind.is_file() {
            entries.insert(name, (entry.raw_file_position(), entry.size()));
        } else if let (true, Some(target)) = (
            kind.is_symlink() || kind.is_hard_link(),
            entry.link_name_bytes(),
        ) {
            let target = String::from_utf8_lossy(&target).into_owned();
            // Older archives link to a layer beside: `../<id>/layer.tar`.
            links.push((name, target.trim_start_matches("../").to_owned()));
        }
    }
    for (name, target) in links {
        if let Some(place) = entries.get(&target).copied() {
            entries.insert(name, place);
        }
    }
    Ok(entries)
}

fn small(file: &Path) -> Result<Bytes, ImageError> {
    let mut bytes = Vec::new();
    let max = limits::MANIFEST_BYTES_MAX as u64;
    File::open(file)?.take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(ImageError::TooLarge),
        false => Ok(bytes.into()),
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    spawn_blocking(act)
        .await
        .map_err(|error| ImageError::Io(std::io::Error::other(error)))?
}
