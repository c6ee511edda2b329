//! What becomes of a message by the word of who has a receipt of it: it is deleted, or becomes visible
//! at another time.

use super::{Entry, Held, Order, Phase, Standing, State};
use crate::queues::{
    engine::limits,
    receipt::{Receipt, ReceiptError},
};

impl State {
    /// Deletes a message for the holder of a receipt. `None` if there is nothing to do: SQS
    /// answers a second deletion like the first.
    pub fn delete(
        &mut self,
        receipt: &Receipt,
        now_ms: i64,
    ) -> Result<Option<Entry>, ReceiptError> {
        self.advance(now_ms);
        let Some(entry) = self.entries.get(&receipt.sequence) else {
            return Ok(None);
        };
        if self.is_fifo() {
            // The order depends on nobody else having it now.
            if !entry.is_held_by(receipt) {
                return Err(ReceiptError::Expired);
            }
        } else if entry.receives > receipt.receive {
            // Somebody else has received it since: it is theirs.
            return Ok(None);
        }
        Ok(self.remove(receipt.sequence))
    }

    /// Changes when a message becomes visible again. `None` if that changes nothing.
    ///
    /// Of a standard queue SQS takes every receipt of a message that is still there, also one that
    /// is visible again, which is hidden once more, or that somebody else has received since.
    pub fn change_visibility(
        &mut self,
        receipt: &Receipt,
        timeout_ms: i64,
        now_ms: i64,
    ) -> Result<Option<Standing>, ReceiptError> {
        self.advance(now_ms);
        let entry = self.entries.get(&receipt.sequence);
        let entry = entry.ok_or(ReceiptError::NotInFlight)?;
        if self.is_fifo() && !entry.is_held_by(receipt) {
            return Err(ReceiptError::Expired);
        }
        let due_ms = now_ms + timeout_ms;
        if entry.received_ms > 0 && due_ms - entry.received_ms > limits::VISIBILITY_MS_MAX {
            return Err(ReceiptError::TooLong);
        }
        match entry.phase {
            Phase::Delayed => return Err(ReceiptError::NotInFlight),
            Phase::Ready if timeout_ms == 0 => return Ok(None),
            Phase::Ready => self.hide(receipt, now_ms),
            Phase::InFlight => {}
        }
        let Some(entry) = self.entries.get_mut(&receipt.sequence) else {
            return Ok(None);
        };
        self.timers.remove(&(entry.due_ms, receipt.sequence));
        entry.due_ms = due_ms;
        let standing = entry.standing(receipt.sequence);
        match timeout_ms {
            0 => self.become_ready(receipt.sequence, Held::ForNoTime),
            _ => drop(self.timers.insert((due_ms, receipt.sequence))),
        }
        Ok(Some(standing))
    }

    /// The same, if the message is still in flight from the receive that the receipt is of.
    pub fn change_visibility_if_held(
        &mut self,
        receipt: &Receipt,
        timeout_ms: i64,
        now_ms: i64,
    ) -> Result<Option<Standing>, ReceiptError> {
        self.advance(now_ms);
        let entry = self.entries.get(&receipt.sequence);
        match entry.is_some_and(|entry| entry.is_held_by(receipt)) {
            true => self.change_visibility(receipt, timeout_ms, now_ms),
            false => Err(ReceiptError::NotInFlight),
        }
    }

    /// A visible message of a standard queue is in flight again, of the receive that it was of.
    fn hide(&mut self, receipt: &Receipt, now_ms: i64) {
        let Some(entry) = self.entries.get_mut(&receipt.sequence) else {
            return;
        };
        entry.phase = Phase::InFlight;
        // A crash may have lost that it was received.
        entry.receives = entry.receives.max(receipt.receive);
        if entry.first_received_ms == 0 {
            entry.first_received_ms = now_ms;
        }
        self.visible -= 1;
        self.in_flight += 1;
        if let Order::Standard(fair) = &mut self.order {
            fair.remove(receipt.sequence, entry.group.as_ref());
            fair.started(entry.group.as_ref());
        }
    }
}

impl Entry {
    fn is_held_by(&self, receipt: &Receipt) -> bool {
        self.phase == Phase::InFlight && self.receives == receipt.receive
    }
}
