//! What every HTTP face of Dabba shares: authentication, limits, problems, extractors, connection handling and serving.
//!
//! A face is a set of routes with a state of its own, such as Dabba's JSON API. This crate knows no face's routes, bodies
//! or description: a face states what this crate needs by implementing [`Face`] and, for JSON bodies, [`JsonFace`].
//! [`layered`] makes the router of a face, and [`serve()`] serves it.
//!
//! The modules, the lowest first:
//!
//! | module | what it does |
//! |---|---|
//! | [`headers`] | names of headers |
//! | [`address`](ClientAddress) | addresses of clients, behind trusted proxies |
//! | [`body_limit`](MAX_BODY_BYTES) | limits of the sizes of bodies |
//! | `config`, `token` | configuration; issues and verifies bearer tokens |
//! | `cookie` | the cookie of a session: its flags, and which requests may use it |
//! | `quota` | rates, and the headers that report what remains of them |
//! | [`code`], [`problem`] | every refusal, as RFC 9457 problem details |
//! | `seen` | what extractors find out about a request, for the layer around it |
//! | `limit` | rate limits |
//! | [`metrics`] | measurements of requests, and their formats |
//! | [`schema`] | finds the problems of a body, using the published schemas |
//! | `serve` | accepts connections; their limits and timeouts |
//! | `face` | the state that faces share, and what a face states about itself |
//! | [`extract`] | the parts of a request: caller, ids, parameters, headers, body, cursors |
//! | `hygiene` | allowed hosts, CORS, and security headers |
//! | `observe` | the layer around every request: request id, timeout, log line, measurements, body of a problem |
//!
//! To add a face: implement [`Face`] for the state of its routes. `tests/face.rs` is a whole face in one file.

mod address;
mod body_limit;
pub mod code;
mod config;
mod cookie;
pub mod extract;
mod face;
pub mod headers;
mod hygiene;
mod limit;
pub mod metrics;
mod observe;
pub mod problem;
mod quota;
pub mod schema;
mod seen;
mod serve;
mod token;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit};
/// Registry of the measurements that `/metrics` shows.
pub use prometheus_client::registry::Registry;
use tower::util::{MapResponseLayer, option_layer};

pub use address::{ClientAddress, Network};
pub use body_limit::MAX_BODY_BYTES;
pub use code::Code;
pub use config::{CorsOrigins, WebConfig};
pub use cookie::{PLAIN_COOKIE, SECURE_COOKIE};
pub use face::{Admission, Face, JsonFace, Web};
pub use hygiene::Hosts;
pub use limit::{Attempt, Limits, Secrets, TrackingRequest};
pub use observe::Waited;
pub use problem::{Problem, ProblemBody, Result};
pub use quota::{AccountRates, Rate, RateLimits};
pub use schema::{NotJson, Schemas};
pub use serve::{
    CONNECTION_WINDOW, Certificate, CertificateError, ConnectionMetrics, MAX_HEAD_BYTES, MAX_HEADERS,
    MAX_RECEIVED_BYTES, MAX_STREAMS, MAX_UNSENT_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW,
    ServeOptions, Stopping, Timeouts, Tls, Transport, UNSENT_CEILING_BYTES, serve,
};
pub use token::{SigningKey, SigningKeyError, issue_token};

/// Returns the router of a face: its routes under these hosts, with the layers that wrap every request. Requests that match
/// no route get the problem `not_found`.
///
/// To serve several faces on one listener, make the router of one the fallback service of another: each face then wraps
/// only its own requests.
///
/// Serve the router with the client's address as connection information, as [`serve()`] does. Without the address, all
/// clients share one rate limit.
pub fn layered<F: Face>(routes: Router<Arc<F>>, face: &Arc<F>, hosts: Hosts) -> Router {
    let config = face.web().config();
    // The outermost layer comes first.
    let layers = (
        MapResponseLayer::new(hygiene::protect(config)),
        option_layer(hygiene::cors(config)),
        observe::Observe::new(Arc::clone(face), hosts),
        DefaultBodyLimit::max(MAX_BODY_BYTES),
    );
    routes.fallback(observe::no_route).layer(layers).with_state(Arc::clone(face))
}
