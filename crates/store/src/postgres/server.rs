//! Where the server is, and how it is reached: patiently while it restarts, at once refused when
//! it was never there or has been away for long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::error::classify;
use crate::error::{Cause, Error, Result};
use crate::limits;
use crate::store::StoreConfig;

const OLDEST_VERSION: u32 = 150_000;
const CLOSE_WAIT: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// Rows are found by their keys: a server that does not know yet how large a table has become would
/// rather read all of it, for every few rows of a batch. Where it has to read all, that looks so
/// dear then that it would compile the statement.
const BY_KEY: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET jit = off";

/// A new session: no hung transactions, deadlocks ended sooner than the server looks for them, and
/// commits that are durable whatever the server's default is. Says the server's version, and
/// whether it syncs at all.
const GREETING: &str = "SET idle_in_transaction_session_timeout = '60s'; \
     SET lock_timeout = '25ms'; \
     SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'; \
     SELECT current_setting('server_version_num') AS version, current_setting('fsync') AS fsync";

pub(super) struct Server {
    config: Config,
    pub outage_borne: Duration,
    pub statement_time_max: Duration,
    pub owner_wait: Duration,
    outage: Mutex<Outage>,
}

/// An open connection and the runtime that drives it, both for one thread.
pub(super) struct Wire {
    pub runtime: Runtime,
    pub client: Client,
    pub connection: JoinHandle<()>,
}

impl Wire {
    /// Closes the connection in a way the server understands.
    pub fn close(self) {
        drop(self.client);
        let closed = async { tokio::time::timeout(CLOSE_WAIT, self.connection).await };
        let _ = self.runtime.block_on(closed);
    }
}

/// What drives one connection, on one thread.
pub(super) fn runtime() -> Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().map_err(Error::io)
}

impl Server {
    pub fn at(url: &str, limits: &StoreConfig) -> Result<Self> {
        let mut config: Config = url
            .parse()
            .map_err(|error| refuse(format!("its PostgreSQL URL: {error}")))?;
        if config.get_ssl_mode() == SslMode::Require {
            return Err(refuse("PostgreSQL over TLS is not built yet".into()));
        }
        // A replica would not show what was just written.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(
            *config
                .get_connect_timeout()
                .unwrap_or(&limits::CONNECT_WAIT),
        );
        if config.get_application_name().is_none() {
            config.application_name("lambent");
        }
        notice_silence(&mut config);
        if let Some(host) = config.get_hosts().iter().find_map(far) {
            tracing::warn!("the connection to PostgreSQL at {host} is not encrypted");
        }
        Ok(Self {
            config,
            outage_borne: limits.postgres_outage_borne,
            statement_time_max: limits.statement_time_max,
            owner_wait: limits.postgres_owner_wait,
            outage: Mutex::new(Outage::NeverReached),
        })
    }

    /// Connects, or says at once that it cannot be.
    pub fn reach_once(&self) -> Result<Wire> {
        let result = self.connect();
        self.note(result.is_ok());
        result
    }

    /// Connects, waiting out a short outage.
    pub fn reach(&self) -> Result<Wire> {
        let mut pause = PAUSE;
        loop {
            let result = self.connect();
            let outage = self.note(result.is_ok());
            match result {
                Err(Error::Unavailable { .. }) if outage.is_borne(self.outage_borne) => {
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(PAUSE_MAX);
                }
                other => return other,
            }
        }
    }

    fn connect(&self) -> Result<Wire> {
        let runtime = runtime()?;
        let time_ms = self.statement_time_max.as_millis().max(1);
        let greeting = format!("SET statement_timeout = {time_ms}; {BY_KEY}; {GREETING}");
        let (client, connection, greeting) = runtime
            .block_on(async {
                let (client, connection) = self.config.connect(NoTls).await?;
                let connection = tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "PostgreSQL closed a connection");
                    }
                });
                let greeting = client.simple_query(&greeting).await?;
                Ok((client, connection, greeting))
            })
            .map_err(|error| self.refused(error))?;
        check(&greeting)?;
        Ok(Wire {
            runtime,
            client,
            connection,
        })
    }

    /// Why there is no connection, in words that name the server and never its password.
    fn refused(&self, error: tokio_postgres::Error) -> Error {
        let code = error.code().map(|state| state.code().to_owned());
        let at = self.address();
        // A wrong password, a user or a database that is not there: waiting does not help.
        let is_ours = |code: &String| code.starts_with("28") || code.starts_with("3D");
        if code.as_ref().is_some_and(is_ours) {
            let said = error.as_db_error().map(|db| db.message().to_owned());
            let said = said.unwrap_or_default();
            return refuse(format!("PostgreSQL at {at} refuses the connection: {said}"));
        }
        match classify(error).error {
            Error::Unavailable { source } => Error::Unavailable {
                source: Arc::new(Unreached { at, source }),
            },
            other => other,
        }
    }

    fn address(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        let named = hosts.map(|(at, host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(directory) => format!("{}, port {port}", directory.display()),
            }
        });
        named.collect::<Vec<_>>().join(" or ")
    }

    fn note(&self, reached: bool) -> Outage {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        *outage = match (reached, *outage) {
            (true, _) => Outage::None,
            (false, Outage::None) => Outage::Since(Instant::now()),
            (false, before) => before,
        };
        *outage
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no connection to PostgreSQL at {at}")]
struct Unreached {
    at: String,
    source: Cause,
}

/// A machine that went away without a word is noticed in half a minute, not in two hours: the
/// next statement then fails at once and is run again elsewhere.
fn notice_silence(config: &mut Config) {
    config.keepalives_idle(config.get_keepalives_idle().min(limits::SILENCE_BORNE));
    let interval = config.get_keepalives_interval();
    config.keepalives_interval(interval.unwrap_or(limits::SILENCE_BORNE));
    config.keepalives_retries(config.get_keepalives_retries().unwrap_or(3));
    let unacknowledged = config.get_tcp_user_timeout().copied();
    config.tcp_user_timeout(unacknowledged.unwrap_or(3 * limits::SILENCE_BORNE));
}

/// A host's name, where what is sent to it leaves this machine.
fn far(host: &Host) -> Option<&str> {
    let Host::Tcp(name) = host else { return None };
    let is_near = match name.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost",
    };
    (!is_near).then_some(name)
}

/// How the server was the last time somebody connected.
#[derive(Debug, Clone, Copy)]
enum Outage {
    /// A wrong address shall be said at once.
    NeverReached,
    None,
    Since(Instant),
}

impl Outage {
    fn is_borne(self, borne: Duration) -> bool {
        match self {
            Self::NeverReached => false,
            Self::None => true,
            Self::Since(began) => began.elapsed() < borne,
        }
    }
}

/// Refuses a server that is too old.
fn check(greeting: &[SimpleQueryMessage]) -> Result<()> {
    let row = greeting.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let field = |name: &str| row.and_then(|row| row.try_get(name).ok().flatten());
    let version = field("version")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    if version < OLDEST_VERSION {
        let reason = format!("PostgreSQL {} is too old, it takes 15", version / 10_000);
        return Err(refuse(reason));
    }
    if field("fsync") != Some("on") {
        tracing::warn!("this PostgreSQL runs with fsync off: a power failure loses data");
    }
    Ok(())
}

fn refuse(reason: String) -> Error {
    Error::Config { reason }
}
