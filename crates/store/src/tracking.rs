//! Tracking links: the holder of a link's secret token may follow one order without an account.
//!
//! A link is in the shard of its order, because its token carries the order's bucket. The store knows the hash of a
//! token, and never the token.

use std::fmt;

use async_trait::async_trait;
use dabba_domain::{Bucket, OrderId, Timestamp};

use crate::StoreError;

/// Stores tracking links.
#[async_trait]
pub trait TrackingStore: Send + Sync {
    /// Creates a link to an order that exists, unless the order has `max` links.
    async fn create_tracking_link(
        &self,
        link: &TrackingLink,
        max: u32,
    ) -> Result<TrackingLinkCreation, StoreError>;

    /// Returns the order of the link whose token has this hash and carries this bucket. A link is found until it is
    /// deleted; the caller decides whether it is still valid.
    async fn tracked_order(
        &self,
        bucket: Bucket,
        hash: &TrackingLinkHash,
    ) -> Result<Option<OrderId>, StoreError>;

    /// Checks at most `limit` links whose check is due, those that are due longest first. Deletes the links to orders
    /// that have ended and did not change after `unchanged_since`, and to orders that do not exist; the next check of
    /// the others is due at `next_check_at`. Returns the number of checked links.
    async fn check_tracking_links(
        &self,
        due_until: Timestamp,
        unchanged_since: Timestamp,
        next_check_at: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError>;
}

/// SHA-256 digest of a link's token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackingLinkHash(pub [u8; 32]);

/// Omits the digest: it identifies a secret.
impl fmt::Debug for TrackingLinkHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrackingLinkHash(…)")
    }
}

/// A link to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackingLink {
    /// Hash of the link's token.
    pub hash: TrackingLinkHash,
    /// The order.
    pub order_id: OrderId,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time at which [`TrackingStore::check_tracking_links`] checks the link first.
    pub check_at: Timestamp,
}

/// Outcome of the creation of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackingLinkCreation {
    /// The link is stored.
    Created,
    /// No order has the id.
    NotFound,
    /// The order has the maximum number of links.
    TooMany,
}
