//! The idempotency record: the request made under a key, and its result.
//!
//! All operations that create or change a resource share this record. Its scope is an account and a restaurant, or an
//! account alone; the directory shard stores the latter. The record names the resource and the version that the request
//! produced; the answer to a retry is built from these.

use std::{fmt, sync::Arc};

use dabba_domain::{
    AccountId, ApiKeyId, OrderId, RestaurantId, Timestamp, WebhookEndpointId, order::Version, text::Slug,
};

use crate::{CommitOutcome, encoding::FINGERPRINT_VERSION};

/// A claim on an idempotency key. Its scope is the account and, if the write is about a restaurant, that restaurant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Account to which the key belongs.
    pub account_id: AccountId,
    /// The key.
    pub key: IdempotencyKey,
    /// Fingerprint of the request made under the key.
    pub fingerprint: Fingerprint,
}

/// A claim and its time, for writes that state no time of their own.
#[derive(Clone, Copy, Debug)]
pub struct ClaimAt<'a> {
    /// The claim.
    pub claim: &'a Claim,
    /// Time of the claim. Keys expire by age.
    pub at: Timestamp,
}

/// Stored record of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRecord {
    /// Fingerprint of the request.
    pub fingerprint: Fingerprint,
    /// Version of the rule that computed the fingerprint; see
    /// [`FINGERPRINT_VERSION`](crate::encoding::FINGERPRINT_VERSION).
    pub fingerprint_version: u32,
    /// The resource that the request created or changed.
    pub resource: Resource,
    /// The resource's version or revision after the request.
    pub version: Version,
}

/// Resource that a request under a key created or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An order.
    Order(OrderId),
    /// A restaurant: its settings, pause or closure.
    Restaurant(RestaurantId),
    /// The stock of an item. Stock has no history, so the record keeps the answer.
    Stock {
        /// The restaurant.
        restaurant_id: RestaurantId,
        /// The item.
        item: Slug,
        /// Number of items left after the request.
        remaining: u32,
    },
    /// An account.
    Account(AccountId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// A webhook endpoint.
    WebhookEndpoint(WebhookEndpointId),
    /// A kind of resource that a newer version of Dabba wrote and this version does not know.
    Unknown,
}

impl ClaimRecord {
    /// Returns the record of a claim whose commit moved an order to a version.
    pub const fn of_order(fingerprint: Fingerprint, order_id: OrderId, version: Version) -> Self {
        Self {
            fingerprint,
            fingerprint_version: FINGERPRINT_VERSION,
            resource: Resource::Order(order_id),
            version,
        }
    }

    /// Returns the order that the request created or changed, if the resource is an order.
    pub const fn order_id(&self) -> Option<OrderId> {
        match self.resource {
            Resource::Order(order_id) => Some(order_id),
            _ => None,
        }
    }

    /// Returns whether a request with this fingerprint made the claim.
    pub fn is_of(&self, fingerprint: Fingerprint) -> SameRequest {
        if self.fingerprint_version > FINGERPRINT_VERSION {
            SameRequest::Unknown
        } else if self.fingerprint == fingerprint {
            SameRequest::Yes
        } else {
            SameRequest::No
        }
    }

    /// Returns the outcome of a commit whose key has this record.
    pub fn outcome(&self, fingerprint: Fingerprint) -> CommitOutcome {
        match (self.is_of(fingerprint), &self.resource) {
            (SameRequest::Unknown, _) => CommitOutcome::NewerClaim,
            (SameRequest::Yes, Resource::Order(order_id)) => {
                CommitOutcome::Replayed { order_id: *order_id, version: self.version }
            }
            _ => CommitOutcome::KeyReused,
        }
    }
}

/// Whether a key was claimed by the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameRequest {
    /// The same request claimed the key.
    Yes,
    /// Another request claimed the key.
    No,
    /// A newer version of Dabba claimed the key, with a fingerprint rule that this version does not know. A server of
    /// the newer version can compare the fingerprints.
    Unknown,
}

/// Outcome of a claim that is made separately from the write of its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The key was free and is now claimed.
    Claimed,
    /// The key was already claimed.
    Found(ClaimRecord),
}

/// Outcome of a write with an optional key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnderKey<T> {
    /// There was no key, or the key was free. The key is claimed if the write was made.
    Ended(T),
    /// The key was already claimed, and nothing is written.
    Claimed(ClaimRecord),
}

/// A key that a client chooses for one operation and repeats with each retry of the request.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

/// Error for a text that is not a valid [`IdempotencyKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to {max} printable ASCII characters", max = IdempotencyKey::MAX_LENGTH)]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// Maximum length of a key, in characters.
    pub const MAX_LENGTH: usize = 255;

    /// Validates a key.
    pub fn new(key: &str) -> Result<Self, IdempotencyKeyError> {
        let well_formed = (1..=Self::MAX_LENGTH).contains(&key.len())
            && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if well_formed { Ok(Self(key.into())) } else { Err(IdempotencyKeyError) }
    }

    /// Returns the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

/// Digest of a request. Distinguishes a retry from a different request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);
