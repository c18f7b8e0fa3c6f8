//! One shard: calls with a timeout, and a pause after a call that timed out.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Health, Store, StoreError};

/// Time for which a shard is omitted from gathered calls after it did not answer in time. Without this pause,
/// each list, each poll for tasks and each page of the feed would wait for the timeout.
const PAUSE: Duration = Duration::from_secs(5);

/// A store with its name.
pub(super) struct Shard {
    name: String,
    store: Arc<dyn Store>,
    condition: Mutex<Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Answering,
    /// The shard answers with errors at once: calling it costs nothing.
    Failing,
    /// The shard did not answer in time, and is paused until this time.
    SilentUntil(Instant),
}

/// Possible effect of a call that timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// None: the call only reads.
    None,
    /// The call may have been carried out, or may still be.
    Possible,
}

impl Shard {
    pub(super) fn new(name: String, store: Arc<dyn Store>) -> Self {
        Self { name, store, condition: Mutex::new(Condition::Answering) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Returns whether the shard is paused after a timeout.
    pub(super) fn is_paused(&self) -> bool {
        let condition = *self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(condition, Condition::SilentUntil(until) if Instant::now() < until)
    }

    pub(super) fn paused_error(&self) -> StoreError {
        self.named(StoreError::Unavailable(
            "skipped because it did not answer an earlier call in time".to_owned(),
        ))
    }

    /// Waits for the answer to a call that only this shard can answer, without a timeout.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        call.await.map_err(|error| self.named(error))
    }

    /// Waits at most `timeout` for the answer to a call that also works without this shard.
    pub(super) async fn answer_within<T>(
        &self,
        timeout: Duration,
        effect: Effect,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = tokio::time::timeout(timeout, call).await else {
            let error = format!("no answer within {timeout:?}");
            let error = self.named(match effect {
                Effect::None => StoreError::Unavailable(error),
                Effect::Possible => StoreError::OutcomeUnknown(error),
            });
            self.set_condition(Condition::SilentUntil(Instant::now() + PAUSE), Some(&error));
            return Err(error);
        };
        self.record(answer)
    }

    /// Pings the shard and waits at most `timeout`. A shard that takes longer may still do its work, so it
    /// is not paused.
    pub(super) async fn ping_within(&self, timeout: Duration) -> Result<Health, StoreError> {
        match tokio::time::timeout(timeout, self.store.ping()).await {
            Ok(answer) => self.record(answer),
            Err(_) => Err(self.named(StoreError::Unavailable(format!("no answer within {timeout:?}")))),
        }
    }

    /// Records the shard's condition from its answer, and returns the answer.
    fn record<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match answer.map_err(|error| self.named(error)) {
            Err(error @ StoreError::Corrupt(_)) => {
                // Damage is not a transient fault, so it is logged each time.
                tracing::error!(shard = self.name, %error, "a shard reports damaged or invalid data");
                self.set_condition(Condition::Answering, None);
                Err(error)
            }
            // The shard answers; only the requested record was written by a newer version.
            Err(error @ StoreError::WrittenByNewer(_)) => {
                self.set_condition(Condition::Answering, None);
                Err(error)
            }
            Err(error) => {
                self.set_condition(Condition::Failing, Some(&error));
                Err(error)
            }
            Ok(answer) => {
                self.set_condition(Condition::Answering, None);
                Ok(answer)
            }
        }
    }

    /// Records the shard's condition, and logs only changes, since a shard may be called many times per
    /// second.
    fn set_condition(&self, condition: Condition, error: Option<&StoreError>) {
        let before =
            std::mem::replace(&mut *self.condition.lock().unwrap_or_else(PoisonError::into_inner), condition);
        match (before == Condition::Answering, condition == Condition::Answering) {
            (true, false) => {
                if let Some(error) = error {
                    tracing::warn!(shard = self.name, %error, "a shard failed or timed out; its results are left out until it answers");
                }
            }
            (false, true) => tracing::info!(shard = self.name, "a shard answers again"),
            (true, true) | (false, false) => {}
        }
    }

    /// Returns the error with the shard's name in front.
    pub(super) fn named(&self, error: StoreError) -> StoreError {
        error.in_context(format_args!("shard {}", self.name))
    }
}
