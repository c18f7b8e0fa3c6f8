//! One shard: asking it within a time, and leaving it alone for a while when it is mute.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Health, Store, StoreError};

/// How long a shard that did not answer in time is left out of what is gathered, before it is tried
/// again. Otherwise each list, each look for tasks and each page of the feed would wait for it in vain.
const REST: Duration = Duration::from_secs(5);

/// A store with its name.
pub(super) struct Shard {
    name: String,
    store: Arc<dyn Store>,
    condition: Mutex<Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Answering,
    /// It says at once that it cannot: asking it costs nothing.
    Failing,
    /// It said nothing in time.
    MuteUntil(Instant),
}

/// What a call that is given up may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It may have been carried out, or may be yet.
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

    /// Whether it was mute a short while ago.
    pub(super) fn rests(&self) -> bool {
        let condition = *self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(condition, Condition::MuteUntil(until) if Instant::now() < until)
    }

    pub(super) fn resting_error(&self) -> StoreError {
        self.named(StoreError::Unavailable("left alone since it did not answer in time".to_owned()))
    }

    /// Waits for the answer of a call that only this shard can answer, however long that takes.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        call.await.map_err(|error| self.named(error))
    }

    /// Waits so long for the answer of a call that others can do without.
    pub(super) async fn answer_within<T>(
        &self,
        time_limit: Duration,
        effect: Effect,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = tokio::time::timeout(time_limit, call).await else {
            let error = format!("no answer within {time_limit:?}");
            let error = self.named(match effect {
                Effect::None => StoreError::Unavailable(error),
                Effect::Possible => StoreError::OutcomeUnknown(error),
            });
            self.is_now(Condition::MuteUntil(Instant::now() + REST), Some(&error));
            return Err(error);
        };
        self.hear(answer)
    }

    /// Waits so long to hear that it is there. One that takes longer may still do its work, so it is not
    /// left alone for that.
    pub(super) async fn ping_within(&self, time_limit: Duration) -> Result<Health, StoreError> {
        match tokio::time::timeout(time_limit, self.store.ping()).await {
            Ok(answer) => self.hear(answer),
            Err(_) => Err(self.named(StoreError::Unavailable(format!("no answer within {time_limit:?}")))),
        }
    }

    /// Takes an answer, which says how the shard is.
    fn hear<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match answer.map_err(|error| self.named(error)) {
            Err(error @ StoreError::Corrupt(_)) => {
                // Not a passing fault: it is told each time.
                tracing::error!(shard = self.name, %error, "a shard is left out");
                self.is_now(Condition::Failing, None);
                Err(error)
            }
            // It answers; what was asked for is another version's.
            Err(error @ StoreError::WrittenByNewer(_)) => {
                self.is_now(Condition::Answering, None);
                Err(error)
            }
            Err(error) => {
                self.is_now(Condition::Failing, Some(&error));
                Err(error)
            }
            Ok(answer) => {
                self.is_now(Condition::Answering, None);
                Ok(answer)
            }
        }
    }

    /// Remembers how it is, and logs when that changes: a shard may be asked many times a second.
    fn is_now(&self, condition: Condition, error: Option<&StoreError>) {
        let before =
            std::mem::replace(&mut *self.condition.lock().unwrap_or_else(PoisonError::into_inner), condition);
        match (before == Condition::Answering, condition == Condition::Answering) {
            (true, false) => {
                if let Some(error) = error {
                    tracing::warn!(shard = self.name, %error, "a shard is left out until it answers");
                }
            }
            (false, true) => tracing::info!(shard = self.name, "a shard answers again"),
            (true, true) | (false, false) => {}
        }
    }

    /// The error with the shard's name.
    pub(super) fn named(&self, error: StoreError) -> StoreError {
        let named = |text: String| format!("shard {}: {text}", self.name);
        match error {
            StoreError::Unavailable(text) => StoreError::Unavailable(named(text)),
            StoreError::Contention(text) => StoreError::Contention(named(text)),
            StoreError::OutcomeUnknown(text) => StoreError::OutcomeUnknown(named(text)),
            StoreError::Unfit(text) => StoreError::Unfit(named(text)),
            StoreError::WrittenByNewer(text) => StoreError::WrittenByNewer(named(text)),
            StoreError::Corrupt(text) => StoreError::Corrupt(named(text)),
        }
    }
}
