//! Rectangles of longitudes and latitudes that contain an area.

use super::{EARTH_RADIUS_METRES, Position};
use crate::restaurant::Location;

/// A rectangle in the plane of longitude and latitude, including its border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Its corner with the lowest longitude and latitude.
    pub min: Position,
    /// Its corner with the highest longitude and latitude.
    pub max: Position,
}

impl Bounds {
    /// Returns the bounds of positions; `None` without any.
    pub fn of(positions: &[Position]) -> Option<Self> {
        let mut positions = positions.iter().map(|position| Self { min: *position, max: *position });
        let first = positions.next()?;
        Some(positions.fold(first, Self::joined))
    }

    /// Returns the extent in longitude and latitude, in degrees.
    pub fn extent(self) -> [f64; 2] {
        let ([west, south], [east, north]) = (self.min.degrees(), self.max.degrees());
        [east - west, north - south]
    }

    /// Returns bounds of all positions within this distance of a location. Around a pole and across the antimeridian,
    /// they contain all longitudes.
    pub fn around(centre: Location, metres: u32) -> Self {
        /// Share by which the bounds are larger than computed, so that rounding excludes nothing.
        const MARGIN: f64 = 1e-6;
        let angle = f64::from(metres) / EARTH_RADIUS_METRES * (1.0 + MARGIN) + MARGIN.to_radians();
        let (south, north) = (centre.lat - angle.to_degrees(), centre.lat + angle.to_degrees());
        // The meridians that touch the circle, unless the circle contains a pole.
        let is_around_pole = south <= -90.0 || north >= 90.0;
        let sine = angle.sin() / centre.lat.to_radians().cos();
        let width = if is_around_pole { 360.0 } else { sine.clamp(0.0, 1.0).asin().to_degrees() };
        let (west, east) = (centre.lng - width, centre.lng + width);
        let (west, east) = if west < -180.0 || east > 180.0 { (-180.0, 180.0) } else { (west, east) };
        Self { min: Position::from_degrees(west, south), max: Position::from_degrees(east, north) }
    }

    /// Returns the smallest bounds that contain both.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let (min, max) = (self.min, self.max);
        Self {
            min: Position { lng: min.lng.min(other.min.lng), lat: min.lat.min(other.min.lat) },
            max: Position { lng: max.lng.max(other.max.lng), lat: max.lat.max(other.max.lat) },
        }
    }

    /// Returns whether the rectangle contains a position.
    pub const fn contain(&self, position: Position) -> bool {
        self.min.lng <= position.lng
            && position.lng <= self.max.lng
            && self.min.lat <= position.lat
            && position.lat <= self.max.lat
    }
}
