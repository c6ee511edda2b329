//! Deliveries as part of a transaction that is somebody else's.

use std::sync::Arc;

use store::Tx;

use super::{Delivery, DeliveryError, Shared, lanes::Lane, outgoing::Outgoing};
use crate::queues::{EngineError, Queue, Staged, StagedRows, message::NewMessage};

/// Deliveries that are to be written by [`StagedDeliveryRows::insert`] in a transaction. To be told
/// afterwards how that ended: [`StagedDeliveries::committed`]. Dropped without, as when a write failed
/// and it is not known what became of it, their queues are read anew from the store.
pub struct StagedDeliveries {
    staged: Vec<Staged>,
    /// They stay open until this is over.
    _lanes: Vec<Arc<Lane>>,
}

/// Deliveries as messages, for a transaction of the queues' own. Kept until that is over: their lanes
/// stay open so long.
#[derive(Default)]
pub struct DeliveryMessages {
    pub messages: Vec<(Arc<Queue>, NewMessage)>,
    _lanes: Vec<Arc<Lane>>,
}

impl From<(Arc<Queue>, NewMessage)> for DeliveryMessages {
    fn from(message: (Arc<Queue>, NewMessage)) -> Self {
        Self {
            messages: vec![message],
            _lanes: Vec::new(),
        }
    }
}

/// What the closure of a transaction needs.
#[derive(Clone)]
pub struct StagedDeliveryRows(Vec<StagedRows>);

impl StagedDeliveryRows {
    /// Writes them; may be run again, as transactions are.
    pub fn insert(&self, tx: &mut Tx) -> store::Result<()> {
        self.0.iter().try_for_each(|rows| rows.insert(tx))
    }
}

impl StagedDeliveries {
    pub fn rows(&self) -> StagedDeliveryRows {
        StagedDeliveryRows(self.staged.iter().map(Staged::rows).collect())
    }

    /// The transaction is durable, or was undone.
    pub fn committed(self, committed: bool) {
        for staged in self.staged {
            staged.committed(committed);
        }
    }
}

impl Shared {
    pub(super) async fn messages(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
    ) -> Result<DeliveryMessages, DeliveryError> {
        let mut all = DeliveryMessages::default();
        for outgoing in self.resolve(deliveries).await? {
            all.messages.push((outgoing.queue, outgoing.message));
            all._lanes.extend(outgoing.lane);
        }
        Ok(all)
    }

    pub(super) async fn stage(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
    ) -> Result<StagedDeliveries, DeliveryError> {
        let mut all = StagedDeliveries {
            staged: Vec::with_capacity(deliveries.len()),
            _lanes: Vec::new(),
        };
        for outgoing in self.resolve(deliveries).await? {
            if let Err(error) = self.stage_one(&mut all, outgoing).await {
                all.committed(false);
                return Err(error);
            }
        }
        Ok(all)
    }

    async fn stage_one(
        self: &Arc<Self>,
        all: &mut StagedDeliveries,
        outgoing: Outgoing,
    ) -> Result<(), DeliveryError> {
        let Outgoing {
            queue,
            message,
            direct,
            lane,
        } = outgoing;
        match (self.queues.stage(&queue, message).await, direct) {
            (Ok(staged), _) => all.staged.push(staged),
            // The target went meanwhile.
            (Err(EngineError::Gone), Some(delivery)) => {
                let waiting = self.waiting(*delivery).await?;
                let staged = self.queues.stage(&waiting.queue, waiting.message).await?;
                all.staged.push(staged);
                all._lanes.extend(waiting.lane);
            }
            (Err(error), _) => return Err(error.into()),
        }
        all._lanes.extend(lane);
        Ok(())
    }
}
