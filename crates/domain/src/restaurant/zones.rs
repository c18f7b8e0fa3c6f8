//! Delivery zones: where a restaurant delivers, and on which terms.
//!
//! The first zone in the list that contains the place of a delivery states its terms. A restaurant without zones delivers
//! anywhere, on the terms of [`RestaurantSettings::delivery`]. A restaurant with zones delivers within them only, and its
//! `delivery` states nothing: each zone has its own fee, threshold of free delivery and minimum.
//!
//! | module | content |
//! |---|---|
//! | `document` | zones as clients and files write them, and their validation |

mod document;

use serde::{Deserialize, Serialize};

use super::{DeliveryTerms, Location, RestaurantSettings};
use crate::{
    Amount,
    geo::{Bounds, Polygon, Position},
    text::{Name, Slug},
};

pub(super) use document::check_zones;
pub use document::{AreaDocument, AreaKind, Coordinates, ZoneDocument};

/// A delivery zone of a restaurant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryZone {
    /// Id, unique within the restaurant.
    pub id: Slug,
    /// Name of the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Area of the zone.
    pub area: ZoneArea,
    /// Fee for a delivery to the zone.
    #[serde(default)]
    pub fee: Amount,
    /// Subtotal from which delivery to the zone is free. Absent: it is never free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<Amount>,
    /// Minimum subtotal for a delivery to the zone.
    #[serde(default)]
    pub minimum_order: Amount,
    /// Time that a delivery to the zone takes after the food is ready, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

/// Area of a delivery zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AreaDocument", into = "AreaDocument")]
pub enum ZoneArea {
    /// A polygon.
    Polygon(Polygon),
    /// Polygons.
    MultiPolygon(Vec<Polygon>),
    /// All places within a distance of the restaurant.
    Circle {
        /// The distance in metres.
        radius_metres: u32,
    },
}

impl ZoneArea {
    /// Returns whether the area contains a place. `centre` is the location of the restaurant.
    pub fn contains(&self, centre: Option<Location>, place: Location) -> bool {
        let position = Position::from(place);
        match self {
            Self::Polygon(polygon) => polygon.contains(position),
            Self::MultiPolygon(polygons) => polygons.iter().any(|polygon| polygon.contains(position)),
            Self::Circle { radius_metres } => {
                centre.is_some_and(|centre| centre.distance_metres(place) <= f64::from(*radius_metres))
            }
        }
    }

    /// Returns the number of positions in the area.
    pub fn positions(&self) -> usize {
        let of = |polygon: &Polygon| polygon.rings().iter().map(Vec::len).sum::<usize>();
        match self {
            Self::Polygon(polygon) => of(polygon),
            Self::MultiPolygon(polygons) => polygons.iter().map(of).sum(),
            Self::Circle { .. } => 0,
        }
    }

    /// Returns bounds that contain the area; `None` for a circle without a centre.
    pub fn bounds(&self, centre: Option<Location>) -> Option<Bounds> {
        match self {
            Self::Polygon(polygon) => Some(polygon.bounds()),
            Self::MultiPolygon(polygons) => polygons.iter().map(Polygon::bounds).reduce(Bounds::joined),
            Self::Circle { radius_metres } => centre.map(|centre| Bounds::around(centre, *radius_metres)),
        }
    }
}

impl DeliveryZone {
    /// Returns the terms of a delivery to the zone.
    pub const fn terms(&self) -> DeliveryTerms {
        DeliveryTerms { fee: self.fee, free_from: self.free_from, minimum_order: self.minimum_order }
    }
}

/// Whether a restaurant delivers to a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach<'a> {
    /// The restaurant delivers, and has no zones.
    Anywhere(DeliveryTerms),
    /// The restaurant delivers to the place, which this zone contains.
    Zone(&'a DeliveryZone),
    /// The restaurant does not deliver to the place, because no zone contains it.
    Outside,
    /// The restaurant has zones, and the place is not known.
    Unlocated,
    /// The restaurant does not deliver.
    Never,
}

impl<'a> Reach<'a> {
    /// Returns the terms of a delivery to the place, if the restaurant delivers there.
    pub const fn terms(self) -> Option<DeliveryTerms> {
        match self {
            Self::Anywhere(terms) => Some(terms),
            Self::Zone(zone) => Some(zone.terms()),
            Self::Outside | Self::Unlocated | Self::Never => None,
        }
    }

    /// Returns the zone of the place.
    pub const fn zone(self) -> Option<&'a DeliveryZone> {
        match self {
            Self::Zone(zone) => Some(zone),
            Self::Anywhere(_) | Self::Outside | Self::Unlocated | Self::Never => None,
        }
    }
}

impl RestaurantSettings {
    /// Returns whether the restaurant delivers to a place, and on which terms.
    pub fn reach(&self, place: Option<Location>) -> Reach<'_> {
        match (self.delivery, place) {
            (None, _) => Reach::Never,
            (Some(terms), _) if self.zones.is_empty() => Reach::Anywhere(terms),
            (Some(_), None) => Reach::Unlocated,
            (Some(_), Some(place)) => {
                let zone = self.zones.iter().find(|zone| zone.area.contains(self.location, place));
                zone.map_or(Reach::Outside, Reach::Zone)
            }
        }
    }
}
