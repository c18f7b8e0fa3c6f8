//! Outgoing events: what Dabba publishes about orders, and how it delivers it.
//!
//! `order_events` is the outbox: a commit writes the events of an order, and no row per consumer. This crate reads the
//! committed events of each shard in commit order ([`dabba_store::FeedStore`]), represents them for their audience, and
//! delivers them. Stored events and public events are different types: a stored event never changes its meaning, and a
//! public event contains only what its audience may see (I9).
//!
//! | module | content |
//! |---|---|
//! | [`broker`] | the publisher to a message broker |
//! | [`feed`] | the feed, read page by page with a cursor |
//! | [`live`] | the live streams: followers of the shards, hub, limits |
//! | [`public`] | the public events: envelope, content by audience, JSON Schema, `AsyncAPI` |
//! | [`webhooks`] | webhooks: signatures, and the sender |

pub mod broker;
pub mod feed;
mod filter;
pub mod live;
pub mod public;
mod recorded;
pub mod webhooks;

pub use self::{
    filter::{Filter, TypeSet},
    recorded::RecordedOrder,
};
