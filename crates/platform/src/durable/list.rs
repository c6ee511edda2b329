//! ListDurableExecutionsByFunction.

use std::sync::Arc;

use wire::{
    Context, Timestamp,
    lambda::{
        Execution, FunctionName, ListDurableExecutionsByFunctionRequest,
        ListDurableExecutionsByFunctionResponse,
    },
};

use super::{
    Inner,
    checkpoint::page_items,
    core::Head,
    error::{Error, Result},
    tables::{Listing, Tables},
    token, view,
};
use crate::functions::execution::FunctionKey;

impl Inner {
    pub(super) async fn list(
        self: &Arc<Self>,
        cx: &Context,
        name: &FunctionName,
        input: ListDurableExecutionsByFunctionRequest,
    ) -> Result<ListDurableExecutionsByFunctionResponse> {
        let key = FunctionKey {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            name: name.name.clone(),
        };
        let version = self.functions.version_of(&key, name.qualifier.as_deref());
        let version = version.map_err(|error| Error::NotFound(error.to_string()))?;
        let items = page_items(input.max_items);
        let asked = Listing {
            version: name.qualifier.as_ref().map(|_| version),
            name: input.durable_execution_name,
            statuses: input.statuses.unwrap_or_default(),
            after_ms: input.started_after.map(Timestamp::as_millisecond),
            before_ms: input.started_before.map(Timestamp::as_millisecond),
            newest_first: input.reverse_order == Some(true),
            from: input.marker.as_deref().map(marker).transpose()?,
            limit: items + 1,
        };
        let found = self.store.read(move |tx| Tables::list(tx, &key, &asked));
        let mut found = found.await?;
        let are_more = found.len() > items;
        found.truncate(items);
        let last = found.last().filter(|_| are_more);
        Ok(ListDurableExecutionsByFunctionResponse {
            next_marker: last.map(|last| format!("{}:{}", last.started_ms, last.id)),
            durable_executions: Some(found.iter().map(shown).collect()),
        })
    }
}

fn shown(head: &Head) -> Execution {
    Execution {
        durable_execution_arn: token::arn(head),
        durable_execution_name: head.name.clone(),
        function_arn: token::function_arn(head),
        status: head.status.as_str().to_owned(),
        start_timestamp: view::at(head.started_ms),
        end_timestamp: head.ended_ms.map(view::at),
        kms_key_arn: None,
    }
}

fn marker(marker: &str) -> Result<(i64, String)> {
    let parts = marker.split_once(':');
    let read = parts.and_then(|(started_ms, id)| Some((started_ms.parse().ok()?, id.to_owned())));
    read.ok_or_else(|| Error::Invalid("Invalid marker".into()))
}
