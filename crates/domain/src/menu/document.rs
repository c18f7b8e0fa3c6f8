//! The menu as people and files write it, and its check.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{
    Availability, Category, Menu, MenuItem, MenuOption, OptionGroup,
    identity::{Identity, Present, Scope, Stated, group_path, option_path, retired_after},
};
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
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// What stands below it.
    pub items: Vec<ItemDocument>,
}

/// An item of a [`MenuDocument`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemDocument {
    /// Identifier. When absent: that of the entry of the present menu with the same external code, else with the same name;
    /// else a new one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Slug>))]
    pub id: Option<String>,
    /// Its code in another system, such as a point of sale: one line of 1 to 64 characters, unique within the menu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// What it is called.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// More about it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub description: Option<String>,
    /// The price of one, before options, in minor units.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub price_minor: i64,
    /// Labels.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Name>))]
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
    /// Identifier. When absent: that of the entry of the present menu with the same external code, else with the same name;
    /// else a new one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Slug>))]
    pub id: Option<String>,
    /// Its code in another system, such as a point of sale: one line of 1 to 64 characters, unique within the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// What is chosen.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
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
    /// Identifier. When absent: that of the entry of the present menu with the same external code, else with the same name;
    /// else a new one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Slug>))]
    pub id: Option<String>,
    /// Its code in another system, such as a point of sale: one line of 1 to 64 characters, unique within the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::text::ExternalCode>))]
    pub external_code: Option<String>,
    /// What it is called.
    #[cfg_attr(feature = "openapi", schema(value_type = Name))]
    pub name: String,
    /// What it adds to the price of one item, in minor units.
    #[cfg_attr(feature = "openapi", schema(value_type = Amount))]
    pub price_minor: i64,
}

impl MenuDocument {
    /// Checks the menu of a restaurant that has none yet, and lists every problem with its place.
    pub fn validate(&self) -> Result<Menu, Problems> {
        self.validate_against(&Menu::default())
    }

    /// Checks a menu that replaces `present`, and lists every problem with its place. Entries that are on the present
    /// menu keep their ids.
    pub fn validate_against(&self, present: &Menu) -> Result<Menu, Problems> {
        let mut problems = Problems::new();
        check_count(&mut problems, "/categories", self.categories.len(), MAX_CATEGORIES);
        let item_count = self.categories.iter().map(|category| category.items.len()).sum();
        check_count(&mut problems, "/categories", item_count, MAX_ITEMS);
        // Of an outsized menu only the size is reported.
        problems.into_result()?;

        let mut check = Check::against(present);
        let mut identities = check.identify_items(self).into_iter();
        let categories = self.categories.iter().enumerate();
        let categories = categories
            .filter_map(|(index, category)| {
                category.validate(&format!("/categories/{index}"), &mut identities, &mut check)
            })
            .collect();
        check.problems.into_result()?;
        let mut menu = Menu::from_categories(categories);
        menu.retired = retired_after(present, &menu);
        Ok(menu)
    }
}

/// The check of a document that replaces a menu.
struct Check<'a> {
    present: &'a Menu,
    /// The paths of the present menu's retired ids.
    retired: HashSet<&'a str>,
    problems: Problems,
}

impl<'a> Check<'a> {
    fn against(present: &'a Menu) -> Self {
        let retired = present.retired.iter().map(String::as_str).collect();
        Self { present, retired, problems: Problems::new() }
    }

    fn identify_items(&mut self, document: &MenuDocument) -> Vec<Identity> {
        let of_categories = document.categories.iter().enumerate();
        let stated: Vec<_> = of_categories
            .flat_map(|(category, document)| {
                let pointer = format!("/categories/{category}/items");
                document
                    .items
                    .iter()
                    .enumerate()
                    .map(move |(index, item)| item.stated(format!("{pointer}/{index}")))
            })
            .collect();
        let present = self.present.items().map(Present::from).collect();
        self.identify("items of the menu", String::new(), present, &stated)
    }

    fn identify_groups(
        &mut self,
        pointer: &str,
        item: Option<&Slug>,
        groups: &[OptionGroupDocument],
    ) -> Vec<Identity> {
        let stated: Vec<_> =
            numbered(pointer, groups).map(|(pointer, group)| group.stated(pointer)).collect();
        let present = item.and_then(|item| self.present.item(item.as_str()));
        let present = present.iter().flat_map(|item| &item.option_groups).map(Present::from).collect();
        let path = item.map(group_path).unwrap_or_default();
        self.identify("option groups of the item", path, present, &stated)
    }

    fn identify_options(
        &mut self,
        pointer: &str,
        item: Option<&Slug>,
        group: Option<&Slug>,
        options: &[OptionDocument],
    ) -> Vec<Identity> {
        let stated: Vec<_> =
            numbered(pointer, options).map(|(pointer, option)| option.stated(pointer)).collect();
        let present = item.zip(group);
        let path = present.map(|(item, group)| option_path(item, group)).unwrap_or_default();
        let present =
            present.and_then(|(item, group)| self.present.item(item.as_str())?.group(group.as_str()));
        let present = present.iter().flat_map(|group| &group.options).map(Present::from).collect();
        self.identify("options of the group", path, present, &stated)
    }

    fn identify(
        &mut self,
        entries: &'static str,
        path: String,
        present: Vec<Present<'_>>,
        stated: &[Stated<'_>],
    ) -> Vec<Identity> {
        Scope { entries, path, present, retired: &self.retired }.identify(stated, &mut self.problems)
    }
}

/// The entries of a list with their places.
fn numbered<'a, T>(pointer: &'a str, entries: &'a [T]) -> impl Iterator<Item = (String, &'a T)> {
    entries.iter().enumerate().map(move |(index, entry)| (format!("{pointer}/{index}"), entry))
}

impl CategoryDocument {
    fn validate(
        &self,
        pointer: &str,
        identities: &mut impl Iterator<Item = Identity>,
        check: &mut Check<'_>,
    ) -> Option<Category> {
        let name = check.problems.check(format!("{pointer}/name"), Name::new(&self.name));
        let items = self
            .items
            .iter()
            .zip(identities)
            .enumerate()
            .filter_map(|(index, (item, identity))| {
                item.validate(&format!("{pointer}/items/{index}"), identity, check)
            })
            .collect();
        Some(Category { name: name?, items })
    }
}

impl ItemDocument {
    fn stated(&self, pointer: String) -> Stated<'_> {
        let (id, external_code) = (self.id.as_deref(), self.external_code.as_deref());
        Stated { pointer, id, external_code, name: &self.name }
    }

    fn validate(&self, pointer: &str, identity: Identity, check: &mut Check<'_>) -> Option<MenuItem> {
        let Identity { id, external_code, name } = identity;
        let problems = &mut check.problems;
        let description = self.description.as_deref();
        let description = description
            .map(|text| problems.check(format!("{pointer}/description"), Note::new(text)))
            // A description that is wrong is a problem, and not an absent one.
            .map_or(Some(None), |checked| checked.map(Some));
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
        let pointer = format!("{pointer}/option_groups");
        check_count(problems, &pointer, self.option_groups.len(), MAX_OPTION_GROUPS);
        let groups = &self.option_groups[..self.option_groups.len().min(MAX_OPTION_GROUPS)];
        let identities = check.identify_groups(&pointer, id.as_ref(), groups);
        let option_groups = numbered(&pointer, groups)
            .zip(identities)
            .filter_map(|((pointer, group), identity)| group.validate(&pointer, id.as_ref(), identity, check))
            .collect();
        Some(MenuItem {
            id: id?,
            external_code,
            name: name?,
            description: description?,
            price_minor: price_minor?,
            tags,
            stated_availability: self.availability,
            option_groups,
        })
    }
}

impl OptionGroupDocument {
    fn stated(&self, pointer: String) -> Stated<'_> {
        let (id, external_code) = (self.id.as_deref(), self.external_code.as_deref());
        Stated { pointer, id, external_code, name: &self.name }
    }

    fn validate(
        &self,
        pointer: &str,
        item: Option<&Slug>,
        identity: Identity,
        check: &mut Check<'_>,
    ) -> Option<OptionGroup> {
        let Identity { id, external_code, name } = identity;
        self.check_counts(pointer, &mut check.problems);
        let pointer = format!("{pointer}/options");
        let options = &self.options[..self.options.len().min(MAX_OPTIONS)];
        let identities = check.identify_options(&pointer, item, id.as_ref(), options);
        let options = numbered(&pointer, options)
            .zip(identities)
            .filter_map(|((pointer, option), identity)| {
                option.validate(&pointer, identity, &mut check.problems)
            })
            .collect();
        Some(OptionGroup { id: id?, external_code, name: name?, min: self.min, max: self.max, options })
    }

    fn check_counts(&self, pointer: &str, problems: &mut Problems) {
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
    }
}

impl OptionDocument {
    fn stated(&self, pointer: String) -> Stated<'_> {
        let (id, external_code) = (self.id.as_deref(), self.external_code.as_deref());
        Stated { pointer, id, external_code, name: &self.name }
    }

    fn validate(&self, pointer: &str, identity: Identity, problems: &mut Problems) -> Option<MenuOption> {
        let Identity { id, external_code, name } = identity;
        let price_minor =
            problems.check(format!("{pointer}/price_minor"), Amount::from_minor(self.price_minor));
        Some(MenuOption { id: id?, external_code, name: name?, price_minor: price_minor? })
    }
}

fn check_count(problems: &mut Problems, pointer: &str, count: usize, max: usize) {
    if count > max {
        problems.add(pointer, format!("must be at most {max}, not {count}"));
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
                {"id": "dal", "name": "Dal again", "price_minor": 500, "tags": [""], "description": "\u{202e}"},
                {"external_code": "\u{200b}", "name": "Soup", "price_minor": 500},
                {"external_code": "7", "name": "Soup", "price_minor": 500},
                {"external_code": " 7 ", "name": "Tea", "price_minor": 500},
            ]},
        ]}))
        .unwrap_err();
        let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/categories/1/items/0/id",
                "/categories/1/items/3/external_code",
                "/categories/1/items/1/id",
                "/categories/1/items/2/id",
                "/categories/1/items/4/external_code",
                "/categories/1/items/5/external_code",
                "/categories/0/name",
                "/categories/1/items/0/price_minor",
                "/categories/1/items/1/option_groups/0/min",
                "/categories/1/items/1/option_groups/1/max",
                "/categories/1/items/1/option_groups/1/options/0/name",
                "/categories/1/items/1/option_groups/2/options",
                "/categories/1/items/1/option_groups/2/max",
                "/categories/1/items/2/description",
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
            {"id": "naan", "name": "Naan", "price_minor": 100, "external_code": "PLU 17"},
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
            {"id": "naan", "name": "Naan", "price_minor": 100, "availability": {"status": "unavailable"}},
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
