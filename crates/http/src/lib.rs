//! The HTTP API: routes, authentication, problem details and the `OpenAPI` description.
//!
//! A handler authenticates the caller, parses the request, calls one use case of the engine and represents the result
//! as JSON. All business rules live in the lower crates. `observe` wraps every request: the request id, the timeout,
//! the log line, the measurements, and the body of every problem.
//!
//! | module | what it does |
//! |---|---|
//! | `routes` | one file per group of operations, with its request and response types |
//! | `extract` | the parts of a request: caller, ids, parameters, headers, body, cursors |
//! | `problem` | every refusal, as RFC 9457 problem details |
//! | `token` | issues and verifies bearer tokens |
//! | `limit` | rate limits |
//! | `hygiene` | allowed hosts, CORS, and security headers |
//! | `schema` | finds the problems of a body, using the published schema |
//! | `serve` | accepts connections; their limits and timeouts |
//! | `openapi` | the API description, generated from the code |
//!
//! To add an operation: write a handler with `#[utoipa::path]` in `routes`, add it to the group's `router`, add a row
//! to the authorization test, and regenerate `docs/reference/openapi.json`.

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
/// Registry of the measurements that `/metrics` shows.
pub use prometheus_client::registry::Registry;
pub use schema::{NotJson, problems_of, problems_of_restaurants};
pub use serve::{
    ConnectionMetrics, MAX_HEAD_BYTES, MAX_HEADERS, MAX_RECEIVED_BYTES, MAX_UNSENT_BYTES, Network,
    ServeOptions, Timeouts, serve,
};
pub use token::{SigningKey, SigningKeyError, issue_token};

/// State that every handler can use.
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: HttpConfig,
    pub(crate) verifier: token::Verifier,
    pub(crate) limits: limit::Limits,
    pub(crate) metrics: metrics::HttpMetrics,
}

/// Routers that serve an engine.
pub struct Apps {
    /// Router for everyone: the API and the probes; without an admin listener also all other paths.
    pub public: Router,
    /// Router for operators: `/metrics`, `/openapi.json`, `/docs` and the probes. `None` without an admin listener.
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

/// Returns the router of a process that serves no API: `/healthz`, `/readyz` and `/metrics`.
///
/// `metrics` holds the measurements that others have registered; this function adds those of the engine and of these
/// requests.
pub fn operations_app(engine: Arc<Engine>, metrics: Registry) -> Router {
    // This router verifies no tokens, so the key is random and nobody knows it.
    let key = SigningKey::from_random(|| engine.random_u64());
    let app = App::new(engine, HttpConfig::new(key), metrics);
    operators(&app, Router::new())
}

/// Returns the routes of every listener for operators, and `more`. The routes are served under any host, because
/// operators use any name or address of the listener.
fn operators(app: &Arc<App>, more: Router<Arc<App>>) -> Router {
    let (routes, _) = routes::admin().split_for_parts();
    layered(routes.merge(more), app, Arc::default())
}

/// Returns the whole API on an engine: every operation, `/metrics`, `/openapi.json` and `/docs`.
///
/// Serve the routers with the client's address as connection information, as [`serve()`] does. Without the address, all
/// clients share one rate limit.
///
/// `metrics` holds the measurements that others have registered; this function adds those of the engine and of the API.
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

/// Returns the same as [`apps`] in one router, without an admin listener.
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

/// Adds the layers that wrap every request to the routes, and serves them under these hosts.
fn layered(routes: Router<Arc<App>>, app: &Arc<App>, hosts: Arc<[String]>) -> Router {
    // The outermost layer comes first.
    let layers = (
        MapResponseLayer::new(hygiene::protect(&app.config)),
        option_layer(hygiene::cors(&app.config)),
        observe::Observe { app: Arc::clone(app), hosts },
        DefaultBodyLimit::max(MAX_BODY_BYTES),
    );
    routes.fallback(observe::no_route).layer(layers).with_state(Arc::clone(app))
}
