//! The HTTP API: routes, authentication, problem details and the `OpenAPI` description.
//!
//! A handler authenticates, parses, calls one use case of the engine and represents its answer;
//! every rule lives below. What all requests share is done around them, in `observe`: the request
//! id, the time limit, the log line, the measurements, and the body of every problem.
//!
//! | module | what it does |
//! |---|---|
//! | `routes` | one file per group of operations, with what they take and answer |
//! | `extract` | the parts of a request: caller, ids, parameters, headers, body, cursors |
//! | `problem` | every refusal, as RFC 9457 problem details |
//! | `token` | issues and verifies bearer tokens |
//! | `limit` | how often someone may ask |
//! | `hygiene` | hosts, origins of browsers, and headers that protect callers |
//! | `schema` | what is wrong with a body, by the schema that the description publishes |
//! | `serve` | connections: taking them, their limits and timeouts |
//! | `openapi` | the description of all this, made from the code |
//!
//! To add an operation: a handler with `#[utoipa::path]` in `routes`, its line in the group's
//! `router`, a row in the authorization test, and `docs/openapi.json` made anew.

mod config;
mod extract;
mod hygiene;
mod limit;
mod metrics;
mod observe;
mod openapi;
mod problem;
mod routes;
mod schema;
mod serve;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware,
    response::Response,
};
use dabba_engine::Engine;
use tower::util::{MapResponseLayer, option_layer};
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use config::{AccountRates, CorsOrigins, HttpConfig, MAX_BODY_BYTES, MAX_MENU_BYTES, Rate, RateLimits};
pub use openapi::openapi_json;
pub use problem::Code;
/// Where measurements are registered that `/metrics` is to show.
pub use prometheus_client::registry::Registry;
pub use schema::{NotJson, problems_of, problems_of_restaurants};
pub use serve::{
    ConnectionMetrics, MAX_HEAD_BYTES, MAX_HEADERS, MAX_RECEIVED_BYTES, MAX_UNSENT_BYTES, Network,
    ServeOptions, Timeouts, serve,
};
pub use token::{SigningKey, SigningKeyError, issue_token};

/// What every handler can reach.
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: HttpConfig,
    pub(crate) verifier: token::Verifier,
    pub(crate) limits: limit::Limits,
    pub(crate) metrics: metrics::HttpMetrics,
}

/// What is served on an engine.
pub struct Apps {
    /// For everyone: the API and the probes, and, without an admin listener, everything else.
    pub public: Router,
    /// For operators: `/metrics`, `/openapi.json`, `/docs` and the probes. `None` without an admin listener.
    pub admin: Option<Router>,
}

impl App {
    fn new(engine: Arc<Engine>, config: HttpConfig, metrics: Registry) -> Arc<Self> {
        Arc::new(Self {
            verifier: token::Verifier::new(&config.signing_key),
            limits: limit::Limits::new(&engine, &config.rate_limits),
            metrics: metrics::HttpMetrics::new(&engine, metrics),
            engine,
            config,
        })
    }
}

/// What operators ask a process that serves no API: `/healthz`, `/readyz` and `/metrics`.
///
/// `metrics` holds what others have registered; the measurements of the engine and of these requests are added.
pub fn operations_app(engine: Arc<Engine>, metrics: Registry) -> Router {
    // Nothing here is for callers with a token, so nobody knows this key.
    let key = SigningKey::from_random(|| engine.random_u64());
    let app = App::new(engine, HttpConfig::new(key), metrics);
    operators(&app, Router::new())
}

/// What every listener for operators serves, and more. Operators call their listener by any name or address.
fn operators(app: &Arc<App>, more: Router<Arc<App>>) -> Router {
    let (routes, _) = routes::admin().split_for_parts();
    layered(routes.merge(more), app, Arc::default())
}

/// The whole API on an engine: every operation, `/metrics`, `/openapi.json` and `/docs`.
///
/// It has to be served with the client's address as connection information, as [`serve()`] does;
/// else all clients count as one where the number of their requests is limited.
///
/// `metrics` holds what others have registered; the measurements of the engine and of the API are added.
pub fn apps(engine: Arc<Engine>, config: HttpConfig, metrics: Registry) -> Apps {
    let app = App::new(engine, config, metrics);
    let hosts = app.config.allowed_hosts.clone().into();
    let for_operators = || openapi::route().merge(docs());
    if app.config.has_admin_listener {
        let (public, _) = routes::public().split_for_parts();
        let admin = operators(&app, for_operators());
        Apps { public: layered(public, &app, hosts), admin: Some(admin) }
    } else {
        let (all, _) = routes::router().split_for_parts();
        Apps { public: layered(all.merge(for_operators()), &app, hosts), admin: None }
    }
}

/// [`apps`] in one, without an admin listener.
pub fn app(engine: Arc<Engine>, config: HttpConfig, metrics: Registry) -> Router {
    apps(engine, HttpConfig { has_admin_listener: false, ..config }, metrics).public
}

fn docs() -> Router<Arc<App>> {
    let pages: Router<Arc<App>> = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    pages.layer(middleware::map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, hygiene::DOCS_POLICY);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }))
}

/// Routes with all that is done around each of them, served under these hosts.
fn layered(routes: Router<Arc<App>>, app: &Arc<App>, hosts: Arc<[String]>) -> Router {
    // The outermost first.
    let layers = (
        MapResponseLayer::new(hygiene::protect(&app.config)),
        option_layer(hygiene::cors(&app.config)),
        observe::Observe { app: Arc::clone(app), hosts },
        DefaultBodyLimit::max(MAX_BODY_BYTES),
    );
    routes.fallback(observe::nothing_here).layer(layers).with_state(Arc::clone(app))
}
