//! The validated menu: what the engine works with and stores keep.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Allergen, Availability, Diet, Gtin, ImageUrl, hours};
use crate::{
    Amount, Timestamp,
    restaurant::OpeningHours,
    text::{ExternalCode, Name, Note, Slug},
};

/// A validated menu of a restaurant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredMenu")]
pub struct Menu {
    categories: Vec<Category>,
    /// Ids without an entry that must not be generated again, because they identified other entries before: `item`,
    /// `item/group` or `item/group/option`, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) retired: Vec<String>,
    /// Position of each item: its category and its place in the category.
    #[serde(skip)]
    places: HashMap<Slug, (usize, usize)>,
    /// Ends of the marks of options, ascending.
    #[serde(skip)]
    pub(super) option_ends: Vec<Timestamp>,
    /// The different hours of categories and items.
    #[serde(skip)]
    pub(super) schedules: Vec<OpeningHours>,
}

/// A menu as a store returns it. A store contains only validated menus.
#[derive(Deserialize)]
struct StoredMenu {
    categories: Vec<Category>,
    #[serde(default)]
    retired: Vec<String>,
}

impl From<StoredMenu> for Menu {
    fn from(stored: StoredMenu) -> Self {
        Self { retired: stored.retired, ..Self::from_categories(stored.categories) }
    }
}

/// A category of a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// The category's code in another system, unique among the categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// Heading of the category.
    pub name: Name,
    /// Hours in which the items of the category can be ordered.
    #[serde(default, skip_serializing_if = "OpeningHours::is_always")]
    pub hours: OpeningHours,
    /// Items of the category, in order.
    pub items: Vec<MenuItem>,
}

/// An item that customers can order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuItem {
    /// Id, unique within the menu.
    pub id: Slug,
    /// The item's code in another system, unique within the menu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// Name of the item.
    pub name: Name,
    /// Description of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// Price of one item without options, in minor units of the restaurant's currency.
    pub price_minor: Amount,
    /// Ids of the item's taxes. Absent: the restaurant's default taxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxes: Option<Vec<Slug>>,
    /// Labels such as `vegan`.
    pub tags: Vec<Name>,
    /// Addresses of images of the item, the main image first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageUrl>,
    /// Allergens in the item. Absent: not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allergens: Option<Vec<Allergen>>,
    /// Diets that the item is suitable for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diets: Vec<Diet>,
    /// Number of the trade item in its bar code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ean: Option<Gtin>,
    /// Hours in which the item can be ordered.
    #[serde(default, skip_serializing_if = "OpeningHours::is_always")]
    pub hours: OpeningHours,
    /// Availability that the document states, if any. It is not stored with the menu: see
    /// [`UnavailableItems`](super::UnavailableItems).
    #[serde(skip)]
    pub document_availability: Option<Availability>,
    /// Option groups of the item.
    pub option_groups: Vec<OptionGroup>,
}

/// Which units of the chosen options of a group are charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PriceBy {
    /// All units, except the free ones. The cheapest units are free, in any order of choice; of equally cheap options, those
    /// that are first on the menu.
    #[default]
    Sum,
    /// One unit of the option with the highest price, as for a pizza with two halves; of several such options, the first one
    /// on the menu.
    Highest,
}

impl PriceBy {
    /// Returns whether all units except the free ones are charged.
    pub const fn is_sum(&self) -> bool {
        matches!(self, Self::Sum)
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(quantity: &u32) -> bool {
    *quantity == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(quantity: &u32) -> bool {
    *quantity == 0
}

/// A group of options of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionGroup {
    /// Id, unique within the item.
    pub id: Slug,
    /// The group's code in another system, unique within the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// Name of the group.
    pub name: Name,
    /// Minimum sum of the quantities of the chosen options.
    pub min: u32,
    /// Maximum sum of the quantities of the chosen options.
    pub max: u32,
    /// Maximum quantity of each option. Absent: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub max_per_option: u32,
    /// Number of chosen units that are free. Absent: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub free: u32,
    /// Which chosen units are charged.
    #[serde(default, skip_serializing_if = "PriceBy::is_sum")]
    pub price_by: PriceBy,
    /// Options of the group.
    pub options: Vec<MenuOption>,
}

/// An option of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuOption {
    /// Id, unique within the group.
    pub id: Slug,
    /// The option's code in another system, unique within the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// Name of the option.
    pub name: Name,
    /// Amount that the option adds to the price of one item, in minor units.
    pub price_minor: Amount,
    /// Ids of the option's taxes. Absent: the taxes of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxes: Option<Vec<Slug>>,
    /// Availability of the option. A mark whose end has passed has no effect.
    #[serde(default, skip_serializing_if = "Availability::is_plain")]
    pub availability: Availability,
    /// Allergens in the option. Absent: not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allergens: Option<Vec<Allergen>>,
    /// Diets that the option is suitable for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diets: Vec<Diet>,
    /// Number of the trade item in its bar code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ean: Option<Gtin>,
}

impl Menu {
    /// Returns the menu of these categories, without retired ids.
    pub(super) fn from_categories(categories: Vec<Category>) -> Self {
        let mut places = HashMap::new();
        for (category_index, category) in categories.iter().enumerate() {
            for (item_index, item) in category.items.iter().enumerate() {
                places.insert(item.id.clone(), (category_index, item_index));
            }
        }
        let items = categories.iter().flat_map(|category| &category.items);
        let options = items.flat_map(|item| &item.option_groups).flat_map(|group| &group.options);
        let mut option_ends: Vec<_> = options
            .filter_map(|option| match option.availability {
                Availability::Unavailable { until } => until,
                Availability::Available => None,
            })
            .collect();
        option_ends.sort_unstable();
        let of_items = categories.iter().flat_map(|category| &category.items).map(|item| &item.hours);
        let schedules = hours::schedules(categories.iter().map(|category| &category.hours).chain(of_items));
        Self { categories, retired: Vec::new(), places, option_ends, schedules }
    }

    /// Returns the categories of the menu, in order.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Returns all items, in order.
    pub fn items(&self) -> impl Iterator<Item = &MenuItem> {
        self.categories.iter().flat_map(|category| &category.items)
    }

    /// Returns the item with this id.
    pub fn item(&self, id: &str) -> Option<&MenuItem> {
        let (category, item) = self.places.get(id)?;
        self.categories.get(*category)?.items.get(*item)
    }

    /// Returns the category of the item with this id.
    pub(super) fn category_of(&self, item: &Slug) -> Option<&Category> {
        let (category, _) = self.places.get(item)?;
        self.categories.get(*category)
    }

    /// Returns whether both menus have the same stored form. The availability of items makes no difference, because it is not stored
    /// with a menu.
    pub fn is_stored_as(&self, other: &Self) -> bool {
        let stored = |menu: &Self| {
            let mut categories = menu.categories.clone();
            for item in categories.iter_mut().flat_map(|category| &mut category.items) {
                item.document_availability = None;
            }
            categories
        };
        stored(self) == stored(other)
    }

    /// Returns the items whose availability the document states, with that availability.
    pub fn document_availability(&self) -> impl Iterator<Item = (&Slug, Availability)> {
        self.items().filter_map(|item| Some((&item.id, item.document_availability?)))
    }
}

impl MenuItem {
    /// Returns the option group with this id.
    pub fn group(&self, id: &str) -> Option<&OptionGroup> {
        self.option_groups.iter().find(|group| group.id.as_str() == id)
    }
}

impl OptionGroup {
    /// Returns the option with this id.
    pub fn option(&self, id: &str) -> Option<&MenuOption> {
        self.options.iter().find(|option| option.id.as_str() == id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::menu::MenuDocument;

    fn menu(document: serde_json::Value) -> Menu {
        serde_json::from_value::<MenuDocument>(document).unwrap().validate().unwrap()
    }

    #[test]
    fn a_menu_survives_storage() {
        let menu = menu(json!({"categories": [{"name": "A", "items": [
            {"id": "naan", "name": "Naan", "price_minor": 100, "external_code": "PLU 17", "ean": "96385074",
             "images": ["https://img.example/naan.jpg"], "allergens": ["gluten"], "diets": ["vegan"],
             "option_groups": [{"name": "Dip", "min": 0, "max": 1, "options": [
                {"name": "Raita", "price_minor": 50, "ean": "96385074", "allergens": [], "diets": ["vegetarian"]},
             ]}]},
        ], "external_code": "breads"}]}));
        let stored = serde_json::to_string(&menu).unwrap();
        let read: Menu = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, menu);
        assert!(read.item("naan").is_some(), "the index is rebuilt");
    }

    #[test]
    fn stated_availability_is_not_stored_with_the_menu() {
        let menu = menu(json!({"categories": [{"name": "A", "items": [
            {"id": "naan", "name": "Naan", "price_minor": 100, "availability": {"status": "unavailable"}},
            {"name": "Roti", "price_minor": 100},
        ]}]}));
        let stated: Vec<_> =
            menu.document_availability().map(|(item, stated)| (item.as_str(), stated)).collect();
        assert_eq!(stated, [("naan", Availability::Unavailable { until: None })]);
        let stored = serde_json::to_string(&menu).unwrap();
        assert!(!stored.contains("availab"), "{stored}");
        // Menus that were stored with availability can be read.
        let old = stored.replacen("\"tags\"", "\"availability\":{\"status\":\"unavailable\"},\"tags\"", 1);
        let read: Menu = serde_json::from_str(&old).unwrap();
        assert_eq!(read.document_availability().count(), 0);
    }
}
