//! Time and randomness, as ports: the only places that ask the machine for either.

mod skew;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use dabba_domain::Timestamp;
use jiff::SignedDuration;
use rand::{RngExt as _, SeedableRng as _};

pub use skew::{ClockConfig, ClockSkew, ServerClock};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Returns why the clock cannot be relied on, if it cannot.
    fn check(&self) -> Result<(), ClockSkew> {
        Ok(())
    }
}

/// A clock that can be put forward: for sandboxes and tests.
pub trait AdjustableClock: Clock {
    /// Puts it forward, and answers the time that it is then. An error says why it was left as it was.
    fn put_forward(&self, by: SignedDuration) -> Result<Timestamp, String>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the adapter that the others take")]
        Timestamp::now()
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(by).unwrap_or(Timestamp::MAX);
    }
}

impl AdjustableClock for ManualClock {
    fn put_forward(&self, by: SignedDuration) -> Result<Timestamp, String> {
        self.advance(by);
        Ok(self.now())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Draws random bits. They make ids and salts, so they must not be guessable.
pub trait Random: Send + Sync {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;
}

/// Cryptographically secure bits, seeded by the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::rng().random()
    }
}

/// Bits that follow from a seed: the same in each run. For tests and simulations.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededRandom {
    /// The sequence of this seed.
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
