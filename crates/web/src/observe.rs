//! Layer around every request: the request id, the timeout, the log line, the measurements, and the body of the problem
//! of a refused request.

mod line;

use std::{
    convert::Infallible,
    future::ready,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use dabba_engine::panic_text;
use futures::{FutureExt as _, future::BoxFuture};
use tower::{Layer, Service};
use tracing::Instrument as _;
use uuid::{Uuid, fmt::Simple};

use self::line::Line;
use crate::{
    Face, Web, address, code,
    extract::refuse_query,
    headers,
    hygiene::{self, Hosts},
    metrics::Usual,
    problem::{Problem, ProblemBody},
};

/// Maximum length of an id that is accepted from a caller.
const MAX_REQUEST_ID_LENGTH: usize = 128;
/// Route label in measurements for requests that match no route.
const NO_ROUTE: &str = "none";

/// Time for which a handler waited on purpose, as an extension of its response. The measurements and the log line do not count
/// it, so that a request that waited for an event does not look like a slow one.
#[derive(Clone, Copy, Debug)]
pub struct Waited(pub Duration);

/// The layer around every request.
///
/// One layer does everything, because the router stores the inner service of each layer as a trait object and clones it
/// for each request.
pub(crate) struct Observe<F> {
    face: Arc<F>,
    /// Hosts that are served.
    hosts: Hosts,
}

impl<F> Observe<F> {
    pub(crate) const fn new(face: Arc<F>, hosts: Hosts) -> Self {
        Self { face, hosts }
    }
}

impl<F> Clone for Observe<F> {
    fn clone(&self) -> Self {
        Self { face: Arc::clone(&self.face), hosts: self.hosts.clone() }
    }
}

impl<F, S> Layer<S> for Observe<F> {
    type Service = Observed<F, S>;

    fn layer(&self, inner: S) -> Observed<F, S> {
        Observed { face: Arc::clone(&self.face), hosts: self.hosts.clone(), usual: Arc::default(), inner }
    }
}

/// The service that [`Observe`] makes.
pub(crate) struct Observed<F, S> {
    face: Arc<F>,
    hosts: Hosts,
    usual: Arc<Usual>,
    inner: S,
}

impl<F, S: Clone> Clone for Observed<F, S> {
    fn clone(&self) -> Self {
        Self {
            face: Arc::clone(&self.face),
            hosts: self.hosts.clone(),
            usual: Arc::clone(&self.usual),
            inner: self.inner.clone(),
        }
    }
}

impl<F: Face, S> Service<Request> for Observed<F, S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let pending = Pending::new(Arc::clone(&self.face), Arc::clone(&self.usual), &mut request);
        match hygiene::check_host(&request, &self.hosts).and_then(|()| pending.check_query(&request)) {
            Ok(()) => Box::pin(pending.respond(self.inner.call(request)).map(Ok)),
            Err(problem) => Box::pin(pending.respond(ready(Ok(problem.into_response()))).map(Ok)),
        }
    }
}

/// Data of a request that is kept until the response.
struct Pending<F> {
    face: Arc<F>,
    usual: Arc<Usual>,
    began: Instant,
    id: HeaderValue,
    method: Method,
    route: Option<MatchedPath>,
    line: Line,
}

impl<F: Face> Pending<F> {
    fn new(face: Arc<F>, usual: Arc<Usual>, request: &mut Request) -> Self {
        let began = Instant::now();
        let id = request_id(face.web(), request.headers());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let client =
            address::client(request.extensions(), request.headers(), &face.web().config().trusted_proxies);
        let line = Line::begin(request, client);
        Self { face, usual, began, id, method: request.method().clone(), route, line }
    }

    /// Refuses parameters in the query of an operation that has none.
    fn check_query(&self, request: &Request) -> Result<(), Problem> {
        let has_query = |route: &MatchedPath| self.face.has_query(&self.method, route.as_str());
        if request.uri().query().is_none_or(str::is_empty) || self.route.as_ref().is_none_or(has_query) {
            return Ok(());
        }
        refuse_query(request.uri())
    }

    async fn respond(self, responding: impl Future<Output = Result<Response, Infallible>>) -> Response {
        // Pinned here, because each function that takes the future by value would keep its own copy of it.
        let responding = pin!(responding);
        let Self { face, usual, began, id, method, route, line } = self;
        let web = face.web();
        let _in_flight = web.metrics().enter();
        let matched = route.as_ref().map(MatchedPath::as_str);
        let route = matched.unwrap_or(NO_ROUTE);
        let id_text = id.to_str().unwrap_or_default();
        let span = tracing::info_span!("request", request_id = id_text, %method, route);

        let is_without_effect = || method.is_safe() || line.is_reading_body();
        let mut response = respond_in_time(web, is_without_effect, responding).instrument(span.clone()).await;
        let refusal = complete(&mut response, |problem| face.problem_body(problem, id_text));
        let response_headers = response.headers_mut();
        response_headers.insert(headers::REQUEST_ID.clone(), id.clone());
        if let Some(report) = line.report() {
            report.write(response_headers);
        }

        let waited = response.extensions().get().map_or(Duration::ZERO, |Waited(time)| *time);
        let took = began.elapsed().saturating_sub(waited);
        web.metrics().answered(&usual, &method, route, response.status(), took);
        line.write(&span, matched, &response, refusal.as_ref(), took);
        response
    }
}

/// Writes the body of a refusal's problem into the response. Returns the problem; `None` if the response is no refusal.
fn complete(response: &mut Response, body_of: impl FnOnce(&Problem) -> ProblemBody) -> Option<Problem> {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if status.is_client_error() || status.is_server_error() => {
            let problem = Problem::of_status(status);
            *response.status_mut() = problem.status();
            problem
        }
        None => return None,
    };
    let ProblemBody { content_type, bytes } = body_of(&problem);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    *response.body_mut() = Body::from(bytes);
    Some(problem)
}

/// Returns the caller's request id if it is short and printable, otherwise a new one.
fn request_id(web: &Web, request: &HeaderMap) -> HeaderValue {
    let given = request.get(&headers::REQUEST_ID).filter(|id| {
        (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let made = Uuid::from_u64_pair(web.engine().random_u64(), web.engine().random_u64());
        let mut text = [0; Simple::LENGTH];
        HeaderValue::from_str(made.as_simple().encode_lower(&mut text))
            .unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Waits for the response to a request, at most until the timeout. `is_without_effect` states then whether the request has changed
/// nothing: it only reads, or its body has not arrived.
async fn respond_in_time(
    web: &Web,
    is_without_effect: impl Fn() -> bool,
    responding: impl Future<Output = Result<Response, Infallible>> + Unpin,
) -> Response {
    match tokio::time::timeout(web.config().request_timeout, catch_panic(responding)).await {
        Ok(response) => response,
        Err(_) if is_without_effect() => Problem::new(
            code::UNAVAILABLE,
            "The request exceeded the server's timeout for requests, and changed nothing. Retry it.",
        )
        .into_response(),
        // The write may still be committed.
        Err(_) => Problem::new(
            code::OUTCOME_UNKNOWN,
            "The request exceeded the server's timeout for requests. The write may have happened; retry with the \
             same idempotency key.",
        )
        .into_response(),
    }
}

/// Converts a panic into a problem, so that a defect costs one request and not its connection. A panic leaves the same
/// state behind as an error in the same place.
async fn catch_panic(responding: impl Future<Output = Result<Response, Infallible>> + Unpin) -> Response {
    match AssertUnwindSafe(responding).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(panic) => {
            let text = panic_text(&*panic).unwrap_or("a panic without a text");
            Problem::internal(format!("a handler panicked: {text}")).into_response()
        }
    }
}

/// Responds to requests that match no route.
pub(crate) async fn no_route() -> Problem {
    Problem::not_found()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Proves that a panic becomes a problem whose body does not contain the text of the panic.
    #[tokio::test]
    async fn the_text_of_a_panic_is_logged_and_not_sent() {
        let mut response = catch_panic(pin!(async { panic!("the secret is 42") })).await;
        let problem = response.extensions().get::<Problem>().unwrap();
        assert_eq!(problem.log_text(), Some("a handler panicked: the secret is 42"));
        complete(&mut response, |problem| problem.to_json("id-1"));
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["code"], &body["request_id"]), (&"internal".into(), &"id-1".into()));
        assert!(!body.to_string().contains("42"));
    }

    /// Proves that a status without a body from a layer below the handlers becomes a problem and keeps its headers.
    #[test]
    fn a_bare_status_becomes_a_problem() {
        for (bare, status, code) in [
            (404, 404, "not_found"),
            (405, 405, "method_not_allowed"),
            (413, 413, "payload_too_large"),
            (415, 415, "unsupported_media_type"),
            (418, 400, "bad_request"),
            (503, 503, "unavailable"),
            (501, 500, "internal"),
        ] {
            let mut response =
                Response::builder().status(bare).header("allow", "GET").body(Body::empty()).unwrap();
            let problem = Problem::of_status(response.status());
            assert_eq!((problem.status().as_u16(), problem.code().as_str()), (status, code));
            complete(&mut response, |problem| problem.to_json("id"));
            assert_eq!(
                (response.status().as_u16(), &response.headers()["allow"]),
                (status, &"GET".parse().unwrap())
            );
        }
    }
}
