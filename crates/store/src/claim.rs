//! The idempotency record: what was asked under a key, and what it led to.
//!
//! One record serves every operation that creates or moves something. Its scope is an account and a
//! restaurant, or an account alone, on the directory. The record names the resource and the version to which
//! the request led; the answer to a retry is made from these.

use std::{fmt, sync::Arc};

use dabba_domain::{AccountId, OrderId, RestaurantId, Timestamp, order::Version, text::Slug};

use crate::{CommitOutcome, encoding::FINGERPRINT_VERSION};

/// A claim on an idempotency key. Its scope is the account, and the restaurant that the write is about, if
/// there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose key it is.
    pub account_id: AccountId,
    /// The key.
    pub key: IdempotencyKey,
    /// What was asked under it.
    pub fingerprint: Fingerprint,
}

/// A claim and the time at which it is made, for writes that state no time of their own.
#[derive(Clone, Copy, Debug)]
pub struct ClaimAt<'a> {
    /// The claim.
    pub claim: &'a Claim,
    /// When it is made. Keys expire by age.
    pub at: Timestamp,
}

/// What is stored of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRecord {
    /// What was asked.
    pub fingerprint: Fingerprint,
    /// The version of the rule by which the fingerprint was computed; see
    /// [`FINGERPRINT_VERSION`](crate::encoding::FINGERPRINT_VERSION).
    pub fingerprint_version: u32,
    /// What the request created or changed.
    pub resource: Resource,
    /// The resource's version or revision after that.
    pub version: Version,
}

/// What a request under a key created or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An order.
    Order(OrderId),
    /// A restaurant: its settings, pause or closure.
    Restaurant(RestaurantId),
    /// The stock of an item. Stock has no history, so the record keeps what was answered.
    Stock {
        /// The restaurant.
        restaurant_id: RestaurantId,
        /// The item.
        item: Slug,
        /// How many there were after the request.
        remaining: u32,
    },
    /// An account.
    Account(AccountId),
    /// Something that a newer program wrote and this one does not know.
    Unknown,
}

impl ClaimRecord {
    /// The record of a claim that leads an order to a version.
    pub const fn of_order(fingerprint: Fingerprint, order_id: OrderId, version: Version) -> Self {
        Self {
            fingerprint,
            fingerprint_version: FINGERPRINT_VERSION,
            resource: Resource::Order(order_id),
            version,
        }
    }

    /// The order that the key led to, if it led to one.
    pub const fn order_id(&self) -> Option<OrderId> {
        match self.resource {
            Resource::Order(order_id) => Some(order_id),
            _ => None,
        }
    }

    /// Whether the record is of the same request.
    pub fn is_of(&self, fingerprint: Fingerprint) -> SameRequest {
        if self.fingerprint_version > FINGERPRINT_VERSION {
            SameRequest::Unknown
        } else if self.fingerprint == fingerprint {
            SameRequest::Yes
        } else {
            SameRequest::No
        }
    }

    /// The outcome of a commit whose key has this record.
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

/// Whether a key was claimed for the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameRequest {
    /// It was.
    Yes,
    /// It was claimed for another request.
    No,
    /// A newer program claimed it, by a rule for fingerprints that this program does not know. A server of that version
    /// can tell.
    Unknown,
}

/// How a claim of a key ended that is made apart from what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The key was free and is claimed now.
    Claimed,
    /// The key had been claimed before.
    Found(ClaimRecord),
}

/// How a write under an optional key ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnderKey<T> {
    /// There was no key, or it was free. It is claimed if the write was made.
    Ended(T),
    /// The key had been claimed before, and nothing is written.
    Claimed(ClaimRecord),
}

/// A key that a client chooses for one intention, and repeats when it repeats the request.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

/// A text that is not an [`IdempotencyKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to {max} printable ASCII characters", max = IdempotencyKey::MAX_LENGTH)]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// Longest key, in characters.
    pub const MAX_LENGTH: usize = 255;

    /// Checks a key.
    pub fn new(key: &str) -> Result<Self, IdempotencyKeyError> {
        let well_formed = (1..=Self::MAX_LENGTH).contains(&key.len())
            && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if well_formed { Ok(Self(key.into())) } else { Err(IdempotencyKeyError) }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

/// A digest of a request. It distinguishes a repeated request from a different one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);
