//! Bodies of restaurants and their staff.

use dabba_domain::{
    Amount, Currency, ExternalId, RestaurantId, Timestamp,
    fee::Fee,
    restaurant::{
        DeliveryTerms, DeliveryZone, Location, OpeningHours, OpeningInterval, Pause, PausedBy,
        PermanentClosure, Restaurant,
    },
    tax::{Tax, TaxRounding},
    text::{Name, Note, Slug},
};
use dabba_engine::FoundRestaurant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::AccountBody;

/// A restaurant with its settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Restaurant)]
pub(crate) struct RestaurantBody<'a> {
    id: RestaurantId,
    /// Increases with every change of the settings, the pause or the permanent closing; also the restaurant's `ETag`.
    #[schema(minimum = 1)]
    revision: u32,
    /// The restaurant's id in another system, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    name: &'a Name,
    currency: Currency,
    /// Country code (ISO 3166-1 alpha-2).
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    /// IANA time zone of the opening hours.
    time_zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    /// Opening hours; always open if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    opening_hours: Option<&'a [OpeningInterval]>,
    /// Short form of one tax that is added to prices, in basis points. Its id is `tax`. 0 if `taxes` has entries.
    tax_rate_basis_points: u32,
    /// Taxes. Absent without entries.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    taxes: &'a [Tax],
    /// Ids of the taxes of items that name none; absent: all taxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_taxes: Option<&'a [Slug]>,
    /// Rule by which each tax of an order is rounded.
    tax_rounding: TaxRounding,
    /// Fees. Absent without entries.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    fees: &'a [Fee],
    /// Whether the restaurant delivers.
    delivers: bool,
    /// Terms of delivery; absent if the restaurant does not deliver, and if it has delivery zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryTerms>,
    /// Delivery zones. The first zone that contains the address of a delivery states its terms; the restaurant does not
    /// deliver to other addresses. Absent if the restaurant delivers to every address on the terms of `delivery`, or not
    /// at all; and in the results of a search by `near`, which state the terms at the place.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    zones: &'a [DeliveryZone],
    /// Whether customers may collect orders.
    collection: bool,
    /// Time to accept an order, in seconds.
    acceptance_deadline_seconds: u32,
    /// Maximum amount that the restaurant's staff may refund per order.
    refund_limit: Amount,
    /// The current pause; absent if the restaurant is not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Pause>)]
    pause: Option<RestaurantPauseBody>,
    /// The permanent closing; absent if the restaurant is not permanently closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'a PermanentClosure>,
    /// Whether the restaurant takes orders now.
    accepting: bool,
    /// First moment at which the restaurant takes orders again, because it is neither closed nor paused then. Absent
    /// while it takes orders, if the pause has no end, and if it never opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Timestamp>,
    /// Time since which no board of the restaurant is connected. Only in the responses to reads of restaurants by the
    /// restaurant's staff, which read one restaurant, and by admins. Absent while a board is connected, and if none was
    /// connected in the last 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    unattended_since: Option<Timestamp>,
    created_at: Timestamp,
    /// Distance and terms of a delivery to the place of a search. Only in the results of a search by `near`.
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<NearBody<'a>>,
}

/// What a restaurant offers at the place of a search.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RestaurantNear)]
struct NearBody<'a> {
    /// Great-circle distance from the place to the restaurant, in metres. Absent if the location of the restaurant is not
    /// known.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_metres: Option<u64>,
    /// Id of the delivery zone that contains the place. Absent if the restaurant has no delivery zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a Slug>,
    /// Fee for a delivery to the place.
    fee: Amount,
    /// Subtotal from which a delivery to the place is free; absent if it is never free.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_from: Option<Amount>,
    /// Minimum subtotal for a delivery to the place.
    minimum_order: Amount,
    /// Time that a delivery to the place takes after the food is ready, in minutes, if the delivery zone states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
}

/// The pause of a restaurant, as a caller may see it. [`Pause`] describes it.
#[derive(Debug, Serialize)]
struct RestaurantPauseBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<PausedBy>,
}

/// A pause: the restaurant takes no orders for a time.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Pause)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseBody {
    /// End of the pause. Default: until resumed.
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
}

impl<'a> RestaurantBody<'a> {
    /// Represents a restaurant for its staff and admins.
    pub(crate) fn for_staff(restaurant: &'a Restaurant, now: Timestamp) -> Self {
        let body = Self::new(restaurant, now);
        let by = restaurant.pause.and_then(|pause| pause.by);
        Self { pause: body.pause.map(|pause| RestaurantPauseBody { by, ..pause }), ..body }
    }

    /// Adds since when the restaurant is unattended.
    pub(crate) fn unattended_since(self, unattended_since: Option<Timestamp>) -> Self {
        Self { unattended_since, ..self }
    }

    /// Represents a restaurant for everyone.
    pub(crate) fn new(restaurant: &'a Restaurant, now: Timestamp) -> Self {
        let settings = &restaurant.settings;
        let not_accepting = restaurant.check_accepting(now).err();
        Self {
            id: restaurant.id,
            revision: restaurant.revision,
            external_id: settings.external_id.as_ref().map(ExternalId::as_str),
            name: &settings.name,
            currency: settings.currency,
            country: settings.country.as_deref(),
            time_zone: settings.time_zone.name(),
            location: settings.location,
            opening_hours: match &settings.opening_hours {
                OpeningHours::Always => None,
                OpeningHours::Weekly(intervals) => Some(intervals),
            },
            tax_rate_basis_points: settings.tax_rate_basis_points,
            taxes: &settings.taxes,
            default_taxes: settings.default_taxes.as_deref(),
            tax_rounding: settings.tax_rounding,
            fees: &settings.fees,
            delivers: settings.delivery.is_some(),
            delivery: settings.delivery.filter(|_| settings.zones.is_empty()),
            zones: &settings.zones,
            collection: settings.collection,
            acceptance_deadline_seconds: settings.acceptance_deadline_seconds,
            refund_limit: settings.refund_limit,
            // An expired pause is not a pause any more.
            pause: restaurant
                .pause
                .filter(|pause| pause.until.is_none_or(|until| now < until))
                .map(|pause| RestaurantPauseBody { until: pause.until, by: None }),
            closed: restaurant.closed.as_ref(),
            accepting: not_accepting.is_none(),
            opens_at: not_accepting.and_then(|reason| reason.opens_at()),
            unattended_since: None,
            created_at: restaurant.created_at,
            near: None,
        }
    }

    /// Represents a result of a search for everyone: with the terms at the place in place of all delivery zones.
    pub(crate) fn near(found: &'a FoundRestaurant, now: Timestamp) -> Self {
        let DeliveryTerms { fee, free_from, minimum_order } = found.terms;
        let near = NearBody {
            distance_metres: found.distance_metres(),
            zone: found.zone().map(|zone| &zone.id),
            fee,
            free_from,
            minimum_order,
            minutes: found.zone().and_then(|zone| zone.minutes),
        };
        Self { zones: &[], near: Some(near), ..Self::new(&found.restaurant, now) }
    }
}

/// A page of restaurants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RestaurantList)]
pub(crate) struct RestaurantListBody<'a> {
    pub(crate) restaurants: Vec<RestaurantBody<'a>>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    /// Present and `true` if restaurants may be missing in this page because a shard did not answer in time. The
    /// missing restaurants cannot take orders either, and they are not on a later page; request this page again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) incomplete: bool,
}

/// The reason why a restaurant is closed permanently.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RestaurantClosing)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClosingBody {
    /// The reason. Everyone can read it.
    pub(crate) reason: Note,
}

/// A page of a restaurant's staff.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberList)]
pub(crate) struct MemberListBody {
    pub(crate) members: Vec<AccountBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}
