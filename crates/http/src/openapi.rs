//! The description of the API, made from the code.
//!
//! `utoipa` takes limits as literals only; so that the numbers stand in one place, they are put in
//! here from [`dabba_domain::limits`].

use std::{collections::BTreeSet, sync::Arc};

use axum::{Router, http::header, routing::get};
use dabba_domain::limits::{
    MAX_ACCEPTANCE_DEADLINE_SECONDS, MAX_AMOUNT, MAX_CATEGORIES, MAX_CHOSEN_OPTIONS,
    MAX_EXTERNAL_CODE_LENGTH, MAX_ITEMS, MAX_LINES, MAX_NAME_LENGTH, MAX_OPENING_INTERVALS,
    MAX_OPTION_GROUPS, MAX_OPTIONS, MAX_PREPARATION_MINUTES, MAX_QUANTITY, MAX_STOCK, MAX_TAGS,
    MAX_TAX_RATE_BASIS_POINTS, MAX_TEXT_LENGTH, MIN_ACCEPTANCE_DEADLINE_SECONDS,
};
use dabba_engine::{EngineConfig, MAX_EMAIL_LENGTH, MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH};
use serde_json::{Value, json};
use utoipa::{
    OpenApi as _,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{App, MAX_BODY_BYTES, problem::ProblemDocument};

#[derive(utoipa::OpenApi)]
#[openapi(
    components(schemas(ProblemDocument)),
    tags(
        (name = "accounts", description = "Who uses Dabba."),
        (name = "restaurants", description = "Who cooks."),
        (name = "menus", description = "What can be ordered, and how much of it there is."),
        (name = "orders", description = "What is ordered."),
        (name = "commands", description = "What is done with an order. Each answers with the order after it."),
        (name = "tasks", description = "What is done later, with nobody waiting, and failed too often."),
        (name = "payments", description = "What payment providers report."),
        (name = "sandbox", description = "For trying things out, on a server that is set up for that."),
        (name = "operations", description = "For those who run the server."),
    ),
)]
struct Document;

/// The description without its operations.
pub(crate) fn base() -> OpenApi {
    let mut document = Document::openapi();
    "Dabba".clone_into(&mut document.info.title);
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    document.info.description = Some(description());
    document.info.contact = None;
    document
}

fn description() -> String {
    let retention_days = EngineConfig::default().key_retention.as_hours() / 24;
    let body_kib = MAX_BODY_BYTES / 1024;
    format!(
        "Takes orders for food, exactly once, and walks them from the kitchen to the door.\n\n\
         - Amounts are integers in minor units of the currency beside them. Clients never send prices.\n\
         - Times are RFC 3339 in UTC. Ids are UUIDv7.\n\
         - Errors are `application/problem+json` (RFC 9457). `code` tells the kinds apart.\n\
         - `Idempotency-Key` makes it safe to repeat a POST on orders: it is carried out once, and each \
         repetition is answered as the first. The key is a structured-field string in double quotes or a bare \
         text. Keys belong to a caller and a restaurant and are remembered for {retention_days} days, unless the server \
         is set up otherwise. The same key with another request is refused.\n\
         - `ETag` is a version; `If-Match` makes a change conditional on it.\n\
         - Lists come in pages of at most 100 entries; `next_cursor` leads to the next page and is absent on the last. Where \
         something may be missing in a page, `incomplete` says so, and so does `Dabba-Incomplete: true`.\n\
         - Unknown members in a body and unknown parameters in a query are refused. A parameter with several values \
         is repeated, or given once with the values separated by commas.\n\
         - What has no value is absent in an answer, never `null`.\n\
         - Bodies have at most {body_kib} KiB, menus 4 MiB.\n\
         - `X-Request-Id` is answered as sent, or made; it names the request in the server's log.\n\
         - 429 and 503 say in `Retry-After` when to try again."
    )
}

/// The whole description, as pretty JSON: what `docs/openapi.json` holds.
pub fn openapi_json() -> String {
    let (_, mut document) = crate::routes::router().split_for_parts();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A token from `POST /v1/tokens`."))
        .build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let text = serde_json::to_value(&document).and_then(|mut document| {
        set_limits(&mut document);
        close_variants(&mut document);
        omit_null(&mut document);
        straighten(&mut document);
        crate::limit::describe(&mut document);
        serde_json::to_string_pretty(&document)
    });
    match text {
        Ok(text) => text + "\n",
        Err(error) => {
            tracing::error!(%error, "the description of the API cannot be written");
            String::new()
        }
    }
}

/// Shows the description, which is made once.
pub(crate) fn route() -> Router<Arc<App>> {
    let text: Arc<str> = openapi_json().into();
    let show = move || {
        let text = Arc::clone(&text);
        async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) }
    };
    Router::new().route("/openapi.json", get(show))
}

/// Puts the domain's limits into the schemas.
fn set_limits(document: &mut Value) {
    let lengths = |min: usize, max: usize| json!({"minLength": min, "maxLength": max});
    let range = |min: u32, max: u32| json!({"minimum": min, "maximum": max});
    let count = |min: usize, max: usize| json!({"minItems": min, "maxItems": max});
    let name = lengths(1, MAX_NAME_LENGTH);
    let external_code = lengths(1, MAX_EXTERNAL_CODE_LENGTH);
    let price = json!({"minimum": 0, "maximum": MAX_AMOUNT});
    let id = json!({"minLength": 1, "maxLength": dabba_domain::limits::MAX_SLUG_LENGTH, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"});
    let limits = [
        ("Cart", "lines", count(1, MAX_LINES)),
        ("OrderRequest", "lines", count(1, MAX_LINES)),
        ("CartLine", "quantity", range(1, MAX_QUANTITY)),
        ("CartLine", "options", count(0, MAX_CHOSEN_OPTIONS)),
        ("Acceptance", "preparation_minutes", range(0, MAX_PREPARATION_MINUTES)),
        ("Stock", "remaining", range(0, MAX_STOCK)),
        (
            "Registration",
            "email",
            json!({"minLength": 3, "maxLength": MAX_EMAIL_LENGTH, "pattern": "^[!-?A-~]+@[!-?A-~]+$"}),
        ),
        ("Registration", "password", lengths(MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH)),
        ("Registration", "name", name.clone()),
        ("Location", "lat", json!({"minimum": -90, "maximum": 90})),
        ("Location", "lng", json!({"minimum": -180, "maximum": 180})),
        ("SettingsDocument", "name", name.clone()),
        ("SettingsDocument", "currency", json!({"pattern": "^[A-Z]{3}$"})),
        ("SettingsDocument", "country", json!({"pattern": "^[A-Z]{2}$"})),
        ("SettingsDocument", "opening_hours", count(0, MAX_OPENING_INTERVALS)),
        ("SettingsDocument", "tax_rate_basis_points", range(0, MAX_TAX_RATE_BASIS_POINTS)),
        (
            "SettingsDocument",
            "acceptance_deadline_seconds",
            range(MIN_ACCEPTANCE_DEADLINE_SECONDS, MAX_ACCEPTANCE_DEADLINE_SECONDS),
        ),
        ("MenuDocument", "categories", count(0, MAX_CATEGORIES)),
        ("CategoryDocument", "name", name.clone()),
        ("CategoryDocument", "items", count(0, MAX_ITEMS)),
        ("ItemDocument", "id", id.clone()),
        ("ItemDocument", "external_code", external_code.clone()),
        ("ItemDocument", "name", name.clone()),
        ("ItemDocument", "description", lengths(1, MAX_TEXT_LENGTH)),
        ("ItemDocument", "price_minor", price.clone()),
        ("ItemDocument", "tags", count(0, MAX_TAGS)),
        ("ItemDocument", "option_groups", count(0, MAX_OPTION_GROUPS)),
        ("OptionGroupDocument", "id", id.clone()),
        ("OptionGroupDocument", "external_code", external_code.clone()),
        ("OptionGroupDocument", "name", name.clone()),
        ("OptionGroupDocument", "options", count(0, MAX_OPTIONS)),
        ("OptionDocument", "id", id),
        ("OptionDocument", "external_code", external_code),
        ("OptionDocument", "name", name),
        ("OptionDocument", "price_minor", price),
    ];
    for (schema, property, limit) in limits {
        let pointer = format!("/components/schemas/{schema}/properties/{property}");
        let target = document.pointer_mut(&pointer).and_then(Value::as_object_mut);
        debug_assert!(target.is_some(), "there is no {pointer}");
        if let (Some(target), Value::Object(limit)) = (target, limit) {
            target.extend(limit);
        }
    }
}

/// Says of requests' tagged enums that their variants take no other members: they are read so, but
/// `utoipa` does not say it.
fn close_variants(document: &mut Value) {
    for schema in ["Fulfilment", "Availability"] {
        let variants = document.pointer_mut(&format!("/components/schemas/{schema}/oneOf"));
        debug_assert!(variants.is_some(), "{schema} has no variants");
        for variant in variants.and_then(Value::as_array_mut).into_iter().flatten() {
            variant["additionalProperties"] = json!(false);
        }
    }
}

/// Takes `null` out of every schema that a response consists of, where a member without a value is absent. `utoipa`
/// describes each `Option` as nullable.
fn omit_null(document: &mut Value) {
    let mut answered = BTreeSet::new();
    collect_references(document, false, document, &mut answered);
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if answered.contains(name) {
            omit_null_within(schema);
        }
    }
}

/// Collects the names of all schemas that the bodies of responses consist of.
fn collect_references(document: &Value, is_answer: bool, value: &Value, names: &mut BTreeSet<String>) {
    let Value::Object(members) = value else {
        let values = value.as_array().into_iter().flatten();
        return values.for_each(|value| collect_references(document, is_answer, value, names));
    };
    for (name, member) in members {
        let is_answer = is_answer || name == "responses";
        let reference = member.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
        match reference {
            Some(schema) if is_answer && name == "$ref" => {
                if names.insert(schema.to_owned()) {
                    let schema = &document["components"]["schemas"][schema];
                    collect_references(document, true, schema, names);
                }
            }
            _ => collect_references(document, is_answer, member, names),
        }
    }
}

fn omit_null_within(schema: &mut Value) {
    forbid_null(schema);
    match schema {
        Value::Object(members) => members.values_mut().for_each(omit_null_within),
        Value::Array(values) => values.iter_mut().for_each(omit_null_within),
        _ => {}
    }
}

/// Takes out what makes sense in the code only: the marks of links and `None` in descriptions, and
/// `null` as a value of parameters and bodies that can be left out.
fn straighten(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace("`None`", "`null`");
            }
            let is_parameter = members.contains_key("in");
            for (name, member) in members.iter_mut() {
                if is_parameter && name == "schema" || name == "requestBody" {
                    forbid_null(member);
                }
                straighten(member);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(straighten),
        _ => {}
    }
}

/// Takes `null` out of a parameter's schema, or out of the schema of a request's body.
fn forbid_null(value: &mut Value) {
    let schema = match value.pointer_mut("/content/application~1json/schema") {
        Some(schema) => schema,
        None => value,
    };
    let null = json!({"type": "null"});
    let other =
        schema["oneOf"].as_array().and_then(|variants| variants.iter().find(|variant| **variant != null));
    let kind = schema["type"].as_array().and_then(|kinds| kinds.iter().find(|kind| **kind != "null"));
    let can_be_null = schema["oneOf"].as_array().is_some_and(|variants| variants.contains(&null));
    if let (Some(mut other), true) = (other.cloned(), can_be_null) {
        // What is said about the member stays with it.
        if let (Some(other), Some(description)) = (other.as_object_mut(), schema.get("description")) {
            other.insert("description".to_owned(), description.clone());
        }
        *schema = other;
    } else if let Some(kind) = kind.cloned() {
        schema["type"] = kind;
    }
}
