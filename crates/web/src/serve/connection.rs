//! The life of one connection.

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
    registry::ConnectionSlot,
    stopping::Stopping,
    stream::Watched,
};

/// Serves a connection until the client closes it, it exceeds a limit, or the server stops.
pub(super) async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    slot: ConnectionSlot,
    app: Router,
) {
    let slot = Arc::new(slot);
    let for_requests = Arc::clone(&slot);
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(&for_requests);
        let mut request = request.map(|body| received(body, &for_requests));
        request.extensions_mut().insert(ConnectInfo(address));
        request.extensions_mut().insert(Stopping::of(&for_requests));
        // An async block would keep its own copy of the future, so this is none.
        app.clone().call(request).map_ok(|response| response.map(|body| Sent::new(body, in_flight)))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // This module implements the timeouts of the head and of idle connections itself, because the builder has one timeout for
    // both.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A client that closes its half of the connection after its request still gets the response.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&slot)));
    let mut serving = pin!(builder.serve_connection(stream, service));
    let activity = &slot.activity;
    let mut timer = pin!(sleep_until(activity.deadline().unwrap_or_else(Instant::now)));
    let mut is_timer_polled = false;
    let mut is_shutdown_begun = false;
    poll_fn(|context| {
        activity.register(context.waker());
        activity.begin_turn();
        if activity.is_closed() {
            return Poll::Ready(());
        }
        if activity.is_stopping() && !is_shutdown_begun {
            is_shutdown_begun = true;
            serving.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(served) = serving.as_mut().poll(context) {
            if let Err(error) = served {
                log(address, &*error);
            }
            return Poll::Ready(());
        }
        if is_shutdown_begun && activity.is_at_rest() {
            return Poll::Ready(());
        }
        // If a deadline moves to a later time, the task notices that when the timer fires. So most requests neither set nor poll
        // the timer; the timer keeps this task's waker.
        while let Some(deadline) = activity.deadline() {
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
                is_timer_polled = false;
            }
            if is_timer_polled && !timer.is_elapsed() {
                break;
            }
            // Without coop budget, the timer yields and does not keep the waker.
            is_timer_polled = has_budget_remaining();
            if timer.as_mut().poll(context).is_pending() {
                break;
            }
            if deadline <= Instant::now() {
                tracing::debug!(%address, "a connection is closed: its client is too slow or makes no requests");
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
            is_timer_polled = false;
        }
        Poll::Pending
    })
    .await;
}

/// Logs why a connection ended early. If the parser refused a head that is not a request, it has sent an empty body, and no
/// handler has seen the request. So the line has neither a request id nor a problem code.
fn log(address: SocketAddr, error: &(dyn std::error::Error + Send + Sync + 'static)) {
    let status = error.downcast_ref().and_then(status_of_refusal);
    let (client, error) = (address.ip(), dabba_store::chain(error));
    if let Some(status) = status {
        tracing::info!(status = status.as_u16(), %client, error, "refused");
    } else {
        tracing::debug!(%client, error, "a connection failed");
    }
}

/// Returns the status with which the parser has refused a head, if it has.
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

    /// Number of requests that the client sends at once. All their heads fit into the connection's buffer.
    const PIPELINED: usize = 100;

    /// Proves that a client that pipelines many requests gets all responses, and that other tasks run after each request.
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
        let Ok(slot) = registry.enter(address.ip()) else {
            panic!("the registry must accept the connection")
        };
        let (mut client, server) = tokio::io::duplex(1024 * 1024);
        let app = Router::new().route("/", get(count));
        client.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(PIPELINED).as_bytes()).await.unwrap();
        let serving = tokio::spawn(run(server, address, slot, app));

        // The runtime has one thread, so this task and the connection's task alternate.
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
        // The connection begins the next request before the request's response waits for its turn.
        assert!(maximum <= 2, "one turn must begin at most 2 requests, not {maximum}");
        client.shutdown().await.unwrap();
        let mut responses = String::new();
        client.read_to_string(&mut responses).await.unwrap();
        assert_eq!(responses.matches("HTTP/1.1 200 OK").count(), PIPELINED);
        serving.await.unwrap();
    }
}
