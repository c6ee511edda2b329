//! GetEventSourceMapping and ListEventSourceMappings.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use wire::{
    Context,
    lambda::{FunctionName, ListEventSourceMappingsRequest, ListEventSourceMappingsResponse},
};

use super::{
    EventSourceMappings,
    create::target,
    error::{Error, Result},
    limits,
    mapping::Mapping,
    tables::{MappingId, MappingRecord},
    view,
};

impl EventSourceMappings {
    pub(super) fn find(&self, cx: &Context, uuid: &str) -> Result<Arc<Mapping>> {
        let id = MappingId {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            uuid: uuid.to_owned(),
        };
        self.0.mappings.get(&id).ok_or(Error::NotFound)
    }

    /// Neither the function nor the source that is asked for has to exist.
    pub(super) fn list(
        &self,
        cx: &Context,
        name: Option<&FunctionName>,
        input: &ListEventSourceMappingsRequest,
    ) -> Result<ListEventSourceMappingsResponse> {
        let target = name.map(|name| target(cx, name));
        let source = input.event_source_arn.as_deref();
        let wanted = |record: &MappingRecord| {
            target
                .as_ref()
                .is_none_or(|target| *target == record.target)
                && source.is_none_or(|source| source == record.queue.arn().to_string())
        };
        let asked = input
            .max_items
            .and_then(|asked| usize::try_from(asked).ok());
        let limit = asked.unwrap_or(limits::LIST_MAX).clamp(1, limits::LIST_MAX);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let (account_id, region) = (&cx.account_id, &cx.region);
        let mappings = &self.0.mappings;
        let mut page = mappings.list(account_id, region, after.as_deref(), wanted, limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().filter(|_| more);
        Ok(ListEventSourceMappingsResponse {
            next_marker: last.map(|last| BASE64_URL_SAFE_NO_PAD.encode(&last.id.uuid)),
            event_source_mappings: Some(page.iter().map(|mapping| view::shown(mapping)).collect()),
        })
    }
}

fn read_marker(marker: &str) -> Result<String> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(marker).ok();
    decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::invalid("Invalid Marker."))
}
