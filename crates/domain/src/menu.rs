//! Menus: what a restaurant sells, and the check of a whole menu that lists every problem.
//!
//! [`MenuDocument`] is the menu as people and files write it; [`Menu`] is a checked one. An entry without an id is matched
//! with the menu that the document replaces, so that an id never passes to another entry.

mod availability;
mod document;
mod identity;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use availability::{Availability, MarkEndError, UnavailableItem, UnavailableItems, check_end, later_end};
pub use document::{CategoryDocument, ItemDocument, MenuDocument, OptionDocument, OptionGroupDocument};

use crate::{
    Amount,
    text::{ExternalCode, Name, Note, Slug},
};

/// A restaurant's menu, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredMenu")]
pub struct Menu {
    categories: Vec<Category>,
    /// Ids that no entry has and that are not generated again, since they were other entries' before: `item`, `item/group`
    /// or `item/group/option`, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retired: Vec<String>,
    /// Where each item stands: its category and its place in it.
    #[serde(skip)]
    places: HashMap<Slug, (usize, usize)>,
}

/// A menu as it comes out of a store, where only checked menus get in.
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

/// A part of a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Its heading.
    pub name: Name,
    /// What stands below it, in order.
    pub items: Vec<MenuItem>,
}

/// Something that can be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuItem {
    /// Unique within the menu.
    pub id: Slug,
    /// Its code in another system, unique within the menu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// What it is called.
    pub name: Name,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// The price of one, before options, in minor units of the restaurant's currency.
    pub price_minor: Amount,
    /// Labels such as `vegan`.
    pub tags: Vec<Name>,
    /// What the document says of its availability, where it does. Not stored with the menu: see
    /// [`UnavailableItems`].
    #[serde(skip)]
    pub stated_availability: Option<Availability>,
    /// Choices to make.
    pub option_groups: Vec<OptionGroup>,
}

/// A choice that goes with an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OptionGroup {
    /// Unique within the item.
    pub id: Slug,
    /// Its code in another system, unique within the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// What is chosen.
    pub name: Name,
    /// Fewest options to choose.
    pub min: u32,
    /// Most options to choose.
    pub max: u32,
    /// What there is to choose from.
    pub options: Vec<MenuOption>,
}

/// One thing to choose in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MenuOption {
    /// Unique within the group.
    pub id: Slug,
    /// Its code in another system, unique within the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_code: Option<ExternalCode>,
    /// What it is called.
    pub name: Name,
    /// What it adds to the price of one item, in minor units.
    pub price_minor: Amount,
}

impl Menu {
    fn from_categories(categories: Vec<Category>) -> Self {
        let mut places = HashMap::new();
        for (category_index, category) in categories.iter().enumerate() {
            for (item_index, item) in category.items.iter().enumerate() {
                places.insert(item.id.clone(), (category_index, item_index));
            }
        }
        Self { categories, retired: Vec::new(), places }
    }

    /// The parts of the menu, in order.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// All items, in order.
    pub fn items(&self) -> impl Iterator<Item = &MenuItem> {
        self.categories.iter().flat_map(|category| &category.items)
    }

    /// The item with this id.
    pub fn item(&self, id: &str) -> Option<&MenuItem> {
        let (category, item) = self.places.get(id)?;
        self.categories.get(*category)?.items.get(*item)
    }

    /// Whether the other menu is stored as the same menu: whatever the two documents say of availability, which is
    /// not stored with a menu.
    pub fn is_stored_as(&self, other: &Self) -> bool {
        let stored = |menu: &Self| {
            let mut categories = menu.categories.clone();
            for item in categories.iter_mut().flat_map(|category| &mut category.items) {
                item.stated_availability = None;
            }
            categories
        };
        stored(self) == stored(other)
    }

    /// What the document says of the availability of its items.
    pub fn stated_availability(&self) -> impl Iterator<Item = (&Slug, Availability)> {
        self.items().filter_map(|item| Some((&item.id, item.stated_availability?)))
    }
}

impl MenuItem {
    /// The option group with this id.
    pub fn group(&self, id: &str) -> Option<&OptionGroup> {
        self.option_groups.iter().find(|group| group.id.as_str() == id)
    }
}

impl OptionGroup {
    /// The option with this id.
    pub fn option(&self, id: &str) -> Option<&MenuOption> {
        self.options.iter().find(|option| option.id.as_str() == id)
    }
}
