//! The terms agreed when an order was placed. They never change.

use serde::{Deserialize, Serialize};

use super::Address;
use crate::{
    AccountId, Currency, RestaurantId, Timestamp,
    pricing::{Amounts, FulfilmentKind, OrderFee, OrderLine, OrderTax},
    restaurant::{Location, Revision},
    text::{Name, Note, Phone, Slug},
};

/// Payment method of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// In cash, paid when the food is handed over.
    Cash,
    /// By card, through a payment provider.
    Card,
}

/// Version of the terms of an order: 1 for orders with one tax on the food and one fee for delivery, which only the
/// amounts state; 2 for orders that state each fee and each tax, and the taxes of each line.
pub type TermsVersion = u32;

/// Version of the terms of a new order.
pub const TERMS_VERSION: TermsVersion = 2;

const fn first_terms_version() -> TermsVersion {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first_terms_version(version: &TermsVersion) -> bool {
    *version == first_terms_version()
}

/// Terms agreed when the order was placed. They never change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetails {
    /// Version of the terms. Absent: 1.
    #[serde(default = "first_terms_version", skip_serializing_if = "is_first_terms_version")]
    pub terms_version: TermsVersion,
    /// Restaurant that prepares the order.
    pub restaurant_id: RestaurantId,
    /// Name of the restaurant when the order was placed.
    pub restaurant_name: Name,
    /// Account of the customer.
    pub customer_id: AccountId,
    /// Lines of the order.
    pub lines: Vec<OrderLine>,
    /// Fees of the order. Absent in orders of version 1, whose only fee is in the amounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<OrderFee>,
    /// Taxes of the order. Absent in orders of version 1, whose only tax is in the amounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<OrderTax>,
    /// The currency of every amount in the order.
    pub currency: Currency,
    /// Amounts of the order.
    pub amounts: Amounts,
    /// Delivery or collection.
    pub fulfilment: Fulfilment,
    /// Delivery zone of the address, if the restaurant had delivery zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_zone: Option<OrderZone>,
    /// Contact person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Payment method.
    pub payment_method: PaymentMethod,
    /// Deadline by which a payment by card must be certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_deadline: Option<Timestamp>,
    /// Note for the restaurant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Revision of the menu from which the order was priced.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub menu_revision: Revision,
    /// Quantities taken from limited stock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stock_drawn: Vec<StockDraw>,
}

impl OrderDetails {
    /// Returns whether the order states each fee and each tax, and the taxes of each line.
    pub const fn is_itemized(&self) -> bool {
        self.terms_version > first_terms_version()
    }

    /// Returns whether a payment provider has to capture the total. A total of zero needs no provider.
    pub const fn needs_provider(&self) -> bool {
        matches!(self.payment_method, PaymentMethod::Card) && !self.amounts.total.is_zero()
    }
}

/// A quantity of an item with limited stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StockDraw {
    /// The item.
    pub item: Slug,
    /// Quantity.
    pub quantity: u32,
}

/// A delivery zone, as an order keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderZone {
    /// Id of the zone in the restaurant's settings.
    pub id: Slug,
    /// Time that a delivery to the zone takes after the food is ready, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

/// Fulfilment of an order, with the data that it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields, try_from = "FulfilmentDocument")]
#[expect(clippy::large_enum_variant, reason = "most orders are deliveries")]
pub enum Fulfilment {
    /// A courier brings it.
    Delivery {
        /// Address of the delivery.
        address: Address,
    },
    /// The customer collects it at the restaurant.
    Collection,
}

/// A [`Fulfilment`] as it is parsed. The tagged enums of serde ignore unknown members, and lose the place of an error
/// inside them; a struct does neither.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FulfilmentDocument {
    r#type: FulfilmentKind,
    #[serde(default)]
    address: Option<Address>,
}

impl TryFrom<FulfilmentDocument> for Fulfilment {
    type Error = &'static str;

    fn try_from(document: FulfilmentDocument) -> Result<Self, Self::Error> {
        match (document.r#type, document.address) {
            (FulfilmentKind::Delivery, Some(address)) => Ok(Self::Delivery { address }),
            (FulfilmentKind::Delivery, None) => Err("address is required for delivery"),
            (FulfilmentKind::Collection, None) => Ok(Self::Collection),
            (FulfilmentKind::Collection, Some(_)) => Err("address must be absent for collection"),
        }
    }
}

impl Fulfilment {
    /// Returns the kind of fulfilment.
    pub const fn kind(&self) -> FulfilmentKind {
        match self {
            Self::Delivery { .. } => FulfilmentKind::Delivery,
            Self::Collection => FulfilmentKind::Collection,
        }
    }

    /// Returns the place of a delivery, if it is known.
    pub fn place(&self) -> Option<Location> {
        match self {
            Self::Delivery { address } => address.location,
            Self::Collection => None,
        }
    }
}

/// Contact person of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Name of the person.
    pub name: Name,
    /// Telephone number, as the person writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
}
