//! ListFunctions and ListVersionsByFunction, page by page.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use wire::{
    Context,
    lambda::{
        FunctionConfiguration, FunctionName, ListFunctionsRequest, ListFunctionsResponse,
        ListVersionsByFunctionRequest, ListVersionsByFunctionResponse,
    },
};

use super::{
    Functions,
    definitions::Entry,
    error::{Error, Result},
    key_of, limits,
    qualifier::LATEST,
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
        if input.function_version.is_some() {
            return self.list_all_versions(cx, after.as_deref(), limit);
        }
        let definitions = &self.0.definitions;
        let mut page = definitions.list(&cx.account_id, &cx.region, after.as_deref(), limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        let functions = page
            .iter()
            .map(|entry| self.listed(&entry.record, None, LATEST));
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
        let limit = page_size(input.max_items, limits::LIST_VERSIONS_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let after = after.map(|after| after.parse().map_err(|_| bad_marker()));
        let mut page = versions_after(&entry, after.transpose()?, limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().filter(|_| more);
        Ok(ListVersionsByFunctionResponse {
            next_marker: last.map(|number| marker(&number.to_string())),
            versions: Some(
                page.iter()
                    .map(|number| self.listed_version(&entry, *number))
                    .collect::<Result<_>>()?,
            ),
        })
    }

    /// Every function with its versions, each named with its number.
    fn list_all_versions(
        &self,
        cx: &Context,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListFunctionsResponse> {
        let after = match after.map(|after| after.split_once(':').ok_or_else(bad_marker)) {
            Some(split) => {
                let (name, number) = split?;
                Some((name, number.parse().map_err(|_| bad_marker())?))
            }
            None => None,
        };
        let mut found = Vec::new();
        // The rest of the function at which the page before ended, then those that follow.
        if let Some((name, number)) = after
            && let Some(entry) = self.0.definitions.get(&key_of(cx, name))
        {
            found.extend(of(&entry, versions_after(&entry, Some(number), limit + 1)));
        }
        let (account, region) = (&cx.account_id, &cx.region);
        let name = after.map(|(name, _)| name);
        for entry in self.0.definitions.list(account, region, name, limit + 1) {
            let room = limit + 1 - found.len();
            found.extend(of(&entry, versions_after(&entry, None, room)));
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let functions = found
            .iter()
            .map(|(entry, number)| self.listed_version(entry, *number));
        Ok(ListFunctionsResponse {
            next_marker: last
                .map(|(entry, number)| marker(&format!("{}:{number}", entry.key.name))),
            functions: Some(functions.collect::<Result<_>>()?),
        })
    }

    fn listed_version(&self, entry: &Entry, number: u64) -> Result<FunctionConfiguration> {
        match entry.published.versions.get(&number) {
            Some(version) => {
                let shown = version.of_function(&entry.record);
                self.listed(&shown, Some(&version.id()), &version.id())
            }
            None => self.listed(&entry.record, Some(LATEST), LATEST),
        }
    }
}

fn of(entry: &Arc<Entry>, numbers: Vec<u64>) -> impl Iterator<Item = (Arc<Entry>, u64)> {
    numbers.into_iter().map(|number| (entry.clone(), number))
}

/// Some of a function's versions in order, after one; 0 is `$LATEST`, which is the first.
fn versions_after(entry: &Entry, after: Option<u64>, limit: usize) -> Vec<u64> {
    let latest = after.is_none().then_some(0);
    let versions = entry
        .published
        .versions
        .range(after.map_or(0, |after| after.saturating_add(1))..);
    let versions = versions.map(|(number, _)| *number);
    latest.into_iter().chain(versions).take(limit).collect()
}

pub(super) fn page_size(asked: Option<i32>, default: usize) -> usize {
    let asked = asked.and_then(|asked| usize::try_from(asked).ok());
    asked.unwrap_or(default).clamp(1, PAGE_MAX)
}

/// Opaque to clients: the last name of the page.
pub(super) fn marker(name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(name)
}

fn bad_marker() -> Error {
    Error::invalid("The value of the Marker parameter is not valid.")
}

pub(super) fn read_marker(marker: &str) -> Result<String> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(marker).ok();
    decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(bad_marker)
}
