//! What is stored of queues: their definitions, and per message a small row that changes and a
//! content that does not.
//!
//! The rows are kept by queue and sequence number, so that sending appends and a page is a range;
//! the contents by sequence number alone, as SQLite keeps large rows best under one integer.
//! No index depends on anything that changes: what is next is known in memory.

use store::Migration;

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 3;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [
        Migration::new(first, "queues", store::records_table!("queues")),
        Migration::each(first + 1, "queue_messages", SQLITE, POSTGRES),
        Migration::new(
            first + 2,
            "queue_move_tasks",
            store::records_table!("queue_move_tasks"),
        ),
    ]
}

const SQLITE: &str = "
CREATE TABLE queue_messages (
    queue {int} NOT NULL, seq {int} NOT NULL, due {int} NOT NULL, receives {int} NOT NULL,
    first_received {int} NOT NULL, sent_at {int} NOT NULL, message_group {text}, source {text},
    PRIMARY KEY (queue, seq)
) {clustered};
CREATE TABLE queue_bodies (seq {int} PRIMARY KEY, body {blob} NOT NULL) {strict};
CREATE TABLE queue_dedups (
    queue {int} NOT NULL, at {int} NOT NULL, key {blob} NOT NULL, seq {int} NOT NULL,
    message_id {text} NOT NULL,
    PRIMARY KEY (queue, at, key)
) {clustered};
CREATE TABLE queue_keys (id {int} PRIMARY KEY, sealed {text} NOT NULL) {strict};
CREATE TABLE queue_graves (queue {int} PRIMARY KEY) {strict};
CREATE TABLE queue_floor (id {int} PRIMARY KEY, floor_ms {int} NOT NULL) {strict};
INSERT INTO queue_floor (id, floor_ms) VALUES (1, 0);
";

/// The changing rows leave room in their pages: an update then touches no index. Contents are
/// sealed, so that compressing them is in vain.
const POSTGRES: &str = "
CREATE TABLE queue_messages (
    queue {int} NOT NULL, seq {int} NOT NULL, due {int} NOT NULL, receives {int} NOT NULL,
    first_received {int} NOT NULL, sent_at {int} NOT NULL, message_group {text}, source {text},
    PRIMARY KEY (queue, seq)
) WITH (fillfactor = 60);
CREATE TABLE queue_bodies (seq {int} PRIMARY KEY, body {blob} NOT NULL);
ALTER TABLE queue_bodies ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE queue_dedups (
    queue {int} NOT NULL, at {int} NOT NULL, key {blob} NOT NULL, seq {int} NOT NULL,
    message_id {text} NOT NULL,
    PRIMARY KEY (queue, at, key)
);
CREATE TABLE queue_keys (id {int} PRIMARY KEY, sealed {text} NOT NULL);
CREATE TABLE queue_graves (queue {int} PRIMARY KEY);
CREATE TABLE queue_floor (id {int} PRIMARY KEY, floor_ms {int} NOT NULL);
INSERT INTO queue_floor (id, floor_ms) VALUES (1, 0);
";
