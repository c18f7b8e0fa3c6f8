//! Decides which calls fail, hang or lose their response, and records what happened.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use dabba_gateways::simulated::wire::{Notification, Report};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    SHARDS,
    coverage::{Coverage, Mark},
    plant::Plant,
    rates::Rates,
};

/// Maximum number of undelivered reports of the provider. Further reports are lost.
const MAX_REPORTS: usize = 500;

/// The failures of a simulation. All layers between the real parts share it.
pub(super) struct Chaos {
    random: Mutex<StdRng>,
    pub(super) rates: Rates,
    pub(super) plant: Option<Plant>,
    pub(super) coverage: Coverage,
    is_calm: AtomicBool,
    /// The time at which each shard stops hanging.
    hung_until: Mutex<[Instant; SHARDS]>,
    pub(super) counts: Counts,
    trace: Mutex<DefaultHasher>,
}

/// Numbers of what happened.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) failures: AtomicU64,
    pub(super) deaths: AtomicU64,
    pub(super) hangs: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) shared_batches: AtomicU64,
}

/// Adds one to a number.
pub(super) fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

impl Chaos {
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let rates = Rates::draw(&mut random);
        Self {
            random: Mutex::new(random),
            rates,
            plant,
            coverage: Coverage::default(),
            is_calm: AtomicBool::new(true),
            hung_until: Mutex::new([Instant::now(); SHARDS]),
            counts: Counts::default(),
            trace: Mutex::default(),
        }
    }

    /// Stops or starts the failures.
    pub(super) fn set_calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::Relaxed);
        *self.hung_until.lock().unwrap_or_else(PoisonError::into_inner) = [Instant::now(); SHARDS];
    }

    pub(super) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// Returns whether something with this rate happens, in 1,000. Nothing happens while failures are stopped.
    pub(super) fn happens(&self, rate: u32) -> bool {
        !self.is_calm() && self.below(1_000) < rate
    }

    /// Returns a random number below a bound.
    pub(super) fn below(&self, bound: u32) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..bound.max(1))
    }

    /// Returns 64 random bits.
    pub(super) fn bits(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Counts a failed call, and returns the text of its error.
    pub(super) fn fail(&self) -> String {
        count(&self.counts.failures);
        "injected by the simulation".to_owned()
    }

    /// Waits for the time that a message takes between a server and a shard.
    pub(super) async fn travel(&self) {
        if !self.is_calm() {
            let milliseconds = self.below(self.rates.store_latency);
            sleep(Duration::from_millis(milliseconds.into())).await;
        }
    }

    /// Makes a shard hang.
    pub(super) fn hang(&self, shard: usize, time: Duration) {
        count(&self.counts.hangs);
        let mut hung_until = self.hung_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = hung_until.get_mut(shard) {
            *until = (*until).max(Instant::now() + time);
        }
    }

    /// Waits while a shard hangs, and returns for how long it hung.
    pub(super) async fn wait_while_hung(&self, shard: usize) -> Duration {
        let began = Instant::now();
        loop {
            let until = self.hung_until.lock().unwrap_or_else(PoisonError::into_inner).get(shard).copied();
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return began.elapsed(),
            }
        }
    }

    /// Adds a call of the store to the hash of all calls.
    pub(super) fn record_call(&self, shard: usize, method: &str, at: Duration) {
        (shard, method, at).hash(&mut *self.trace.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the hash of all calls of the store so far, with their order and their times.
    pub(super) fn call_hash(&self) -> u64 {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).finish()
    }

    /// Counts a batch of commits.
    pub(super) fn record_batch(&self, size: usize) {
        count(&self.counts.batches);
        if size > 1 {
            count(&self.counts.shared_batches);
            self.coverage.pass(Mark::SharedBatch);
        }
    }

    /// Returns whether a report of the provider is delivered later, given the number of waiting reports. A
    /// report about a task's call may be lost, because a retry returns the same answer. The provider reports
    /// a late failure of a refund only once and repeats the report until it is accepted, so such a report is
    /// always delivered.
    pub(super) fn is_delivered_later(&self, notification: &Notification, waiting: usize) -> bool {
        match notification.report {
            Report::RefundRefused { .. } => self.plant != Some(Plant::LostReversals),
            Report::ExternalRefund { .. } | Report::Chargeback { .. } => {
                self.plant != Some(Plant::LostDashboardReports)
            }
            _ => waiting < MAX_REPORTS,
        }
    }
}
