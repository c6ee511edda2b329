//! What requests may ask of a function from an image, and what of one from a package.

use serde::{Deserialize, Serialize};
use wire::lambda::{
    CreateFunctionRequest, ImageConfig, UpdateFunctionCodeRequest,
    UpdateFunctionConfigurationRequest,
};

use super::super::error::{Error, Result};

/// `ImageConfig`: what a function has in place of what its image says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOverrides {
    pub entry_point: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub working_directory: Option<String>,
}

impl ImageOverrides {
    pub fn shown(&self) -> ImageConfig {
        ImageConfig {
            entry_point: self.entry_point.clone(),
            command: self.command.clone(),
            working_directory: self.working_directory.clone(),
        }
    }
}

/// What a request has in it; one with nothing in it takes everything back.
pub fn overrides(asked: Option<&ImageConfig>) -> Result<Option<ImageOverrides>> {
    let Some(asked) = asked else { return Ok(None) };
    let list = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let directory = asked.working_directory.clone();
    let found = ImageOverrides {
        entry_point: list(&asked.entry_point),
        command: list(&asked.command),
        working_directory: directory.filter(|directory| !directory.is_empty()),
    };
    let words = found.entry_point.iter().chain(&found.command).flatten();
    let nul = words
        .chain(&found.working_directory)
        .any(|word| word.contains('\0'));
    let relative = found
        .working_directory
        .as_ref()
        .is_some_and(|path| !path.starts_with('/'));
    if nul || relative {
        return Err(Error::invalid(
            "The ImageConfig is not valid: its words have no null characters, and its \
             WorkingDirectory begins with a slash.",
        ));
    }
    Ok(Some(found).filter(|found| *found != ImageOverrides::default()))
}

const NOT_OF_IMAGES: &str = "Please don't provide Handler or Runtime or Layer when the intended function PackageType is \
     IMAGE.";

/// Whether a function is to be of an image; refuses what does not go together.
pub fn check_create(input: &CreateFunctionRequest) -> Result<bool> {
    let code = &input.code;
    let zip = code.zip_file.is_some()
        || code.s3_bucket.is_some()
        || code.s3_key.is_some()
        || code.s3_object_version.is_some();
    if input.package_type.as_deref() != Some("Image") {
        return match (&code.image_uri, &input.image_config) {
            (Some(_), _) => Err(Error::invalid(
                "Please don't provide ImageUri when the intended function PackageType is ZIP.",
            )),
            (None, Some(_)) => Err(Error::invalid(
                "Please don't provide ImageConfig when the intended function PackageType is ZIP.",
            )),
            (None, None) => Ok(false),
        };
    }
    let layers = input
        .layers
        .as_ref()
        .is_some_and(|layers| !layers.is_empty());
    if input.runtime.is_some() || input.handler.is_some() || layers {
        return Err(Error::invalid(NOT_OF_IMAGES));
    }
    if zip {
        return Err(Error::invalid(
            "Please don't provide ZipFile or S3 Bucket and Key when the intended function \
             PackageType is IMAGE.",
        ));
    }
    if input.code_signing_config_arn.is_some() {
        return Err(Error::invalid(
            "Code signing is not supported for functions created with container images.",
        ));
    }
    Ok(true)
}

/// The same for a change of configuration.
pub fn check_update(input: &UpdateFunctionConfigurationRequest, is_image: bool) -> Result<()> {
    let layers = input
        .layers
        .as_ref()
        .is_some_and(|layers| !layers.is_empty());
    if is_image && (input.runtime.is_some() || input.handler.is_some() || layers) {
        return Err(Error::invalid(NOT_OF_IMAGES));
    }
    if !is_image && input.image_config.is_some() {
        return Err(Error::invalid(
            "Please don't provide ImageConfig when updating a function with packageType Zip.",
        ));
    }
    Ok(())
}

/// The same for a change of code.
pub fn check_code(input: &UpdateFunctionCodeRequest, is_image: bool) -> Result<()> {
    match (is_image, &input.image_uri) {
        (true, None) => Err(Error::invalid(
            "Please provide ImageUri when updating a function with packageType Image.",
        )),
        (false, Some(_)) => Err(Error::invalid(
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        )),
        _ => Ok(()),
    }
}
