//! GetDurableExecutionHistory.

use std::sync::Arc;

use wire::{
    Context,
    lambda::{GetDurableExecutionHistoryRequest, GetDurableExecutionHistoryResponse},
};

use super::{
    Inner,
    checkpoint::page_items,
    error::{Error, Result},
    limits, view,
};

impl Inner {
    pub(super) async fn history(
        self: &Arc<Self>,
        cx: &Context,
        input: &GetDurableExecutionHistoryRequest,
    ) -> Result<GetDurableExecutionHistoryResponse> {
        let arn = &input.durable_execution_arn;
        let lane = self.lane_of(cx, arn)?;
        {
            let mut held = self.lock_named(&lane, arn).await?;
            held.state.pass_time(self.clock.now_ms());
            self.commit_if_due(&lane, &mut held).await?;
        }
        let backwards = input.reverse_order == Some(true);
        let with_data = input.include_execution_data == Some(true);
        let items_max = page_items(input.max_items);
        let mut next: u32 = match input.marker.as_deref() {
            None | Some("") if backwards => i32::MAX.unsigned_abs(),
            None | Some("") => 1,
            Some(marker) => marker
                .parse()
                .map_err(|_| Error::Invalid("Invalid marker".into()))?,
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        loop {
            let (id, tables) = (lane.id.clone(), self.tables.clone());
            let read = self
                .store
                .read(move |tx| tables.events(tx, &id, next, backwards));
            let read = read.await?;
            let are_all = read.len() < limits::LOAD_ROWS as usize;
            for event in read {
                bytes += if with_data { event.bytes() } else { 0 };
                let is_full = events.len() >= items_max || bytes > limits::HISTORY_PAGE_BYTES;
                if is_full && !events.is_empty() {
                    return Ok(GetDurableExecutionHistoryResponse {
                        events,
                        next_marker: Some(event.number.to_string()),
                    });
                }
                next = match backwards {
                    true => event.number.saturating_sub(1),
                    false => event.number + 1,
                };
                events.push(view::event(&lane.id, event, with_data));
            }
            if are_all {
                return Ok(GetDurableExecutionHistoryResponse {
                    events,
                    next_marker: None,
                });
            }
        }
    }
}
