//! What images say of themselves: indexes, manifests and configurations, as far as it matters here.
//! They come from strangers; what is not understood is refused.

use serde::{Deserialize, Serialize};
use store::BlobHash;

use super::{ImageError, Layer, limits};

/// Everything that may lie under a tag.
pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

#[derive(Debug, Clone, Deserialize)]
pub struct Descriptor {
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
}

/// A manifest, or an index of manifests.
#[derive(Debug, Clone, Deserialize)]
struct Document {
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Debug, Clone)]
pub enum Found {
    /// One per platform, or per tag.
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Debug, Clone)]
pub struct Manifest {
    pub config: BlobHash,
    pub layers: Vec<Layer>,
}

impl Descriptor {
    pub fn hash(&self) -> Result<BlobHash, ImageError> {
        digest(&self.digest)
    }
}

pub fn digest(text: &str) -> Result<BlobHash, ImageError> {
    let hash = text
        .strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok());
    hash.ok_or_else(|| ImageError::Invalid(format!("its digest {text:.100} is not of SHA-256")))
}

pub fn read(bytes: &[u8]) -> Result<Found, ImageError> {
    let document: Document = serde_json::from_slice(bytes)
        .map_err(|error| ImageError::Invalid(format!("its manifest cannot be read: {error}")))?;
    if let Some(manifests) = document.manifests {
        return Ok(Found::Index(manifests));
    }
    let (Some(config), Some(layers)) = (document.config, document.layers) else {
        let what = "its manifest is of a kind that is not known (schema 2 is)".to_owned();
        return Err(ImageError::Invalid(what));
    };
    if layers.len() > limits::LAYERS_MAX {
        let what = format!("it has more than {} layers", limits::LAYERS_MAX);
        return Err(ImageError::Invalid(what));
    }
    let layers = layers.iter().map(|layer| {
        Ok(Layer {
            blob: layer.hash()?,
            size: layer.size,
        })
    });
    Ok(Found::Manifest(Manifest {
        config: config.hash()?,
        layers: layers.collect::<Result<_, ImageError>>()?,
    }))
}

/// The image of an index for this machine.
pub fn for_architecture(
    manifests: &[Descriptor],
    architecture: &str,
) -> Result<BlobHash, ImageError> {
    let wanted = in_ocis_words(architecture);
    let fits = |found: &&Descriptor| match &found.platform {
        Some(platform) => platform.os == "linux" && platform.architecture == wanted,
        // A single image needs no platform beside it.
        None => manifests.len() == 1,
    };
    match manifests.iter().find(fits) {
        Some(found) => found.hash(),
        None => Err(ImageError::Invalid(format!(
            "it is for other platforms than linux/{wanted}"
        ))),
    }
}

fn in_ocis_words(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        other => other,
    }
}

/// How an image wants to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDefaults {
    /// `NAME=value`.
    pub environment: Vec<String>,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    pub working_directory: String,
}

#[derive(Deserialize)]
struct ConfigurationFile {
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    config: Option<RunConfiguration>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RunConfiguration {
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    working_dir: Option<String>,
}

/// Reads an image's configuration; `architecture` is what it has to be for.
pub fn defaults(bytes: &[u8], architecture: &str) -> Result<ImageDefaults, ImageError> {
    let file: ConfigurationFile = serde_json::from_slice(bytes).map_err(|error| {
        ImageError::Invalid(format!("its configuration cannot be read: {error}"))
    })?;
    let (os, wanted) = (file.os.unwrap_or_default(), in_ocis_words(architecture));
    let found = file.architecture.unwrap_or_default();
    if os != "linux" || found != wanted {
        return Err(ImageError::Invalid(format!(
            "it is for {os:.30}/{found:.30}, and the function for linux/{wanted}"
        )));
    }
    let config = file.config.unwrap_or_default();
    let all = ImageDefaults {
        environment: config.env.unwrap_or_default(),
        entry_point: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        working_directory: config.working_dir.unwrap_or_default(),
    };
    let lists = [&all.environment, &all.entry_point, &all.command];
    let words = lists.into_iter().flatten().chain([&all.working_directory]);
    let (mut bytes, mut nul) = (0, false);
    for word in words {
        bytes += word.len() + 1;
        nul |= word.contains('\0');
    }
    if nul || bytes > limits::CONFIGURATION_WORDS_BYTES_MAX {
        let what = "its environment and command are too long".to_owned();
        return Err(ImageError::Invalid(what));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(&str, &str)]) -> Vec<Descriptor> {
        let of = |(number, (os, architecture)): (usize, &(&str, &str))| Descriptor {
            digest: format!("sha256:{number:064}"),
            size: 1,
            platform: Some(Platform {
                architecture: (*architecture).to_owned(),
                os: (*os).to_owned(),
            }),
            annotations: None,
        };
        entries.iter().enumerate().map(of).collect()
    }

    #[test]
    fn an_index_has_an_image_for_each_platform() {
        let found = index(&[("windows", "amd64"), ("linux", "arm64"), ("linux", "amd64")]);
        let chosen = |architecture| for_architecture(&found, architecture);
        assert_eq!(chosen("x86_64").unwrap().to_string(), format!("{:064}", 2));
        assert_eq!(chosen("arm64").unwrap().to_string(), format!("{:064}", 1));
        let none = for_architecture(&found[..1], "x86_64").unwrap_err();
        assert!(
            none.to_string()
                .contains("other platforms than linux/amd64")
        );
    }

    #[test]
    fn what_strangers_write_is_checked() {
        assert!(read(b"[]").is_err());
        assert!(read(br#"{"schemaVersion": 1, "fsLayers": []}"#).is_err());
        assert!(read(br#"{"config": {"digest": "sha256:../../x"}, "layers": []}"#).is_err());
        let wrong = br#"{"os": "linux", "architecture": "s390x"}"#;
        assert!(defaults(wrong, "x86_64").is_err());
        let nul = br#"{"os": "linux", "architecture": "amd64", "config": {"Env": ["A=\u0000"]}}"#;
        assert!(defaults(nul, "x86_64").is_err());
        let good = br#"{"os": "linux", "architecture": "amd64", "config": {"Cmd": ["a"]}}"#;
        assert_eq!(defaults(good, "x86_64").unwrap().command, ["a"]);
    }
}
