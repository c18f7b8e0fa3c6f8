//! The settings of a restaurant as clients and files write them, not yet validated.

use serde::{Deserialize, Deserializer, Serialize};

use super::{DeliveryTerms, Location, OpeningInterval, ZoneDocument};
use crate::{
    Amount, ReadOnly,
    fee::Fee,
    limits::DEFAULT_ACCEPTANCE_DEADLINE_SECONDS,
    tax::{Tax, TaxRounding},
    text::Slug,
};
#[cfg(feature = "openapi")]
use crate::{Currency, text::Name};

/// Settings of a restaurant as people and files write them, not yet checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettingsDocument {
    /// The restaurant's id in another system, such as a point of sale: 1 to 64 printable ASCII characters without
    /// spaces, unique. It can be set only when the restaurant is created, and never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Name of the restaurant.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// ISO 4217 currency code.
    #[cfg_attr(feature = "openapi", schema(value_type = Currency))]
    pub currency: String,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(default)]
    pub country: Option<String>,
    /// Name of a time zone of the IANA database.
    pub time_zone: String,
    /// Location of the restaurant.
    #[serde(default)]
    pub location: Option<Location>,
    /// Opening hours. Default: always open.
    #[serde(default)]
    pub opening_hours: Option<Vec<OpeningInterval>>,
    /// Short form of one tax that is added to prices, in basis points. Default 0. Its id is `tax`. Must be 0 if `taxes`
    /// has entries.
    #[serde(default)]
    pub tax_rate_basis_points: u32,
    /// Taxes of the restaurant, up to 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
    /// Ids of the taxes of items that name none. Default: all taxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_taxes: Option<Vec<Slug>>,
    /// Rule by which each tax of an order is rounded. Default `half_up`.
    #[serde(default, skip_serializing_if = "TaxRounding::is_default")]
    pub tax_rounding: TaxRounding,
    /// Fees of the restaurant, up to 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<Fee>,
    /// Whether the restaurant delivers. Default: as `delivery` states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivers: Option<bool>,
    /// Terms of delivery. `null`: no delivery. Default: free delivery without a minimum, or no delivery if `delivers`
    /// is false.
    #[serde(default, skip_serializing_if = "DeliverySetting::is_absent")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<DeliveryTerms>))]
    pub delivery: DeliverySetting,
    /// Delivery zones, up to 50. The first zone that contains the address of a delivery states its terms, so
    /// `delivery` must then state none; an address outside all zones is refused. Default: the restaurant delivers to
    /// every address on the terms of `delivery`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<ZoneDocument>,
    /// Whether customers may collect. Default true.
    #[serde(default = "yes")]
    pub collection: bool,
    /// Time to accept an order, in seconds. 30 to 86,400; default 480.
    #[serde(default = "default_acceptance_deadline_seconds")]
    pub acceptance_deadline_seconds: u32,
    /// Total of refunds of one order up to which staff may refund it. Default 0.
    #[serde(default)]
    pub refund_limit: Amount,
    /// Id of the restaurant. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::RestaurantId>))]
    pub id: ReadOnly,
    /// Revision of the settings. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<super::Revision>))]
    pub revision: ReadOnly,
    /// Pause, if any. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<super::Pause>))]
    pub pause: ReadOnly,
    /// Permanent closure, if any. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<super::PermanentClosure>))]
    pub closed: ReadOnly,
    /// Whether the restaurant takes orders. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<bool>))]
    pub accepting: ReadOnly,
    /// Time at which the restaurant takes orders next. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::Timestamp>))]
    pub opens_at: ReadOnly,
    /// Time since which no board is connected. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::Timestamp>))]
    pub unattended_since: ReadOnly,
    /// Time at which the restaurant was created. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::Timestamp>))]
    pub created_at: ReadOnly,
}

/// What a settings document states about delivery. An absent member and `null` have different meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DeliverySetting {
    /// The member is absent.
    #[default]
    Absent,
    /// No delivery: the member is `null`.
    Null,
    /// Delivery on these terms.
    Terms(DeliveryTerms),
}

impl DeliverySetting {
    const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<'de> Deserialize<'de> for DeliverySetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|terms| terms.map_or(Self::Null, Self::Terms))
    }
}

const fn yes() -> bool {
    true
}

const fn default_acceptance_deadline_seconds() -> u32 {
    DEFAULT_ACCEPTANCE_DEADLINE_SECONDS
}
