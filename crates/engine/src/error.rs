//! Errors of use cases. On an error nothing has changed, unless the variant says otherwise.

use dabba_domain::{
    Problems, RestaurantId, Timestamp,
    limits::MAX_STOCK,
    order::{AllowedAction, OrderStatus, Rejection, Version},
    restaurant::{Revision, SettingsChangeError},
};
use dabba_store::{CursorVoid, MenuRevisions, StoreError};

use crate::{ClockSkew, GatewayError, Obstacle, Quote, sparse::LogRateLimit};

/// Reason why a use case was not executed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The object does not exist, or is not visible to the caller.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The caller's role does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// The caller's role does not allow these changes.
    #[error("{0}")]
    ForbiddenChange(Problems),
    /// The input is invalid.
    #[error("{0}")]
    Invalid(Problems),
    /// The e-mail address or the password is wrong.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The token of a login link is unknown, was used, has expired, or is void because the account changed.
    #[error("the login link is not valid: it was used, has expired, or was replaced; ask for a new link")]
    VoidLink,
    /// The caller's token was revoked, or its account was disabled, deleted or given another role.
    #[error("the token was revoked; log in again")]
    TokenRevoked,
    /// The request conflicts with the current state.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The idempotency key was used for another request.
    #[error(
        "this idempotency key was used for another request; use a new key for each new request, and the same key for its retries"
    )]
    KeyReused,
    /// The order or the account is not at one of the expected versions.
    #[error(
        "the current version is {current}, which If-Match does not name; read the resource again before a new attempt"
    )]
    VersionMismatch {
        /// The current version.
        current: Version,
    },
    /// The queue of writes is full.
    #[error("too many requests are queued; retry later")]
    Overloaded,
    /// The store is unavailable or shutting down.
    #[error("the store is unavailable")]
    Unavailable,
    /// A newer version of Dabba wrote the data, and only a server of that version can execute the request.
    #[error(
        "a newer version of Dabba wrote this data; only a server of that version can execute the request"
    )]
    WrittenByNewer,
    /// The secrets key opens none of the stored secrets of webhook endpoints.
    #[error(
        "the secrets_key_file of this server opens none of the stored secrets of webhook endpoints, so the server \
         cannot seal new secrets: the operator has to copy the file of the other servers and to restart; if that key \
         is lost, an admin rotates the secret of each endpoint with overlap_seconds 0"
    )]
    SecretsKey,
    /// The machine's clock is off by more than the limit.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// Essential parts of the server are down. Only `/readyz` returns this error.
    #[error(
        "parts of the server keep failing and are restarted: {}; see the log for the reason", .0.join(", ")
    )]
    PartsDown(Vec<String>),
    /// The request may or may not have been executed. Retry with the same idempotency key to learn the outcome; the
    /// retry is safe.
    #[error("the outcome is unknown; retry the request with the same idempotency key")]
    OutcomeUnknown,
    /// The payment provider did not execute the call. Occurs only in tasks.
    #[error(transparent)]
    Payment(#[from] GatewayError),
    /// A defect or corrupt data. The text is for the log only.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The request conflicts with the current state. It may succeed later.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Conflict {
    /// The order cannot be placed now. Lists every obstacle; there is at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotOrderable(Vec<Obstacle>),
    /// The customer has reached the limit of open orders.
    #[error(
        "the account has {open} open orders, and at most {limit} are allowed at the same time; wait until an order ends, or \
         cancel one"
    )]
    TooManyOpenOrders {
        /// Number of open orders, including orders that are being placed.
        open: usize,
        /// The maximum.
        limit: usize,
    },
    /// The total differs from the total that the customer expects.
    #[error("the total differs from expected_total in the request; quote contains the current price")]
    PriceChanged(Box<Quote>),
    /// The order's state does not allow the command.
    #[error("{rejection}")]
    IllegalMove {
        /// The reason.
        rejection: Rejection,
        /// The order's status.
        status: OrderStatus,
        /// The actions that the caller may take instead.
        allowed: Vec<AllowedAction>,
    },
    /// Other requests changed the same data during every attempt.
    #[error(
        "other requests changed the same data during each attempt of the server; retry after a pause, with the same idempotency key if there is one"
    )]
    TooManyChanges,
    /// The menu or the settings are not at one of the expected revisions.
    #[error(
        "the current revision is {current}, which If-Match does not name; read the resource again before a new attempt"
    )]
    Revision {
        /// The current revision.
        current: Revision,
    },
    /// The stock is not at the expected revision.
    #[error("{}", stock_revision(*current))]
    StockRevision {
        /// The current revision; `None` if the stock is not limited.
        current: Option<Revision>,
    },
    /// The item's stock is not limited, so it cannot be adjusted.
    #[error("the stock of this item is not limited; set a stock before adjusting it")]
    StockNotLimited,
    /// The adjustment would move the stock below zero or above the maximum.
    #[error("the stock is {remaining}; after the adjustment it must be from 0 to {MAX_STOCK}")]
    StockOutOfRange {
        /// The current stock.
        remaining: u32,
    },
    /// Another restaurant has this external id.
    #[error("restaurant {by} has this external id; update that restaurant, or use another external id")]
    ExternalIdTaken {
        /// The restaurant.
        by: RestaurantId,
    },
    /// The restaurant is already closed permanently, for another reason.
    #[error(
        "the restaurant has been closed permanently since {since} for another reason; reopen it to change the reason"
    )]
    AlreadyClosed {
        /// Time at which the restaurant was closed.
        since: Timestamp,
    },
    /// The menu or the availability of its items is not in one of the expected states.
    #[error(
        "the menu is at revision {menu} and the availability of its items at revision {availability}, which \
         If-Match does not name; read the menu again before a new attempt",
        menu = current.menu, availability = current.availability
    )]
    MenuRevision {
        /// The current revisions.
        current: MenuRevisions,
    },
    /// Another account has this e-mail address.
    #[error("an account with this e-mail address exists; log in, or use another address")]
    EmailTaken,
    /// The change would leave no enabled admin.
    #[error("this is the only enabled admin; create or enable another admin first")]
    LastAdmin,
    /// The service account has the maximum number of active API keys.
    #[error(
        "the service account has {limit} active API keys, which is the maximum; revoke a key that is no longer used"
    )]
    TooManyApiKeys {
        /// The maximum.
        limit: u32,
    },
    /// The owner of the webhook endpoint has the maximum number of endpoints.
    #[error(
        "the owner has {limit} webhook endpoints, which is the maximum; delete one that is no longer used"
    )]
    TooManyWebhookEndpoints {
        /// The maximum.
        limit: u32,
    },
    /// The order has the maximum number of tracking links.
    #[error("the order has {limit} tracking links, which is the maximum; use a link that was created before")]
    TooManyTrackingLinks {
        /// The maximum.
        limit: u32,
    },
    /// The order ended so long ago that a tracking link would not be valid.
    #[error("the order ended more than 24 hours ago, so it cannot be followed any more")]
    TrackingEnded,
    /// The cursor of the feed is void, because a database was restored or replaced.
    #[error("{0}; use a newer cursor, or since with a time")]
    CursorExpired(CursorVoid),
    /// The task is for an admin, not for a worker.
    #[error(
        "a review cannot be retried, because no worker can do it; do what its detail says, then resolve the task"
    )]
    TaskNeedsAdmin,
}

fn stock_revision(current: Option<Revision>) -> String {
    match current {
        Some(current) => format!(
            "the stock is at revision {current}, which If-Match does not name; read the stock again before a new attempt"
        ),
        None => {
            "the stock of this item is not limited, so it has no revision that If-Match could name".to_owned()
        }
    }
}

/// Rate limit: while a store is unavailable, every request logs this line.
static UNAVAILABLE: LogRateLimit = LogRateLimit::new();
/// Rate limit: while a store is unfit for use, every request logs this line.
static UNFIT: LogRateLimit = LogRateLimit::new();
/// Rate limit: during an upgrade, many requests may log this line.
static WRITTEN_BY_NEWER: LogRateLimit = LogRateLimit::new();

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) | StoreError::Contention(reason) => {
                if let Some(more) = UNAVAILABLE.pass() {
                    tracing::warn!(reason, more, "the store is unavailable");
                }
                Self::Unavailable
            }
            StoreError::Unfit(reason) => {
                if let Some(more) = UNFIT.pass() {
                    tracing::error!(reason, more, "the store cannot be used as it is");
                }
                Self::Unavailable
            }
            StoreError::OutcomeUnknown(reason) => {
                tracing::warn!(reason, "the outcome of a commit is unknown");
                Self::OutcomeUnknown
            }
            StoreError::WrittenByNewer(reason) => {
                if let Some(more) = WRITTEN_BY_NEWER.pass() {
                    tracing::warn!(reason, more, "a request needs a newer version of Dabba");
                }
                Self::WrittenByNewer
            }
            StoreError::Corrupt(reason) => Self::Internal(reason),
        }
    }
}

impl From<SettingsChangeError> for Error {
    fn from(error: SettingsChangeError) -> Self {
        match error {
            SettingsChangeError::Never(problems) => Self::Invalid(problems),
            SettingsChangeError::AdminOnly(problems) => Self::ForbiddenChange(problems),
        }
    }
}
