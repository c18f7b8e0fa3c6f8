//! One connection, from its first byte to its end.

use std::{future::poll_fn, net::SocketAddr, pin::pin, sync::Arc, task::Poll};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::StatusCode,
};
use futures::TryFutureExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop::has_budget_remaining,
    time::{Instant, sleep_until},
};
use tower::Service as _;

use super::{
    MAX_HEAD_BYTES, MAX_HEADERS,
    body::{InFlight, Sent, received},
    registry::Place,
    stream::Watched,
};

/// Serves a connection to its end: until the client closes it, it breaks a limit, or the server stops.
pub(super) async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    place: Place,
    app: Router,
) {
    let place = Arc::new(place);
    let answered = Arc::clone(&place);
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(&answered);
        let mut request = request.map(|body| received(body, &answered));
        request.extensions_mut().insert(ConnectInfo(address));
        // No async block, which would keep its own copy of the future.
        app.clone().call(request).map_ok(|response| response.map(|body| Sent::new(body, in_flight)))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // The timeouts of the head and of an idle connection are this module's: the builder knows one for both.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A client that ends its half of the connection after its request gets the response.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&place)));
    let mut serving = pin!(builder.serve_connection(stream, service));
    let activity = &place.activity;
    let mut timer = pin!(sleep_until(activity.deadline().unwrap_or_else(Instant::now)));
    let mut is_timer_polled = false;
    let mut is_told_to_stop = false;
    poll_fn(|context| {
        activity.register(context.waker());
        activity.begin_turn();
        if activity.is_closed() {
            return Poll::Ready(());
        }
        if activity.is_stopping() && !is_told_to_stop {
            is_told_to_stop = true;
            serving.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(served) = serving.as_mut().poll(context) {
            if let Err(error) = served {
                log(address, &*error);
            }
            return Poll::Ready(());
        }
        if is_told_to_stop && activity.is_at_rest() {
            return Poll::Ready(());
        }
        // A deadline that moves away is noticed when the timer fires, so most requests neither set nor poll the timer: it keeps
        // this task's waker.
        while let Some(deadline) = activity.deadline() {
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
                is_timer_polled = false;
            }
            if is_timer_polled && !timer.is_elapsed() {
                break;
            }
            // Without budget, the timer yields and does not keep the waker.
            is_timer_polled = has_budget_remaining();
            if timer.as_mut().poll(context).is_pending() {
                break;
            }
            if deadline <= Instant::now() {
                tracing::debug!(%address, "a connection is closed: its client is too slow, or makes no requests");
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
            is_timer_polled = false;
        }
        Poll::Pending
    })
    .await;
}

/// Logs why a connection ended early. A head that is no request has been refused by the parser, with an empty body: no handler has
/// seen it, so there is neither a request's id nor a problem's code.
fn log(address: SocketAddr, error: &(dyn std::error::Error + Send + Sync + 'static)) {
    let status = error.downcast_ref().and_then(status_of_refusal);
    let (client, error) = (address.ip(), dabba_store::chain(error));
    if let Some(status) = status {
        tracing::info!(status = status.as_u16(), %client, error, "refused");
    } else {
        tracing::debug!(%client, error, "a connection failed");
    }
}

/// The status with which the parser has refused a head, if it has.
fn status_of_refusal(error: &hyper::Error) -> Option<StatusCode> {
    if !error.is_parse() || error.is_parse_version_h2() {
        None
    } else if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        Some(StatusCode::BAD_REQUEST)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::{ConnectionMetrics, ServeOptions, serve::registry::Registry};

    /// Requests that the client sends at once. All of their heads fit into the connection's buffer.
    const PIPELINED: usize = 100;

    /// Proves that a client that sends many requests at once gets all responses, and that other tasks run after each request.
    #[tokio::test]
    async fn other_tasks_run_between_pipelined_requests() {
        let handled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&handled);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready("done")
        };
        let registry = Arc::new(Registry::new(ServeOptions::default(), ConnectionMetrics::default()));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let Ok(place) = registry.enter(address.ip()) else { panic!("no room") };
        let (mut client, server) = tokio::io::duplex(1024 * 1024);
        let app = Router::new().route("/", get(count));
        client.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(PIPELINED).as_bytes()).await.unwrap();
        let serving = tokio::spawn(run(server, address, place, app));

        // The runtime has one thread, so this task and the connection's take turns.
        let mut before = 0;
        let mut maximum = 0;
        let watching = tokio::spawn(poll_fn(move |context| {
            let now = handled.load(Ordering::Relaxed);
            maximum = maximum.max(now - before);
            before = now;
            if now == PIPELINED {
                return Poll::Ready(maximum);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        let maximum = watching.await.unwrap();
        // The next request is begun before its response waits for a turn.
        assert!(maximum <= 2, "{maximum} requests in one turn");
        client.shutdown().await.unwrap();
        let mut responses = String::new();
        client.read_to_string(&mut responses).await.unwrap();
        assert_eq!(responses.matches("HTTP/1.1 200 OK").count(), PIPELINED);
        serving.await.unwrap();
    }
}
