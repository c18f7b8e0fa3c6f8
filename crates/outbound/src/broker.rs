//! The broker: one process publishes the public events of all shards to a message broker
//! ([`EventSink`](dabba_engine::EventSink)), for consumers beyond this machine.
//!
//! The broker holds a copy that Dabba can make again. The broker itself keeps how far it is: each of its events states its *place*,
//! the cursor of the whole feed directly after the event. So the publisher stores no position of its own. Each connection reads the
//! place of the last stored event and continues there, whatever was lost.
//!
//! | what happens | what the publisher does |
//! |---|---|
//! | the broker does not answer, or refuses | connects again, with back-off; reads no events meanwhile |
//! | an acknowledgement fails | connects again, and continues after the last event that the broker stored |
//! | the broker lost events at its end, or they were deleted there | continues after the last event that survived |
//! | the broker lost everything | begins anew, as [`BrokerStart`] states |
//! | a database was restored or replaced, or a shard has no position, so the place is void | publishes all events of all shards again: no event is skipped |
//! | a shard refuses or resets connections | events of other shards continue; those of the shard follow when it answers |
//! | a shard hangs: it neither answers nor resets connections | the same, with pauses: a read of all shards waits 2 s for the shard, which is then omitted for 5 s. If it is the first shard, each renewal of the lease also waits up to 3 s |
//! | no shard answers | connects again, with back-off |
//! | the process dies, or loses its lease | another process takes the lease and continues after the last stored event |
//!
//! The lease only keeps processes from publishing the same events at the same time. The broker itself refuses one of two publishers,
//! so an expired lease never disturbs the order. Therefore the publisher continues while the store does not answer the renewal.
//!
//! Repeated events are allowed, and consumers recognize them by their ids. Skipped events are not (I10).

mod lease;
mod metrics;
mod publisher;
mod shards_feed;

use async_trait::async_trait;
use dabba_engine::OutgoingEvent;

pub use self::{
    lease::{LEASE_TIME, StoreLease},
    metrics::{BrokerMetrics, BrokerState},
    publisher::{BrokerConfig, BrokerPublisher},
    shards_feed::ShardsFeed,
};

/// Name of the part of the process that publishes to the broker.
pub const PART: &str = "broker_publisher";

/// Where the publisher begins if the broker holds no event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokerStart {
    /// At the first event.
    #[default]
    Start,
    /// After the present last event. If the broker loses its events while this process publishes, the publisher continues after the
    /// last event that the broker had confirmed.
    Now,
}

impl BrokerStart {
    /// Returns the value of the setting `broker_start`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Now => "now",
        }
    }
}

/// The events of all shards, for partners.
#[async_trait]
pub trait BrokerFeed: Send + Sync {
    /// Returns the place before the first event, or after the present last one.
    async fn begin(&self, start: BrokerStart) -> Result<String, BrokerFeedError>;

    /// Returns at most `limit` events after a place.
    async fn read(&self, after: &str, limit: usize) -> Result<BrokerPage, BrokerFeedError>;

    /// Returns whether a place is before another one in the same databases. `false` if a database was restored or replaced between
    /// them.
    fn is_behind(&self, place: &str, other: &str) -> bool;

    /// Waits until new events may follow, or for a poll interval.
    async fn wait(&self);
}

/// Events for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerPage {
    /// The events, each with the place directly after it.
    pub events: Vec<OutgoingEvent>,
    /// The place after the events.
    pub place: String,
    /// Whether no more events followed, in the shards that answered, when the page was read.
    pub is_at_end: bool,
    /// Whether a shard did not answer. Its events follow when it answers.
    pub is_incomplete: bool,
}

/// Reason why the feed cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerFeedError {
    /// The place is not one in the present databases, because a database was restored or replaced.
    #[error("the place is void: {0}")]
    Void(String),
    /// The place is not one that this version of Dabba writes.
    #[error("the place cannot be read: {0}")]
    Unreadable(String),
    /// The databases do not answer, or return an error.
    #[error("the events cannot be read: {0}")]
    Unavailable(String),
}

/// The lease of the publisher: one process at a time holds it.
#[async_trait]
pub trait BrokerLease: Send + Sync {
    /// Takes or renews the lease. Returns whether this process holds it. An error is the reason why the store did not answer.
    async fn hold(&self) -> Result<bool, String>;

    /// Ends the lease, so that another process can take it at once. Without effect if this process does not hold it.
    async fn release(&self);
}
