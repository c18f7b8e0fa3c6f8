//! What is done around every request: its id, its time limit, its log line, its measurements, and
//! the body of its problem when it is refused.

mod line;

use std::{
    convert::Infallible,
    future::ready,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use dabba_engine::panic_text;
use futures::{FutureExt as _, future::BoxFuture};
use tower::{Layer, Service};
use tracing::Instrument as _;
use uuid::{Uuid, fmt::Simple};

use self::line::Line;
pub(crate) use self::line::Seen;
use crate::{
    App, hygiene, limit,
    metrics::Usual,
    problem::{CONTENT_TYPE, Code, Problem},
};

/// The request's id, as the caller chose it or as it was made here.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a caller.
const MAX_REQUEST_ID_LENGTH: usize = 128;
/// How requests are named in measurements for which there is no route.
const NO_ROUTE: &str = "none";

/// The outermost of all that is done around a request.
///
/// One layer for all of it: the router keeps what is within a layer as a trait object, which is cloned for each
/// request.
#[derive(Clone)]
pub(crate) struct Observe {
    pub(crate) app: Arc<App>,
    /// Hosts that are served. Empty: any.
    pub(crate) hosts: Arc<[String]>,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { app: Arc::clone(&self.app), hosts: Arc::clone(&self.hosts), usual: Arc::default(), inner }
    }
}

/// What is observed.
#[derive(Clone)]
pub(crate) struct Observed<S> {
    app: Arc<App>,
    hosts: Arc<[String]>,
    usual: Arc<Usual>,
    inner: S,
}

impl<S> Service<Request> for Observed<S>
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
        let asked = Asked::new(Arc::clone(&self.app), Arc::clone(&self.usual), &mut request);
        match hygiene::check_host(&request, &self.hosts) {
            Ok(()) => Box::pin(asked.answer(self.inner.call(request)).map(Ok)),
            Err(problem) => Box::pin(asked.answer(ready(Ok(problem.into_response()))).map(Ok)),
        }
    }
}

/// What is known of a request before it is answered.
struct Asked {
    app: Arc<App>,
    usual: Arc<Usual>,
    began: Instant,
    id: HeaderValue,
    method: Method,
    route: Option<MatchedPath>,
    line: Line,
}

impl Asked {
    fn new(app: Arc<App>, usual: Arc<Usual>, request: &mut Request) -> Self {
        let began = Instant::now();
        let id = request_id(&app, request.headers());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let client = limit::client(request.extensions(), request.headers(), &app.config.trusted_proxies);
        let line = Line::begin(request, client);
        Self { app, usual, began, id, method: request.method().clone(), route, line }
    }

    async fn answer(self, answering: impl Future<Output = Result<Response, Infallible>>) -> Response {
        // Pinned here: each function that took the future by value would keep its own copy of it.
        let answering = pin!(answering);
        let Self { app, usual, began, id, method, route, line } = self;
        let _in_flight = app.metrics.enter();
        let matched = route.as_ref().map(MatchedPath::as_str);
        let route = matched.unwrap_or(NO_ROUTE);
        let id_text = id.to_str().unwrap_or_default();
        let span = tracing::info_span!("request", request_id = id_text, %method, route);

        let mut response = bounded(&app, &method, answering).instrument(span.clone()).await;
        let refusal = complete(&mut response, id_text);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID.clone(), id.clone());
        if let Some(report) = line.report() {
            report.write(headers);
        }

        let took = began.elapsed();
        app.metrics.answered(&usual, &method, route, response.status(), took);
        line.write(&span, matched, &response, refusal.as_ref(), took);
        response
    }
}

/// Writes the body of the problem that a refusal stands for. Returns the problem.
fn complete(response: &mut Response, request_id: &str) -> Option<Problem> {
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
    let body = problem.render(request_id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::from(body);
    Some(problem)
}

/// The caller's id for the request when it is short and printable, else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&REQUEST_ID).filter(|id| {
        (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let made = Uuid::from_u64_pair(app.engine.random_u64(), app.engine.random_u64());
        let mut text = [0; Simple::LENGTH];
        HeaderValue::from_str(made.as_simple().encode_lower(&mut text))
            .unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Waits for the answer to a request, until its time is over.
async fn bounded(
    app: &App,
    method: &Method,
    answering: impl Future<Output = Result<Response, Infallible>> + Unpin,
) -> Response {
    match tokio::time::timeout(app.config.request_timeout, caught(answering)).await {
        Ok(response) => response,
        Err(_) if method.is_safe() => {
            Problem::new(Code::Unavailable, "The answer took longer than a request may take.").into_response()
        }
        // The write may be on its way.
        Err(_) => Problem::new(
            Code::OutcomeUnknown,
            "The answer took longer than a request may take. It may have been carried out; repeat it with the \
             same idempotency key.",
        )
        .into_response(),
    }
}

/// Makes a problem of a panic, so that a defect costs one request and not its connection. What it leaves behind is
/// what an error in the same place would.
async fn caught(answering: impl Future<Output = Result<Response, Infallible>> + Unpin) -> Response {
    match AssertUnwindSafe(answering).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(panic) => {
            let text = panic_text(&*panic).unwrap_or("a panic without a text");
            Problem::internal(format!("a handler panicked: {text}")).into_response()
        }
    }
}

/// Answers where there is no route.
pub(crate) async fn nothing_here() -> Problem {
    Problem::not_found()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Proves that a panic is answered as a problem that does not say what the panic said.
    #[tokio::test]
    async fn a_panic_is_a_problem_and_stays_in_the_log() {
        let mut response = caught(pin!(async { panic!("the secret is 42") })).await;
        let problem = response.extensions().get::<Problem>().unwrap();
        assert_eq!(problem.log_text(), Some("a handler panicked: the secret is 42"));
        complete(&mut response, "id-1");
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["code"], &body["request_id"]), (&"internal".into(), &"id-1".into()));
        assert!(!body.to_string().contains("42"));
    }

    /// Proves that a refusal from below the handlers becomes a problem and keeps its headers.
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
            complete(&mut response, "id");
            assert_eq!(
                (response.status().as_u16(), &response.headers()["allow"]),
                (status, &"GET".parse().unwrap())
            );
        }
    }
}
