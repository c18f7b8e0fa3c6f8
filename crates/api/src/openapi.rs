//! The API description (`OpenAPI`), generated from the code.
//!
//! `utoipa` derives schemas and operations. The submodules add what `utoipa` cannot derive: limits (`limits`),
//! corrections of shapes (`shapes`), headers of responses (`headers`), rate limits (`rate_limits`), sessions (`sessions`), named
//! one-ofs and open enums (`unions`), members that not every role sees (`visibility`), and examples (`examples`).

mod documents;
mod examples;
mod headers;
mod limits;
mod queries;
mod rate_limits;
mod sessions;
mod shapes;
mod texts;
mod unions;
mod visibility;

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    http::{HeaderValue, Method, header},
    middleware,
    response::Response,
    routing::get,
};
use dabba_domain::limits::MAX_TIME;
use dabba_engine::EngineConfig;
use dabba_outbound::public;
use dabba_web::{MAX_BODY_BYTES, PLAIN_COOKIE, SECURE_COOKIE, Schemas};
use serde_json::Value;
use utoipa::{
    OpenApi as _,
    openapi::{
        License, OpenApi, Server,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use self::documents::{problems_of, problems_of_restaurants};
use crate::{
    MAX_MENU_BYTES,
    app::App,
    bodies::webhook_endpoints::WebhookEndpointWithSecretBody,
    problem::ProblemDocument,
    routes::{self, TaskState},
};

/// Content security policy of `/docs`. Swagger UI sets styles from its scripts, and draws with `data:` images.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

#[derive(utoipa::OpenApi)]
#[openapi(
    components(schemas(ProblemDocument, TaskState, WebhookEndpointWithSecretBody)),
    tags(
        (name = "accounts", description = "Accounts, their tokens, API keys and sessions."),
        (name = "restaurants", description = "Restaurants, their settings and their members."),
        (name = "menus", description = "Menus, availability of items, and stock."),
        (name = "orders", description = "Quotes, orders and their histories."),
        (name = "commands", description = "Commands that change an order. Each responds with the changed order; with `preview=true`, with what it would do."),
        (
            name = "events",
            description = "The feed of events, and live streams. `/events.schema.json` describes the events, `/asyncapi.json` the \
                           messages of the streams."
        ),
        (
            name = "webhooks",
            description = "Webhook endpoints: servers to which Dabba sends events, signed as Standard Webhooks specifies."
        ),
        (
            name = "tracking",
            description = "Tracking links: the link's holder follows an order without an account, and may cancel it."
        ),
        (name = "tasks", description = "Background tasks that are parked until an admin decides."),
        (name = "statistics", description = "What happened on the platform, per minute and longer steps."),
        (name = "payments", description = "Webhooks for the reports of payment providers."),
        (name = "sandbox", description = "The clock of a sandbox: a server for trials and tests."),
        (name = "operations", description = "Health, readiness and metrics, for operators."),
    ),
)]
struct Document;

/// Returns the description without its operations.
fn base() -> OpenApi {
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
    let (body_kib, menu_mib) = (MAX_BODY_BYTES / 1024, MAX_MENU_BYTES / (1024 * 1024));
    format!(
        "Takes orders for food exactly once, and manages them from the kitchen to the door.\n\n\
         - Amounts are integers in minor units of the currency beside them. Clients never send prices.\n\
         - Times are RFC 3339 in UTC, until {MAX_TIME}. Ids are UUIDv7.\n\
         - Whole numbers are written in digits: `1.0`, `1e0` and `-0` are refused, although JSON Schema counts them as integers.\n\
         - Errors are `application/problem+json` (RFC 9457). `code` identifies the kind of error.\n\
         - `Idempotency-Key` makes retries of a POST on orders safe: the server carries out the request once and answers each \
         retry with the first response. The key is a structured-field string in double quotes or a text without quotes. \
         A key belongs to one caller and one restaurant. The server keeps keys for {retention_days} days by default, and \
         refuses the same key with another request.\n\
         - `ETag` is a version; `If-Match` makes a change conditional on it.\n\
         - Lists have pages of at most 100 entries. `next_cursor` leads to the next page; the last page has none. If \
         entries may be missing in a page, the page has `incomplete` and the response has `Dabba-Incomplete: true`.\n\
         - Unknown members in a body and unknown parameters in the query of a list or a change are refused. A parameter with several values \
         is repeated, or given once with the values separated by commas.\n\
         - Responses omit members without a value; they never contain `null` for them. In a request, `null` for an optional \
           member means the same as omitting it, except for `delivery` of a restaurant's settings \
           and `types` of a change of a webhook endpoint.\n\
         - New values may be added to the enums of responses, and new variants to their one-ofs: treat an unknown value as a \
           text, and skip an unknown variant. The enums of requests are complete.\n\
         - Bodies have at most {body_kib} KiB, menus {menu_mib} MiB.\n\
         - The response repeats the request's `X-Request-Id`, or contains a generated one; the server's log shows it. \
         Only a request head that is not HTTP or too large gets a response without it, with an empty body (400, 431).\n\
         - `Retry-After` of 429 and 503 states the number of seconds to wait before a retry."
    )
}

/// Returns the whole description.
///
/// # Errors
///
/// If `utoipa`'s result cannot be serialized as JSON.
fn describe() -> serde_json::Result<Value> {
    let (_, mut document) = OpenApiRouter::with_openapi(base()).merge(routes::router()).split_for_parts();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token from `POST /v1/tokens` (a JWT, for persons), or an API key of a service account (`dk_` and 38 letters and \
             digits, for programs), which an admin creates with `POST /v1/accounts/{account_id}/keys`. An API key can be \
             restricted to scopes; an operation outside them gets 403 `forbidden`.",
        ))
        .build();
    let text = format!(
        "The cookie of a session, for Dabba's own pages (`POST /v1/session`). On plain HTTP its name is `{PLAIN_COOKIE}`. Unsafe \
         methods need `Sec-Fetch-Site: same-origin` or, without that header, `Origin` with the server's scheme, host and port; \
         otherwise they get 403 `cross_site_request`. Streams get it if one of these headers names another site. A request with \
         `Authorization` does not use its cookie."
    );
    let cookie = ApiKeyValue::with_description(SECURE_COOKIE, &text);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme(sessions::SCHEME, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let mut document = serde_json::to_value(&document)?;
    visibility::apply(&mut document);
    limits::set_limits(&mut document);
    limits::set_key_limits(&mut document);
    shapes::close_variants(&mut document);
    shapes::omit_null(&mut document);
    shapes::add_read_only_members(&mut document);
    shapes::allow_null(&mut document);
    shapes::remove_code_artefacts(&mut document);
    shapes::describe_null(&mut document);
    queries::describe(&mut document);
    rate_limits::describe(&mut document);
    sessions::describe(&mut document);
    headers::describe(&mut document);
    unions::name_variants(&mut document);
    unions::open_enums(&mut document);
    examples::add(&mut document)?;
    Ok(document)
}

/// The whole description, generated once.
static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    describe().unwrap_or_else(|error| {
        tracing::error!(%error, "the API description cannot be generated");
        Value::Null
    })
});

/// The schemas that bodies are checked against: those of the description.
pub(crate) static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    let named = DESCRIPTION["components"]["schemas"].as_object().cloned().unwrap_or_default();
    Schemas::new(named, texts::check, &["PaymentToken"])
});

/// Changes that have no parameters in the query: their method and their path.
static WITHOUT_QUERY: LazyLock<HashSet<(String, String)>> =
    LazyLock::new(|| queries::changes_without_query(&DESCRIPTION));

/// Returns whether an operation may have parameters in its query. All reads may, because those that know none ignore them.
pub(crate) fn has_query(method: &Method, route: &str) -> bool {
    method.is_safe() || !WITHOUT_QUERY.contains(&(method.as_str().to_owned(), route.to_owned()))
}

/// Returns the whole description as pretty JSON: the content of `docs/reference/openapi.json`.
pub fn openapi_json() -> String {
    format!("{:#}\n", *DESCRIPTION)
}

/// The paths and texts of the descriptions that a server serves, generated once. The description of the streams refers
/// to the schema of the events beside it.
static SERVED: LazyLock<[(&str, String); 3]> = LazyLock::new(|| {
    [
        ("/openapi.json", openapi_json()),
        ("/asyncapi.json", format!("{:#}\n", public::asyncapi())),
        ("/events.schema.json", format!("{:#}\n", public::schema())),
    ]
});

/// Returns the routes that serve the descriptions.
fn descriptions() -> Router<Arc<App>> {
    SERVED.iter().fold(Router::new(), |router, (path, text)| {
        let show = move || async move { ([(header::CONTENT_TYPE, "application/json")], text.as_str()) };
        router.route(path, get(show))
    })
}

/// Returns the routes of the descriptions and of the pages that show the API.
pub(crate) fn pages() -> Router<Arc<App>> {
    let docs: Router<Arc<App>> = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    let docs = docs.layer(middleware::map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }));
    descriptions().merge(docs)
}

#[cfg(test)]
mod tests {
    use dabba_web::schema::MAX_KEPT;

    use super::*;

    /// The smallest entry of a refund's lines. A line may be refunded in several entries, so the schema limits only
    /// the size of the body.
    const REFUND_LINE: &str = r#"{"line":0,"quantity":1},"#;

    /// Asserts that each array in the schema of this name has a maximum that the validation keeps.
    fn check_arrays(name: &str, schema: &Value) {
        match schema {
            Value::Object(members) => {
                let kind = &schema["type"];
                let kinds = kind.as_array().map_or(std::slice::from_ref(kind), Vec::as_slice);
                if kinds.iter().any(|kind| kind == "array") && name != "RefundRequest" {
                    let max = schema["maxItems"].as_u64().map(|max| usize::try_from(max).unwrap());
                    assert!(max.is_some_and(|max| max <= MAX_KEPT), "{name}: {schema}");
                }
                members.values().for_each(|member| check_arrays(name, member));
            }
            Value::Array(values) => values.iter().for_each(|value| check_arrays(name, value)),
            _ => {}
        }
    }

    /// Proves that no valid body has more entries in an array than the validation checks.
    #[test]
    fn every_allowed_entry_is_checked() {
        for name in shapes::Reach::of(&DESCRIPTION).in_requests {
            check_arrays(&name, &DESCRIPTION["components"]["schemas"][&name]);
        }
        assert!(MAX_BODY_BYTES / REFUND_LINE.len() <= MAX_KEPT);
    }
}
