//! Measurements of requests, and the page that shows all measurements.

mod format;

use std::{fmt, sync::OnceLock, time::Duration};

use axum::http::{Method, StatusCode};
use dabba_engine::Engine;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

pub use self::format::Format;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// Template of the path. The path itself would make a label for each order.
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

/// Measurements of a handler's usual response, so that such a response needs no lookup by labels.
#[derive(Debug, Default)]
pub(crate) struct Usual(OnceLock<UsualAnswer>);

#[derive(Debug)]
struct UsualAnswer {
    method: Method,
    route: String,
    status: StatusCode,
    requests: Counter,
    seconds: Histogram,
}

/// Measurements of requests, and of what others have registered.
pub struct HttpMetrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    in_flight: Gauge,
}

impl HttpMetrics {
    pub(crate) fn new(engine: &Engine, mut registry: Registry) -> Self {
        engine.register_metrics(&mut registry);
        let requests = Family::default();
        let seconds = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_25, 2.0, 17))
        });
        let in_flight = Gauge::default();
        registry.register("dabba_http_requests", "Requests that were answered", Family::clone(&requests));
        registry.register(
            "dabba_http_request_seconds",
            "Time to answer a request, in seconds",
            Family::clone(&seconds),
        );
        registry.register("dabba_http_requests_in_flight", "Requests in flight", Gauge::clone(&in_flight));
        Self { registry, requests, seconds, in_flight }
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Counts a completed request. `usual` belongs to the handler; the handler's first successful response becomes its
    /// usual one.
    pub(crate) fn answered(
        &self,
        usual: &Usual,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let is_usual = |answer: &&UsualAnswer| {
            answer.status == status && answer.method == *method && answer.route == route
        };
        let seconds = took.as_secs_f64();
        if let Some(answer) = usual.0.get().filter(is_usual) {
            answer.seconds.observe(seconds);
            answer.requests.inc();
            return;
        }
        let labels = RouteLabels { method: method_label(method), route: route.to_owned() };
        let histogram = self.seconds.get_or_create(&labels).clone();
        histogram.observe(seconds);
        let RouteLabels { method: label, route } = labels;
        let labels = RequestLabels { method: label, route, status: status.as_u16() };
        let requests = self.requests.get_or_create(&labels).clone();
        requests.inc();
        if status.is_success() {
            let RequestLabels { route, .. } = labels;
            let method = method.clone();
            // A concurrent request may have set it first; its response is as usual as this one.
            let _ = usual.0.set(UsualAnswer { method, route, status, requests, seconds: histogram });
        }
    }

    /// Returns all measurements in a format.
    pub fn render(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(format.of_open_metrics(text))
    }
}

/// Guard of a request in flight. Dropping it ends the count, also when the client disconnects.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Returns the method's name for labels. All methods without a route share the label `other`, because clients can
/// invent any number of methods.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
