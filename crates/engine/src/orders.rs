//! Use cases of orders: quote, place, act, preview, read, list, track.

mod act;
mod board;
mod open;
mod place;
mod preview;
mod quote;
mod read;
mod recent;
mod track;
mod tracking_token;

use std::sync::Arc;

use dabba_domain::{
    Actor, Amount, OrderId, RestaurantId,
    order::{AllowedAction, Order, Version, allowed_actions, fold},
};
use dabba_store::{Claim, CommitOutcome, Store};
use tokio::sync::Semaphore;

pub use act::CommandRequest;
pub use board::{BoardOrders, MAX_BOARD_BYTES, MAX_BOARD_ORDERS, SizedOrder, is_on_board};
pub(crate) use open::{OpenChange, OpenOrders};
pub use preview::Preview;
pub use quote::{Obstacle, Quote};
pub use read::CustomerName;
pub(crate) use read::MAX_CODE_SEARCHES;
pub(crate) use recent::RecentOrders;
pub(crate) use track::LINK_CHECK_INTERVAL;
pub use track::{
    LinkedOrder, MAX_TRACKING_LINKS, TRACKED_AFTER_END, Tracked, TrackedRestaurant, link_valid_until,
};
pub use tracking_token::TrackingToken;

use crate::{
    Clock, EngineMetrics, Error, Random,
    accounts::Accounts,
    catalogue::CatalogueCache,
    order_writer::{OrderWriter, Outcome},
    payments::Payments,
    statistics::PlacingLatency,
};

/// Use cases of orders.
pub struct Orders {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) catalogue_cache: Arc<CatalogueCache>,
    pub(crate) recent: Arc<RecentOrders>,
    pub(crate) open: Arc<OpenOrders>,
    pub(crate) writer: Arc<OrderWriter>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) payments: Arc<Payments>,
    /// See [`crate::EngineConfig::max_searched_ids`].
    pub(crate) max_searched_ids: u32,
    /// Permits of searches by display code: [`MAX_CODE_SEARCHES`].
    pub(crate) code_searches: Semaphore,
    /// Measures how long placing takes.
    pub(crate) latency: Arc<PlacingLatency>,
}

/// The answer to a write.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderAnswer {
    /// The order after the write; for a replay, the order after the original request.
    pub order: Order,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
    /// The actions that the caller may take on the order at this version.
    pub allowed_actions: Vec<AllowedAction>,
}

/// The caller to whom an answer is shown. The viewer is known before the write, so that nothing has to be read after
/// it.
#[derive(Clone, Copy, Debug)]
struct Viewer {
    actor: Actor,
    /// The restaurant's refund limit. Used only for the restaurant's staff.
    refund_limit: Amount,
}

impl Viewer {
    fn allowed_actions(&self, order: &Order) -> Vec<AllowedAction> {
        allowed_actions(order, &self.actor, self.refund_limit)
    }

    fn answer(&self, order: Order, replayed: bool) -> OrderAnswer {
        let allowed_actions = self.allowed_actions(&order);
        OrderAnswer { order, replayed, allowed_actions }
    }
}

/// The order that answers a request.
struct Reply {
    order: Arc<Order>,
    viewer: Viewer,
    replayed: bool,
}

impl Reply {
    const fn new(order: Arc<Order>, viewer: Viewer) -> Self {
        Self { order, viewer, replayed: false }
    }

    fn into_answer(self) -> OrderAnswer {
        let Self { order, viewer, replayed } = self;
        viewer.answer(Arc::unwrap_or_clone(order), replayed)
    }
}

impl Orders {
    /// Returns the answer to a request that ended in this way.
    async fn answer(&self, outcome: Outcome<Reply>) -> Result<OrderAnswer, Error> {
        match outcome {
            Outcome::Concluded(reply) => Ok(reply.into_answer()),
            Outcome::Replayed { order_id, version, instead_of } => {
                Box::pin(self.replay(order_id, version, instead_of.viewer)).await.map(Reply::into_answer)
            }
            Outcome::LeaseLost => {
                Err(Error::Internal("a commit without a lease was refused because of a lost lease".into()))
            }
        }
    }

    /// Returns the answer of the request that first used the key, or `otherwise` if the key is not stored. A request
    /// that was executed gets the same answer again, even if it would be refused now. The key of a request that writes
    /// nothing is not stored.
    async fn replay_or(
        &self,
        otherwise: Result<Reply, Error>,
        viewer: Viewer,
        restaurant_id: RestaurantId,
        claim: Option<&Claim>,
    ) -> Result<Reply, Error> {
        let Some(claim) = claim else { return otherwise };
        match self.store.find_claim(claim.account_id, restaurant_id, &claim.key).await? {
            None => otherwise,
            Some(record) => match record.outcome(claim.fingerprint) {
                CommitOutcome::Replayed { order_id, version } => self.replay(order_id, version, viewer).await,
                // An actor who may not see the order gets the same answer for every key.
                _ if matches!(otherwise, Err(Error::NotFound(_))) => otherwise,
                CommitOutcome::NewerClaim => Err(Error::WrittenByNewer),
                _ => Err(Error::KeyReused),
            },
        }
    }

    /// Returns the order as it was at a version: the stored order if it is still at that version, otherwise the order
    /// folded from its events.
    async fn replay(&self, order_id: OrderId, version: Version, viewer: Viewer) -> Result<Reply, Error> {
        self.metrics.replays.inc();
        let present = self.store.order(order_id).await?;
        let is_written_by_newer = present.as_ref().is_some_and(|order| order.is_written_by_newer);
        if let Some(order) = present.filter(|order| order.version == version) {
            return Ok(Reply { order: Arc::new(order), viewer, replayed: true });
        }
        let history = self.store.events(order_id, 0, version).await?;
        let order = fold(&history).map_err(|error| Error::Internal(error.to_string()))?;
        match order {
            Some(order) if order.version == version => {
                let order = Arc::new(Order {
                    is_written_by_newer: order.is_written_by_newer || is_written_by_newer,
                    ..order
                });
                Ok(Reply { order, viewer, replayed: true })
            }
            _ => Err(Error::Internal(format!("order {order_id} has no version {version}"))),
        }
    }
}
