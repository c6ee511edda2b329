//! Transactions, tables with versioned records, and blobs, on SQLite or PostgreSQL.
//!
//! Knows no service and no domain type. Writes are grouped: the transactions that wait share one
//! commit, each in a savepoint, and each is answered only when that commit is durable. There is
//! no clock in here: whoever stores a time passes it in.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use lambent_store as store;
//! use store::{Migration, Page, Record, Store, StoreConfig, Table};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Function { runtime: String }
//!
//! impl Record for Function {
//!     const TABLE: &'static str = "functions";
//!     const VERSION: u32 = 1;
//! }
//!
//! const FUNCTIONS: Table<Function> = Table::new();
//! const MIGRATIONS: &[Migration] = &[
//!     Migration::new(1, "functions", store::records_table!("functions")),
//!     Migration::new(2, "usage", "CREATE TABLE usage (name {text} PRIMARY KEY, ms {int} NOT NULL) {clustered}"),
//! ];
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> store::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let dir = dir.path().to_str().unwrap();
//! let store = Store::open(StoreConfig::new(dir), MIGRATIONS).await?;
//!
//! // A closure moves in what it needs and may run again, so it borrows or clones it inside.
//! let name = String::from("greet");
//! store.write(move |tx| {
//!     FUNCTIONS.insert(tx, &["123456789012", &name], &Function { runtime: "python3.13".into() })?;
//!     tx.execute("INSERT INTO usage (name, ms) VALUES ($1, $2)", store::params![&name, 0])?;
//!     Ok(())
//! }).await?;
//!
//! let names = store.read(|tx| {
//!     let page = Page { prefix: &["123456789012"], after: None, limit: 50 };
//!     let found = FUNCTIONS.list(tx, page)?;
//!     Ok(found.iter().map(|stored| stored.key.name().to_owned()).collect::<Vec<_>>())
//! }).await?;
//! assert_eq!(names, ["greet"]);
//! # Ok(()) }
//! ```

mod blob;
mod engine;
mod error;
mod faults;
mod job;
mod limits;
mod migrate;
mod owner;
mod postgres;
mod queue;
mod reader;
mod record;
mod reserve;
mod retry;
mod sql;
mod sqlite;
mod store;
mod tx;
mod value;
mod writer;

pub use blob::{
    Blob, BlobFile, BlobHash, BlobReader, BlobStore, BlobWriter, Collected, NotABlobHash,
};
pub use error::{Cause, Error, Result};
pub use faults::{Fate, Faults};
pub use migrate::Migration;
pub use owner::{Owner, OwnerFile};
pub use record::{Key, Page, Record, Stored, Table};
pub use sql::{Dialect, Sql};
pub use store::{Stats, Store, StoreConfig};
pub use tx::{ReadTx, Tx};
pub use value::{Column, FromValue, Row, Value};
