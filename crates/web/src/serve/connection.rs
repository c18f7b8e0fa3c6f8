//! The life of one connection: the handshake of TLS if there is one, and the protocol.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures::TryFutureExt as _;
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::{self, HttpServerConnExec},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{Accept, server::TlsStream};
use tower::Service as _;

use super::{
    MAX_HEAD_BYTES, MAX_HEADERS,
    attentive::{Attentive, is_event_stream},
    body::{InFlight, Sent, received},
    drive::{Serving, drive},
    multiplexed,
    registry::ConnectionSlot,
    stopping::Stopping,
    stream::Watched,
    tls::{Tls, is_http2},
    transport::Transport,
};

/// Error of a connection.
type ConnectionError = Box<dyn Error + Send + Sync>;

/// Serves a connection until the client closes it, it exceeds a limit, or the server stops.
pub(super) async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    slot: ConnectionSlot,
    app: Router,
) {
    let slot = Arc::new(slot);
    let stream = Watched::new(stream, Arc::clone(&slot));
    serve_http1(stream, address, &slot, app, Transport::Plain).await;
}

/// Serves a connection with TLS: the handshake, and then the protocol that the client has chosen.
///
/// The socket below TLS reports what is read and what cannot be written, so that the deadlines mean the same as without TLS.
pub(super) async fn run_tls(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    slot: ConnectionSlot,
    app: Router,
    tls: Tls,
) {
    let slot = Arc::new(slot);
    slot.activity.begin_handshake();
    let handshake = Handshake(tls.accept(Watched::new(stream, Arc::clone(&slot))));
    match drive(handshake, &slot, address).await {
        Some(Ok(stream)) => {
            slot.activity.end_handshake();
            if is_http2(&stream) {
                serve_http2(stream, address, &slot, app).await;
            } else {
                serve_http1(stream, address, &slot, app, Transport::Tls).await;
            }
        }
        Some(Err(error)) => {
            slot.fail_handshake();
            tracing::debug!(client = %address.ip(), %error, "a TLS handshake failed");
        }
        None if slot.activity.is_closed() || slot.activity.is_stopping() => {}
        None => slot.fail_handshake(),
    }
}

/// The handshake of TLS.
struct Handshake<S>(Accept<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Serving for Handshake<S> {
    type Output = std::io::Result<TlsStream<S>>;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }

    // The connection is at rest, so it is dropped.
    fn shut_down(&mut self) {}
}

impl<I, S, B, E> Serving for Pin<&mut auto::Connection<'_, I, S, E>>
where
    I: Read + Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: 'static,
    S::Error: Into<ConnectionError>,
    B: HttpBody + 'static,
    B::Error: Into<ConnectionError>,
    E: HttpServerConnExec<S::Future, B>,
{
    type Output = Result<(), ConnectionError>;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.as_mut().poll(context)
    }

    fn shut_down(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// Adds what a request's handlers know about its connection.
fn describe<B>(
    request: &mut Request<B>,
    address: SocketAddr,
    slot: &Arc<ConnectionSlot>,
    transport: Transport,
) {
    request.extensions_mut().insert(ConnectInfo(address));
    request.extensions_mut().insert(Stopping::of(slot));
    if transport.is_encrypted() {
        request.extensions_mut().insert(transport);
    }
}

async fn serve_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    slot: &Arc<ConnectionSlot>,
    app: Router,
    transport: Transport,
) {
    let stream = Attentive::new(stream, Arc::clone(slot));
    let for_requests = Arc::clone(slot);
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(&for_requests);
        let mut request = request.map(|body| received(body, &for_requests, None));
        describe(&mut request, address, &for_requests, transport);
        // An async block would keep its own copy of the future, so this is none.
        app.clone().call(request).map_ok(|response| {
            if is_event_stream(response.headers()) {
                in_flight.0.activity.begin_stream();
            }
            response.map(|body| Sent::new(body, in_flight))
        })
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // `drive` implements the timeouts of the head and of idle connections, because the builder has one timeout for both.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A client that closes its half of the connection after its request still gets the response. `Attentive` makes event
        // streams an exception.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    if let Some(Err(error)) = drive(serving, slot, address).await {
        log(address, &*error);
    }
}

async fn serve_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    slot: &Arc<ConnectionSlot>,
    app: Router,
) {
    slot.activity.multiplex();
    let responses = Arc::new(multiplexed::Responses::default());
    let (for_requests, for_responses) = (Arc::clone(slot), Arc::clone(&responses));
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = multiplexed::InFlight::begin(&for_requests);
        let mut request = request.map(|body| received(body, &for_requests, Some(in_flight.received())));
        describe(&mut request, address, &for_requests, Transport::Tls);
        multiplexed::move_host(&mut request);
        let (mut app, responses) = (app.clone(), Arc::clone(&for_responses));
        async move {
            let response = if request.headers().len() > MAX_HEADERS {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
            } else {
                app.call(request).await?
            };
            let sent = |body: Body| multiplexed::Sent::new(body, in_flight, &responses);
            Ok::<_, Infallible>(response.map(sent))
        }
    });
    let builder = multiplexed::builder();
    let connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let serving = multiplexed::Checked { connection, responses: &responses, slot };
    if let Some(Err(error)) = drive(serving, slot, address).await {
        log(address, &*error);
    }
    // Responses that end with the connection are not abandoned by the client.
    slot.activity.close();
}

/// Logs why a connection ended early. If the parser refused a head that is not a request, it has sent an empty body, and no
/// handler has seen the request. So the line has neither a request id nor a problem code.
fn log(address: SocketAddr, error: &(dyn Error + Send + Sync + 'static)) {
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
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
    };

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
