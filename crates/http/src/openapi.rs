//! The description of the API, made from the code.
//!
//! `utoipa` derives schemas and operations. What it cannot derive is added to its result: limits (`limits`), corrections
//! of shapes (`shapes`), the headers of responses (`headers`), named one-ofs and open enums (`unions`), and examples
//! (`examples`).

mod examples;
mod headers;
mod limits;
mod shapes;
mod unions;

use std::sync::{Arc, LazyLock};

use axum::{Router, http::header, routing::get};
use dabba_domain::limits::MAX_TIME;
use dabba_engine::EngineConfig;
use serde_json::Value;
use utoipa::{
    OpenApi as _,
    openapi::{
        License, OpenApi, Server,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{App, MAX_BODY_BYTES, problem::ProblemDocument, routes::TaskState};

#[derive(utoipa::OpenApi)]
#[openapi(
    components(schemas(ProblemDocument, TaskState)),
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
    let mut license = License::new("Apache License 2.0");
    license.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    document.info.license = Some(license);
    document.servers = Some(vec![Server::new("/")]);
    document
}

fn description() -> String {
    let retention_days = EngineConfig::default().key_retention.as_hours() / 24;
    let body_kib = MAX_BODY_BYTES / 1024;
    format!(
        "Takes orders for food, exactly once, and walks them from the kitchen to the door.\n\n\
         - Amounts are integers in minor units of the currency beside them. Clients never send prices.\n\
         - Times are RFC 3339 in UTC, until {MAX_TIME}. Ids are UUIDv7.\n\
         - Whole numbers are written in digits: `1.0`, `1e0` and `-0` are refused, although JSON Schema counts them as integers.\n\
         - Errors are `application/problem+json` (RFC 9457). `code` tells the kinds apart.\n\
         - `Idempotency-Key` makes it safe to repeat a POST on orders: it is carried out once, and each \
         repetition is answered as the first. The key is a structured-field string in double quotes or a bare \
         text. Keys belong to a caller and a restaurant and are remembered for {retention_days} days, unless the server \
         is set up otherwise. The same key with another request is refused.\n\
         - `ETag` is a version; `If-Match` makes a change conditional on it.\n\
         - Lists come in pages of at most 100 entries; `next_cursor` leads to the next page and is absent on the last. Where \
         something may be missing in a page, `incomplete` says so, and so does `Dabba-Incomplete: true`.\n\
         - Unknown members in a body and unknown parameters in the query of a list are refused. A parameter with several values \
         is repeated, or given once with the values separated by commas.\n\
         - What has no value is absent in an answer, never `null`. In a request, `null` for an optional member means the \
           same as its absence; `delivery` of a restaurant's settings is the exception.\n\
         - Values may be added to the enums of responses, and variants to their one-ofs: treat an unknown value as a text, \
           and an unknown variant as one to skip. The enums of requests are complete.\n\
         - Bodies have at most {body_kib} KiB, menus 4 MiB.\n\
         - `X-Request-Id` is answered as sent, or made; it names the request in the server's log. Only a head that is not HTTP or \
         too large is answered without it, with an empty body (400, 431).\n\
         - 429 and 503 say in `Retry-After` when to try again."
    )
}

/// Returns the whole description.
///
/// # Errors
///
/// If `utoipa`'s result cannot be written as JSON.
fn describe() -> serde_json::Result<Value> {
    let (_, mut document) = crate::routes::router().split_for_parts();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A token from `POST /v1/tokens`."))
        .build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let mut document = serde_json::to_value(&document)?;
    limits::set_limits(&mut document);
    shapes::close_variants(&mut document);
    shapes::omit_null(&mut document);
    shapes::add_read_only_members(&mut document);
    shapes::allow_null(&mut document);
    shapes::straighten(&mut document);
    shapes::describe_null(&mut document);
    crate::limit::describe(&mut document);
    headers::describe(&mut document);
    unions::name_variants(&mut document);
    unions::open_enums(&mut document);
    examples::add(&mut document)?;
    Ok(document)
}

/// The whole description, which is made once.
pub(crate) static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    describe().unwrap_or_else(|error| {
        tracing::error!(%error, "the description of the API cannot be written");
        Value::Null
    })
});

/// Returns the whole description as pretty JSON: the content of `docs/openapi.json`.
pub fn openapi_json() -> String {
    format!("{:#}\n", *DESCRIPTION)
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
