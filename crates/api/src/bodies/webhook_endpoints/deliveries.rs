//! Bodies of the deliveries to webhook endpoints: tests, attempts and failures.

use dabba_domain::{OrderId, Timestamp, order::Version};
use dabba_outbound::webhooks::TestAttempt;
use dabba_store::{AttemptOutcome, WebhookAttempt, WebhookFailure, WebhookFault};
use serde::Serialize;
use utoipa::ToSchema;

/// A failed delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookFault)]
pub(crate) struct FaultBody {
    at: Timestamp,
    /// Status of the response; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Description of the failure, for people.
    error: String,
}

/// The result of a test event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub(crate) struct WebhookTestBody {
    /// Whether the endpoint accepted the event: it responded with a status from 200 to 299.
    delivered: bool,
    /// Time at which the attempt ended.
    at: Timestamp,
    /// Duration of the attempt, in milliseconds.
    duration_ms: u32,
    /// Status of the response; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Description of the failure, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An attempt to deliver an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub(crate) struct WebhookAttemptBody {
    /// Time at which the attempt ended.
    at: Timestamp,
    /// The order; of an entry about several deliveries, the order of the last one.
    order_id: OrderId,
    /// The order's version after the event.
    #[schema(minimum = 1)]
    version: Version,
    /// Duration of the attempt, in milliseconds.
    duration_ms: u32,
    /// Whether the endpoint accepted the event.
    delivered: bool,
    /// Status of the response; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Number of events that the entry summarizes; absent for a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u32>,
    /// Description of the failure, for people; absent for a successful attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The latest attempts of a webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAttemptList)]
pub(crate) struct WebhookAttemptListBody {
    pub(crate) attempts: Vec<WebhookAttemptBody>,
    /// Present and `true` if attempts may be missing because a shard did not answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) incomplete: bool,
}

/// An order of which an event could not be delivered. The later events of the order follow after this one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookFailure)]
pub(crate) struct WebhookFailureBody {
    order_id: OrderId,
    /// Version of the event to deliver next.
    #[schema(minimum = 1)]
    next_version: Version,
    /// Number of failed attempts to deliver this event.
    attempts: u32,
    /// Time of the next attempt; absent for a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    /// Time of the first failed attempt to deliver this event.
    first_failed_at: Timestamp,
    last_failure: FaultBody,
    /// Time since which the failure is a dead letter: no further attempt follows until a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_at: Option<Timestamp>,
}

/// A page of failures of a webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookFailureList)]
pub(crate) struct WebhookFailureListBody {
    pub(crate) failures: Vec<WebhookFailureBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    /// Present and `true` if failures may be missing because a shard did not answer in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) incomplete: bool,
}

impl From<WebhookFault> for FaultBody {
    fn from(WebhookFault { at, status, error }: WebhookFault) -> Self {
        Self { at, status, error }
    }
}

impl From<TestAttempt> for WebhookTestBody {
    fn from(TestAttempt { at, duration_ms, outcome }: TestAttempt) -> Self {
        let (delivered, status, error) = match outcome {
            AttemptOutcome::Delivered { status, .. } => (true, Some(status), None),
            AttemptOutcome::Failed { status, error } => (false, status, Some(error)),
        };
        Self { delivered, at, duration_ms, status, error }
    }
}

impl From<WebhookAttempt> for WebhookAttemptBody {
    fn from(attempt: WebhookAttempt) -> Self {
        let WebhookAttempt { at, order, version, duration_ms, outcome, .. } = attempt;
        let (delivered, status, events, error) = match outcome {
            AttemptOutcome::Delivered { status, events } => (true, Some(status), Some(events), None),
            AttemptOutcome::Failed { status, error } => (false, status, None, Some(error)),
        };
        Self { at, order_id: order, version, duration_ms, delivered, status, events, error }
    }
}

impl From<WebhookFailure> for WebhookFailureBody {
    fn from(failure: WebhookFailure) -> Self {
        let WebhookFailure {
            order,
            next_version,
            attempts,
            next_attempt_at,
            first_failed_at,
            fault,
            dead_at,
            ..
        } = failure;
        Self {
            order_id: order,
            next_version,
            attempts,
            next_attempt_at: dead_at.is_none().then_some(next_attempt_at),
            first_failed_at,
            last_failure: fault.into(),
            dead_at,
        }
    }
}
