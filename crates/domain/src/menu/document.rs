//! The menu as clients and files write it, not yet validated.

use serde::{Deserialize, Serialize};

use super::{Availability, PriceBy};
#[cfg(feature = "openapi")]
use crate::{
    Amount,
    text::{Name, Note, Slug},
};
use crate::{ReadOnly, restaurant::OpeningInterval};

/// A menu as people and files write it, not yet validated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MenuDocument {
    /// Categories of the menu.
    pub categories: Vec<CategoryDocument>,
    /// Id of the restaurant. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::RestaurantId>))]
    pub restaurant_id: ReadOnly,
    /// Currency of every price. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::Currency>))]
    pub currency: ReadOnly,
    /// Revision of the menu. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<u32>))]
    pub revision: ReadOnly,
    /// Revision of the items' availability. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<u32>))]
    pub availability_revision: ReadOnly,
}

impl From<Vec<CategoryDocument>> for MenuDocument {
    fn from(categories: Vec<CategoryDocument>) -> Self {
        Self { categories, ..Self::default() }
    }
}

/// A category of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CategoryDocument {
    /// The category's code in another system, such as a point of sale: one line of 1 to 64 characters, unique among the
    /// categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// Heading of the category.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// Hours in which the items of the category can be ordered, in the restaurant's time zone: 1 to 28 weekly openings. Absent: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Vec<OpeningInterval>>,
    /// Items of the category.
    pub items: Vec<ItemDocument>,
}

/// An item of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemDocument {
    /// Id. Default: the id of the entry of the current menu with the same external code, otherwise of the entry with
    /// the same name; if there is no such entry, Dabba generates an id.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Slug>))]
    pub id: Option<String>,
    /// The item's code in another system, such as a point of sale: one line of 1 to 64 characters, unique within the
    /// menu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// Name of the item.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// Description of the item.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub description: Option<String>,
    /// Price of one item without options, in minor units.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub price_minor: i64,
    /// Ids of the item's taxes, up to 20. Default: the restaurant's default taxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Slug>>))]
    pub taxes: Option<Vec<String>>,
    /// Labels such as `vegan`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Name>))]
    pub tags: Vec<String>,
    /// Addresses of images of the item, the main image first: up to 10 `https` URLs of at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<super::ImageUrl>))]
    pub images: Vec<String>,
    /// Allergens in the item: codes for the 14 of Regulation (EU) No 1169/2011, annex II. An empty list states that the
    /// item contains none of them. Absent: not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<super::Allergen>>))]
    pub allergens: Option<Vec<String>>,
    /// Diets that the item is suitable for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<super::Diet>))]
    pub diets: Vec<String>,
    /// Number of the trade item in its bar code: a GTIN of 8, 12, 13 or 14 digits with its check digit (EAN, UPC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<super::Gtin>))]
    pub ean: Option<String>,
    /// Hours in which the item can be ordered, in the restaurant's time zone: 1 to 28 weekly openings. Absent: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Vec<OpeningInterval>>,
    /// Present only outside the hours. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<super::OutsideHours>))]
    pub outside_hours: ReadOnly,
    /// Availability of the item. Default: a new item is available; an item of the current menu keeps its availability.
    #[serde(default)]
    pub availability: Option<Availability>,
    /// Whether the item's stock is limited. Ignored in a request; responses contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<bool>))]
    pub stock_limited: ReadOnly,
    /// Option groups of the item.
    #[serde(default)]
    pub option_groups: Vec<OptionGroupDocument>,
}

/// An option group of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OptionGroupDocument {
    /// Id. Default: the id of the entry of the current menu with the same external code, otherwise of the entry with
    /// the same name; if there is no such entry, Dabba generates an id.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Slug>))]
    pub id: Option<String>,
    /// The group's code in another system, such as a point of sale: one line of 1 to 64 characters, unique within the
    /// item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// Name of the group.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// Minimum sum of the quantities of the chosen options.
    pub min: u32,
    /// Maximum sum of the quantities of the chosen options.
    pub max: u32,
    /// Maximum quantity of each option, from 1 to 99. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_option: Option<u32>,
    /// Number of chosen units that are free: the cheapest ones, in any order of choice. At most `max`; must be absent or 0 if
    /// `price_by` is `highest`. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u32>,
    /// Which chosen units are charged. Default: `sum`.
    #[serde(default, skip_serializing_if = "PriceBy::is_sum")]
    pub price_by: PriceBy,
    /// Options of the group.
    pub options: Vec<OptionDocument>,
}

/// An option of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OptionDocument {
    /// Id. Default: the id of the entry of the current menu with the same external code, otherwise of the entry with
    /// the same name; if there is no such entry, Dabba generates an id.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Slug>))]
    pub id: Option<String>,
    /// The option's code in another system, such as a point of sale: one line of 1 to 64 characters, unique within the
    /// group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// Name of the option.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// Amount that the option adds to the price of one item, in minor units.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub price_minor: i64,
    /// Ids of the option's taxes, up to 20. Default: the taxes of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<Slug>>))]
    pub taxes: Option<Vec<String>>,
    /// Availability of the option. Default: a new option is available; an option of the current menu keeps its
    /// availability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Allergens in the option: codes for the 14 of Regulation (EU) No 1169/2011, annex II. An empty list states that the
    /// option contains none of them. Absent: not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<super::Allergen>>))]
    pub allergens: Option<Vec<String>>,
    /// Diets that the option is suitable for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<super::Diet>))]
    pub diets: Vec<String>,
    /// Number of the trade item in its bar code: a GTIN of 8, 12, 13 or 14 digits with its check digit (EAN, UPC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<super::Gtin>))]
    pub ean: Option<String>,
}
