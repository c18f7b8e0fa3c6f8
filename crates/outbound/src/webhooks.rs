//! Webhooks: delivery of events to servers of others.
//!
//! A [`WebhookSender`] runs one supervised part per shard, and one that purges deleted endpoints. The part of a shard
//! takes the lease of the shard, and then is the only writer of the positions and failures of the shard (see
//! [`dabba_store::ConsumerStore`]). A *session* is the time during which it holds the lease. All state of a session is
//! in memory and belongs to one task, which does everything except the requests themselves; a session that ends leaves
//! nothing behind but its checkpoints.
//!
//! | module | content |
//! |---|---|
//! | `sender` | the parts, the lease, test events |
//! | `session` | the loop of one lease: follow endpoints, read, send, retry, save |
//! | `endpoint` | endpoints in memory, and the index by restaurant |
//! | `window` | the events between the checkpoint and the reader |
//! | `target` | the deliveries of one endpoint: lanes per order |
//! | `schedule` | the times of retries, and the circuit breaker |
//! | `journal` | what the next checkpoint writes |
//! | `message` | bodies, headers and the judgement of responses |
//! | `orders` | the whole orders in deliveries with the payload `order` |
//! | `purge` | deleted endpoints, which leave the directory |
//! | [`signature`] | signatures |
//!
//! # Order
//!
//! Events of one order go through a *lane* of their endpoint. A lane has at most one request in flight. A failure
//! empties the lane and becomes a row; while the row exists, events of the order are read from its history, and the
//! feed's events of this order are skipped. The row ends when a read of the history finds no further event. If the feed
//! had an event of the order during this read, the history is read again: it may not contain the event yet. So every
//! event comes from the history or, after the end of the row, from the feed.
//!
//! # Endpoints that are behind
//!
//! An endpoint is *enrolled* while it receives the events of the shared reader. An endpoint whose breaker opens, that
//! is disabled, or that holds the shared position back too long is *detached*: its undecided deliveries are dropped
//! from memory, and it gets a position of its own before the oldest of them. From there it reads the feed itself, as
//! soon as it may receive events, until it reaches the shared reader. Then it is enrolled again.

mod endpoint;
mod journal;
pub mod limits;
mod message;
mod metrics;
mod orders;
mod purge;
mod schedule;
mod sender;
mod session;
pub mod signature;
mod target;
mod window;

pub use dabba_engine::{WEBHOOK_SECRET_PURPOSE as SECRET_PURPOSE, webhook_secret_place as secret_place};

pub use self::{
    message::TEST_TYPE,
    metrics::WebhookMetrics,
    orders::OrderRenderer,
    sender::{TestAttempt, TestError, WebhookPorts, WebhookSender},
};
