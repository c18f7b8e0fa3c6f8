//! Validation of a menu document, which lists every problem with its place.

use std::collections::{HashMap, HashSet};

use super::{
    Category, CategoryDocument, ItemDocument, Menu, MenuDocument, MenuItem, MenuOption, OptionDocument,
    OptionGroup, OptionGroupDocument, PriceBy,
    facts::{Facts, StatedFacts, images},
    generated_id::{group_path, option_path, retired_after},
    hours,
    identity::{Current, Identity, Scope, Stated},
    taxes,
};
use crate::{
    Amount, Problems,
    limits::{MAX_CATEGORIES, MAX_ITEMS, MAX_OPTION_GROUPS, MAX_OPTION_QUANTITY, MAX_OPTIONS, MAX_TAGS},
    problem::whole_number,
    text::{ExternalCode, Name, Note, Slug},
};

impl MenuDocument {
    /// Validates the first menu of a restaurant, and lists every problem with its place.
    pub fn validate(&self) -> Result<Menu, Problems> {
        self.validate_against(&Menu::default())
    }

    /// Validates a menu that replaces `current`, and lists every problem with its place. Entries of the current menu
    /// keep their ids.
    pub fn validate_against(&self, current: &Menu) -> Result<Menu, Problems> {
        let mut problems = Problems::new();
        check_count(&mut problems, "/categories", self.categories.len(), MAX_CATEGORIES);
        let item_count = self.categories.iter().map(|category| category.items.len()).sum();
        check_count(&mut problems, "/categories", item_count, MAX_ITEMS);
        // If the menu is too large, only its size is reported.
        problems.into_result()?;

        let mut check = Check::against(current);
        let mut identities = check.identify_items(self).into_iter();
        let categories = self.categories.iter().enumerate();
        let categories = categories
            .filter_map(|(index, category)| {
                category.validate(&format!("/categories/{index}"), &mut identities, &mut check)
            })
            .collect();
        check.problems.into_result()?;
        let mut menu = Menu::from_categories(categories);
        menu.retired = retired_after(current, &menu);
        Ok(menu)
    }
}

/// The validation of a document that replaces a menu.
struct Check<'a> {
    current: &'a Menu,
    /// Paths of the current menu's retired ids.
    retired: HashSet<&'a str>,
    /// External codes of the categories before, with the places of the categories.
    category_codes: HashMap<ExternalCode, String>,
    problems: Problems,
}

impl<'a> Check<'a> {
    fn against(current: &'a Menu) -> Self {
        let retired = current.retired.iter().map(String::as_str).collect();
        Self { current, retired, category_codes: HashMap::new(), problems: Problems::new() }
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
        let current = self.current.items().map(Current::from).collect();
        self.identify("items of the menu", String::new(), current, &stated)
    }

    fn identify_groups(
        &mut self,
        pointer: &str,
        item: Option<&Slug>,
        groups: &[OptionGroupDocument],
    ) -> Vec<Identity> {
        let stated: Vec<_> =
            numbered(pointer, groups).map(|(pointer, group)| group.stated(pointer)).collect();
        let current = item.and_then(|item| self.current.item(item.as_str()));
        let current = current.iter().flat_map(|item| &item.option_groups).map(Current::from).collect();
        let path = item.map(group_path).unwrap_or_default();
        self.identify("option groups of the item", path, current, &stated)
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
        let current = item.zip(group);
        let path = current.map(|(item, group)| option_path(item, group)).unwrap_or_default();
        let current =
            current.and_then(|(item, group)| self.current.item(item.as_str())?.group(group.as_str()));
        let current = current.iter().flat_map(|group| &group.options).map(Current::from).collect();
        self.identify("options of the group", path, current, &stated)
    }

    fn identify(
        &mut self,
        entries: &'static str,
        path: String,
        current: Vec<Current<'_>>,
        stated: &[Stated<'_>],
    ) -> Vec<Identity> {
        Scope { entries, path, current, retired: &self.retired }.identify(stated, &mut self.problems)
    }
}

/// Returns the entries of a list with their JSON Pointers.
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
        let external_code = self.external_code.as_deref();
        let external_code = external_code.and_then(|code| {
            check.problems.check(format!("{pointer}/external_code"), ExternalCode::new(code))
        });
        if let Some(code) = &external_code
            && let Some(other) = check.category_codes.insert(code.clone(), pointer.to_owned())
        {
            let text = format!("must be unique among the categories; {other} has the same external_code");
            check.problems.add(format!("{pointer}/external_code"), text);
        }
        let hours = hours::checked(self.hours.as_deref(), pointer, &mut check.problems);
        let items = self
            .items
            .iter()
            .zip(identities)
            .enumerate()
            .filter_map(|(index, (item, identity))| {
                item.validate(&format!("{pointer}/items/{index}"), identity, check)
            })
            .collect();
        Some(Category { external_code, name: name?, hours, items })
    }
}

impl ItemDocument {
    fn stated(&self, pointer: String) -> Stated<'_> {
        let (id, external_code) = (self.id.as_deref(), self.external_code.as_deref());
        Stated { pointer, id, external_code, name: &self.name }
    }

    fn facts(&self) -> StatedFacts<'_> {
        StatedFacts { allergens: self.allergens.as_deref(), diets: &self.diets, ean: self.ean.as_deref() }
    }

    fn validate(&self, pointer: &str, identity: Identity, check: &mut Check<'_>) -> Option<MenuItem> {
        let Identity { id, external_code, name } = identity;
        let problems = &mut check.problems;
        let description = self.description.as_deref();
        let description = description
            .map(|text| problems.check(format!("{pointer}/description"), Note::new(text)))
            // An invalid description is a problem; it must not count as an absent one.
            .map_or(Some(None), |checked| checked.map(Some));
        let price_minor =
            problems.check(format!("{pointer}/price_minor"), Amount::from_minor(self.price_minor));
        let taxes = taxes::named(self.taxes.as_deref(), &format!("{pointer}/taxes"), problems);
        check_count(problems, &format!("{pointer}/tags"), self.tags.len(), MAX_TAGS);
        let tags = self
            .tags
            .iter()
            .take(MAX_TAGS)
            .enumerate()
            .filter_map(|(index, tag)| problems.check(format!("{pointer}/tags/{index}"), Name::new(tag)))
            .collect();
        let hours = hours::checked(self.hours.as_deref(), pointer, problems);
        let images = images(&self.images, &format!("{pointer}/images"), problems);
        let Facts { allergens, diets, ean } = self.facts().validate(pointer, problems);
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
            taxes,
            tags,
            images,
            hours,
            allergens,
            diets,
            ean,
            document_availability: self.availability,
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
        let current = item.and_then(|item| check.current.item(item.as_str()));
        let current = current.zip(id.as_ref()).and_then(|(item, id)| item.group(id.as_str()));
        let options = numbered(&pointer, options)
            .zip(identities)
            .filter_map(|((pointer, option), identity)| {
                option.validate(&pointer, identity, current, &mut check.problems)
            })
            .collect();
        Some(OptionGroup {
            id: id?,
            external_code,
            name: name?,
            min: self.min,
            max: self.max,
            max_per_option: self.max_per_option(),
            free: self.free.unwrap_or(0),
            price_by: self.price_by,
            options,
        })
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
        self.check_quantities(pointer, problems);
    }

    fn check_quantities(&self, pointer: &str, problems: &mut Problems) {
        let max_per_option = self.max_per_option();
        if !(1..=MAX_OPTION_QUANTITY).contains(&max_per_option) {
            let text = format!("must be {}, not {max_per_option}", whole_number(1, MAX_OPTION_QUANTITY));
            return problems.add(format!("{pointer}/max_per_option"), text);
        }
        let count = self.options.len();
        if u64::from(self.max)
            > u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(max_per_option.into())
        {
            let text = if max_per_option == 1 {
                format!("must not be above the number of options ({count})")
            } else {
                format!(
                    "must not be above the number of options ({count}) × max_per_option ({max_per_option})"
                )
            };
            problems.add(format!("{pointer}/max"), text);
        }
        match (self.price_by, self.free.unwrap_or(0)) {
            (PriceBy::Highest, 1..) => problems.add(
                format!("{pointer}/free"),
                "must be absent or 0 if price_by is highest, because only one unit is charged",
            ),
            (PriceBy::Sum, free) if free > self.max => {
                problems.add(format!("{pointer}/free"), format!("must not be above max ({})", self.max));
            }
            _ => {}
        }
    }

    fn max_per_option(&self) -> u32 {
        self.max_per_option.unwrap_or(1)
    }
}

impl OptionDocument {
    fn stated(&self, pointer: String) -> Stated<'_> {
        let (id, external_code) = (self.id.as_deref(), self.external_code.as_deref());
        Stated { pointer, id, external_code, name: &self.name }
    }

    fn facts(&self) -> StatedFacts<'_> {
        StatedFacts { allergens: self.allergens.as_deref(), diets: &self.diets, ean: self.ean.as_deref() }
    }

    fn validate(
        &self,
        pointer: &str,
        identity: Identity,
        current: Option<&OptionGroup>,
        problems: &mut Problems,
    ) -> Option<MenuOption> {
        let Identity { id, external_code, name } = identity;
        let price_minor =
            problems.check(format!("{pointer}/price_minor"), Amount::from_minor(self.price_minor));
        let taxes = taxes::named(self.taxes.as_deref(), &format!("{pointer}/taxes"), problems);
        let Facts { allergens, diets, ean } = self.facts().validate(pointer, problems);
        let id = id?;
        let current = current.and_then(|group| group.option(id.as_str()));
        let kept = current.map(|option| option.availability).unwrap_or_default();
        Some(MenuOption {
            id,
            external_code,
            name: name?,
            price_minor: price_minor?,
            taxes,
            availability: self.availability.unwrap_or(kept),
            allergens,
            diets,
            ean,
        })
    }
}

pub(super) fn check_count(problems: &mut Problems, pointer: &str, count: usize, max: usize) {
    if count > max {
        problems.add(pointer, format!("must be at most {max}, not {count}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::limits::MAX_IMAGES;

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
    fn facts_are_checked_and_listed_with_their_places() {
        let menu = |first: serde_json::Value, option: serde_json::Value| {
            let mut item = first;
            item["name"] = json!("Naan");
            item["price_minor"] = json!(100);
            let mut option = option;
            option["name"] = json!("Raita");
            option["price_minor"] = json!(50);
            item["option_groups"] = json!([{"name": "Dip", "min": 0, "max": 1, "options": [option]}]);
            json!({"categories": [
                {"name": "A", "external_code": "7", "items": [item]},
                {"name": "B", "external_code": "7", "items": []},
            ]})
        };
        let problems = validate(menu(
            json!({
                "images": ["http://img.example/a", "https://img.example/a"], "allergens": ["milk", "lactose", "milk"],
                "diets": ["vegan", ""], "ean": "4006381333930",
            }),
            json!({"allergens": ["Milk"], "diets": ["keto"], "ean": "1"}),
        ))
        .unwrap_err();
        let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        let (item, option) = ("/categories/0/items/0", "/categories/0/items/0/option_groups/0/options/0");
        let expected = [
            format!("{item}/images/0"),
            format!("{item}/allergens/1"),
            format!("{item}/allergens/2"),
            format!("{item}/diets/1"),
            format!("{item}/ean"),
            format!("{option}/allergens/0"),
            format!("{option}/diets/0"),
            format!("{option}/ean"),
            "/categories/1/external_code".to_owned(),
        ];
        assert_eq!(pointers, expected);
        assert!(problems.to_string().contains("must be one of gluten, crustaceans, eggs"), "{problems}");
        let images = vec!["https://img.example/a"; MAX_IMAGES + 1];
        let problems = validate(json!({"categories": [{"name": "A", "items": [
            {"name": "Naan", "price_minor": 1, "images": images},
        ]}]}));
        assert!(problems.unwrap_err().to_string().contains("must be at most 10, not 11"));
    }

    #[test]
    fn read_only_members_are_ignored() {
        let menu = |item: serde_json::Value| json!({"categories": [{"name": "A", "items": [item]}]});
        let mut read = menu(json!({"id": "naan", "name": "Naan", "price_minor": 100, "stock_limited": true}));
        for member in ["restaurant_id", "currency", "revision", "availability_revision"] {
            read[member] = json!({"anything": [1, "x"]});
        }
        let plain = menu(json!({"id": "naan", "name": "Naan", "price_minor": 100}));
        assert_eq!(validate(read), validate(plain));
    }
}
