//! Failures that are retried sooner than they were scheduled.

use std::time::Duration;

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId, order::Version};

use super::WebhookFailure;
use crate::FeedPosition;

/// A step of a revival: failures of an endpoint to retry sooner than they were scheduled. A revival of many failures
/// has several steps, so that each one is a small transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revival {
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// The reason.
    pub cause: RevivalCause,
    /// Order after which the step begins; `None` for the first step.
    pub after: Option<OrderId>,
    /// Time at which the first failure of the step is due.
    pub at: Timestamp,
    /// Time from one failure of the step to the next, so that not all are due at once.
    pub gap: Duration,
    /// Maximum number of failures in the step.
    pub limit: u32,
}

/// Reason of a revival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevivalCause {
    /// The endpoint begins anew after this position of the shard's feed. Every failure, dead letters included, begins
    /// anew with the first event of its order after the position: the events before the failed one are delivered again,
    /// too.
    Replayed(FeedPosition),
    /// The endpoint was enabled. Failures begin anew; dead letters stay.
    Enabled,
    /// The endpoint has accepted a delivery after an outage. Failures are due earlier and keep their attempts; dead
    /// letters stay.
    Recovered,
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revived {
    /// No failures of the endpoint remain.
    All,
    /// The next step begins after this order.
    UpTo(OrderId),
}

impl Revival {
    /// Returns a failure after the revival; `None` if it stays unchanged. `index` is the number of earlier failures in
    /// the step, and `first` the version of the first event of the order after the position of a replay.
    pub fn apply(
        &self,
        failure: &WebhookFailure,
        first: Option<Version>,
        index: usize,
    ) -> Option<WebhookFailure> {
        let wait = self.gap.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
        let due_at = self.at.checked_add(wait).unwrap_or(self.at);
        let scheduled = failure.dead_at.map_or(failure.next_attempt_at, |_| due_at);
        let next_attempt_at = scheduled.min(due_at);
        let anew = WebhookFailure {
            attempts: 0,
            first_failed_at: due_at,
            next_attempt_at,
            dead_at: None,
            ..failure.clone()
        };
        match self.cause {
            RevivalCause::Replayed(_) => {
                let next_version =
                    first.map_or(failure.next_version, |first| first.min(failure.next_version));
                Some(WebhookFailure { next_version, ..anew })
            }
            RevivalCause::Enabled | RevivalCause::Recovered if failure.dead_at.is_some() => None,
            RevivalCause::Enabled => Some(anew),
            RevivalCause::Recovered => (next_attempt_at < failure.next_attempt_at)
                .then(|| WebhookFailure { next_attempt_at, ..failure.clone() }),
        }
    }

    /// Returns how far a step with these failures came, in the order of the orders.
    pub fn reached(&self, failures: &[WebhookFailure]) -> Revived {
        match failures.last() {
            Some(last) if failures.len() >= self.limit as usize => Revived::UpTo(last.order),
            _ => Revived::All,
        }
    }
}
