//! The embedded engine: one SQLite file in the data directory.
//!
//! WAL with `synchronous=FULL`: a commit is on the disk before it is answered. Every write
//! transaction begins IMMEDIATE: one that upgraded later would get a busy error no timeout
//! covers. Other processes may have the same file open; they wait for each other.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rusqlite::ffi::{
    SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE,
    SQLITE_IOERR_SHMSIZE,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags, ToSql};

use crate::engine::{CommitFault, Connection, Connector, Role};
use crate::error::{Error, Fault, Reach, Result};
use crate::limits;
use crate::owner::{Owner, OwnerFile, Tenure};
use crate::reserve::Reserve;
use crate::sql::{self, Dialect};
use crate::store::StoreConfig;
use crate::value::{Row, Value};

const FILE: &str = "lambent.db";
/// Who has the directory; held locked by its owner, beside SQLite's own locks.
const OWNER_FILE: &str = "owner";
/// What is given back to the disk when it is full.
const RESERVE_FILE: &str = "reserve";

pub(crate) struct Sqlite {
    file: PathBuf,
    bytes_max: Option<u64>,
    time_max: Duration,
    reserve: Arc<Reserve>,
}

impl Sqlite {
    pub fn open(directory: &Path, config: &StoreConfig) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(Error::io)?;
        let parent = directory.parent();
        if let Some(parent) = parent.filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        let reserve = Reserve::at(directory.join(RESERVE_FILE));
        reserve.take();
        Ok(Self {
            reserve: Arc::new(reserve),
            file: directory.join(FILE),
            bytes_max: config.sqlite_bytes_max,
            time_max: config.statement_time_max,
        })
    }
}

impl Sqlite {
    /// Readable by our user alone; SQLite gives the log beside it the same mode.
    fn create(&self) -> Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(&self.file).map(drop).map_err(Error::io)?;
        // A new file is only as durable as its directory's entry.
        self.file.parent().map_or(Ok(()), sync)
    }
}

fn sync(directory: &Path) -> Result<()> {
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::io)
}

impl Connector for Sqlite {
    fn connect(&self, role: Role) -> Result<Box<dyn Connection>> {
        match self.try_to_connect(role) {
            Err(Error::DiskFull { .. }) if self.reserve.give_up() => self.try_to_connect(role),
            other => other,
        }
    }

    fn batch_max(&self) -> usize {
        limits::SQLITE_BATCH_MAX
    }

    fn writers(&self, _: &StoreConfig) -> usize {
        1
    }

    fn own(&self, owner: &Owner) -> Result<Tenure> {
        let file = OwnerFile::take(&self.file.with_file_name(OWNER_FILE), owner)?;
        Ok(Tenure::for_good(file))
    }
}

impl Sqlite {
    fn try_to_connect(&self, role: Role) -> Result<Box<dyn Connection>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if role == Role::Writer {
            self.create()?;
        }
        let mut raw = rusqlite::Connection::open_with_flags(&self.file, flags).map_err(error)?;
        configure(&raw, role, self.bytes_max)?;
        let deadline = Deadline::on(&mut raw, self.time_max).map_err(error)?;
        Ok(Box::new(Link {
            raw,
            reserve: (role == Role::Writer).then(|| self.reserve.clone()),
            deadline,
            columns: HashMap::new(),
        }))
    }
}

fn configure(raw: &rusqlite::Connection, role: Role, bytes_max: Option<u64>) -> Result<()> {
    raw.busy_timeout(limits::BUSY_WAIT).map_err(error)?;
    raw.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
    if role == Role::Writer {
        let mode = enter_wal(raw).map_err(error)?;
        if mode != "wal" {
            let reason = format!("its file system takes no write-ahead log, only {mode:?}");
            return Err(Error::Config { reason });
        }
        // What the previous process left, unless another one reads it.
        let _ = checkpoint(raw);
    }
    set(raw, role, bytes_max).map_err(error)
}

fn set(raw: &rusqlite::Connection, role: Role, bytes_max: Option<u64>) -> rusqlite::Result<()> {
    raw.pragma_update(None, "synchronous", "FULL")?;
    raw.pragma_update(None, "foreign_keys", true)?;
    raw.pragma_update(None, "temp_store", "MEMORY")?;
    // Negative: KiB.
    raw.pragma_update(
        None,
        "cache_size",
        if role == Role::Writer { -8192 } else { -2048 },
    )?;
    if role == Role::Reader {
        return raw.pragma_update(None, "query_only", true);
    }
    raw.pragma_update(None, "wal_autocheckpoint", limits::WAL_PAGES_CHECKPOINT)?;
    raw.pragma_update(None, "journal_size_limit", limits::WAL_BYTES_KEPT)?;
    let Some(bytes) = bytes_max else {
        return Ok(());
    };
    let page: i64 = raw.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page;
    raw.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// The busy timeout does not cover two processes that switch a new file to WAL at once.
fn enter_wal(raw: &rusqlite::Connection) -> rusqlite::Result<String> {
    let began = Instant::now();
    loop {
        match raw.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Err(error) if is_busy(&error) && began.elapsed() < limits::BUSY_WAIT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Ends statements that take too long: a read that never ends would hold its snapshot, and with
/// it the log, for ever.
struct Deadline {
    base: Instant,
    due_ms: Arc<AtomicU64>,
    time_max: Duration,
}

impl Deadline {
    /// How many of SQLite's steps lie between two looks at the clock.
    const STEPS: i32 = 20_000;

    fn on(raw: &mut rusqlite::Connection, time_max: Duration) -> rusqlite::Result<Self> {
        let (base, due_ms) = (Instant::now(), Arc::new(AtomicU64::new(u64::MAX)));
        let due = due_ms.clone();
        let is_over = move || base.elapsed().as_millis() > u128::from(due.load(Relaxed));
        raw.progress_handler(Self::STEPS, Some(is_over))?;
        Ok(Self {
            base,
            due_ms,
            time_max,
        })
    }

    fn start(&self) {
        let due = self.base.elapsed() + self.time_max;
        self.due_ms
            .store(u64::try_from(due.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn stop(&self) {
        self.due_ms.store(u64::MAX, Relaxed);
    }
}

struct Link {
    raw: rusqlite::Connection,
    /// The writer's.
    reserve: Option<Arc<Reserve>>,
    deadline: Deadline,
    /// The column names of each query, shared by its rows.
    columns: HashMap<String, Arc<[String]>>,
}

impl Link {
    fn fault(&self, error: rusqlite::Error) -> Fault {
        let error = match self::error(error) {
            // With more room now, the whole transaction is worth another try.
            Error::DiskFull { source } if self.reserve.as_ref().is_some_and(|it| it.give_up()) => {
                return Fault::new(Reach::Transaction, Error::Busy { source });
            }
            error => error,
        };
        let reach = match &error {
            Error::Io { .. } | Error::Corrupt { .. } => Reach::Connection,
            // Some errors make SQLite roll the whole transaction back by itself.
            _ if self.raw.is_autocommit() => Reach::Transaction,
            _ => Reach::Statement,
        };
        Fault::new(reach, error)
    }

    fn cached(&self, sql: &str) -> Result<(), Fault> {
        let mut statement = self.raw.prepare_cached(sql).map_err(|e| self.fault(e))?;
        statement.raw_execute().map(drop).map_err(|e| self.fault(e))
    }

    fn bind<'a>(
        &'a self,
        sql: &str,
        params: &[Value],
    ) -> Result<rusqlite::CachedStatement<'a>, Fault> {
        let mut statement = self.raw.prepare_cached(sql).map_err(|e| self.fault(e))?;
        let named = (1..=statement.parameter_count())
            .all(|number| numbered(statement.parameter_name(number), number));
        if !named || statement.parameter_count() != params.len() {
            return Err(refuse(sql, params.len()));
        }
        for (number, value) in (1..).zip(params) {
            statement
                .raw_bind_parameter(number, Bound(value))
                .map_err(|e| self.fault(e))?;
        }
        Ok(statement)
    }

    fn columns(&mut self, sql: &str, names: Vec<String>) -> Arc<[String]> {
        if self.columns.len() >= limits::STATEMENTS_MAX {
            self.columns.clear();
        }
        self.columns
            .entry(sql.to_owned())
            .or_insert_with(|| names.into())
            .clone()
    }
}

fn numbered(name: Option<&str>, number: usize) -> bool {
    let digits = name.and_then(|name| name.strip_prefix('$'));
    digits.and_then(|digits| digits.parse().ok()) == Some(number)
}

fn refuse(sql: &str, given: usize) -> Fault {
    let reason = match sql::check_parameters(sql, given) {
        Err(reason) => reason,
        Ok(()) => "its parameters are not $1, $2, ...".into(),
    };
    Fault::new(
        Reach::Statement,
        Error::Statement {
            reason: format!("{reason}: {sql}"),
        },
    )
}

impl Connection for Link {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin_write(&mut self) -> Result<(), Fault> {
        self.deadline.start();
        self.cached("BEGIN IMMEDIATE")
    }

    fn begin_read(&mut self) -> Result<(), Fault> {
        self.deadline.start();
        self.cached("BEGIN")
    }

    fn begin_schema(&mut self) -> Result<(), Fault> {
        // A migration takes what it takes.
        self.deadline.stop();
        self.cached("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), CommitFault> {
        self.deadline.stop();
        self.cached("COMMIT").map_err(|fault| match fault.error {
            // When the sync fails, the log may have the commit all the same and show it once it
            // is read anew: running the closures again could do their work twice.
            Error::Io { source } => CommitFault::Unknown(Error::CommitUnknown { source }),
            error => CommitFault::Undone(Fault::new(fault.reach.max(Reach::Transaction), error)),
        })
    }

    fn rollback(&mut self) {
        self.deadline.stop();
        if !self.raw.is_autocommit()
            && let Err(fault) = self.cached("ROLLBACK")
        {
            tracing::warn!(error = %fault.error, "SQLite could not roll back");
        }
    }

    fn savepoint(&mut self) -> Result<(), Fault> {
        self.deadline.start();
        self.cached("SAVEPOINT closure")
    }

    fn release(&mut self) -> Result<(), Fault> {
        self.cached("RELEASE closure")
    }

    fn rollback_to_savepoint(&mut self) -> Result<(), Fault> {
        self.deadline.stop();
        self.cached("ROLLBACK TO closure")?;
        self.release()
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Fault> {
        let changed = self.bind(sql, params)?.raw_execute();
        changed.map(|rows| rows as u64).map_err(|e| self.fault(e))
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Fault> {
        let (names, values) = {
            let mut statement = self.bind(sql, params)?;
            let names = match self.columns.get(sql) {
                Some(_) => Vec::new(),
                None => statement.column_names().map(str::to_owned).collect(),
            };
            (names, rows(&mut statement).map_err(|e| self.fault(e))?)
        };
        if values.len() > limits::ROWS_MAX {
            let reason = format!("it gives more than {} rows: {sql}", limits::ROWS_MAX);
            return Err(Fault::new(Reach::Statement, Error::Statement { reason }));
        }
        let columns = match self.columns.get(sql) {
            Some(columns) => columns.clone(),
            None => self.columns(sql, names),
        };
        Ok(values
            .into_iter()
            .map(|row| Row::new(columns.clone(), row))
            .collect())
    }

    fn script(&mut self, sql: &str) -> Result<(), Fault> {
        self.raw.execute_batch(sql).map_err(|e| self.fault(e))
    }

    /// Moves the log into the database file, so that it does not wait for the next write.
    fn idle(&mut self) {
        if let Err(error) = checkpoint(&self.raw) {
            tracing::debug!(%error, "SQLite's log was not checkpointed");
        }
        if let Some(reserve) = &self.reserve {
            reserve.take();
        }
    }
}

/// Does not wait for other processes' readers: there will be another quiet moment.
fn checkpoint(raw: &rusqlite::Connection) -> rusqlite::Result<()> {
    raw.busy_timeout(Duration::ZERO)?;
    let done = raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    raw.busy_timeout(limits::BUSY_WAIT)?;
    done
}

fn rows(statement: &mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<Vec<Vec<Value>>> {
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        let row: rusqlite::Result<_> = (0..width)
            .map(|column| row.get_ref(column).map(value))
            .collect();
        values.push(row?);
        if values.len() > limits::ROWS_MAX {
            break;
        }
    }
    Ok(values)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(int) => ValueRef::Integer(*int),
            Value::Bool(bool) => ValueRef::Integer((*bool).into()),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn error(error: rusqlite::Error) -> Error {
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    let Some(code) = error.sqlite_error_code() else {
        return Error::Sql {
            source: Arc::new(error),
        };
    };
    match code {
        ErrorCode::ConstraintViolation if is_unique(extended) => Error::AlreadyExists {
            what: error.to_string(),
        },
        ErrorCode::ConstraintViolation => Error::Constraint {
            source: Arc::new(error),
        },
        // The shared index beside the log could not grow: the same full disk.
        ErrorCode::SystemIoFailure if extended == SQLITE_IOERR_SHMSIZE => Error::DiskFull {
            source: Arc::new(error),
        },
        ErrorCode::DiskFull => Error::DiskFull {
            source: Arc::new(error),
        },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy {
            source: Arc::new(error),
        },
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Error::Io {
            source: Arc::new(error),
        },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::corrupt(error.to_string()),
        ErrorCode::OperationInterrupted => Error::TimedOut {
            source: Arc::new(error),
        },
        _ => Error::Sql {
            source: Arc::new(error),
        },
    }
}

fn is_unique(extended: i32) -> bool {
    [
        SQLITE_CONSTRAINT_PRIMARYKEY,
        SQLITE_CONSTRAINT_ROWID,
        SQLITE_CONSTRAINT_UNIQUE,
    ]
    .contains(&extended)
}
