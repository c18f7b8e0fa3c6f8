//! The address of a delivery.

use serde::{Deserialize, Serialize};

use crate::{
    Problems,
    restaurant::{Location, check_country},
    text::{Name, Note},
};

/// Address of a delivery: lines as people write them and, beside them, the same address in parts. Dabba shows the lines,
/// and passes the parts on to systems that need them. It derives neither from the other, because countries write
/// addresses differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Street and number.
    pub line1: Name,
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
    pub city: Name,
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
    /// Coordinates of the address. A restaurant with delivery zones requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Instructions for reaching the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Note>,
}

impl Address {
    /// Adds a problem below `pointer` for each member that has no valid value. Pricing checks the coordinates.
    pub fn check(&self, pointer: &str, problems: &mut Problems) {
        if let Some(country) = &self.country {
            problems.check(format!("{pointer}/country"), check_country(country));
        }
    }
}
