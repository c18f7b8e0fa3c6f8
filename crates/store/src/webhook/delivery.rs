//! The state of deliveries: failures, and the log of attempts.

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId, order::Version};

use crate::StoreError;

/// A failed response, or the reason why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookFault {
    /// Time of the failure.
    pub at: Timestamp,
    /// Status of the response, if there was one.
    pub status: Option<u16>,
    /// Text for the owner of the endpoint. A store keeps the first [`WebhookFault::MAX_LENGTH`] characters.
    pub error: String,
}

impl WebhookFault {
    /// Maximum length of a stored text, in characters.
    pub const MAX_LENGTH: usize = 500;

    /// Returns the text as it is stored. U+0000, which not every store can hold, is replaced.
    pub fn stored_error(&self) -> String {
        let characters = self.error.chars().take(Self::MAX_LENGTH);
        characters.map(|character| if character == '\0' { '\u{fffd}' } else { character }).collect()
    }
}

/// An order of which an event could not be delivered to an endpoint. There is one row per endpoint and order: the
/// order's own history contains the events that follow, so it is the retry queue.
///
/// While the row exists, a sender delivers the events of the order to the endpoint from the history, in order,
/// beginning with `next_version`, and no event of the order from the feed. The row of an order ends when its history is
/// delivered, and the row of a dead letter stays until a replay or the deletion of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookFailure {
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// The order.
    pub order: OrderId,
    /// Version of the event to deliver next.
    pub next_version: Version,
    /// Number of failed attempts to deliver this event.
    pub attempts: u32,
    /// Time of the next attempt. No meaning for a dead letter.
    pub next_attempt_at: Timestamp,
    /// Time of the first failed attempt to deliver this event.
    pub first_failed_at: Timestamp,
    /// The latest failure.
    pub fault: WebhookFault,
    /// Time since which the failure is a dead letter, if it is.
    pub dead_at: Option<Timestamp>,
}

impl WebhookFailure {
    /// Returns the key of the failure's row.
    pub const fn key(&self) -> (WebhookEndpointId, OrderId) {
        (self.endpoint, self.order)
    }
}

/// A page of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookFailurePage {
    /// The failures, ordered by order.
    pub failures: Vec<WebhookFailure>,
    /// Whether failures may be missing from this page because a shard did not answer in time.
    pub incomplete: bool,
}

/// Selection of due failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueFailures {
    /// Endpoints that can take deliveries now, at most [`DueFailures::MAX_ENDPOINTS`], each with the maximum number of
    /// its failures.
    pub endpoints: Vec<(WebhookEndpointId, u32)>,
    /// Time up to which failures are due.
    pub due_at: Timestamp,
    /// Maximum number of failures of all endpoints together; at most [`DueFailures::MAX_FAILURES`].
    pub limit: u32,
}

impl DueFailures {
    /// Maximum number of endpoints in one call.
    pub const MAX_ENDPOINTS: usize = 256;

    /// Maximum number of failures in the answer to one call.
    pub const MAX_FAILURES: u32 = 1_000;

    /// Checks the number of endpoints and the limit. Every store calls this check.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.endpoints.len() <= Self::MAX_ENDPOINTS && self.limit <= Self::MAX_FAILURES {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "{} due failures of {} webhook endpoints were requested, and at most {} of {} are allowed",
            self.limit,
            self.endpoints.len(),
            Self::MAX_FAILURES,
            Self::MAX_ENDPOINTS
        )))
    }
}

/// An endpoint that has failures in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailingEndpoint {
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// Time at which the first failure is due; `None` if there are only dead letters.
    pub next_attempt_at: Option<Timestamp>,
    /// Number of failures, dead letters included, counted up to [`FailingEndpoint::MAX_COUNTED`].
    pub failures: u32,
}

impl FailingEndpoint {
    /// Maximum number of failures of an endpoint that the store counts.
    pub const MAX_COUNTED: u32 = 1_000;
}

/// An entry in the log of an endpoint.
///
/// The log shows its owner how deliveries end. It is bounded per endpoint and shard, and it is not a record of every
/// delivery: failed attempts are kept, and a sender summarizes successful ones in one entry per interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookAttempt {
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// Time at which the attempt ended.
    pub at: Timestamp,
    /// The order; of an entry that summarizes several attempts, the order of the last one.
    pub order: OrderId,
    /// Version of the event.
    pub version: Version,
    /// Duration of the attempt, in milliseconds.
    pub duration_ms: u32,
    /// Outcome.
    pub outcome: AttemptOutcome,
}

impl WebhookAttempt {
    /// Maximum number of failed attempts in the log, per endpoint and shard. Further ones displace the oldest.
    pub const MAX_FAILED: u32 = 50;

    /// Maximum number of entries about successful attempts in the log, per endpoint and shard.
    pub const MAX_DELIVERED: u32 = 20;

    /// Returns whether the attempt failed.
    pub const fn is_failed(&self) -> bool {
        matches!(self.outcome, AttemptOutcome::Failed { .. })
    }
}

/// Outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The endpoint accepted the delivery.
    Delivered {
        /// Status of the response.
        status: u16,
        /// Number of events that the entry summarizes, this one included.
        events: u32,
    },
    /// The attempt failed.
    Failed {
        /// Status of the response, if there was one.
        status: Option<u16>,
        /// Text for the owner of the endpoint; see [`WebhookFault::MAX_LENGTH`].
        error: String,
    },
}
