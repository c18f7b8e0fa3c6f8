//! Ports for time and randomness. Only these adapters read the machine's clock and its source of randomness.

mod skew;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dabba_domain::Timestamp;
use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _};

pub use skew::{ClockConfig, ClockSkew, ServerClock};

/// Port for the current time.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns an error with the reason if the clock is not reliable.
    fn check(&self) -> Result<(), ClockSkew> {
        Ok(())
    }
}

/// A clock that can be advanced. For sandboxes and tests.
pub trait AdjustableClock: Clock {
    /// Advances the clock, and returns the new time. An error contains the reason why the clock is unchanged.
    fn try_advance(&self, by: SignedDuration) -> Result<Timestamp, String>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the adapter behind the port")]
        Timestamp::now()
    }
}

/// A clock that a test advances.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Returns a clock that starts at `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Advances the clock.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(by).unwrap_or(Timestamp::MAX);
    }
}

impl AdjustableClock for ManualClock {
    fn try_advance(&self, by: SignedDuration) -> Result<Timestamp, String> {
        self.advance(by);
        Ok(self.now())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Source of random bits. Ids and salts are made of them, so they must not be predictable.
pub trait Random: Send + Sync {
    /// Returns the next 64 bits.
    fn next_u64(&self) -> u64;
}

/// Cryptographically secure bits, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::rng().random()
    }
}

/// Bits that depend only on a seed, the same in each run. For tests and simulations.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededRandom {
    /// Returns the sequence of this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let index = self.drawn.fetch_add(1, Ordering::Relaxed);
        rand::rngs::StdRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index).random()
    }
}

/// Returns `duration` after `now`, or the maximum timestamp if that is out of range.
pub(crate) fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}
