//! Problems of documents that come from files instead of requests.

use dabba_domain::Problems;
use dabba_web::{NotJson, schema};
use serde_json::value::RawValue;

use super::SCHEMAS;

/// Returns the problems of a JSON text by the API's schema of this name.
///
/// # Errors
///
/// If the text is not JSON.
pub fn problems_of(schema: &str, json: &str) -> Result<Problems, NotJson> {
    SCHEMAS.problems_of(schema, json)
}

/// Returns the problems of a file of restaurants: one object, or a list of objects, each with the members of the settings and the
/// categories of the menu.
///
/// # Errors
///
/// If the text is not JSON.
pub fn problems_of_restaurants(json: &str) -> Result<Problems, NotJson> {
    let document = schema::parse(json.as_bytes())?;
    let mut problems = Problems::new();
    let (Some(mut schema), Some(menu)) =
        (SCHEMAS.get("SettingsDocument").cloned(), SCHEMAS.get("MenuDocument"))
    else {
        return Ok(problems);
    };
    schema["properties"]["categories"] = menu["properties"]["categories"].clone();
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("categories".into());
    }
    let mut check_one = |pointer: &str, restaurant: &RawValue| {
        SCHEMAS.check_at(pointer, "SettingsDocument", &schema, restaurant, &mut problems);
    };
    // A file may have any number of restaurants, so the list has no limit.
    match serde_json::from_str::<Vec<&RawValue>>(document.get()) {
        Ok(restaurants) => {
            let restaurants = restaurants.into_iter().enumerate();
            restaurants.for_each(|(index, restaurant)| check_one(&format!("/{index}"), restaurant));
        }
        Err(_) => check_one("", document),
    }
    Ok(problems)
}
