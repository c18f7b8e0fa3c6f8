//! The port to a message broker, to which Dabba publishes the public events of all orders.
//!
//! A broker stores a sequence of events. The *place* of an event is the text of the whole feed cursor directly after the event. The
//! broker stores the place with the event, so the broker itself knows how much of the feed it holds: a publisher that connects reads
//! the place of the last stored event and continues there. If the broker lost events, the publisher rewinds.

use async_trait::async_trait;
use bytes::Bytes;
use dabba_domain::{OrderId, RestaurantId};

/// Port to one message broker.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Returns the broker's name for metrics and logs.
    fn name(&self) -> &'static str;

    /// Connects to the broker, and reads the place of the last stored event. A session ends at its first error: the caller drops the
    /// session and connects again.
    async fn connect(&self) -> Result<Box<dyn SinkSession>, SinkError>;
}

/// A connection to a broker that knows the last stored event.
///
/// The broker stores an event only directly after the last event that the session knows. So a lost event never leaves a gap before a
/// later one, and of two publishers at the same time, one fails with [`SinkError::Conflict`].
#[async_trait]
pub trait SinkSession: Send {
    /// Returns the place of the last event that the broker stored; `None` if the broker holds no event.
    fn place(&self) -> Option<&str>;

    /// Returns whether the connection has lasted without interruption. A publisher without events asks, so that it learns of an outage
    /// before the next event.
    fn is_connected(&self) -> bool;

    /// Verifies that the broker still holds the last event that this session knows. A publisher asks at an interval: an operator may
    /// delete events while the connection lasts.
    async fn check(&mut self) -> Result<(), SinkError>;

    /// Stores a place without an event, so that the next publisher begins there. For a broker that holds no event.
    async fn mark(&mut self, place: &str) -> Result<(), SinkError>;

    /// Publishes events in this order, and returns when the broker has confirmed all of them. After an error, the broker holds the
    /// events before the first event that it did not store, and none after it.
    async fn publish(&mut self, events: Vec<OutgoingEvent>) -> Result<(), SinkError>;
}

/// An event for a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// The order. A broker keeps the events of one order in their order.
    pub order_id: OrderId,
    /// The restaurant of the order.
    pub restaurant_id: RestaurantId,
    /// Id of the event, by which a broker and its consumers recognize duplicates.
    pub id: String,
    /// The feed's cursor directly after the event.
    pub place: String,
    /// The event: a `CloudEvents` envelope in JSON.
    pub content: Bytes,
}

/// Reason why a broker did not store events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The broker does not answer, or reports that it is unavailable. A later attempt may succeed.
    #[error("the broker does not answer: {0}")]
    Unavailable(String),
    /// The broker stored something that this session does not know, or no longer holds what the session knows. A new session knows
    /// what the broker holds.
    #[error("another program changed what the broker holds: {0}")]
    Conflict(String),
    /// The broker refuses for a reason that an operator can remove, such as a wrong credential or a wrong configuration.
    #[error("the broker refuses: {0}")]
    Refused(String),
}
