//! A place for one test's database, on either engine.

use lambent_store::{Migration, Record, Result, Store, StoreConfig, records_table};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use testkit::postgres::Database;

pub struct Bench {
    pub config: StoreConfig,
    _keep: Keep,
}

enum Keep {
    Directory(#[expect(dead_code, reason = "removes the directory")] TempDir),
    Database(#[expect(dead_code, reason = "drops the database")] Database),
}

impl Bench {
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = StoreConfig::new(directory.path().to_str().expect("a path of text"));
        Self {
            config,
            _keep: Keep::Directory(directory),
        }
    }

    pub async fn postgres() -> Self {
        let database = testkit::postgres::server().database().await;
        let mut config = StoreConfig::new(&database.url);
        // So that a case can hold the writer, as on SQLite; the conflicts have their own test.
        config.postgres_writers = 1;
        Self {
            config,
            _keep: Keep::Database(database),
        }
    }

    pub async fn open(&self, migrations: &[Migration]) -> Result<Store> {
        Store::open(self.config.clone(), migrations).await
    }

    /// A store with the tables that most cases use.
    pub async fn store(&self) -> Store {
        self.open(TABLES).await.expect("the store opens")
    }
}

pub const TABLES: &[Migration] = &[Migration::new(
    1,
    "tables",
    concat!(
        "CREATE TABLE item (id {int} PRIMARY KEY, n {int} NOT NULL CHECK (n >= 0)) {strict};",
        "CREATE TABLE sample (id {int} PRIMARY KEY, i {int}, r {real}, t {text}, b {blob}, ",
        "yes {bool}) {strict};",
        records_table!("things"),
    ),
)];

/// A record as it is today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    pub size: u32,
}

impl Record for Thing {
    const TABLE: &'static str = "things";
    const VERSION: u32 = 1;
}
