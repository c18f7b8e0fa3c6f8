//! Adds the domain's limits to the schemas. `utoipa` accepts limits only as literals. This module takes them from
//! [`dabba_domain::limits`] instead, so that each number is defined once.

use dabba_domain::{
    limits::{
        MAX_ACCEPTANCE_DEADLINE_SECONDS, MAX_CATEGORIES, MAX_CHOSEN_OPTIONS, MAX_EXTERNAL_ID_LENGTH,
        MAX_FEE_TIERS, MAX_FEES, MAX_IMAGES, MAX_ITEMS, MAX_LINES, MAX_MENU_HOURS, MAX_OPENING_INTERVALS,
        MAX_OPTION_GROUPS, MAX_OPTION_QUANTITY, MAX_OPTIONS, MAX_PREPARATION_MINUTES, MAX_QUANTITY,
        MAX_STOCK, MAX_TAGS, MAX_TAX_RATE_BASIS_POINTS, MAX_TAXES, MAX_TIER_METRES, MAX_ZONE_MINUTES,
        MAX_ZONES, MIN_ACCEPTANCE_DEADLINE_SECONDS,
    },
    menu::{Allergen, Diet},
    order::Event,
};
use dabba_engine::{
    MAX_EMAIL_LENGTH, MAX_KEY_SCOPES, MAX_OVERLAP_SECONDS, MAX_PASSWORD_LENGTH, MAX_TARGET_URL_LENGTH,
    MAX_WEBHOOK_BATCH, MAX_WEBHOOK_CONCURRENCY, MIN_PASSWORD_LENGTH, Scope,
};
use dabba_store::IdempotencyKey;
use serde_json::{Value, json};

use crate::bodies::sandbox::MAX_ADVANCE_SECONDS;

/// Pattern of an idempotency key: a text without quotes, or a structured-field string.
const KEY_PATTERN: &str = r#"^([!#-+\--:<-~]+|"[ !#-\[\]-~]+")$"#;

/// Adds the limits of idempotency keys to every parameter for a key.
pub(super) fn set_key_limits(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    let parameters = operations.filter_map(|operation| operation.get_mut("parameters"));
    for parameter in parameters.filter_map(Value::as_array_mut).flatten() {
        if parameter["name"] == "Idempotency-Key" {
            let schema = &mut parameter["schema"];
            schema["minLength"] = json!(1);
            schema["maxLength"] = json!(IdempotencyKey::MAX_LENGTH);
            schema["pattern"] = json!(KEY_PATTERN);
        }
    }
}

/// A schema, one of its properties, and the limits to add to the property.
type Limit = (&'static str, &'static str, Value);

fn lengths(min: usize, max: usize) -> Value {
    json!({"minLength": min, "maxLength": max})
}

fn range(min: u32, max: u32) -> Value {
    json!({"minimum": min, "maximum": max})
}

fn count(min: usize, max: usize) -> Value {
    json!({"minItems": min, "maxItems": max})
}

/// Adds the domain's limits to the schemas.
pub(super) fn set_limits(document: &mut Value) {
    let limits = [of_orders(), of_restaurants(), of_accounts(), of_webhook_endpoints()];
    for (schema, property, limit) in limits.into_iter().flatten() {
        let pointer = format!("/components/schemas/{schema}/properties/{property}");
        let target = document.pointer_mut(&pointer).and_then(Value::as_object_mut);
        debug_assert!(target.is_some(), "the description has no {pointer}");
        if let (Some(target), Value::Object(limit)) = (target, limit) {
            target.extend(limit);
        }
    }
}

/// Returns the limits of carts, orders and their changes.
fn of_orders() -> Vec<Limit> {
    let line_count = u32::try_from(MAX_LINES).unwrap_or(u32::MAX);
    vec![
        ("Cart", "lines", count(1, MAX_LINES)),
        ("OrderRequest", "lines", count(1, MAX_LINES)),
        ("Address", "country", json!({"pattern": "^[A-Z]{2}$"})),
        ("CartLine", "quantity", range(1, MAX_QUANTITY)),
        ("ChosenOption", "quantity", range(1, MAX_OPTION_QUANTITY)),
        ("CartLine", "options", count(0, MAX_CHOSEN_OPTIONS)),
        // An order has at most so many items, and each may be named once.
        ("Rejection", "items", json!({"maxItems": MAX_LINES})),
        ("Cancellation", "items", json!({"maxItems": MAX_LINES})),
        ("Acceptance", "preparation_minutes", range(0, MAX_PREPARATION_MINUTES)),
        ("RefundLine", "line", range(0, line_count - 1)),
        ("RefundLine", "quantity", range(1, MAX_QUANTITY)),
    ]
}

/// Returns the limits of restaurants, menus and stock.
fn of_restaurants() -> Vec<Limit> {
    let option_count = u32::try_from(MAX_OPTIONS).unwrap_or(u32::MAX);
    vec![
        ("Stock", "remaining", range(0, MAX_STOCK)),
        (
            "StockAdjustment",
            "by",
            json!({"minimum": -i64::from(MAX_STOCK), "maximum": MAX_STOCK, "not": {"const": 0}}),
        ),
        ("OptionGroupDocument", "min", range(0, option_count * MAX_OPTION_QUANTITY)),
        ("OptionGroupDocument", "max", range(0, option_count * MAX_OPTION_QUANTITY)),
        ("OptionGroupDocument", "free", range(0, option_count * MAX_OPTION_QUANTITY)),
        ("OptionGroupDocument", "max_per_option", range(1, MAX_OPTION_QUANTITY)),
        (
            "SettingsDocument",
            "external_id",
            json!({"minLength": 1, "maxLength": MAX_EXTERNAL_ID_LENGTH, "pattern": "^[!-~]+$"}),
        ),
        ("Location", "lat", json!({"minimum": -90, "maximum": 90})),
        ("Location", "lng", json!({"minimum": -180, "maximum": 180})),
        ("SettingsDocument", "country", json!({"pattern": "^[A-Z]{2}$"})),
        ("SettingsDocument", "opening_hours", count(0, MAX_OPENING_INTERVALS)),
        ("SettingsDocument", "taxes", count(0, MAX_TAXES)),
        ("SettingsDocument", "default_taxes", count(0, MAX_TAXES)),
        ("SettingsDocument", "fees", count(0, MAX_FEES)),
        ("Fee", "taxes", count(0, MAX_TAXES)),
        ("Fee", "tiers", count(0, MAX_FEE_TIERS)),
        ("DistanceTier", "from_metres", range(0, MAX_TIER_METRES)),
        ("SettingsDocument", "zones", count(0, MAX_ZONES)),
        ("ZoneDocument", "minutes", range(1, MAX_ZONE_MINUTES)),
        ("SettingsDocument", "tax_rate_basis_points", range(0, MAX_TAX_RATE_BASIS_POINTS)),
        (
            "SettingsDocument",
            "acceptance_deadline_seconds",
            range(MIN_ACCEPTANCE_DEADLINE_SECONDS, MAX_ACCEPTANCE_DEADLINE_SECONDS),
        ),
        ("MenuDocument", "categories", count(0, MAX_CATEGORIES)),
        ("CategoryDocument", "items", count(0, MAX_ITEMS)),
        ("ItemDocument", "taxes", count(0, MAX_TAXES)),
        ("OptionDocument", "taxes", count(0, MAX_TAXES)),
        ("ItemDocument", "tags", count(0, MAX_TAGS)),
        ("CategoryDocument", "hours", count(1, MAX_MENU_HOURS)),
        ("ItemDocument", "hours", count(1, MAX_MENU_HOURS)),
        ("ItemDocument", "images", count(0, MAX_IMAGES)),
        ("ItemDocument", "allergens", count(0, Allergen::ALL.len())),
        ("ItemDocument", "diets", count(0, Diet::ALL.len())),
        ("OptionDocument", "allergens", count(0, Allergen::ALL.len())),
        ("OptionDocument", "diets", count(0, Diet::ALL.len())),
        ("ItemDocument", "option_groups", count(0, MAX_OPTION_GROUPS)),
        ("OptionGroupDocument", "options", count(0, MAX_OPTIONS)),
    ]
}

/// Returns the limits of accounts, API keys and the sandbox's clock.
fn of_accounts() -> Vec<Limit> {
    vec![
        (
            "Registration",
            "email",
            json!({"minLength": 3, "maxLength": MAX_EMAIL_LENGTH, "pattern": "^[!-?A-~]+@[!-?A-~]+$"}),
        ),
        (
            "ApiKeyRequest",
            "scopes",
            json!({"minItems": 1, "maxItems": MAX_KEY_SCOPES, "items": {"type": "string", "enum": Scope::ALL.map(Scope::as_str)}}),
        ),
        ("ClockAdvance", "seconds", range(1, MAX_ADVANCE_SECONDS)),
        ("Registration", "password", lengths(MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH)),
    ]
}

/// Returns the limits of webhook endpoints.
fn of_webhook_endpoints() -> Vec<Limit> {
    let types = || {
        let names = json!({"type": "string", "enum": Event::NAMES});
        json!({"minItems": 1, "maxItems": Event::NAMES.len(), "uniqueItems": true, "items": names})
    };
    vec![
        ("WebhookEndpointRequest", "url", lengths(1, MAX_TARGET_URL_LENGTH)),
        ("WebhookEndpointRequest", "types", types()),
        ("WebhookEndpointRequest", "concurrency", range(1, MAX_WEBHOOK_CONCURRENCY)),
        ("WebhookEndpointRequest", "batch", range(1, MAX_WEBHOOK_BATCH)),
        ("WebhookEndpointPatch", "url", lengths(1, MAX_TARGET_URL_LENGTH)),
        ("WebhookEndpointPatch", "types", types()),
        ("WebhookEndpointPatch", "concurrency", range(1, MAX_WEBHOOK_CONCURRENCY)),
        ("WebhookEndpointPatch", "batch", range(1, MAX_WEBHOOK_BATCH)),
        ("WebhookSecretRotation", "overlap_seconds", range(0, MAX_OVERLAP_SECONDS)),
    ]
}
