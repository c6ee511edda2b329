//! ListFunctions and ListVersionsByFunction, page by page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use wire::{
    Context,
    lambda::{
        FunctionName, ListFunctionsRequest, ListFunctionsResponse, ListVersionsByFunctionRequest,
        ListVersionsByFunctionResponse,
    },
};

use super::{
    Functions,
    error::{Error, Result},
    key_of, limits,
};

/// What Lambda gives at once, whatever is asked.
const PAGE_MAX: usize = 50;

impl Functions {
    pub(super) fn list(
        &self,
        cx: &Context,
        input: &ListFunctionsRequest,
    ) -> Result<ListFunctionsResponse> {
        if input.master_region.is_some() {
            return Err(Error::Unsupported {
                what: "Lambda@Edge (MasterRegion)",
            });
        }
        let limit = page_size(input.max_items, limits::LIST_FUNCTIONS_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let definitions = &self.0.definitions;
        let mut page = definitions.list(&cx.account_id, &cx.region, after.as_deref(), limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        // With all versions asked for, each is named with its own.
        let qualifier = input.function_version.as_ref().map(|_| "$LATEST");
        let functions = page
            .iter()
            .map(|entry| self.listed(&entry.record, qualifier));
        Ok(ListFunctionsResponse {
            functions: Some(functions.collect::<Result<_>>()?),
            next_marker: page
                .last()
                .filter(|_| more)
                .map(|entry| marker(&entry.key.name)),
        })
    }

    pub(super) fn list_versions(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: &ListVersionsByFunctionRequest,
    ) -> Result<ListVersionsByFunctionResponse> {
        let entry = self.find(&key_of(cx, &name.name))?;
        let latest = match &input.marker {
            Some(marker) => {
                read_marker(marker)?;
                Vec::new()
            }
            None => vec![self.listed(&entry.record, Some("$LATEST"))?],
        };
        Ok(ListVersionsByFunctionResponse {
            versions: Some(latest),
            next_marker: None,
        })
    }
}

pub(super) fn page_size(asked: Option<i32>, default: usize) -> usize {
    let asked = asked.and_then(|asked| usize::try_from(asked).ok());
    asked.unwrap_or(default).clamp(1, PAGE_MAX)
}

/// Opaque to clients: the last name of the page.
pub(super) fn marker(name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(name)
}

pub(super) fn read_marker(marker: &str) -> Result<String> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(marker).ok();
    decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::invalid("The value of the Marker parameter is not valid."))
}
