//! The restaurant and its settings: what the engine works with and stores keep.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{DeliveryZone, OpeningHours, Zone};
use crate::{
    Amount, Currency, ExternalId, RestaurantId, Timestamp,
    fee::Fee,
    tax::{Tax, TaxRounding},
    text::{Name, Note, Slug},
};

/// Number of a version of something that is always replaced as a whole. The first version is 1.
pub type Revision = u32;

/// A restaurant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restaurant {
    /// Id. All orders of the restaurant have its bucket.
    pub id: RestaurantId,
    /// Revision. Increases with every change of the settings, the pause or the closure.
    pub revision: Revision,
    /// Settings, which the staff decide.
    pub settings: RestaurantSettings,
    /// Set while the restaurant is paused.
    pub pause: Option<Pause>,
    /// Set once the restaurant is permanently closed.
    pub closed: Option<PermanentClosure>,
    /// Time at which the restaurant was created.
    pub created_at: Timestamp,
}

/// A pause, during which the restaurant takes no orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = RestaurantPause))]
pub struct Pause {
    /// Time at which the pause ends by itself. Absent: the pause lasts until the restaurant is resumed.
    pub until: Option<Timestamp>,
    /// Who paused the restaurant, if it was no person. Only the restaurant's staff and admins see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PausedBy>,
}

/// Who paused a restaurant without a request of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Dabba, because no board of the restaurant was connected. Dabba ends the pause when a board connects.
    Dabba,
}

impl Pause {
    /// Returns a pause by a person.
    pub const fn by_person(until: Option<Timestamp>) -> Self {
        Self { until, by: None }
    }

    /// The pause of a restaurant of which no board is connected.
    pub const UNATTENDED: Self = Self { until: None, by: Some(PausedBy::Dabba) };
}

impl Restaurant {
    /// Returns whether Dabba has paused the restaurant because no board was connected.
    pub fn is_paused_by_dabba(&self) -> bool {
        self.pause.is_some_and(|pause| pause.by == Some(PausedBy::Dabba))
    }
}

/// Permanent closure of a restaurant. Its orders stay, and can still be completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PermanentClosure {
    /// Time at which an admin closed the restaurant.
    pub at: Timestamp,
    /// Reason for the closure, which everyone may read.
    pub reason: Note,
}

/// Settings of a restaurant, which its staff decide. [`SettingsDocument`](super::SettingsDocument) is
/// their unchecked form and checks the limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestaurantSettings {
    /// The restaurant's id in another system, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// Name of the restaurant.
    pub name: Name,
    /// Currency of the menu and the orders.
    pub currency: Currency,
    /// Country, as an upper-case ISO 3166-1 alpha-2 code.
    pub country: Option<String>,
    /// Time zone of the opening hours.
    pub time_zone: Zone,
    /// Location of the restaurant.
    pub location: Option<Location>,
    /// Opening hours.
    pub opening_hours: OpeningHours,
    /// Short form of one tax that is added to prices, in basis points (2,000 is 20 %). Zero if `taxes` has entries.
    pub tax_rate_basis_points: u32,
    /// Taxes of the restaurant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
    /// Ids of the taxes of items that name none; `None`: all taxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_taxes: Option<Vec<Slug>>,
    /// Rule by which taxes are rounded.
    #[serde(default, skip_serializing_if = "TaxRounding::is_default")]
    pub tax_rounding: TaxRounding,
    /// Fees of the restaurant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<Fee>,
    /// Terms of delivery; `None` if the restaurant does not deliver.
    pub delivery: Option<DeliveryTerms>,
    /// Delivery zones, the first one that contains a place first. If there are any, `delivery` states no terms.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub zones: Arc<[DeliveryZone]>,
    /// Whether customers may collect.
    pub collection: bool,
    /// Time to accept an order, in seconds. An order that is not accepted in this time expires.
    pub acceptance_deadline_seconds: u32,
    /// Total of refunds of one order up to which staff may refund it. Refunds beyond this limit need an admin.
    pub refund_limit: Amount,
}

impl RestaurantSettings {
    /// Returns the time to accept an order.
    pub fn acceptance_deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.acceptance_deadline_seconds))
    }
}

/// A place on Earth (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Latitude in degrees, -90 to 90.
    pub lat: f64,
    /// Longitude in degrees, -180 to 180.
    pub lng: f64,
}

/// Terms of delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeliveryTerms {
    /// Delivery fee of an order.
    #[serde(default)]
    pub fee: Amount,
    /// Subtotal from which delivery is free. Absent: delivery is never free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<Amount>,
    /// Minimum subtotal for delivery. Orders for collection have no minimum.
    #[serde(default)]
    pub minimum_order: Amount,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::restaurant::SettingsDocument;

    fn settings(extra: &serde_json::Value) -> RestaurantSettings {
        let mut document = json!({"name": "Tiffin", "currency": "GBP", "time_zone": "Europe/London"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap()
    }

    #[test]
    fn settings_survive_storage() {
        let weekly =
            settings(&json!({"opening_hours": [{"day": "friday", "opens": "18:00", "closes": "02:00"}]}));
        let stored = serde_json::to_string(&weekly).unwrap();
        assert_eq!(serde_json::from_str::<RestaurantSettings>(&stored).unwrap(), weekly);
        let always = settings(&json!({}));
        let stored = serde_json::to_string(&always).unwrap();
        assert_eq!(serde_json::from_str::<RestaurantSettings>(&stored).unwrap(), always);
    }
}
