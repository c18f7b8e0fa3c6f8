//! Dabba's own JSON API: bodies, routes and the `OpenAPI` description.
//!
//! A handler authenticates the caller, parses the request, calls one use case of the engine and represents the result
//! as JSON. All business rules live in the lower crates. `dabba-web` has what every HTTP face shares: authentication,
//! limits, problems, extractors and serving.
//!
//! The modules, the lowest first:
//!
//! | module | what it does |
//! |---|---|
//! | `code` | codes of problems |
//! | `bodies` | bodies of requests and responses; they represent values and read nothing |
//! | `problem` | the problem of each conflict, and the sets of refusals in the description |
//! | `webhook_orders` | the orders in webhooks |
//! | `config`, `app` | the state of the routes |
//! | `routes` | one file per group of operations |
//! | `openapi` | the API description, generated from the code, and the schemas that bodies are checked against |
//!
//! To add an operation: write a handler with `#[utoipa::path]` in `routes`, add it to the group's `router`, add a row
//! to the authorization test, and regenerate `docs/reference/openapi.json`.

mod app;
mod bodies;
mod code;
mod config;
mod openapi;
mod problem;
mod routes;
mod webhook_orders;

use std::sync::Arc;

use axum::Router;
use dabba_engine::Engine;
/// Limits, heartbeats and measurements of streams.
pub use dabba_outbound::live::{LiveConfig, LiveMetrics};
use dabba_web::{Code, Hosts, Registry, SigningKey, Web, WebConfig, layered};

use self::app::App;
pub use self::{
    config::{ApiConfig, MAX_MENU_BYTES, WebhookEndpoints},
    openapi::{openapi_json, problems_of, problems_of_restaurants},
    webhook_orders::WebhookOrders,
};

/// Paths that are served under any host, because probes call a server by its address.
const PROBES: &[&str] = &["/healthz", "/readyz"];

/// Routers that serve an engine.
pub struct Apps {
    /// Router for everyone: the API and the probes; without an admin listener also all other paths.
    pub public: Router,
    /// Router for operators: `/metrics`, the descriptions (`/openapi.json` and others), `/docs` and the probes. `None`
    /// without an admin listener.
    pub admin: Option<Router>,
}

/// Returns the router of a process that serves no API: `/healthz`, `/readyz` and `/metrics`.
///
/// `metrics` holds the measurements that others have registered; this function adds those of the engine and of these
/// requests.
pub fn operations_app(engine: Arc<Engine>, metrics: Registry) -> Router {
    // This router verifies no tokens, so the key is random and nobody knows it.
    let key = SigningKey::from_random(|| engine.random_u64());
    let web = Web::new(engine, WebConfig::new(key), metrics);
    operators(&App::new(web, ApiConfig::default()), Router::new())
}

/// Returns the routes of every listener for operators, and `more`. The routes are served under any host, because
/// operators use any name or address of the listener.
fn operators(app: &Arc<App>, more: Router<Arc<App>>) -> Router {
    let (routes, _) = routes::admin().split_for_parts();
    layered(routes.merge(more), app, Hosts::default())
}

/// Returns the whole API: every operation, `/metrics`, the descriptions and `/docs`. Starts the parts behind the streams on
/// the current Tokio runtime; they end with the routers.
///
/// Serve the routers with the client's address as connection information, as [`dabba_web::serve()`] does. Without the
/// address, all clients share one rate limit.
pub fn apps(web: Arc<Web>, config: ApiConfig) -> Apps {
    let app = App::new(web, config);
    app.live.start();
    let hosts = Hosts { allowed: app.web.config().allowed_hosts.clone().into(), probes: PROBES };
    if app.config.has_admin_listener {
        let (public, _) = routes::public().split_for_parts();
        let admin = operators(&app, openapi::pages());
        Apps { public: layered(public, &app, hosts), admin: Some(admin) }
    } else {
        let (all, _) = routes::router().split_for_parts();
        Apps { public: layered(all.merge(openapi::pages()), &app, hosts), admin: None }
    }
}

/// Returns the same as [`apps`] in one router, without an admin listener.
pub fn app(web: Arc<Web>, config: ApiConfig) -> Router {
    apps(web, ApiConfig { has_admin_listener: false, ..config }).public
}

/// Returns the code of every problem with which the API refuses a request, in the order of the documentation.
pub fn problem_codes() -> Vec<Code> {
    code::all()
}
