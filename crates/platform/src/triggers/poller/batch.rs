//! Batches: which messages go to the function together, and the event that they become. Pure.

use std::{collections::HashSet, ops::Range, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use crate::{functions::lineage, queues::receipt::Receipt, triggers::limits};

const HEAD: &[u8] = b"{\"Records\":[";
const TAIL: &[u8] = b"]}";

/// A message that passed the filters.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its record in the event.
    pub json: Vec<u8>,
    pub receipt: Receipt,
    pub message_id: Uuid,
    /// Of FIFO queues.
    pub group: Option<Arc<str>>,
    /// Its trace header, if that has a lineage.
    pub lineage: Option<Arc<str>>,
}

/// A message in a batch.
#[derive(Debug, Clone)]
pub struct Entry {
    pub receipt: Receipt,
    pub message_id: Uuid,
    pub group: Option<Arc<str>>,
    pub lineage: Option<Arc<str>>,
    /// Its record in the batch's text.
    at: Range<usize>,
}

#[derive(Debug, Clone)]
pub struct Batch {
    pub entries: Vec<Entry>,
    /// From when the messages' visibility timeout counts.
    pub since_ms: i64,
    /// When the first of them was received.
    pub received_at_ms: i64,
    json: Text,
}

/// The event's text: as long as records may be added, and then shared.
#[derive(Debug, Clone)]
enum Text {
    Open(Vec<u8>),
    Closed(Bytes),
}

impl Batch {
    fn new(item: Item, now_ms: i64) -> Self {
        let mut json = Vec::with_capacity(HEAD.len() + item.json.len() + TAIL.len());
        json.extend_from_slice(HEAD);
        let mut batch = Self {
            entries: Vec::new(),
            since_ms: now_ms,
            received_at_ms: now_ms,
            json: Text::Open(json),
        };
        batch.push(item);
        batch
    }

    fn push(&mut self, item: Item) {
        let Text::Open(json) = &mut self.json else {
            return;
        };
        if !self.entries.is_empty() {
            json.push(b',');
        }
        let from = json.len();
        json.extend_from_slice(&item.json);
        self.entries.push(Entry {
            receipt: item.receipt,
            message_id: item.message_id,
            group: item.group,
            lineage: item.lineage,
            at: from..json.len(),
        });
    }

    pub fn bytes(&self) -> usize {
        match &self.json {
            Text::Open(json) => json.len() + TAIL.len(),
            Text::Closed(json) => json.len(),
        }
    }

    fn has_room(&self, item: &Item) -> bool {
        self.bytes() + 1 + item.json.len() <= limits::EVENT_BYTES_MAX
    }

    /// The event. Nothing is added after this.
    pub fn event(&mut self) -> Bytes {
        if let Text::Open(json) = &mut self.json {
            let mut json = std::mem::take(json);
            json.extend_from_slice(TAIL);
            self.json = Text::Closed(json.into());
        }
        match &self.json {
            Text::Closed(json) => json.clone(),
            Text::Open(_) => Bytes::new(),
        }
    }

    /// Leaves messages out.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        let keep: Vec<bool> = self.entries.iter().map(&mut keep).collect();
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let whole = self.event();
        let entries = std::mem::take(&mut self.entries);
        let mut json = HEAD.to_vec();
        json.reserve(whole.len());
        self.json = Text::Open(json);
        let kept = entries.into_iter().zip(keep).filter(|(_, keep)| *keep);
        for (entry, _) in kept {
            self.push(Item {
                json: whole[entry.at].to_vec(),
                receipt: entry.receipt,
                message_id: entry.message_id,
                group: entry.group,
                lineage: entry.lineage,
            });
        }
    }

    /// What its invocation goes on with of the chains that its messages come from.
    pub fn trace_header(&self) -> Option<String> {
        lineage::merged(self.entries.iter().filter_map(|it| it.lineage.as_deref()))
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.entries.iter().map(|entry| entry.receipt).collect()
    }

    pub fn messages(&self) -> Vec<(Uuid, Option<Arc<str>>)> {
        let message = |entry: &Entry| (entry.message_id, entry.group.clone());
        self.entries.iter().map(message).collect()
    }

    pub fn groups(&self) -> HashSet<Arc<str>> {
        self.entries
            .iter()
            .filter_map(|entry| entry.group.clone())
            .collect()
    }

    pub fn has_group(&self, of: impl Fn(&Arc<str>) -> bool) -> bool {
        self.entries
            .iter()
            .filter_map(|entry| entry.group.as_ref())
            .any(of)
    }
}

/// Puts messages together as they come.
#[derive(Debug)]
pub struct Assembly {
    batch_size: usize,
    window_ms: i64,
    open: Option<Batch>,
}

impl Assembly {
    pub fn new(batch_size: usize, window_ms: i64) -> Self {
        Self {
            batch_size,
            window_ms,
            open: None,
        }
    }

    pub fn change(&mut self, batch_size: usize, window_ms: i64) {
        self.batch_size = batch_size;
        self.window_ms = window_ms;
    }

    /// Messages that wait for others.
    pub fn waiting(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.entries.len())
    }

    /// Takes messages that were received together; gives the batches that are complete.
    pub fn add(&mut self, items: Vec<Item>, now_ms: i64) -> Vec<Batch> {
        let mut complete = Vec::new();
        for item in items {
            let fits = |open: &Batch| open.entries.len() < self.batch_size && open.has_room(&item);
            match &mut self.open {
                Some(open) if fits(open) => open.push(item),
                open => complete.extend(open.replace(Batch::new(item, now_ms))),
            }
            if self.waiting() >= self.batch_size {
                complete.extend(self.open.take());
            }
        }
        complete.extend(self.due(now_ms));
        complete
    }

    /// When the batch that is open is to go.
    pub fn due_ms(&self) -> Option<i64> {
        let open = self.open.as_ref()?;
        Some(open.received_at_ms.saturating_add(self.window_ms))
    }

    /// The batch that is open, if its time has come.
    pub fn due(&mut self, now_ms: i64) -> Option<Batch> {
        let is_due = self.due_ms().is_some_and(|due_ms| due_ms <= now_ms);
        self.open.take_if(|_| is_due)
    }

    /// The batch that is open.
    pub fn take(&mut self) -> Option<Batch> {
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::definition::QueueId;

    fn item(number: i64) -> Item {
        Item {
            json: number.to_string().into_bytes(),
            receipt: Receipt {
                queue: QueueId(1),
                sequence: number,
                receive: 1,
            },
            message_id: Uuid::nil(),
            group: None,
            lineage: None,
        }
    }

    fn events(batches: Vec<Batch>) -> Vec<String> {
        let event = |mut batch: Batch| String::from_utf8(batch.event().to_vec()).unwrap();
        batches.into_iter().map(event).collect()
    }

    #[test]
    fn without_a_window_what_came_goes_in_batches_of_the_size() {
        let mut assembly = Assembly::new(2, 0);
        let batches = assembly.add((1..=5).map(item).collect(), 0);
        let expected = [
            r#"{"Records":[1,2]}"#,
            r#"{"Records":[3,4]}"#,
            r#"{"Records":[5]}"#,
        ];
        assert_eq!(events(batches), expected);
        assert_eq!(assembly.waiting(), 0);
    }

    #[test]
    fn a_window_waits_for_more_until_it_is_over() {
        let mut assembly = Assembly::new(3, 1000);
        assert!(assembly.add(vec![item(1)], 100).is_empty());
        assert!(assembly.add(vec![item(2)], 900).is_empty());
        assert_eq!(assembly.due_ms(), Some(1100));
        assert!(assembly.due(1099).is_none());
        assert_eq!(
            events(assembly.due(1100).into_iter().collect()),
            [r#"{"Records":[1,2]}"#]
        );
        assert_eq!(assembly.due_ms(), None);
        let batches = assembly.add((1..=4).map(item).collect(), 2000);
        assert_eq!(events(batches), [r#"{"Records":[1,2,3]}"#]);
        assert_eq!(assembly.waiting(), 1);
    }

    #[test]
    fn an_event_is_no_larger_than_lambda_takes() {
        let large = |number| Item {
            json: vec![b'1'; 2 * 1024 * 1024],
            ..item(number)
        };
        let mut assembly = Assembly::new(10, 0);
        let batches = assembly.add((1..=5).map(large).collect(), 0);
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.entries.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
        let fits = |mut batch: Batch| batch.event().len() <= limits::EVENT_BYTES_MAX;
        assert!(batches.into_iter().all(fits));
    }

    #[test]
    fn messages_can_be_left_out() {
        let mut batches = Assembly::new(5, 0).add((1..=5).map(item).collect(), 0);
        batches[0].retain(|entry| entry.receipt.sequence % 2 == 1);
        let left: Vec<i64> = batches[0].receipts().iter().map(|it| it.sequence).collect();
        assert_eq!(left, [1, 3, 5]);
        assert_eq!(events(batches), [r#"{"Records":[1,3,5]}"#]);
    }
}
