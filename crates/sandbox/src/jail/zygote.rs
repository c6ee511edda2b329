//! A function version's zygote: started beside its station when the version is prepared, used by
//! every start from then on, and started again if it dies. Starts that cannot wait for it, or
//! that it fails, execute the interpreter instead.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use guest::jail::message::{Configuration, Help};
use tokio::{sync::watch, time::timeout};

use super::station::Station;

/// How long a start waits for a zygote that is coming up: as long as an interpreter takes that is
/// executed instead, several times over.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// A zygote that died or failed is not started again before this.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub struct Zygote {
    help: Help,
    configuration: Configuration,
    state: watch::Sender<State>,
    started: Mutex<Option<Instant>>,
}

#[derive(Clone)]
enum State {
    Absent,
    Coming,
    Ready(Arc<Station>),
}

impl Zygote {
    pub fn new(help: Help, configuration: Configuration) -> Arc<Self> {
        Arc::new(Zygote {
            help,
            configuration,
            state: watch::Sender::new(State::Absent),
            started: Mutex::default(),
        })
    }

    /// Starts it beside `station`, unless that was tried a moment ago. Returns at once.
    pub fn start(self: &Arc<Self>, station: &Arc<Station>) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if started.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return;
        }
        *started = Some(Instant::now());
        drop(started);
        self.state.send_replace(State::Coming);
        let (zygote, station) = (self.clone(), station.clone());
        tokio::spawn(async move {
            let made = station
                .help(&zygote.help, zygote.configuration.clone())
                .await;
            zygote.state.send_replace(match made {
                Ok(made) => State::Ready(made),
                Err(error) => {
                    tracing::warn!("a zygote does not start: {error}");
                    State::Absent
                }
            });
        });
    }

    /// The zygote as a station, if there is one or will be in a moment.
    pub async fn station(self: &Arc<Self>, beside: &Arc<Station>) -> Option<Arc<Station>> {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Coming));
        let found = match timeout(WAIT_MAX, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Ready(station) if !station.is_dead() => Some(station.clone()),
                _ => None,
            },
            _ => return None,
        };
        if found.is_none() {
            self.start(beside);
        }
        found
    }
}
