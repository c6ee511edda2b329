//! GetFunction and GetFunctionConfiguration.

use wire::{
    Context, Map,
    lambda::{
        Concurrency, FunctionCodeLocation, FunctionConfiguration, FunctionName, GetFunctionResponse,
    },
};

use super::{Functions, code, error::Result, key_of, not_found, only_latest};

impl Functions {
    pub(super) fn get(&self, cx: &Context, name: &FunctionName) -> Result<GetFunctionResponse> {
        let configuration = self.get_configuration(cx, name)?;
        let entry = self.find(&key_of(cx, &name.name))?;
        let record = &entry.record;
        let token = code::link_token(&self.0.secrets, record.spec.code.blob, cx.now);
        let base = self.0.base_url.trim_end_matches('/');
        let reserved = record.reserved_concurrency;
        let tags: Map<_> = record.tags.clone().into_iter().collect();
        Ok(GetFunctionResponse {
            configuration: Some(configuration),
            code: Some(FunctionCodeLocation {
                // Where Lambda keeps it, which clients compare.
                repository_type: Some("S3".to_owned()),
                location: Some(format!("{base}{}{token}", code::LINK_PATH)),
                ..FunctionCodeLocation::default()
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
        let key = key_of(cx, &name.name);
        let qualifier = name.qualifier.as_deref();
        let entry = self.0.definitions.get(&key);
        let entry = entry.ok_or_else(|| not_found(&key, qualifier))?;
        only_latest(&key, qualifier)?;
        self.shown(&entry.record, qualifier)
    }
}
