//! Delivery zones as clients and files write them, and their validation.

use std::collections::HashSet;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};

use super::{DeliveryZone, ZoneArea};
use crate::{
    Amount, Problems,
    geo::{MIN_RING_POSITIONS, Polygon, Position, Ring, encloses_area},
    limits::{
        MAX_ZONE_EXTENT_DEGREES, MAX_ZONE_MINUTES, MAX_ZONE_POLYGONS, MAX_ZONE_POSITIONS,
        MAX_ZONE_RADIUS_METRES, MAX_ZONE_RINGS, MAX_ZONES,
    },
    problem::{entry_count, whole_number},
    text::{Name, Slug},
};

/// A delivery zone as people and files write it, not yet checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ZoneDocument {
    /// Id, unique within the restaurant.
    pub id: Slug,
    /// Name of the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Area of the zone.
    #[cfg_attr(feature = "openapi", schema(value_type = ZoneArea))]
    pub area: AreaDocument,
    /// Fee for a delivery to the zone.
    #[serde(default)]
    pub fee: Amount,
    /// Subtotal from which delivery to the zone is free. Absent: it is never free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<Amount>,
    /// Minimum subtotal for a delivery to the zone.
    #[serde(default)]
    pub minimum_order: Amount,
    /// Time that a delivery to the zone takes after the food is ready, in minutes. 1 to 1,440.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

/// An area as people and files write it: a geometry of `GeoJSON` (RFC 7946), or a circle around the restaurant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaDocument {
    /// Kind of area. Absent: a circle, if there is a radius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<AreaKind>,
    /// Coordinates of a polygon or of polygons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Coordinates>,
    /// Radius of a circle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius_metres: Option<u32>,
}

/// Kind of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AreaKind {
    /// A polygon of `GeoJSON`.
    Polygon,
    /// Polygons of `GeoJSON`.
    MultiPolygon,
    /// A circle around the restaurant.
    Circle,
}

/// Numbers in nested lists, as `GeoJSON` writes the coordinates of every geometry.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Coordinates {
    /// A number.
    Number(f64),
    /// A list.
    List(Vec<Coordinates>),
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nested;
        impl<'de> Visitor<'de> for Nested {
            type Value = Coordinates;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("numbers in nested lists")
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Coordinates, E> {
                Ok(Coordinates::Number(number))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of this size is out of range in any case"
            )]
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Coordinates, E> {
                Ok(Coordinates::Number(number as f64))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of this size is out of range in any case"
            )]
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Coordinates, E> {
                Ok(Coordinates::Number(number as f64))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Coordinates, A::Error> {
                let mut list = Vec::with_capacity(entries.size_hint().unwrap_or(0).min(MAX_ZONE_POSITIONS));
                while let Some(entry) = entries.next_element()? {
                    list.push(entry);
                }
                Ok(Coordinates::List(list))
            }
        }
        deserializer.deserialize_any(Nested)
    }
}

impl Coordinates {
    fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(entries) => Some(entries),
            Self::Number(_) => None,
        }
    }

    /// Returns longitude and latitude of a position, whether or not they are in range.
    fn degrees(&self) -> Option<[f64; 2]> {
        match self.list()? {
            [Self::Number(lng), Self::Number(lat)] => Some([*lng, *lat]),
            _ => None,
        }
    }

    fn of_polygon(polygon: &Polygon) -> Self {
        let position = |position: &Position| Self::List(position.degrees().map(Self::Number).into());
        let ring = |ring: &Ring| Self::List(ring.iter().map(position).collect());
        Self::List(polygon.rings().iter().map(ring).collect())
    }
}

/// Checks the zones of a restaurant, and adds every problem. A zone with a problem is omitted.
pub(in crate::restaurant) fn check_zones(
    zones: &[ZoneDocument],
    has_location: bool,
    problems: &mut Problems,
) -> Vec<DeliveryZone> {
    if zones.len() > MAX_ZONES {
        problems.add("/zones", format!("must be at most {MAX_ZONES} zones, not {}", zones.len()));
        return Vec::new();
    }
    let mut ids = HashSet::with_capacity(zones.len());
    let mut positions = 0;
    let mut checked = Vec::with_capacity(zones.len());
    for (index, zone) in zones.iter().enumerate() {
        let pointer = format!("/zones/{index}");
        if !ids.insert(&zone.id) {
            problems.add(format!("{pointer}/id"), format!("must be unique; {} occurs twice", zone.id));
        }
        if zone.minutes.is_some_and(|minutes| !(1..=MAX_ZONE_MINUTES).contains(&minutes)) {
            let (allowed, found) = (whole_number(1, MAX_ZONE_MINUTES), zone.minutes.unwrap_or_default());
            problems.add(format!("{pointer}/minutes"), format!("must be {allowed}, not {found}"));
        }
        let mut area = Checking { problems: &mut *problems, positions: 0 };
        let area_checked = area.area(&zone.area, has_location, &format!("{pointer}/area"));
        positions += area.positions;
        // The bounds of a circle follow from its radius, which has a limit of its own.
        let extent = area_checked.as_ref().and_then(|area| area.bounds(None)).map(crate::geo::Bounds::extent);
        if extent
            .is_some_and(|extent| extent.iter().any(|degrees| *degrees > f64::from(MAX_ZONE_EXTENT_DEGREES)))
        {
            let text =
                format!("must not span more than {MAX_ZONE_EXTENT_DEGREES} degrees of longitude or latitude");
            problems.add(format!("{pointer}/area"), text);
        }
        let ZoneDocument { id, name, area: _, fee, free_from, minimum_order, minutes } = zone.clone();
        checked.extend(area_checked.map(|area| DeliveryZone {
            id,
            name,
            area,
            fee,
            free_from,
            minimum_order,
            minutes,
        }));
    }
    if positions > MAX_ZONE_POSITIONS {
        let text = format!(
            "must have at most {MAX_ZONE_POSITIONS} positions in all zones, not {positions}; simplify the outlines"
        );
        problems.add("/zones", text);
    }
    checked
}

/// The check of an area.
struct Checking<'a> {
    problems: &'a mut Problems,
    /// Number of positions so far.
    positions: usize,
}

impl Checking<'_> {
    fn area(&mut self, area: &AreaDocument, has_location: bool, pointer: &str) -> Option<ZoneArea> {
        let AreaDocument { r#type, coordinates, radius_metres } = area;
        let kind = match (r#type, radius_metres) {
            (Some(kind), _) => *kind,
            (None, Some(_)) => AreaKind::Circle,
            (None, None) => {
                let text = "is required; must be one of Polygon, MultiPolygon, Circle";
                self.problems.add(format!("{pointer}/type"), text);
                return None;
            }
        };
        if kind == AreaKind::Circle {
            return self.circle(area, has_location, pointer);
        }
        if radius_metres.is_some() {
            self.problems.add(format!("{pointer}/radius_metres"), "must be absent for a polygon");
        }
        let pointer = format!("{pointer}/coordinates");
        let Some(coordinates) = coordinates else {
            self.problems.add(pointer, "is required for a polygon");
            return None;
        };
        if kind == AreaKind::Polygon {
            return self.polygon(coordinates, &pointer).map(ZoneArea::Polygon);
        }
        let polygons = self.list(coordinates, "a list of polygons", [1, MAX_ZONE_POLYGONS], &pointer)?;
        let polygons = polygons.iter().enumerate();
        let polygons: Vec<_> =
            polygons.map(|(index, entry)| self.polygon(entry, &format!("{pointer}/{index}"))).collect();
        polygons.into_iter().collect::<Option<_>>().map(ZoneArea::MultiPolygon)
    }

    fn circle(&mut self, area: &AreaDocument, has_location: bool, pointer: &str) -> Option<ZoneArea> {
        if area.coordinates.is_some() {
            let text = "must be absent for a circle: its centre is the location of the restaurant";
            self.problems.add(format!("{pointer}/coordinates"), text);
        }
        let pointer = format!("{pointer}/radius_metres");
        let Some(radius_metres) = area.radius_metres else {
            self.problems.add(pointer, "is required for a circle");
            return None;
        };
        if !(1..=MAX_ZONE_RADIUS_METRES).contains(&radius_metres) {
            let allowed = whole_number(1, MAX_ZONE_RADIUS_METRES);
            self.problems.add(&pointer, format!("must be {allowed}, not {radius_metres}"));
        }
        if !has_location {
            let text =
                "needs the location of the restaurant, which is the centre of the circle; set location";
            self.problems.add(pointer, text);
        }
        Some(ZoneArea::Circle { radius_metres })
    }

    /// Returns the entries of a list; `None`, with a problem, if it is no list or has too few or too many entries.
    fn list<'a>(
        &mut self,
        coordinates: &'a Coordinates,
        what: &str,
        [min, max]: [usize; 2],
        pointer: &str,
    ) -> Option<&'a [Coordinates]> {
        let Some(entries) = coordinates.list() else {
            self.problems.add(pointer, format!("must be {what}, not a number"));
            return None;
        };
        if !(min..=max).contains(&entries.len()) {
            self.problems.add(pointer, format!("{}; it is {what}", entry_count(min, max, entries.len())));
            return None;
        }
        Some(entries)
    }

    fn polygon(&mut self, coordinates: &Coordinates, pointer: &str) -> Option<Polygon> {
        let rings = self.list(coordinates, "a list of rings", [1, MAX_ZONE_RINGS], pointer)?;
        let rings = rings.iter().enumerate();
        let rings: Vec<_> =
            rings.map(|(index, ring)| self.ring(ring, &format!("{pointer}/{index}"))).collect();
        Polygon::new(rings.into_iter().collect::<Option<_>>()?)
    }

    fn ring(&mut self, coordinates: &Coordinates, pointer: &str) -> Option<Ring> {
        let counts = [MIN_RING_POSITIONS, MAX_ZONE_POSITIONS];
        let positions = self.list(coordinates, "a ring of positions", counts, pointer)?;
        self.positions += positions.len();
        let positions = positions.iter().enumerate();
        let ring: Vec<_> = positions
            .map(|(index, position)| self.position(position, &format!("{pointer}/{index}")))
            .collect();
        let ring: Ring = ring.into_iter().collect::<Option<_>>()?;
        if ring.first() != ring.last() {
            let last = ring.len() - 1;
            let text = "must repeat the first position of the ring, because a ring is closed";
            self.problems.add(format!("{pointer}/{last}"), text);
            return None;
        }
        if !encloses_area(&ring) {
            self.problems.add(pointer, "must enclose an area");
        }
        self.check_edges(&ring, pointer);
        Some(ring)
    }

    /// Refuses edges that a map would draw the other way around the Earth.
    fn check_edges(&mut self, ring: &Ring, pointer: &str) {
        const HALF_OF_THE_EARTH: i64 = 1_800_000_000;
        for (index, edge) in ring.windows(2).enumerate() {
            if (i64::from(edge[1].lng) - i64::from(edge[0].lng)).abs() > HALF_OF_THE_EARTH {
                let text = "must be at most 180 degrees of longitude from the position before it; divide an area that \
                            crosses the antimeridian into a polygon on each side";
                self.problems.add(format!("{pointer}/{}", index + 1), text);
            }
        }
    }

    fn position(&mut self, coordinates: &Coordinates, pointer: &str) -> Option<Position> {
        let Some([lng, lat]) = coordinates.degrees() else {
            self.problems.add(pointer, "must be a list of two numbers: longitude and latitude");
            return None;
        };
        let mut is_in_range = true;
        for (index, (name, degrees, max)) in
            [("longitude", lng, 180.0), ("latitude", lat, 90.0)].into_iter().enumerate()
        {
            if !(-max..=max).contains(&degrees) {
                let text = format!("must be a {name}, a number from -{max} to {max}, not {degrees}");
                self.problems.add(format!("{pointer}/{index}"), text);
                is_in_range = false;
            }
        }
        is_in_range.then(|| Position::from_degrees(lng, lat))
    }
}

impl From<ZoneArea> for AreaDocument {
    fn from(area: ZoneArea) -> Self {
        match area {
            ZoneArea::Polygon(polygon) => Self {
                r#type: Some(AreaKind::Polygon),
                coordinates: Some(Coordinates::of_polygon(&polygon)),
                radius_metres: None,
            },
            ZoneArea::MultiPolygon(polygons) => Self {
                r#type: Some(AreaKind::MultiPolygon),
                coordinates: Some(Coordinates::List(polygons.iter().map(Coordinates::of_polygon).collect())),
                radius_metres: None,
            },
            ZoneArea::Circle { radius_metres } => {
                Self { r#type: Some(AreaKind::Circle), coordinates: None, radius_metres: Some(radius_metres) }
            }
        }
    }
}

/// Reads a stored area, which was checked when it was stored.
impl TryFrom<AreaDocument> for ZoneArea {
    type Error = Problems;

    fn try_from(area: AreaDocument) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut checking = Checking { problems: &mut problems, positions: 0 };
        let area = checking.area(&area, true, "");
        area.ok_or(problems)
    }
}
