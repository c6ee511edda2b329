//! What the store does to its transactions.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use store::{Fate, Faults};

use super::chance::Chance;
use crate::clock::Clock;

pub struct Weather {
    chance: Chance,
    /// Of a thousand writes.
    faults_per_mille: u64,
    takes_ms_max: u64,
    /// The instant of the last transaction, and its number in that.
    last: Mutex<(i64, u64)>,
    clock: Mutex<Option<Arc<Clock>>>,
    faults: AtomicU64,
    is_calm: AtomicBool,
}

impl Weather {
    pub fn new(chance: Chance, faults_per_mille: u64) -> Self {
        Self {
            chance,
            faults_per_mille,
            takes_ms_max: [0, 3, 40][chance.below(3, "latency", &[]) as usize],
            last: Mutex::default(),
            clock: Mutex::default(),
            faults: AtomicU64::new(0),
            is_calm: AtomicBool::new(true),
        }
    }

    pub fn calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::SeqCst);
    }

    /// How many there have been.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }

    pub fn go_by(&self, clock: Arc<Clock>) {
        *self.clock.lock().unwrap() = Some(clock);
    }

    /// Drawn by the instant, so that one transaction more or less changes nothing later.
    fn next(&self, what: &str, per_mille: u64) -> (Fate, Duration) {
        let now_ms = self
            .clock
            .lock()
            .unwrap()
            .as_ref()
            .map_or(0, |it| it.now_ms());
        let mut last = self.last.lock().unwrap();
        *last = match last.0 == now_ms {
            true => (now_ms, last.1 + 1),
            false => (now_ms, 0),
        };
        let key = [now_ms.unsigned_abs(), last.1];
        let fails = self.chance.happens(per_mille, what, &key);
        let fate = match fails && !self.is_calm.load(Ordering::SeqCst) {
            false => Fate::Kept,
            true => {
                self.faults.fetch_add(1, Ordering::SeqCst);
                [Fate::Lost, Fate::Unknown][self.chance.below(2, "fate", &key) as usize]
            }
        };
        let takes_ms = self.chance.below(self.takes_ms_max + 1, what, &key);
        (fate, Duration::from_millis(takes_ms))
    }
}

impl Faults for Weather {
    fn write(&self) -> (Fate, Duration) {
        self.next("write", self.faults_per_mille)
    }

    fn read(&self) -> (Fate, Duration) {
        self.next("read", self.faults_per_mille / 2)
    }
}
