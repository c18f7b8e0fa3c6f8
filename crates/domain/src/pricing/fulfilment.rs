//! How the food of a cart gets to the customer: the kind, the place of a delivery, and what the restaurant's terms say
//! about it.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{CartRef, FulfilmentKind};
use crate::{
    Amount, Problems,
    order::OrderZone,
    restaurant::{Location, Reach, RestaurantSettings},
    text::{Name, Note},
};

/// Fulfilment of a cart: the kind, and the place of a delivery if it is known. It is written as the kind alone, or in the
/// form of an order's fulfilment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CartFulfilment {
    /// Delivery or collection.
    pub kind: FulfilmentKind,
    /// Place of a delivery.
    pub place: Option<Location>,
}

/// The form of an order's fulfilment in a cart. An order's own fulfilment has this form, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FulfilmentDocument {
    r#type: FulfilmentKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<CartAddress>,
}

/// Fulfilment of a cart with its data, in the form of an order's fulfilment.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    dead_code,
    clippy::large_enum_variant,
    reason = "it describes the form that FulfilmentDocument reads"
)]
pub(crate) enum QuoteFulfilment {
    /// A courier brings it.
    Delivery {
        /// Address of the delivery. A restaurant with delivery zones requires its `location`.
        address: Option<CartAddress>,
    },
    /// The customer collects it at the restaurant.
    Collection,
}

/// Address of a delivery in a quote. Only `location` has an effect; an address with a location alone is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = QuoteAddress))]
#[serde(deny_unknown_fields)]
pub struct CartAddress {
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line1: Option<Name>,
    /// Building, floor, flat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<Name>,
    /// Street, without the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<Name>,
    /// Number of the building in the street, such as `12` or `12 bis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Name>,
    /// Building, floor, flat, without street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complement: Option<Name>,
    /// District or neighbourhood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<Name>,
    /// Town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Name>,
    /// State, province or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Name>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<Name>,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The whole address as the country writes it, on one or several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted: Option<Note>,
    /// Coordinates of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Instructions for reaching the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Note>,
}

impl From<FulfilmentKind> for CartFulfilment {
    fn from(kind: FulfilmentKind) -> Self {
        Self { kind, place: None }
    }
}

impl Serialize for CartFulfilment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { kind, place } = self;
        match place {
            None => kind.serialize(serializer),
            Some(place) => {
                let address = CartAddress { location: Some(*place), ..CartAddress::default() };
                FulfilmentDocument { r#type: *kind, address: Some(address) }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for CartFulfilment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindOrObject;
        impl<'de> Visitor<'de> for KindOrObject {
            type Value = CartFulfilment;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("delivery, collection, or an object with the type of fulfilment")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<CartFulfilment, E> {
                FulfilmentKind::deserialize(name.into_deserializer()).map(CartFulfilment::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<CartFulfilment, A::Error> {
                let document = FulfilmentDocument::deserialize(MapAccessDeserializer::new(members))?;
                let FulfilmentDocument { r#type: kind, address } = document;
                if kind == FulfilmentKind::Collection && address.is_some() {
                    return Err(de::Error::custom("address must be absent for collection"));
                }
                Ok(CartFulfilment { kind, place: address.and_then(|address| address.location) })
            }
        }
        deserializer.deserialize_any(KindOrObject)
    }
}

impl CartRef<'_> {
    /// Returns whether and on which terms the restaurant delivers the cart; `None` for collection.
    pub(super) fn reach(self, settings: &RestaurantSettings) -> Option<Reach<'_>> {
        match self.fulfilment {
            FulfilmentKind::Delivery => Some(settings.reach(self.place)),
            FulfilmentKind::Collection => None,
        }
    }
}

/// Checks that the restaurant offers the fulfilment of a cart, and that the place of a delivery is stated where its terms
/// depend on it. A place outside all delivery zones is no problem of the cart: see [`check_place`].
pub(super) fn check_fulfilment(settings: &RestaurantSettings, cart: CartRef<'_>, problems: &mut Problems) {
    const LOCATION: &str = "/fulfilment/address/location";
    if let Some(place) = &cart.place {
        place.check(LOCATION, problems);
    }
    match cart.reach(settings) {
        Some(Reach::Never) => {
            problems.add("/fulfilment", "must be collection: this restaurant does not deliver");
        }
        Some(Reach::Unlocated) => {
            let text = "is required, because this restaurant delivers within its delivery zones only";
            problems.add(LOCATION, text);
        }
        None if !settings.collection => {
            problems.add("/fulfilment", "must be delivery: this restaurant does not let customers collect");
        }
        Some(Reach::Anywhere(_)) if cart.place.is_none() && settings.charges_by_distance() => {
            problems.add(LOCATION, "is required, because this restaurant charges a fee by the distance");
        }
        Some(Reach::Anywhere(_) | Reach::Zone(_) | Reach::Outside) | None => {}
    }
}

/// Returns the great-circle distance of a delivery in metres, if a fee depends on it; `None` for collection.
pub(super) fn distance_metres(settings: &RestaurantSettings, cart: CartRef<'_>) -> Option<f64> {
    if cart.fulfilment == FulfilmentKind::Collection || !settings.charges_by_distance() {
        return None;
    }
    Some(settings.location?.distance_metres(cart.place?))
}

/// Returns the fee for the delivery of a cart: that of the place, unless the subtotal makes it free. There is no fee for
/// collection and for a place to which the restaurant does not deliver.
pub(super) fn delivery_fee(settings: &RestaurantSettings, cart: CartRef<'_>, subtotal: Amount) -> Amount {
    let terms = cart.reach(settings).and_then(Reach::terms);
    let charged = terms.filter(|terms| terms.free_from.is_none_or(|free_from| subtotal < free_from));
    charged.map(|terms| terms.fee).unwrap_or_default()
}

/// The subtotal of an order for delivery is below the restaurant's minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subtotal is below the restaurant's minimum for delivery of {} minor units", minimum.minor())]
pub struct BelowMinimum {
    /// Minimum subtotal for delivery.
    pub minimum: Amount,
}

/// Checks that the subtotal reaches the minimum for a delivery to the place. Orders for collection have no minimum.
///
/// # Errors
///
/// The subtotal is below the minimum.
pub fn check_minimum(
    settings: &RestaurantSettings,
    cart: CartRef<'_>,
    subtotal: Amount,
) -> Result<(), BelowMinimum> {
    match cart.reach(settings).and_then(Reach::terms) {
        Some(terms) if subtotal < terms.minimum_order => Err(BelowMinimum { minimum: terms.minimum_order }),
        _ => Ok(()),
    }
}

/// The place of a delivery is outside all delivery zones of the restaurant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is outside all delivery zones of the restaurant")]
pub struct OutsideZones;

/// Checks that the restaurant delivers to the place of a cart, and returns the delivery zone; `None` for collection, and
/// for a restaurant without zones.
///
/// # Errors
///
/// The place is outside all delivery zones.
pub fn check_place(
    settings: &RestaurantSettings,
    cart: CartRef<'_>,
) -> Result<Option<OrderZone>, OutsideZones> {
    match cart.reach(settings) {
        Some(Reach::Outside) => Err(OutsideZones),
        Some(Reach::Zone(zone)) => Ok(Some(OrderZone { id: zone.id.clone(), minutes: zone.minutes })),
        Some(Reach::Anywhere(_) | Reach::Unlocated | Reach::Never) | None => Ok(None),
    }
}
