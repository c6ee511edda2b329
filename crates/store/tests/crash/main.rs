//! Kills under load: a client process, hundreds of times, and the database server itself. Nothing
//! that was acknowledged may be missing afterwards and nothing may be there in part.
//!
//! `LAMBENT_CRASH_SEED` repeats a run's random choices, `LAMBENT_CRASH_ROUNDS` asks for more.

mod client;
#[path = "../support/ledger.rs"]
mod ledger;
mod server;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A small generator of random numbers: what matters is that the seed is printed.
pub struct Random(u64);

impl Random {
    pub fn seeded() -> Self {
        let given = std::env::var("LAMBENT_CRASH_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |time| time.as_nanos());
        let seed: u64 = given.unwrap_or(clock as u64);
        println!("LAMBENT_CRASH_SEED={seed}");
        Self(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound.max(1)
    }

    pub fn time_below(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(bound.as_micros() as u64))
    }
}

pub fn rounds(usual: u64) -> u64 {
    let asked = std::env::var("LAMBENT_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    asked.unwrap_or(usual)
}
