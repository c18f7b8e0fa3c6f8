//! The menu as people and files write it, and its check.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{Availability, Category, Menu, MenuItem, MenuOption, OptionGroup};
use crate::{
    Amount, Problems, ReadOnly,
    limits::{MAX_CATEGORIES, MAX_ITEMS, MAX_OPTION_GROUPS, MAX_OPTIONS, MAX_TAGS},
    text::{Name, Note, Slug},
};

/// A menu as people and files write it: unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MenuDocument {
    /// Its parts.
    pub categories: Vec<CategoryDocument>,
    /// The restaurant. Ignored: reading a menu adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::RestaurantId>))]
    pub restaurant_id: ReadOnly,
    /// The currency of every price. Ignored: reading a menu adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<crate::Currency>))]
    pub currency: ReadOnly,
    /// The menu's revision. Ignored: reading a menu adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<u32>))]
    pub revision: ReadOnly,
    /// The revision of the items' availability. Ignored: reading a menu adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<u32>))]
    pub availability_revision: ReadOnly,
}

impl From<Vec<CategoryDocument>> for MenuDocument {
    fn from(categories: Vec<CategoryDocument>) -> Self {
        Self { categories, ..Self::default() }
    }
}

/// A part of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CategoryDocument {
    /// Its heading.
    pub name: String,
    /// What stands below it.
    pub items: Vec<ItemDocument>,
}

/// An item of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemDocument {
    /// Identifier; made from the name when absent.
    #[serde(default)]
    pub id: Option<String>,
    /// What it is called.
    pub name: String,
    /// More about it.
    #[serde(default)]
    pub description: Option<String>,
    /// The price of one, before options, in minor units.
    pub price_minor: i64,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether it can be ordered. When absent: a new item can, and an item that is on the menu already keeps
    /// its availability.
    #[serde(default)]
    pub availability: Option<Availability>,
    /// Whether its stock is limited. Ignored: reading a menu adds it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(read_only, value_type = Option<bool>))]
    pub stock_limited: ReadOnly,
    /// Choices to make.
    #[serde(default)]
    pub option_groups: Vec<OptionGroupDocument>,
}

/// An option group of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OptionGroupDocument {
    /// Identifier; made from the name when absent.
    #[serde(default)]
    pub id: Option<String>,
    /// What is chosen.
    pub name: String,
    /// Fewest options to choose.
    pub min: u32,
    /// Most options to choose.
    pub max: u32,
    /// What there is to choose from.
    pub options: Vec<OptionDocument>,
}

/// An option of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OptionDocument {
    /// Identifier; made from the name when absent.
    #[serde(default)]
    pub id: Option<String>,
    /// What it is called.
    pub name: String,
    /// What it adds to the price of one item, in minor units.
    pub price_minor: i64,
}

impl MenuDocument {
    /// Checks the whole menu and lists every problem with its place.
    pub fn validate(self) -> Result<Menu, Problems> {
        let mut problems = Problems::new();
        check_count(&mut problems, "/categories", self.categories.len(), MAX_CATEGORIES);
        let item_count = self.categories.iter().map(|category| category.items.len()).sum();
        check_count(&mut problems, "/categories", item_count, MAX_ITEMS);
        // Of an outsized menu only the size is reported.
        problems.into_result()?;

        let mut problems = Problems::new();
        let mut ids = Identifiers::reserving(
            self.categories.iter().flat_map(|category| &category.items).map(|item| item.id.as_deref()),
        );
        let categories = self
            .categories
            .into_iter()
            .enumerate()
            .filter_map(|(index, category)| {
                category.validate(&format!("/categories/{index}"), &mut ids, &mut problems)
            })
            .collect();
        problems.into_result()?;
        Ok(Menu::from_categories(categories))
    }
}

impl CategoryDocument {
    fn validate(self, pointer: &str, ids: &mut Identifiers, problems: &mut Problems) -> Option<Category> {
        let name = problems.check(format!("{pointer}/name"), Name::new(&self.name));
        let items = self
            .items
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| item.validate(&format!("{pointer}/items/{index}"), ids, problems))
            .collect();
        Some(Category { name: name?, items })
    }
}

impl ItemDocument {
    fn validate(self, pointer: &str, ids: &mut Identifiers, problems: &mut Problems) -> Option<MenuItem> {
        let id = ids.assign(self.id.as_deref(), &self.name, pointer, problems);
        let name = problems.check(format!("{pointer}/name"), Name::new(&self.name));
        let description = match &self.description {
            Some(text) => Some(problems.check(format!("{pointer}/description"), Note::new(text))?),
            None => None,
        };
        let price_minor =
            problems.check(format!("{pointer}/price_minor"), Amount::from_minor(self.price_minor));
        check_count(problems, &format!("{pointer}/tags"), self.tags.len(), MAX_TAGS);
        let tags = self
            .tags
            .iter()
            .take(MAX_TAGS)
            .enumerate()
            .filter_map(|(index, tag)| problems.check(format!("{pointer}/tags/{index}"), Name::new(tag)))
            .collect();
        check_count(
            problems,
            &format!("{pointer}/option_groups"),
            self.option_groups.len(),
            MAX_OPTION_GROUPS,
        );
        let mut group_ids =
            Identifiers::reserving(self.option_groups.iter().map(|group| group.id.as_deref()));
        let option_groups = self
            .option_groups
            .into_iter()
            .take(MAX_OPTION_GROUPS)
            .enumerate()
            .filter_map(|(index, group)| {
                group.validate(&format!("{pointer}/option_groups/{index}"), &mut group_ids, problems)
            })
            .collect();
        Some(MenuItem {
            id: id?,
            name: name?,
            description,
            price_minor: price_minor?,
            tags,
            stated_availability: self.availability,
            option_groups,
        })
    }
}

impl OptionGroupDocument {
    fn validate(self, pointer: &str, ids: &mut Identifiers, problems: &mut Problems) -> Option<OptionGroup> {
        let id = ids.assign(self.id.as_deref(), &self.name, pointer, problems);
        let name = problems.check(format!("{pointer}/name"), Name::new(&self.name));
        check_count(problems, &format!("{pointer}/options"), self.options.len(), MAX_OPTIONS);
        if self.options.is_empty() {
            problems.add(format!("{pointer}/options"), "must not be empty");
        }
        if self.max == 0 {
            problems.add(format!("{pointer}/max"), "must be at least 1");
        }
        if self.min > self.max {
            problems.add(format!("{pointer}/min"), format!("must not be above max ({})", self.max));
        }
        if usize::try_from(self.max).unwrap_or(usize::MAX) > self.options.len() {
            problems.add(
                format!("{pointer}/max"),
                format!("must not be above the number of options ({})", self.options.len()),
            );
        }
        let mut option_ids = Identifiers::reserving(self.options.iter().map(|option| option.id.as_deref()));
        let options = self
            .options
            .into_iter()
            .take(MAX_OPTIONS)
            .enumerate()
            .filter_map(|(index, option)| {
                option.validate(&format!("{pointer}/options/{index}"), &mut option_ids, problems)
            })
            .collect();
        Some(OptionGroup { id: id?, name: name?, min: self.min, max: self.max, options })
    }
}

impl OptionDocument {
    fn validate(self, pointer: &str, ids: &mut Identifiers, problems: &mut Problems) -> Option<MenuOption> {
        let id = ids.assign(self.id.as_deref(), &self.name, pointer, problems);
        let name = problems.check(format!("{pointer}/name"), Name::new(&self.name));
        let price_minor =
            problems.check(format!("{pointer}/price_minor"), Amount::from_minor(self.price_minor));
        Some(MenuOption { id: id?, name: name?, price_minor: price_minor? })
    }
}

fn check_count(problems: &mut Problems, pointer: &str, count: usize, max: usize) {
    if count > max {
        problems.add(pointer, format!("must be at most {max}, not {count}"));
    }
}

/// The identifiers of one scope: a menu's items, an item's groups, a group's options.
struct Identifiers {
    /// Those that the document gives itself, which no made one may take.
    given: HashSet<String>,
    used: HashSet<Slug>,
    /// The number to try next for a name that was there before.
    next_number: HashMap<Slug, usize>,
}

impl Identifiers {
    fn reserving<'a>(given: impl Iterator<Item = Option<&'a str>>) -> Self {
        Self {
            given: given.flatten().map(str::to_owned).collect(),
            used: HashSet::new(),
            next_number: HashMap::new(),
        }
    }

    fn make(&mut self, name: &str) -> Slug {
        let stem = Slug::from_name(name);
        let next_number = self.next_number.entry(stem.clone()).or_insert(1);
        loop {
            let candidate = if *next_number == 1 { stem.clone() } else { stem.numbered(*next_number) };
            *next_number += 1;
            if !self.given.contains(candidate.as_str()) && !self.used.contains(&candidate) {
                return candidate;
            }
        }
    }

    /// The given identifier when it is well-formed and free; else one made from the name, with a
    /// number behind it when the name was there before.
    fn assign(
        &mut self,
        given: Option<&str>,
        name: &str,
        pointer: &str,
        problems: &mut Problems,
    ) -> Option<Slug> {
        let id = if let Some(given) = given {
            problems.check(format!("{pointer}/id"), Slug::new(given))?
        } else {
            self.make(name)
        };
        if self.used.insert(id.clone()) {
            Some(id)
        } else {
            problems.add(format!("{pointer}/id"), format!("{id} stands here for the second time"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn validate(document: serde_json::Value) -> Result<Menu, Problems> {
        serde_json::from_value::<MenuDocument>(document).unwrap().validate()
    }

    #[test]
    fn identifiers_are_made_from_names_and_given_ones_win() {
        let item = |id: Option<&str>, name: &str| json!({"id": id, "name": name, "price_minor": 100});
        let menu = validate(json!({"categories": [
            {"name": "A", "items": [item(None, "Naan"), item(None, "Naan"), item(None, "Rice")]},
            {"name": "B", "items": [item(Some("naan-2"), "Garlic naan"), item(Some("rice"), "Pilau")]},
        ]}))
        .unwrap();
        let ids: Vec<_> = menu.items().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["naan", "naan-3", "rice-2", "naan-2", "rice"]);
        assert_eq!(menu.item("naan-2").unwrap().name.as_str(), "Garlic naan");
    }

    #[test]
    fn every_problem_of_a_menu_is_listed_with_its_place() {
        let problems = validate(json!({"categories": [
            {"name": "", "items": []},
            {"name": "Mains", "items": [
                {"id": "Bad Id", "name": "Korma", "price_minor": -1},
                {"id": "dal", "name": "Dal", "price_minor": 500, "option_groups": [
                    {"name": "Spice", "min": 2, "max": 1, "options": [{"name": "Hot", "price_minor": 0}]},
                    {"name": "Size", "min": 0, "max": 3, "options": [{"name": " ", "price_minor": 0}]},
                    {"name": "None", "min": 0, "max": 0, "options": []},
                ]},
                {"id": "dal", "name": "Dal again", "price_minor": 500, "tags": [""]},
            ]},
        ]}))
        .unwrap_err();
        let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/categories/0/name",
                "/categories/1/items/0/id",
                "/categories/1/items/0/price_minor",
                "/categories/1/items/1/option_groups/0/min",
                "/categories/1/items/1/option_groups/1/max",
                "/categories/1/items/1/option_groups/1/options/0/name",
                "/categories/1/items/1/option_groups/2/options",
                "/categories/1/items/1/option_groups/2/max",
                "/categories/1/items/2/id",
                "/categories/1/items/2/tags/0",
            ]
        );
    }

    #[test]
    fn an_outsized_menu_is_refused_by_its_size() {
        let item = json!({"name": "Naan", "price_minor": 100});
        let problems =
            validate(json!({"categories": [{"name": "A", "items": vec![item; MAX_ITEMS + 1]}]})).unwrap_err();
        assert_eq!(problems.as_slice().len(), 1);
        assert!(problems.to_string().contains("at most 5000"), "{problems}");
    }

    #[test]
    fn a_menu_survives_storage() {
        let menu = validate(json!({"categories": [{"name": "A", "items": [
            {"name": "Naan", "price_minor": 100},
        ]}]}))
        .unwrap();
        let stored = serde_json::to_string(&menu).unwrap();
        let read: Menu = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, menu);
        assert!(read.item("naan").is_some(), "the index is built again");
    }

    #[test]
    fn stated_availability_is_not_stored_with_the_menu() {
        let menu = validate(json!({"categories": [{"name": "A", "items": [
            {"name": "Naan", "price_minor": 100, "availability": {"status": "unavailable"}},
            {"name": "Roti", "price_minor": 100},
        ]}]}))
        .unwrap();
        let stated: Vec<_> =
            menu.stated_availability().map(|(item, stated)| (item.as_str(), stated)).collect();
        assert_eq!(stated, [("naan", Availability::Unavailable { until: None })]);
        let stored = serde_json::to_string(&menu).unwrap();
        assert!(!stored.contains("availab"), "{stored}");
        // Menus that were stored with it can be read.
        let old = stored.replacen("\"tags\"", "\"availability\":{\"status\":\"unavailable\"},\"tags\"", 1);
        let read: Menu = serde_json::from_str(&old).unwrap();
        assert_eq!(read.stated_availability().count(), 0);
    }

    #[test]
    fn what_reading_a_menu_adds_is_ignored() {
        let menu = |item: serde_json::Value| json!({"categories": [{"name": "A", "items": [item]}]});
        let mut read = menu(json!({"id": "naan", "name": "Naan", "price_minor": 100, "stock_limited": true}));
        for member in ["restaurant_id", "currency", "revision", "availability_revision"] {
            read[member] = json!({"anything": [1, "x"]});
        }
        let plain = menu(json!({"id": "naan", "name": "Naan", "price_minor": 100}));
        assert_eq!(validate(read), validate(plain));
    }
}
