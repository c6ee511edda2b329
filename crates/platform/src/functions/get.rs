//! GetFunction and GetFunctionConfiguration.

use wire::{
    Context, Map,
    lambda::{
        Concurrency, FunctionCodeLocation, FunctionConfiguration, FunctionName, GetFunctionResponse,
    },
};

use super::{
    Functions, code,
    definitions::Entry,
    error::Result,
    key_of, not_found,
    qualifier::{Configured, LATEST, configured},
};

impl Functions {
    pub(super) fn get(&self, cx: &Context, name: &FunctionName) -> Result<GetFunctionResponse> {
        let entry = self.find_qualified(&key_of(cx, &name.name), name.qualifier.as_deref())?;
        let configuration = self.configuration(&entry, name)?;
        let record = &entry.record;
        let spec = match configured(&entry, name.qualifier.as_deref()) {
            Some(Configured::Published(version)) => &version.spec,
            Some(Configured::Latest(_)) | None => &record.spec,
        };
        let token = code::link_token(&self.0.secrets, spec.code.blob, cx.now);
        let base = self.0.base_url.trim_end_matches('/');
        let reserved = record.reserved_concurrency;
        let tags: Map<_> = record.tags.clone().into_iter().collect();
        Ok(GetFunctionResponse {
            configuration: Some(configuration),
            // Where Lambda keeps it, which clients compare.
            code: Some(match &spec.image {
                Some(image) => FunctionCodeLocation {
                    repository_type: Some("ECR".to_owned()),
                    image_uri: Some(image.uri.clone()),
                    resolved_image_uri: Some(image.resolved_uri.clone()),
                    ..FunctionCodeLocation::default()
                },
                None => FunctionCodeLocation {
                    repository_type: Some("S3".to_owned()),
                    location: Some(format!("{base}{}{token}", code::LINK_PATH)),
                    ..FunctionCodeLocation::default()
                },
            }),
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            tags_error: None,
            concurrency: reserved.map(|reserved| Concurrency {
                reserved_concurrent_executions: i32::try_from(reserved).ok(),
            }),
        })
    }

    pub(super) fn get_configuration(
        &self,
        cx: &Context,
        name: &FunctionName,
    ) -> Result<FunctionConfiguration> {
        let entry = self.find_qualified(&key_of(cx, &name.name), name.qualifier.as_deref())?;
        self.configuration(&entry, name)
    }

    /// Under the qualifier that was asked for, also where that is an alias.
    fn configuration(&self, entry: &Entry, name: &FunctionName) -> Result<FunctionConfiguration> {
        let qualifier = name.qualifier.as_deref();
        match configured(entry, qualifier) {
            Some(Configured::Latest(record)) => self.shown(record, qualifier, LATEST),
            Some(Configured::Published(version)) => {
                let shown = version.of_function(&entry.record);
                self.shown(&shown, qualifier, &version.id())
            }
            None => Err(not_found(&entry.key, qualifier)),
        }
    }
}
