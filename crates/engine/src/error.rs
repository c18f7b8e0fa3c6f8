//! Why a use case was not carried out. Nothing has changed then, unless a variant says otherwise.

use dabba_domain::{
    Problems, RestaurantId, Timestamp,
    limits::MAX_STOCK,
    order::{AllowedAction, OrderStatus, Rejection, Version},
    restaurant::{Revision, SettingsChangeError},
};
use dabba_store::{MenuRevisions, StoreError};

use crate::{ClockSkew, GatewayError, Obstacle, Quote, sparse::LogRateLimit};

/// Why a use case was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it is not the caller's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The caller's role may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The caller's role may not change these parts of the input.
    #[error("{0}")]
    ForbiddenChange(Problems),
    /// The input is wrong.
    #[error("{0}")]
    Invalid(Problems),
    /// The e-mail address and the password do not fit together.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The caller's token was revoked, or its account was disabled or deleted or has another role by now.
    #[error("the token was revoked; sign in again")]
    TokenRevoked,
    /// What was asked does not fit the state of things.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The idempotency key was used for another request.
    #[error(
        "this idempotency key was used for another request; use a new key for each intention, and the same for its retries"
    )]
    KeyReused,
    /// The order is not at the version that the caller asked for.
    #[error("it is at version {current}, which If-Match does not name; read it again, then decide anew")]
    VersionMismatch {
        /// The version at which it is.
        current: Version,
    },
    /// As many writes are waiting as may wait.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The store is away or shutting down.
    #[error("the store is unavailable")]
    Unavailable,
    /// A newer version of Dabba wrote what this concerns, and only a server of that version can do it.
    #[error("a newer version of Dabba wrote what this concerns; a server of that version can do it")]
    WrittenByNewer,
    /// The machine's clock is off beyond the limit.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// Essential parts of the server are down. Only `/readyz` returns this error.
    #[error(
        "parts of the server keep failing and are restarted: {}; the log says why", .0.join(", ")
    )]
    PartsDown(Vec<String>),
    /// It may have been carried out, or not. Repeating it under the same idempotency key is safe
    /// and tells.
    #[error("the outcome is unknown; repeat the request with the same idempotency key")]
    OutcomeUnknown,
    /// The payment provider did not do it. Happens to tasks only.
    #[error(transparent)]
    Payment(#[from] GatewayError),
    /// A defect or damage. The text is for the log only.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What was asked does not fit the state of things; it might at another time.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Conflict {
    /// The order cannot be placed now. Every obstacle is listed, and there is at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotOrderable(Vec<Obstacle>),
    /// The customer has as many open orders as are allowed.
    #[error(
        "the account has {open} open orders, and at most {limit} are allowed at the same time; wait until an order ends, or \
         cancel one"
    )]
    TooManyOpenOrders {
        /// Number of open orders, those that are being placed included.
        open: usize,
        /// The maximum.
        limit: usize,
    },
    /// The total is not the one that the customer expected.
    #[error("the total is not the expected_total of the request; quote is the present price")]
    PriceChanged(Box<Quote>),
    /// The command does not fit the order.
    #[error("{rejection}")]
    IllegalMove {
        /// Why.
        rejection: Rejection,
        /// The order's status.
        status: OrderStatus,
        /// What the caller may do instead.
        allowed: Vec<AllowedAction>,
    },
    /// Someone else changed the same thing over and over.
    #[error(
        "others changed it during each attempt of the server; retry after a pause, with the same idempotency key if there is one"
    )]
    TooManyChanges,
    /// The menu or the settings are at another revision than expected.
    #[error("it is at revision {current}, which If-Match does not name; read it again, then decide anew")]
    Revision {
        /// The revision at which it is.
        current: Revision,
    },
    /// The stock is at another revision than expected.
    #[error("{}", stock_revision(*current))]
    StockRevision {
        /// The revision at which it is; `None` when it is not limited.
        current: Option<Revision>,
    },
    /// The stock of the item is not limited, so there is nothing to adjust.
    #[error("the stock of this item is not limited; set it before it can be adjusted")]
    StockNotLimited,
    /// The adjustment would lead below zero or above the maximum.
    #[error("the stock is {remaining}; an adjustment must lead to a number from 0 to {MAX_STOCK}")]
    StockOutOfRange {
        /// How many there are.
        remaining: u32,
    },
    /// The external id has a restaurant.
    #[error("restaurant {by} has this external id; update that restaurant, or use another external id")]
    ExternalIdTaken {
        /// The restaurant.
        by: RestaurantId,
    },
    /// The restaurant is closed permanently, for another reason.
    #[error(
        "the restaurant is closed permanently since {since}, for another reason; reopen it to change the reason"
    )]
    AlreadyClosed {
        /// Since when.
        since: Timestamp,
    },
    /// The menu or the availability of its items is at another revision than expected.
    #[error(
        "the menu is at revision {menu} and the availability of its items at revision {availability}, which \
         If-Match does not name; read the menu again, then decide anew",
        menu = current.menu, availability = current.availability
    )]
    MenuRevision {
        /// The revisions at which they are.
        current: MenuRevisions,
    },
    /// The e-mail address has an account.
    #[error("this e-mail address has an account; sign in, or use another address")]
    EmailTaken,
    /// No enabled admin would be left.
    #[error("this is the only enabled admin; make or enable another one first")]
    LastAdmin,
    /// The task is for a person.
    #[error(
        "a review cannot be retried, because no worker can do it; see to the order, then resolve the task"
    )]
    TaskForPeople,
}

fn stock_revision(current: Option<Revision>) -> String {
    match current {
        Some(current) => format!(
            "the stock is at revision {current}, which If-Match does not name; read it again, then decide anew"
        ),
        None => {
            "the stock of this item is not limited, so it has no revision that If-Match could name".to_owned()
        }
    }
}

/// While a store is away, every request says so.
static UNAVAILABLE: LogRateLimit = LogRateLimit::new();
/// While a store cannot be used, every request says so.
static UNFIT: LogRateLimit = LogRateLimit::new();

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
            StoreError::WrittenByNewer(_) => Self::WrittenByNewer,
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
