//! What the store does to its transactions.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use store::{Fate, Faults};

use super::chance::Chance;

pub struct Weather {
    chance: Chance,
    /// Of a thousand writes.
    faults_per_mille: u64,
    takes_ms_max: u64,
    writes: AtomicU64,
    reads: AtomicU64,
    faults: AtomicU64,
    is_calm: AtomicBool,
}

impl Weather {
    pub fn new(chance: Chance, faults_per_mille: u64) -> Self {
        Self {
            chance,
            faults_per_mille,
            takes_ms_max: [0, 3, 40][chance.below(3, "latency", &[]) as usize],
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
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

    fn next(&self, what: &str, number: &AtomicU64, per_mille: u64) -> (Fate, Duration) {
        let number = number.fetch_add(1, Ordering::SeqCst);
        let fails = self.chance.happens(per_mille, what, &[number]);
        let fate = match fails && !self.is_calm.load(Ordering::SeqCst) {
            false => Fate::Kept,
            true => {
                self.faults.fetch_add(1, Ordering::SeqCst);
                [Fate::Lost, Fate::Unknown][self.chance.below(2, "fate", &[number]) as usize]
            }
        };
        let takes_ms = self
            .chance
            .below(self.takes_ms_max + 1, "takes", &[number, per_mille]);
        (fate, Duration::from_millis(takes_ms))
    }
}

impl Faults for Weather {
    fn write(&self) -> (Fate, Duration) {
        self.next("write", &self.writes, self.faults_per_mille)
    }

    fn read(&self) -> (Fate, Duration) {
        self.next("read", &self.reads, self.faults_per_mille / 2)
    }
}
