//! What the next checkpoint writes besides positions.

use std::collections::HashMap;

use dabba_domain::{OrderId, WebhookEndpointId};
use dabba_store::{Checkpoint, WebhookAttempt, WebhookFailure, WebhookHealth};

/// Key of the row of a failure.
pub(super) type Key = (WebhookEndpointId, OrderId);

/// Change of a row by the next checkpoint.
pub(super) enum RowChange<'a> {
    /// The row stays as it is stored.
    None,
    /// The failure was resolved.
    Removed,
    /// The row is written.
    Written(&'a WebhookFailure),
}

/// Changes since the latest checkpoint. They are kept until a checkpoint has succeeded.
#[derive(Default)]
pub(super) struct Journal {
    /// The new row of each failure; `None` for a failure that was resolved.
    rows: HashMap<Key, Option<WebhookFailure>>,
    attempts: Vec<WebhookAttempt>,
    attempts_of: HashMap<WebhookEndpointId, u32>,
    health: HashMap<WebhookEndpointId, WebhookHealth>,
}

impl Journal {
    pub(super) fn fail(&mut self, failure: WebhookFailure) {
        self.rows.insert(failure.key(), Some(failure));
    }

    pub(super) fn resolve(&mut self, key: Key) {
        self.rows.insert(key, None);
    }

    /// Returns what the next checkpoint does to a row.
    pub(super) fn row(&self, key: Key) -> RowChange<'_> {
        match self.rows.get(&key) {
            None => RowChange::None,
            Some(None) => RowChange::Removed,
            Some(Some(failure)) => RowChange::Written(failure),
        }
    }

    /// Adds an entry to the log. The log keeps a limited number of entries, so further ones are dropped.
    pub(super) fn log(&mut self, attempt: WebhookAttempt) {
        let count = self.attempts_of.entry(attempt.endpoint).or_default();
        if *count < WebhookAttempt::MAX_FAILED {
            *count += 1;
            self.attempts.push(attempt);
        }
    }

    pub(super) fn health(&mut self, endpoint: WebhookEndpointId) -> &mut WebhookHealth {
        self.health.entry(endpoint).or_default()
    }

    /// Removes and returns the health of endpoints that is not written yet.
    pub(super) fn take_health(&mut self) -> Vec<(WebhookEndpointId, WebhookHealth)> {
        self.health.drain().collect()
    }

    /// Adds health that could not be written. What was recorded since then is newer, and stays.
    pub(super) fn put_back_health(&mut self, health: Vec<(WebhookEndpointId, WebhookHealth)>) {
        for (id, earlier) in health {
            let health = self.health(id);
            health.last_success = health.last_success.or(earlier.last_success);
            health.last_failure = health.last_failure.take().or(earlier.last_failure);
        }
    }

    pub(super) fn forget(&mut self, endpoint: WebhookEndpointId) {
        self.rows.retain(|(of, _), _| *of != endpoint);
        self.attempts.retain(|attempt| attempt.endpoint != endpoint);
        self.health.remove(&endpoint);
    }

    /// Returns the number of rows of each endpoint that the next checkpoint changes.
    pub(super) fn rows(&self) -> HashMap<WebhookEndpointId, usize> {
        let mut rows = HashMap::new();
        for (endpoint, _) in self.rows.keys() {
            *rows.entry(*endpoint).or_default() += 1;
        }
        rows
    }

    /// Adds the rows and attempts to checkpoints, and begins a new one whenever the last one is full.
    pub(super) fn write(&self, checkpoints: &mut Vec<Checkpoint>) {
        for (key, row) in &self.rows {
            let checkpoint = with_room(checkpoints);
            match row {
                Some(failure) => checkpoint.failures.push(failure.clone()),
                None => checkpoint.resolved.push(*key),
            }
        }
        for attempt in &self.attempts {
            with_room(checkpoints).attempts.push(attempt.clone());
        }
    }

    /// Forgets what a checkpoint has written.
    pub(super) fn written(&mut self) {
        self.rows.clear();
        self.attempts.clear();
        self.attempts_of.clear();
    }
}

/// Returns the last checkpoint, or a new one if there is none with room.
pub(super) fn with_room(checkpoints: &mut Vec<Checkpoint>) -> &mut Checkpoint {
    if checkpoints.last().is_none_or(|last| last.entries() >= Checkpoint::MAX_ENTRIES) {
        checkpoints.push(Checkpoint::default());
    }
    let last = checkpoints.len() - 1;
    &mut checkpoints[last]
}
