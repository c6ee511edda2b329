//! A delivery as a message of its lane.

use super::delivery::Delivery;
use crate::queues::message::{Content, NewMessage};

/// What is written before the delivery: the version of its form.
const VERSION: &str = "1 ";

#[derive(Debug, thiserror::Error)]
#[error("a stored delivery is damaged")]
pub struct Damaged;

pub fn message(delivery: &Delivery) -> NewMessage {
    // Nothing in a delivery is a map with keys other than text, so this does not fail.
    let json = serde_json::to_string(delivery).unwrap_or_default();
    NewMessage {
        content: Content {
            body: format!("{VERSION}{json}"),
            ..Content::default()
        },
        delay_s: None,
        group: delivery.ordered_by.clone(),
        deduplication_id: None,
    }
}

pub fn read(content: &Content) -> Result<Delivery, Damaged> {
    let json = content.body.strip_prefix(VERSION).ok_or(Damaged)?;
    serde_json::from_str(json).map_err(|_| Damaged)
}
