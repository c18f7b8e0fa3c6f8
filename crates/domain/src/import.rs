//! Import of restaurants from a file: settings and menu of one restaurant, or a list of several.
//!
//! ```json
//! {"name": "Naan Stop", "currency": "GBP", "time_zone": "Europe/London", "categories": []}
//! ```
//!
//! `categories` belongs to the [`MenuDocument`]; every other member belongs to the [`SettingsDocument`]. Unknown
//! members are refused. The `flatten` of serde cannot refuse them, so this module splits the object by hand. It parses
//! the menu in place, which keeps line and column in its errors. It collects the few settings and parses them
//! afterwards.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    Problems, json_pointer,
    menu::{CategoryDocument, MenuDocument},
    restaurant::SettingsDocument,
};

/// A restaurant as a file contains it.
#[derive(Clone, Debug, PartialEq)]
pub struct RestaurantDocument {
    /// Settings: all members except the menu.
    pub settings: SettingsDocument,
    /// Menu of the restaurant.
    pub menu: MenuDocument,
}

/// Reason why a file cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file is not JSON, or does not have the right structure. Parsing ends at the first such place.
    #[error("line {line}, column {column}, at {pointer}: {detail}", pointer = if pointer.is_empty() { "/" } else { pointer })]
    Unreadable {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
        /// Place of the error, as a JSON Pointer into the file, as far as it is known.
        pointer: String,
        /// Description of the error.
        detail: String,
    },
    /// The file can be parsed, but contains invalid values. Every problem is listed.
    #[error("{0}")]
    Invalid(Problems),
}

/// Parses and checks a file of one restaurant or of a list of restaurants.
///
/// A byte-order mark at the start is skipped, because spreadsheets and editors write one (RFC 8259, section 8.1).
pub fn read(text: &str) -> Result<Vec<RestaurantDocument>, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_list = text.trim_start().starts_with('[');
    let parts: Vec<Parts> = if is_list { parse(text)? } else { vec![parse(text)?] };
    let mut problems = Problems::new();
    if parts.is_empty() {
        problems.add("", "must contain at least one restaurant");
    }
    let mut documents: Vec<RestaurantDocument> = Vec::with_capacity(parts.len());
    for (index, parts) in parts.into_iter().enumerate() {
        let pointer = if is_list { format!("/{index}") } else { String::new() };
        let Some(document) = parts.check(&pointer, &mut problems) else { continue };
        let external_id = &document.settings.external_id;
        if external_id.is_some() && documents.iter().any(|other| other.settings.external_id == *external_id) {
            problems.add(
                format!("{pointer}/external_id"),
                "must be unique; a restaurant before this one has the same external_id",
            );
        }
        documents.push(document);
    }
    problems.into_result().map_err(ImportError::Invalid)?;
    Ok(documents)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ImportError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| unreadable(json_pointer::of_path(error.path()), error.inner()))?;
    deserializer.end().map_err(|error| unreadable(String::new(), &error))?;
    Ok(parsed)
}

fn unreadable(pointer: String, error: &serde_json::Error) -> ImportError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    // serde_json ends its text with the position. Here the position has fields of its own.
    let position = format!(" at line {line} column {column}");
    let detail = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    ImportError::Unreadable { line, column, pointer, detail }
}

/// The object of a restaurant, split into settings and menu.
struct Parts {
    settings: Map<String, Value>,
    categories: Vec<CategoryDocument>,
}

impl Parts {
    /// Parses the settings, checks settings and menu, and adds every problem below `pointer`.
    fn check(self, pointer: &str, problems: &mut Problems) -> Option<RestaurantDocument> {
        let menu = MenuDocument::from(self.categories);
        let settings: Option<SettingsDocument> =
            match serde_path_to_error::deserialize(Value::Object(self.settings)) {
                Ok(settings) => Some(settings),
                Err(error) => {
                    let place = json_pointer::of_path(error.path());
                    problems.add(format!("{pointer}{place}"), error.inner().to_string());
                    None
                }
            };
        let validated = (settings.clone().map(SettingsDocument::validate), menu.validate());
        let found = match validated {
            (Some(Ok(settings)), Ok(menu)) => [menu.check_taxes(&settings).err(), None],
            (settings, menu) => [settings.and_then(Result::err), menu.err()],
        };
        for problem in found.iter().flatten().flat_map(Problems::as_slice) {
            problems.add(format!("{pointer}{}", problem.pointer), &problem.detail);
        }
        Some(RestaurantDocument { settings: settings?, menu })
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a restaurant: its settings and its categories")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Parts, A::Error> {
        let mut settings = Map::new();
        let mut categories = None;
        while let Some(name) = members.next_key::<String>()? {
            if name == "categories" {
                if categories.replace(members.next_value()?).is_some() {
                    return Err(de::Error::duplicate_field("categories"));
                }
            } else if settings.contains_key(&name) {
                return Err(de::Error::custom(format_args!("duplicate field `{name}`")));
            } else {
                settings.insert(name, members.next_value()?);
            }
        }
        let categories = categories.ok_or_else(|| de::Error::missing_field("categories"))?;
        Ok(Parts { settings, categories })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{
        "name": "Naan Stop", "currency": "GBP", "time_zone": "Europe/London", "tax_rate_basis_points": 2000,
        "categories": [{"name": "Breads", "items": [{"name": "Naan", "price_minor": 250}]}]
    }"#;

    /// Returns the problems of `text`, one `pointer: detail` per line.
    fn problems_of(text: &str) -> String {
        match read(text) {
            Err(ImportError::Invalid(problems)) => {
                let lines = problems.as_slice().iter();
                let lines = lines.map(|problem| format!("{}: {}\n", problem.pointer, problem.detail));
                lines.collect::<Vec<_>>().concat()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_restaurant_or_a_list_of_them() {
        let one = read(PLAIN).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].settings.tax_rate_basis_points, 2_000);
        assert_eq!(one[0].menu.categories[0].items[0].name, "Naan");
        assert_eq!(read(&format!("\u{feff}{PLAIN}")).unwrap(), one, "with a byte-order mark");
        let many = read(&format!("\n [{PLAIN}, {PLAIN}]")).unwrap();
        assert_eq!(many, [one.clone(), one].concat());
    }

    #[test]
    fn invalid_json_is_reported_with_its_place() {
        let error = read("{\n  \"name\": \"Naan Stop\",\n  oops\n}").unwrap_err();
        assert!(matches!(&error, ImportError::Unreadable { line: 3, column: 3, .. }), "{error}");
        assert!(read(&format!("{PLAIN} x")).unwrap_err().to_string().contains("trailing characters"));
    }

    #[test]
    fn a_wrong_type_in_the_menu_is_reported_with_line_and_pointer() {
        let error = read(&PLAIN.replace("250", "\"2.50\"")).unwrap_err();
        let ImportError::Unreadable { line, pointer, detail, .. } = error else { panic!("{error}") };
        assert_eq!((line, pointer.as_str()), (3, "/categories/0/items/0/price_minor"));
        assert_eq!(detail, "invalid type: string \"2.50\", expected i64");
    }

    #[test]
    fn unknown_members_are_refused_wherever_they_stand() {
        assert!(problems_of(&PLAIN.replace("\"name\": \"Naan Stop\"", "\"titel\": 1")).contains("titel"));
        let error = read(&PLAIN.replace("\"price_minor\"", "\"price\": 1, \"price_minor\"")).unwrap_err();
        assert!(error.to_string().contains("unknown field `price`"), "{error}");
        let error = read(&PLAIN.replace("\"currency\"", "\"name\": \"x\", \"currency\"")).unwrap_err();
        assert!(error.to_string().contains("duplicate field `name`"), "{error}");
    }

    #[test]
    fn every_problem_of_every_restaurant_is_listed() {
        let bad = PLAIN.replace("Europe/London", "Europe/Atlantis").replace("250", "-1");
        let worse = PLAIN.replace("2000", "\"20 %\"");
        let named = PLAIN.replace("\"currency\"", "\"external_id\": \"POS-1\", \"currency\"");
        assert_eq!(read(&named).unwrap()[0].settings.external_id.as_deref(), Some("POS-1"));
        let twice = problems_of(&format!("[{named}, {PLAIN}, {named}]"));
        assert!(twice.starts_with("/2/external_id: ") && twice.lines().count() == 1, "{twice}");
        let found = problems_of(&format!("[{PLAIN}, {bad}, {worse}]"));
        for place in ["/1/time_zone: ", "/1/categories/0/items/0/price_minor: ", "/2/tax_rate_basis_points: "]
        {
            assert!(found.contains(place), "{place} is missing in\n{found}");
        }
        assert_eq!(found.lines().count(), 3, "{found}");
        assert_eq!(problems_of("[]"), ": must contain at least one restaurant\n");
    }
}
