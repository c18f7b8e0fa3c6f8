//! The feed: the committed events of all orders, per shard, in commit order. Everything that Dabba publishes reads it.
//!
//! A position in the feed belongs to one database. A database has an [`Incarnation`]: a random name that a physical copy keeps
//! (a standby, a shard that is split off) and that a restore replaces, because a restored database assigns the positions after the
//! restored moment again. A position is valid only with the incarnation under which it was read.

mod cursor;
mod old_cursor;

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, Actor, OrderId, RestaurantId, Timestamp,
    order::{RecordedEvent, Version},
};

pub use self::cursor::{CursorVoid, FeedCursor, FeedCursorError, FeedSource};
use crate::{
    StoreError,
    encoding::{decode_event, decode_event_of_newer, decode_json},
};

/// Reads the feed of each shard.
#[async_trait]
pub trait FeedStore: Send + Sync {
    /// Returns at most `limit` events of a shard, given by index, after a position. Events of one restaurant, and so of one order,
    /// appear in commit order. An event that commits late appears late; no event is ever skipped or repeated. Every returned event
    /// is as durable as an acknowledged one (I11). Contains only the events of orders in the shard's buckets.
    async fn feed(&self, shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError>;

    /// Returns the end of a shard's feed: the position after every event that [`FeedStore::feed`] would return now.
    async fn feed_end(&self, shard: usize) -> Result<FeedEnd, StoreError>;

    /// Returns at most `limit` events of an order after version `after`, in order, as [`crate::OrderStore::events`] does, for
    /// publication: every returned event is as durable as an acknowledged one (I11). Everything that publishes events of a single
    /// order reads them here.
    async fn public_events(
        &self,
        order: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError>;
}

/// A position in the feed of one shard: directly after an event, or [`FeedPosition::START`]. Positions ascend in the order of the
/// feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPosition {
    /// The transaction that wrote the event, for a store that numbers transactions; 0 for any other store.
    pub transaction: u64,
    /// The event's number in its database; 0 at the start.
    pub sequence: u64,
}

impl FeedPosition {
    /// The position before the first event.
    pub const START: Self = Self { transaction: 0, sequence: 0 };
}

/// Writes `TRANSACTION-SEQUENCE`, as in `740-17`.
impl fmt::Display for FeedPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.transaction, self.sequence)
    }
}

/// Random name of a database's history. See the description of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u64);

impl Incarnation {
    /// Length of the text form: 16 lower-case hexadecimal digits.
    pub const TEXT_LENGTH: usize = 16;

    /// Returns the incarnation with this number, which should be random.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Error: a text is not an [`Incarnation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an incarnation consists of 16 lower-case hexadecimal digits")]
pub struct IncarnationError;

impl FromStr for Incarnation {
    type Err = IncarnationError;

    fn from_str(text: &str) -> Result<Self, IncarnationError> {
        let is_canonical = text.len() == Self::TEXT_LENGTH
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !is_canonical {
            return Err(IncarnationError);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| IncarnationError)
    }
}

/// A page of the feed of one shard.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedPage {
    /// Incarnation of the database.
    pub incarnation: Incarnation,
    /// The events, in the order of the feed.
    pub events: Vec<FeedEvent>,
    /// Whether no more events followed when the page was read.
    pub is_at_end: bool,
}

/// The end of the feed of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedEnd {
    /// Incarnation of the database.
    pub incarnation: Incarnation,
    /// Position after the last event.
    pub position: FeedPosition,
}

/// An event in the feed, in its stored form: most events are filtered by their names and parties, and never decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEvent {
    /// Position directly after this event.
    pub position: FeedPosition,
    /// The order.
    pub order_id: OrderId,
    /// The restaurant of the order.
    pub restaurant_id: RestaurantId,
    /// The customer of the order.
    pub customer_id: AccountId,
    /// Number of the event in the order's history, from 1 without gaps.
    pub version: Version,
    /// Time of the event.
    pub at: Timestamp,
    /// Name of the event, such as `placed`.
    pub name: Arc<str>,
    /// The actor, as stored JSON.
    pub actor: Box<str>,
    /// Content of the event, as stored JSON; `None` for an event without content.
    pub data: Option<Box<str>>,
    /// Whether a newer version of Dabba wrote to the order.
    pub is_newer: bool,
}

impl FeedEvent {
    /// Decodes the event. An event of a type that only a newer version knows is [`dabba_domain::order::Event::Unknown`], and so is an
    /// event with unknown content of an order to which a newer version wrote. Damaged content is [`StoreError::Corrupt`].
    pub fn decode(&self) -> Result<RecordedEvent, StoreError> {
        let corrupt = |error: serde_json::Error| {
            StoreError::Corrupt(format!("event {} of the order {}: {error}", self.version, self.order_id))
        };
        let actor: Actor = decode_json(&self.actor).map_err(corrupt)?;
        let decode = if self.is_newer { decode_event_of_newer } else { decode_event };
        let event = decode(&self.name, self.data.as_deref())?;
        Ok(RecordedEvent { order_id: self.order_id, version: self.version, at: self.at, actor, event })
    }
}
