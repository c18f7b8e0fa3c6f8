//! Positions and areas on Earth: exact point-in-polygon tests, and great-circle distances.
//!
//! - A [`Position`] is a whole number of units of 10⁻⁷ degrees, which is at most 1.2 cm. All servers decide alike whether
//!   an area contains a position, because the test uses whole numbers only. A position is written and read without loss.
//! - An edge of a [`Polygon`] is a straight line in the plane of longitude and latitude (RFC 7946, section 3.1.1). An
//!   area contains its border. So an area that crosses the antimeridian is a polygon on each side of it.
//! - The distance between two locations is that on a sphere with the Earth's mean radius (haversine formula). It differs
//!   from the distance on the ellipsoid by at most 0.6 %.
//!
//! The crates of `geo` offer the same, and much more: with them, the domain would depend on about fifty crates, and the
//! result of the test would depend on rounding.

mod bounds;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use bounds::Bounds;

use crate::restaurant::Location;

/// Units of a coordinate per degree.
const UNITS_PER_DEGREE: f64 = 1e7;

/// Mean radius of the Earth in metres (IUGG).
const EARTH_RADIUS_METRES: f64 = 6_371_008.8;

/// Minimum number of positions of a ring: a triangle, whose last position repeats the first one.
pub const MIN_RING_POSITIONS: usize = 4;

/// A position on Earth: longitude and latitude in units of 10⁻⁷ degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Longitude.
    pub lng: i32,
    /// Latitude.
    pub lat: i32,
}

impl Position {
    /// Returns the position nearest to these degrees. Degrees out of range become the nearest degrees in range.
    pub fn from_degrees(lng: f64, lat: f64) -> Self {
        Self { lng: units(lng, 180.0), lat: units(lat, 90.0) }
    }

    /// Returns longitude and latitude in degrees.
    pub fn degrees(self) -> [f64; 2] {
        [self.lng, self.lat].map(|units| f64::from(units) / UNITS_PER_DEGREE)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "180 degrees in units fit an i32")]
fn units(degrees: f64, max: f64) -> i32 {
    (degrees.clamp(-max, max) * UNITS_PER_DEGREE).round() as i32
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self::from_degrees(location.lng, location.lat)
    }
}

/// A position is written as in `GeoJSON`, longitude first.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.degrees().serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [lng, lat] = <[f64; 2]>::deserialize(deserializer)?;
        Ok(Self::from_degrees(lng, lat))
    }
}

/// A closed ring of positions: the last one repeats the first one.
pub type Ring = Vec<Position>;

/// A polygon: its outer ring, and the rings of its holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polygon {
    rings: Vec<Ring>,
    /// Bounds of the outer ring.
    bounds: Bounds,
}

/// Where a position is, relative to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Border,
    Outside,
}

impl Polygon {
    /// Returns the polygon of these rings, the outer ring first; `None` without a ring or with an empty outer ring.
    pub fn new(rings: Vec<Ring>) -> Option<Self> {
        let bounds = Bounds::of(rings.first()?)?;
        Some(Self { rings, bounds })
    }

    /// Returns the rings, the outer ring first.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Returns the bounds of the polygon.
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Returns whether the polygon contains a position. Its borders, including those of its holes, belong to it.
    pub fn contains(&self, position: Position) -> bool {
        if !self.bounds.contain(position) {
            return false;
        }
        let mut rings = self.rings.iter().map(|ring| side_of(ring, position));
        match rings.next() {
            Some(Side::Border) => true,
            Some(Side::Inside) => {
                // The first hole that does not leave the position outside decides.
                rings.find(|side| *side != Side::Outside).is_none_or(|side| side == Side::Border)
            }
            Some(Side::Outside) | None => false,
        }
    }
}

impl Serialize for Polygon {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rings.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Polygon {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rings = Vec::deserialize(deserializer)?;
        Self::new(rings).ok_or_else(|| de::Error::custom("must have an outer ring with positions"))
    }
}

/// Returns where a position is. It is inside if a ray from it to the east crosses the ring an odd number of times.
fn side_of(ring: &[Position], position: Position) -> Side {
    let mut is_inside = false;
    for edge in ring.windows(2) {
        let [from, to] = edge else { continue };
        let (low, high) = if from.lat <= to.lat { (from, to) } else { (to, from) };
        if position.lat < low.lat || high.lat < position.lat {
            continue;
        }
        if low.lat == high.lat {
            if from.lng.min(to.lng) <= position.lng && position.lng <= from.lng.max(to.lng) {
                return Side::Border;
            }
            continue;
        }
        // Longitudes of the position and of the edge at the position's latitude, both from `low` and multiplied by the
        // height of the edge. Each product is below 2^63.
        let height = difference(high.lat, low.lat);
        let here = difference(position.lng, low.lng) * height;
        let edge = difference(high.lng, low.lng) * difference(position.lat, low.lat);
        if here == edge {
            return Side::Border;
        }
        // Without its higher end, an edge counts a vertex that the ray passes exactly once.
        if here < edge && position.lat < high.lat {
            is_inside = !is_inside;
        }
    }
    if is_inside { Side::Inside } else { Side::Outside }
}

fn difference(one: i32, other: i32) -> i64 {
    i64::from(one) - i64::from(other)
}

/// Returns whether a ring encloses an area: whether not all of its positions are on one line.
pub fn encloses_area(ring: &[Position]) -> bool {
    let Some((first, others)) = ring.split_first() else { return false };
    let Some(second) = others.iter().find(|other| *other != first) else { return false };
    others.iter().any(|other| {
        let one = difference(second.lng, first.lng) * difference(other.lat, first.lat);
        let two = difference(second.lat, first.lat) * difference(other.lng, first.lng);
        one != two
    })
}

impl Location {
    /// Returns the great-circle distance to another location, in metres.
    pub fn distance_metres(self, other: Self) -> f64 {
        let [from, to] = [self.lat, other.lat].map(f64::to_radians);
        let half_lat = ((to - from) / 2.0).sin();
        let half_lng = ((other.lng - self.lng).to_radians() / 2.0).sin();
        let haversine = half_lat * half_lat + from.cos() * to.cos() * half_lng * half_lng;
        2.0 * EARTH_RADIUS_METRES * haversine.clamp(0.0, 1.0).sqrt().asin()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(positions: &[(i32, i32)]) -> Ring {
        positions.iter().map(|(lng, lat)| Position { lng: *lng, lat: *lat }).collect()
    }

    fn polygon(rings: &[&[(i32, i32)]]) -> Polygon {
        Polygon::new(rings.iter().map(|positions| ring(positions)).collect()).unwrap()
    }

    #[test]
    fn a_polygon_contains_its_border_and_not_its_holes() {
        let square = polygon(&[
            &[(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)],
            &[(4, 4), (6, 4), (6, 6), (4, 6), (4, 4)],
        ]);
        for (lng, lat, expected) in [
            (1, 1, true),
            (0, 5, true),
            (10, 10, true),
            (5, 0, true),
            (11, 5, false),
            (5, -1, false),
            (5, 5, false),
            (4, 5, true),
            (6, 6, true),
            (3, 5, true),
            (7, 5, true),
        ] {
            assert_eq!(square.contains(Position { lng, lat }), expected, "{lng} {lat}");
        }
    }

    #[test]
    fn the_largest_coordinates_do_not_overflow() {
        let world = Position::from_degrees(180.0, 90.0);
        assert_eq!(world, Position { lng: 1_800_000_000, lat: 900_000_000 });
        let earth = polygon(&[&[
            (-world.lng, -world.lat),
            (world.lng, -world.lat),
            (world.lng, world.lat),
            (-world.lng, world.lat),
            (-world.lng, -world.lat),
        ]]);
        let diagonal = polygon(&[&[
            (-world.lng, -world.lat),
            (world.lng, world.lat),
            (-world.lng, world.lat),
            (-world.lng, -world.lat),
        ]]);
        for degrees in [-180.0, -179.999_999_9, -1e-7, 0.0, 1e-7, 91.5, 180.0] {
            let position = Position::from_degrees(degrees, 0.0);
            assert!(earth.contains(position));
            assert_eq!(diagonal.contains(position), degrees <= 0.0, "{degrees}");
        }
        assert!(encloses_area(&earth.rings()[0]) && encloses_area(&diagonal.rings()[0]));
    }

    #[test]
    fn a_ring_on_one_line_encloses_nothing() {
        for (positions, expected) in [
            (&[(0, 0), (1, 1), (5, 5), (0, 0)][..], false),
            (&[(3, 3), (3, 3), (3, 3), (3, 3)], false),
            (&[(0, 0), (0, 0), (5, 5), (0, 1), (0, 0)], true),
            // Both halves have the same area.
            (&[(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)], true),
        ] {
            assert_eq!(encloses_area(&ring(positions)), expected, "{positions:?}");
        }
    }

    #[test]
    fn distances_are_those_of_the_sphere() {
        let location = |lat, lng| Location { lat, lng };
        let london = location(51.5074, -0.1278);
        for (to, kilometres) in [
            (london, 0.0),
            (location(48.8566, 2.3522), 343.6),
            (location(-33.8688, 151.2093), 16_993.9),
            (location(-51.5074, 179.8722), 20_015.1),
        ] {
            let distance = london.distance_metres(to) / 1_000.0;
            assert!((distance - kilometres).abs() < 0.1, "{to:?}: {distance} km");
        }
        let across = location(0.0, 179.9).distance_metres(location(0.0, -179.9));
        assert!((across - 22_239.0).abs() < 1.0, "{across}");
    }

    /// Another way to find the side: counts the crossings of a line to a point far away that no line through two
    /// positions of the grid of the test passes, by the orientations of triples.
    fn side_by_orientation(ring: &[Position], position: Position) -> Side {
        let point = |position: &Position| (i128::from(position.lng), i128::from(position.lat));
        let turn = |a: (i128, i128), b: (i128, i128), c: (i128, i128)| {
            ((b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)).signum()
        };
        let (here, far) =
            (point(&position), (1_000_003 * 97 + i128::from(position.lng), 97 + i128::from(position.lat)));
        let mut crossings = 0;
        for edge in ring.windows(2) {
            let (from, to) = (point(&edge[0]), point(&edge[1]));
            let is_between = from.0.min(to.0) <= here.0
                && here.0 <= from.0.max(to.0)
                && from.1.min(to.1) <= here.1
                && here.1 <= from.1.max(to.1);
            if is_between && turn(from, to, here) == 0 {
                return Side::Border;
            }
            if turn(from, to, here) * turn(from, to, far) < 0
                && turn(here, far, from) * turn(here, far, to) < 0
            {
                crossings += 1;
            }
        }
        if crossings % 2 == 1 { Side::Inside } else { Side::Outside }
    }

    fn any_position() -> impl Strategy<Value = Position> {
        (-8_i32..=8, -8_i32..=8).prop_map(|(lng, lat)| Position { lng, lat })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Proves that both ways to find the side of a position agree, also for rings that cross themselves.
        #[test]
        fn the_side_of_a_position_does_not_depend_on_the_way(
            mut ring in proptest::collection::vec(any_position(), 3..12),
            position in any_position(),
        ) {
            ring.push(ring[0]);
            let expected = side_by_orientation(&ring, position);
            prop_assert_eq!(side_of(&ring, position), expected);
            let mut reversed = ring.clone();
            reversed.reverse();
            prop_assert_eq!(side_of(&reversed, position), expected);
        }

        /// Proves that a position is read as it was written.
        #[test]
        fn a_position_survives_storage(lng in -1_800_000_000_i32..=1_800_000_000, lat in -900_000_000_i32..=900_000_000) {
            let position = Position { lng, lat };
            let json = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position, "{}", json);
        }

        /// Proves that a distance has no direction, and that the bounds of a circle contain each position within it.
        #[test]
        fn the_bounds_of_a_circle_contain_it(
            lat in -90.0..=90.0_f64,
            lng in -180.0..=180.0_f64,
            metres in 1_u32..=200_000,
            bearing in 0.0..std::f64::consts::TAU,
            share in 0.0..=1.0_f64,
        ) {
            let centre = Location { lat, lng };
            // The destination at a bearing and a distance.
            let angle = f64::from(metres) * share / EARTH_RADIUS_METRES;
            let from = lat.to_radians();
            let to = (from.sin() * angle.cos() + from.cos() * angle.sin() * bearing.cos()).clamp(-1.0, 1.0).asin();
            let east = (bearing.sin() * angle.sin() * from.cos()).atan2(angle.cos() - from.sin() * to.sin());
            let to = Location { lat: to.to_degrees(), lng: (lng + east.to_degrees() + 540.0).rem_euclid(360.0) - 180.0 };
            let distance = centre.distance_metres(to);
            prop_assert!((distance - to.distance_metres(centre)).abs() < 1e-3);
            prop_assert!((distance - f64::from(metres) * share).abs() < 0.1, "{distance}");
            prop_assert!(Bounds::around(centre, metres).contain(to.into()), "{:?}", to);
        }
    }
}
