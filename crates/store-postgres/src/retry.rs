//! Retries with exponential backoff and full jitter, a bounded number of times.

use std::{sync::Arc, time::Duration};

use dabba_store::{Backoff, StoreError};

use crate::{
    PostgresMetrics, PostgresOptions,
    failure::{Conflict, Failure},
};

/// Source of randomness for pauses: returns 64 random bits for each call.
pub type Randomness = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Retry policy of a store.
pub(crate) struct Retry {
    max_attempts: u32,
    backoff: Backoff,
    randomness: Randomness,
    metrics: PostgresMetrics,
}

/// The attempts of one transaction.
pub(crate) struct Attempts<'a> {
    retry: &'a Retry,
    made: u32,
}

impl Retry {
    pub(crate) fn new(options: &PostgresOptions, randomness: Randomness, metrics: PostgresMetrics) -> Self {
        Self {
            max_attempts: options.max_attempts.max(1),
            backoff: Backoff { base: options.base_backoff, max: options.max_backoff },
            randomness,
            metrics,
        }
    }

    /// Counts the first attempt of a transaction.
    pub(crate) fn begin(&self) -> Attempts<'_> {
        self.metrics.attempts.inc();
        Attempts { retry: self, made: 1 }
    }

    /// Counts a conflict.
    pub(crate) fn count(&self, conflict: Conflict) {
        match conflict {
            Conflict::Serialization => self.metrics.serialization_failures.inc(),
            Conflict::Deadlock => self.metrics.deadlocks.inc(),
        };
    }

    /// Returns the pause after this number of attempts: random between zero and the bound, so that transactions that
    /// conflicted once do not meet again.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        self.backoff.pause(attempts, (self.randomness)())
    }
}

impl Attempts<'_> {
    /// Returns whether this is the first attempt.
    pub(crate) const fn is_first(&self) -> bool {
        self.made == 1
    }

    /// After a failed attempt: waits and counts the next attempt, or returns the final error.
    pub(crate) async fn after_failure(&mut self, failure: Failure) -> Result<(), StoreError> {
        match failure {
            Failure::Conflict(conflict) => self.retry.count(conflict),
            failure => return Err(failure.into_store_error()),
        }
        self.next(self.retry.pause(self.made)).await
    }

    /// After an attempt with a wrong assumption. The first time there is no pause: the next attempt reads the actual
    /// state first.
    pub(crate) async fn after_refutation(&mut self) -> Result<(), StoreError> {
        self.retry.metrics.refutations.inc();
        let pause = if self.is_first() { Duration::ZERO } else { self.retry.pause(self.made) };
        self.next(pause).await
    }

    /// After an attempt that was lost at COMMIT and is known to have written nothing.
    pub(crate) async fn after_loss(&mut self) -> Result<(), StoreError> {
        self.next(self.retry.pause(self.made)).await
    }

    async fn next(&mut self, pause: Duration) -> Result<(), StoreError> {
        if self.made >= self.retry.max_attempts {
            self.retry.metrics.give_ups.inc();
            return Err(StoreError::Contention(format!("gave up after {} attempts", self.made)));
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.made += 1;
        self.retry.metrics.attempts.inc();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(random: u64) -> Retry {
        Retry::new(&PostgresOptions::default(), Arc::new(move || random), PostgresMetrics::default())
    }

    /// The bound of a pause doubles up to the maximum; the pause is random up to the bound.
    #[test]
    fn pauses_are_drawn_below_a_limit_that_doubles() {
        let ms = Duration::from_millis;
        for (attempts, limit) in
            [(1, ms(2)), (2, ms(4)), (3, ms(8)), (7, ms(128)), (8, ms(200)), (9_999, ms(200))]
        {
            let limit_ns = u64::try_from(limit.as_nanos()).unwrap();
            assert_eq!(retry(0).pause(attempts), Duration::ZERO);
            assert_eq!(retry(limit_ns).pause(attempts), limit);
            assert_eq!(retry(limit_ns + 1).pause(attempts), Duration::ZERO);
        }
    }

    /// The number of attempts is limited, and the error after the last one is contention.
    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited() {
        let retry = retry(7);
        let mut attempts = retry.begin();
        for _ in 1..PostgresOptions::DEFAULT_MAX_ATTEMPTS {
            attempts.after_failure(Failure::Conflict(Conflict::Serialization)).await.unwrap();
        }
        let last = attempts.after_failure(Failure::Conflict(Conflict::Deadlock)).await;
        assert!(matches!(last, Err(StoreError::Contention(_))), "{last:?}");
        assert_eq!(retry.metrics.attempts.get(), u64::from(PostgresOptions::DEFAULT_MAX_ATTEMPTS));
        assert_eq!(retry.metrics.give_ups.get(), 1);
    }
}
