//! Tracking links: the holder of a link's token follows one order, and may cancel it, without an account.
//!
//! A link shows the order as its customer sees it, without accounts, contact and notes (the instructions for reaching the
//! door are a part of the address), and it may do what the customer may do with the least consequences: cancel the order while the customer could. Such a command is recorded as the
//! customer's, with the way that it took.

use dabba_domain::{
    Actor, OrderId, RestaurantId, Role, Timestamp, Via,
    limits::MAX_ORDER_VERSION,
    order::{AllowedAction, Command, OrderWithSteps, Version},
    restaurant::{Location, Zone},
    text::Name,
};
use dabba_store::{IdempotencyKey, TrackingLink, TrackingLinkCreation};
use jiff::SignedDuration;

use super::{CommandRequest, Orders, act::By, tracking_token::TrackingToken};
use crate::{Conflict, Error, Principal, Scope};

/// Maximum number of tracking links of an order.
pub const MAX_TRACKING_LINKS: u32 = 20;

/// Time for which the links of an order are valid after its end.
pub const TRACKED_AFTER_END: SignedDuration = SignedDuration::from_hours(24);

/// Interval at which the maintenance checks whether the order of a link ended long ago.
pub(crate) const LINK_CHECK_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// What a tracking link shows.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// The order with the times of its steps.
    pub followed: OrderWithSteps,
    /// The actions that the link's holder may take.
    pub allowed_actions: Vec<AllowedAction>,
    /// The restaurant.
    pub restaurant: TrackedRestaurant,
    /// The server's time.
    pub now: Timestamp,
}

/// An order that a tracking link names. The link may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkedOrder(OrderId);

impl LinkedOrder {
    /// Returns the order's id.
    pub const fn id(self) -> OrderId {
        self.0
    }
}

/// A restaurant as a tracking link shows it.
#[derive(Clone, Debug)]
pub struct TrackedRestaurant {
    /// Id of the restaurant.
    pub id: RestaurantId,
    /// Its present name.
    pub name: Name,
    /// Its time zone.
    pub time_zone: Zone,
    /// Its country, if known.
    pub country: Option<String>,
    /// Its location, if known.
    pub location: Option<Location>,
}

/// Returns the time at which the links to an order end; `None` while the order is open.
pub fn link_valid_until(followed: &OrderWithSteps) -> Option<Timestamp> {
    let ended_at = followed.steps.ended_at?;
    Some(ended_at.checked_add(TRACKED_AFTER_END).unwrap_or(Timestamp::MAX))
}

const fn not_found() -> Error {
    Error::NotFound("tracking link")
}

impl Orders {
    /// Creates a tracking link to an order, for its customer and admins. Each call creates another link. Staff and couriers
    /// create none: a command by link is recorded as the customer's, so a link must come from a caller who may give it.
    pub async fn create_tracking_link(
        &self,
        principal: &Principal,
        order_id: OrderId,
    ) -> Result<TrackingToken, Error> {
        principal.require(Scope::WriteOrders)?;
        let (order, _) = self.order_of_party(principal, order_id).await?;
        if matches!(principal.role, Role::Courier | Role::Restaurant) {
            return Err(Error::Forbidden(
                "staff and couriers cannot create tracking links; the customer or an admin can".into(),
            ));
        }
        if order.status.is_terminal() {
            let followed = self.followed(order_id, MAX_ORDER_VERSION).await?;
            if link_valid_until(&followed).is_some_and(|until| until <= self.clock.now()) {
                return Err(Conflict::TrackingEnded.into());
            }
        }
        let token = TrackingToken::generate(order_id.bucket(), &*self.random);
        let created_at = self.clock.now();
        let check_at = created_at.checked_add(LINK_CHECK_INTERVAL).unwrap_or(Timestamp::MAX);
        let link = TrackingLink { hash: token.hash(), order_id, created_at, check_at };
        match self.store.create_tracking_link(&link, MAX_TRACKING_LINKS).await? {
            TrackingLinkCreation::Created => Ok(token),
            TrackingLinkCreation::NotFound => Err(Error::NotFound("order")),
            TrackingLinkCreation::TooMany => {
                Err(Conflict::TooManyTrackingLinks { limit: MAX_TRACKING_LINKS }.into())
            }
        }
    }

    /// Returns the order that a tracking link names. An unknown token is [`Error::NotFound`].
    pub async fn linked_order(&self, token: &TrackingToken) -> Result<LinkedOrder, Error> {
        let found = self.store.tracked_order(token.bucket(), &token.hash()).await?;
        found.map(LinkedOrder).ok_or_else(not_found)
    }

    /// Returns what a tracking link shows now. Fails as [`Orders::followed_by`].
    pub async fn track(&self, linked: LinkedOrder) -> Result<Tracked, Error> {
        let followed = self.followed_by(linked).await?;
        self.tracked(followed).await
    }

    /// Returns what the links to an order show, given the order. Reads nothing but the restaurant, from memory if
    /// possible.
    pub async fn tracked(&self, followed: OrderWithSteps) -> Result<Tracked, Error> {
        let id = followed.order.details.restaurant_id;
        let entry = self.catalogue_cache.get(id).await?;
        let settings = &entry.restaurant().settings;
        let restaurant = TrackedRestaurant {
            id,
            name: settings.name.clone(),
            time_zone: settings.time_zone.clone(),
            country: settings.country.clone(),
            location: settings.location,
        };
        let allowed_actions = self.allowed_actions_of(&by_link(&followed), &followed.order).await?;
        Ok(Tracked { followed, allowed_actions, restaurant, now: self.clock.now() })
    }

    /// Cancels the order of a link as its customer, if it is at one of the expected versions.
    pub async fn cancel_by_link(
        &self,
        linked: LinkedOrder,
        command: Command,
        key: Option<IdempotencyKey>,
        expected_versions: Option<Vec<Version>>,
    ) -> Result<Tracked, Error> {
        let before = self.followed_by(linked).await?;
        let order_id = before.order.id;
        let request = CommandRequest { order_id, command, key, expected_versions };
        let answer = self.act_by(By::Link(by_link(&before)), &request).await?;
        // A failed read must not hide the successful write.
        let read = self.followed(order_id, answer.order.version).await;
        let followed = read.unwrap_or_else(|_| {
            let mut steps = before.steps;
            steps.ended_at.get_or_insert(answer.order.updated_at);
            OrderWithSteps { order: answer.order, steps }
        });
        self.tracked(followed).await
    }

    /// Returns the order of a valid link. A link whose order ended more than [`TRACKED_AFTER_END`] ago is
    /// [`Error::NotFound`].
    pub async fn followed_by(&self, linked: LinkedOrder) -> Result<OrderWithSteps, Error> {
        let followed = self.followed(linked.id(), MAX_ORDER_VERSION).await?;
        let now = self.clock.now();
        if link_valid_until(&followed).is_some_and(|until| until <= now) {
            Err(not_found())
        } else {
            Ok(followed)
        }
    }

    /// Returns an order up to a version from its history, with the times of its steps.
    async fn followed(&self, order_id: OrderId, version: Version) -> Result<OrderWithSteps, Error> {
        let (order, history) =
            futures::future::try_join(self.store.order(order_id), self.store.events(order_id, 0, version))
                .await?;
        let followed = OrderWithSteps::of(&history).map_err(|error| Error::Internal(error.to_string()))?;
        let mut followed = followed.ok_or_else(not_found)?;
        followed.order.is_written_by_newer |= order.is_some_and(|order| order.is_written_by_newer);
        Ok(followed)
    }
}

/// Returns the actor of a command that is given with a link to an order.
fn by_link(followed: &OrderWithSteps) -> Actor {
    Actor::Customer { account_id: followed.order.details.customer_id, via: Some(Via::Link) }
}
