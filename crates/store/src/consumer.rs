//! Consumers of the feed: their positions, and the leases under which they work.
//!
//! A consumer receives every matching event of every shard at least once (I10). A *group* of consumers follows the feed
//! of a shard together: the webhooks are a group with one consumer per endpoint, a broker is a group without consumers
//! of its own. Everything is stored in the shard whose feed it is about, so a physical copy of the shard contains
//! exactly the right positions.
//!
//! # Positions
//!
//! All consumers that have caught up share the position of their group. A consumer has a position of its own only while
//! it is behind: its breaker is open, it is disabled, or it repeats old events. So a consumer whose filter matches
//! nothing costs no row and no write.
//!
//! The group's row also states `known`: the revision of the list of consumers ([`WebhookRevision`]) that the position
//! takes into account. A consumer without a position of its own is therefore in one of two states, which a new lease
//! holder can tell apart:
//!
//! - *enrolled*: it was positioned at a revision up to `known`. It has received everything up to the group's position.
//! - *new*: it was positioned after `known`, by its creation or by a replay. It begins at the position that its own
//!   settings state. If the group is already past that position, the lease holder first gives the consumer a position
//!   of its own, in the checkpoint that raises `known`.
//!
//! A change that stops a consumer (disabled, deleted) follows the same rule: in the checkpoint that raises `known` past
//! the change, the lease holder gives the consumer a position of its own, which stands still, or has forgotten the
//! consumer. A holder that finds the change after a crash does so at the group's position.
//!
//! # Crashes and races
//!
//! - Only the lease holder of (group, shard) writes there. Each write checks the fencing token and the expiry of the
//!   lease on the database's own clock, in its own transaction, and locks the lease until the transaction ends. A
//!   process that lost the lease, or whose lease expired, writes nothing, even if it does not know of its loss yet.
//!   After the next holder has taken the lease, no write of the holder before can become visible.
//! - A checkpoint is one transaction: positions advance together with the rows of the deliveries that failed. If the
//!   process dies before its checkpoint, the next holder delivers the same events again; nothing is skipped.
//! - A checkpoint is idempotent. After [`StoreError::OutcomeUnknown`], retry with the same checkpoint.
//! - A position advances and never goes back, except by [`Checkpoint::rewound`], and except under another incarnation.
//! - A restore of a backup takes rows, leases and events back to the same moment, so a stored position fits the
//!   restored events, although it states the incarnation of before. A lease from before the restore is void: the
//!   restored lease has expired, and no later token equals an earlier one, because a token is at least the database's
//!   time in microseconds.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};

use crate::{
    FeedPosition, Incarnation, StoreError,
    webhook::{WebhookAttempt, WebhookFailure, WebhookRevision},
};

/// Stores the positions of consumers and the leases of groups, per shard.
///
/// `shard` is an index as in [`crate::FeedStore`]. Times that are compared with leases are measured by the shard's own
/// clock: from `now` and `until` of a call, a store of several servers uses only the difference.
#[async_trait]
pub trait ConsumerStore: Send + Sync {
    /// Takes the lease of a group on a shard for the time from `now` to `until`, if it is free, has expired, or belongs
    /// to the same holder. Each success returns a higher fencing token, so that an earlier lease of the same holder
    /// becomes void too.
    ///
    /// After a success, the holder reads the positions and trusts nothing that it knew before. After
    /// [`StoreError::OutcomeUnknown`], retry with the same holder.
    async fn take_feed_lease(
        &self,
        shard: usize,
        request: &LeaseRequest,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseTaken, StoreError>;

    /// Extends a lease so that it lasts for the time from `now` to `until`; never shortens it. Returns `false` if the
    /// lease is lost or has expired. A holder without work calls this; a checkpoint extends the lease too.
    async fn renew_feed_lease(
        &self,
        shard: usize,
        lease: &FeedLease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends a lease, so that another process can take it at once. Returns `false` if the lease is lost or has expired.
    async fn release_feed_lease(
        &self,
        shard: usize,
        lease: &FeedLease,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Returns the position of a consumer of its own, or with `None` the position that the group shares; `None` if
    /// there is none.
    async fn feed_position(
        &self,
        shard: usize,
        group: &ConsumerName,
        consumer: Option<&ConsumerName>,
    ) -> Result<Option<StoredPosition>, StoreError>;

    /// Returns at most `limit` consumers of a group that have a position of their own, after a name, ordered by name.
    async fn own_feed_positions(
        &self,
        shard: usize,
        group: &ConsumerName,
        after: Option<&ConsumerName>,
        limit: u32,
    ) -> Result<Vec<(ConsumerName, StoredPosition)>, StoreError>;

    /// Writes a checkpoint as one transaction, and extends the lease as [`ConsumerStore::renew_feed_lease`] does.
    /// Returns `false`, and writes nothing, if the lease is lost or has expired. An invalid checkpoint
    /// ([`Checkpoint::check`]) is [`StoreError::Corrupt`].
    ///
    /// The caller guarantees: when the shared position passes an event, every enrolled consumer without a position of
    /// its own has received the event or does not match it, or this or an earlier checkpoint contains the failure. The
    /// same holds for a consumer's own position.
    async fn checkpoint_feed(
        &self,
        shard: usize,
        lease: &FeedLease,
        checkpoint: &Checkpoint,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// Name of a group or of a consumer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(Arc<str>);

/// Error: a text is not a [`ConsumerName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a consumer's name is 1 to {max} lower-case letters, digits, hyphens and underscores", max = ConsumerName::MAX_LENGTH)]
pub struct ConsumerNameError;

impl ConsumerName {
    /// Maximum length of a name, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Validates a name.
    pub fn new(name: &str) -> Result<Self, ConsumerNameError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let well_formed = (1..=Self::MAX_LENGTH).contains(&name.len()) && name.bytes().all(is_allowed);
        if well_formed { Ok(Self(name.into())) } else { Err(ConsumerNameError) }
    }

    /// Returns the name of the group of all webhook endpoints.
    pub fn webhooks() -> Self {
        Self::fixed("webhooks")
    }

    /// Returns a name that is written in this crate and known to be valid.
    pub(crate) fn fixed(name: &'static str) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A webhook endpoint is the consumer with its id as name.
impl From<WebhookEndpointId> for ConsumerName {
    fn from(id: WebhookEndpointId) -> Self {
        Self(id.to_string().into())
    }
}

impl AsRef<str> for ConsumerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ConsumerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A request for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The group.
    pub group: ConsumerName,
    /// Random name of the process that requests the lease, different for each start of a process.
    pub holder: ConsumerName,
}

/// The right to write the positions of a group on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedLease {
    /// The group.
    pub group: ConsumerName,
    /// The fencing token. Increases each time the lease is taken.
    pub token: i64,
}

/// Outcome of a request for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseTaken {
    /// The caller holds the lease.
    Taken(FeedLease),
    /// Another process holds the lease.
    Held {
        /// The holder.
        by: String,
        /// Time at which the lease expires, on the shard's clock.
        until: Timestamp,
    },
}

/// A position, and the incarnation of the database under which it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPlace {
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The position.
    pub position: FeedPosition,
}

/// A position as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPosition {
    /// The position.
    pub place: FeedPlace,
    /// For the position of a group, the revision of the list of consumers that it takes into account; otherwise 0.
    pub known: WebhookRevision,
    /// Time of the last write, by the clock of the process that wrote.
    pub updated_at: Timestamp,
}

/// What a lease holder writes at once, about once per second. See [`ConsumerStore::checkpoint_feed`].
///
/// An empty part changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// New position of the group, and the revision of the list of consumers that it takes into account. Neither goes
    /// back: with a lower position under the same incarnation, both stay.
    pub shared: Option<(FeedPlace, WebhookRevision)>,
    /// Whether the position in `shared` is set whatever it was, because the stored one is after the end of the feed. The
    /// revision does not go back then either.
    pub is_shared_rewound: bool,
    /// Own positions of consumers that are behind, which are created or advanced. A lower position under the same
    /// incarnation leaves the consumer's position unchanged.
    pub advanced: Vec<(ConsumerName, FeedPlace)>,
    /// Own positions that are set whatever they were: for a replay, or because the stored one is after the end of the feed.
    pub rewound: Vec<(ConsumerName, FeedPlace)>,
    /// Consumers that have caught up: their own positions are removed. A position that is still after the group's
    /// position, as this checkpoint leaves it, stays.
    pub joined: Vec<ConsumerName>,
    /// Deliveries that failed: each replaces the row of its endpoint and order.
    pub failures: Vec<WebhookFailure>,
    /// Failures that were resolved, by delivery or because the order has no more matching events: their rows are
    /// removed.
    pub resolved: Vec<(WebhookEndpointId, OrderId)>,
    /// Attempts for the log of each endpoint.
    pub attempts: Vec<WebhookAttempt>,
}

impl Checkpoint {
    /// Maximum number of entries of all parts of a checkpoint together. A caller with more writes several checkpoints,
    /// and the positions in the last one.
    pub const MAX_ENTRIES: usize = 5_000;

    /// Returns the number of entries.
    pub const fn entries(&self) -> usize {
        self.advanced.len()
            + self.rewound.len()
            + self.joined.len()
            + self.failures.len()
            + self.resolved.len()
            + self.attempts.len()
    }

    /// Checks that the checkpoint has at most [`Checkpoint::MAX_ENTRIES`] entries, and names each consumer, and each
    /// pair of endpoint and order, at most once. Every store calls this check before it writes.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.entries() > Self::MAX_ENTRIES {
            return Err(StoreError::Corrupt(format!(
                "a checkpoint has {} entries, and at most {} are allowed",
                self.entries(),
                Self::MAX_ENTRIES
            )));
        }
        let mut consumers = BTreeSet::new();
        let positioned = self.advanced.iter().chain(&self.rewound).map(|(name, _)| name);
        if let Some(twice) = positioned.chain(&self.joined).find(|name| !consumers.insert(*name)) {
            return Err(StoreError::Corrupt(format!("a checkpoint names the consumer {twice:?} twice")));
        }
        let mut rows = BTreeSet::new();
        let failed = self.failures.iter().map(WebhookFailure::key);
        if let Some((endpoint, order)) =
            failed.chain(self.resolved.iter().copied()).find(|key| !rows.insert(*key))
        {
            return Err(StoreError::Corrupt(format!(
                "a checkpoint names the order {order} of the webhook endpoint {endpoint} twice"
            )));
        }
        Ok(())
    }
}
