//! Serves a router on a socket until the server receives a signal to stop.
//!
//! | module | what it does |
//! |---|---|
//! | `registry` | the open connections, their limits, and the choice of the connection to close for a new one |
//! | `activity` | the state of a connection, and its deadlines |
//! | `stream` | the socket of a connection; reports what is read and what cannot be written |
//! | `attentive` | ends an event stream over HTTP/1.1 whose client has gone |
//! | `body` | bodies of requests and responses; count the bytes in memory |
//! | `tls`, `transport` | TLS and its certificate; whether a request arrived encrypted |
//! | `drive` | ends what runs on a connection at the connection's deadlines and limits |
//! | `multiplexed` | HTTP/2: its limits, and the bodies of responses that share a connection |
//! | `connection` | the life of one connection |
//! | `metrics` | measurements of connections |
//! | `stopping` | tells long responses that the server stops |

mod activity;
mod attentive;
mod body;
mod connection;
mod drive;
mod metrics;
mod multiplexed;
mod registry;
mod stopping;
mod stream;
mod tls;
mod transport;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

pub(crate) use self::body::BodyMemoryFull;
pub use self::metrics::ConnectionMetrics;
use self::registry::{Refused, Registry};
pub use self::{
    multiplexed::{CONNECTION_WINDOW, MAX_STREAMS, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW},
    stopping::Stopping,
    tls::{Certificate, CertificateError, Tls},
    transport::Transport,
};
use crate::Network;

/// Timeouts of a connection's client.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Time for the handshake of TLS, from the connection's beginning. Default 10 seconds.
    pub handshake: Duration,
    /// Time for the head of a request to arrive, from its first byte; on a new connection, from the connection's beginning or
    /// from the end of the handshake. Over HTTP/2, only for the first head of a connection; a later one counts as idle time.
    /// Default 10 seconds.
    pub head: Duration,
    /// Time after which a connection without a request is closed. Default 90 seconds, so that clients that poll every 30 seconds
    /// keep their connections.
    pub idle: Duration,
    /// Time after which a connection is closed if its client reads nothing of a response. Default 30 seconds.
    pub stall: Duration,
    /// Minimum time for which a client has read nothing of a response before the server closes its connection to make room for
    /// others. A client that reads at full speed also makes the server wait, for much less than this time. Default 2 seconds.
    pub min_stall: Duration,
    /// Time after which a connection is closed if its client acknowledges no packet: the device lost power or its network. Without
    /// this limit, the kernel retransmits for about 15 minutes. Only on Linux. Default 30 seconds.
    pub unacknowledged: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(90),
            stall: Duration::from_secs(30),
            min_stall: Duration::from_secs(2),
            unacknowledged: Duration::from_secs(30),
        }
    }
}

/// Maximum size of the head of a request, in bytes: the request line and all headers.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Maximum number of headers of a request.
pub const MAX_HEADERS: usize = 100;
/// Maximum total size of request bodies in memory, in bytes. Above that, the server closes the connections whose bodies have cost
/// the most so far: bytes, multiplied by the time since the body began. If no such connection is left, the request is refused
/// with 503.
pub const MAX_RECEIVED_BYTES: usize = 32 * 1024 * 1024;
/// Total size of responses that wait for their clients to read them, in bytes, above which the server closes the connections
/// whose clients have read nothing for the longest time, and at least for [`Timeouts::min_stall`]. One response is much smaller
/// than this limit: boards and pages have limits in bytes of their own.
pub const MAX_UNSENT_BYTES: usize = 32 * 1024 * 1024;
/// Total size of such responses, in bytes, above which the server closes connections although their clients read: those whose
/// responses have cost the most so far, in bytes multiplied by the time since the first of them began to wait. The ceiling
/// protects the server's memory from many clients that read slowly on purpose.
pub const UNSENT_CEILING_BYTES: usize = 4 * MAX_UNSENT_BYTES;

/// Maximum number of unsent bytes of responses that the kernel accepts for a connection. Bytes within the client's window do not
/// count, so the limit does not reduce throughput.
#[cfg(target_os = "linux")]
const MAX_UNSENT_IN_KERNEL: u32 = 64 * 1024;

/// Pause after a connection cannot be accepted, for example because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Minimum time between two log lines about such failures.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Limits of a server's connections.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Time to finish the requests in flight after the server receives a signal to stop. Default 10 seconds.
    pub grace: Duration,
    /// Maximum number of connections. A new connection above that replaces an idle one. Default 4,096.
    pub max_connections: usize,
    /// Maximum number of connections from one address, or from one IPv6 network (/64). A new connection above that is closed.
    /// Default 1,024.
    pub max_connections_per_address: usize,
    /// Maximum total size of request bodies in memory, in bytes. Default [`MAX_RECEIVED_BYTES`].
    pub max_received_bytes: usize,
    /// Total size of responses in memory above which connections of clients that read nothing are closed, in bytes. Default
    /// [`MAX_UNSENT_BYTES`].
    pub max_unsent_bytes: usize,
    /// Total size of responses in memory above which connections of clients that read are closed, too, in bytes. Default
    /// [`UNSENT_CEILING_BYTES`].
    pub unsent_ceiling_bytes: usize,
    /// Networks whose connections are not counted by address.
    pub trusted_proxies: Vec<Network>,
    /// Timeouts of clients.
    pub timeouts: Timeouts,
    /// TLS, with HTTP/2 and HTTP/1.1. Default: unencrypted HTTP/1.1.
    pub tls: Option<Tls>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            max_connections: 4_096,
            max_connections_per_address: 1_024,
            max_received_bytes: MAX_RECEIVED_BYTES,
            max_unsent_bytes: MAX_UNSENT_BYTES,
            unsent_ceiling_bytes: UNSENT_CEILING_BYTES,
            trusted_proxies: Vec::new(),
            timeouts: Timeouts::default(),
            tls: None,
        }
    }
}

/// Serves `app` until `shutdown` is ready. Then accepts no new connections, closes connections without a request, makes every
/// [`Stopping`] ready so that streams end, finishes the requests in flight, and returns. After the grace period it closes all remaining connections and returns.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send,
    options: ServeOptions,
    metrics: ConnectionMetrics,
) -> io::Result<()> {
    let (grace, tls) = (options.grace, options.tls.clone());
    let registry = Arc::new(Registry::new(options, metrics));
    tokio::select! {
        () = shutdown => {}
        never = accept(&listener, &app, tls.as_ref(), &registry) => match never {},
    }
    drop(listener);
    registry.stop();
    if tokio::time::timeout(grace, registry.emptied()).await.is_err() {
        tracing::warn!(?grace, "the time to finish requests is over; the remaining connections are closed");
        registry.close_all();
    }
    Ok(())
}

/// Accepts connections forever.
async fn accept(
    listener: &TcpListener,
    app: &Router,
    tls: Option<&Tls>,
    registry: &Arc<Registry>,
) -> std::convert::Infallible {
    let mut logged_at: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => begin(stream, address, app, tls, registry),
            // The client has already disconnected, so the error is no reason to pause.
            Err(error) if is_caused_by_client(&error) => {}
            Err(error) => {
                if logged_at.is_none_or(|at| at.elapsed() >= ACCEPT_LOG_INTERVAL) {
                    logged_at = Some(Instant::now());
                    tracing::error!(%error, "cannot accept connections");
                }
                registry.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn begin(stream: TcpStream, address: SocketAddr, app: &Router, tls: Option<&Tls>, registry: &Arc<Registry>) {
    let slot = match registry.enter(address.ip()) {
        Ok(slot) => slot,
        Err(Refused { reason }) => {
            tracing::debug!(%address, reason, "a connection is refused");
            return;
        }
    };
    if let Err(error) = prepare(&stream, &registry.options.timeouts) {
        tracing::debug!(%error, "cannot set the options of a connection's socket");
    }
    match tls {
        None => tokio::spawn(connection::run(stream, address, slot, app.clone())),
        Some(tls) => tokio::spawn(connection::run_tls(stream, address, slot, app.clone(), tls.clone())),
    };
}

/// Sets the options of a connection's socket.
fn prepare(stream: &TcpStream, timeouts: &Timeouts) -> io::Result<()> {
    // Responses are small; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    // Without this limit the kernel buffers megabytes for each client that reads nothing, and exhausts the machine's memory for
    // sockets.
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(stream);
        socket.set_tcp_notsent_lowat(MAX_UNSENT_IN_KERNEL)?;
        // The heartbeats of a stream fit into the socket's buffer for about an hour, so only the kernel notices that nobody
        // receives them. The pings of HTTP/2 notice it, too.
        socket.set_tcp_user_timeout(Some(timeouts.unacknowledged))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = timeouts;
    Ok(())
}

fn is_caused_by_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::convert::Infallible;

    use axum::{body::Body, routing::get};
    use futures::stream;
    use socket2::{SockFilter, SockRef};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpSocket,
        sync::Notify,
        time::{interval, timeout},
    };

    use super::*;

    /// Maximum time to wait for the end of a response.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Returns whether the server ends a stream of heartbeats whose client receives, or with `is_lost` vanishes after the first
    /// heartbeat.
    async fn ends_stream(unacknowledged: Duration, is_lost: bool) -> bool {
        /// Reports the end of a response.
        struct Ending(Arc<Notify>);
        impl Drop for Ending {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let ended = Arc::new(Notify::new());
        let ending = Arc::clone(&ended);
        let beats = move || {
            let state = (interval(Duration::from_millis(20)), Ending(Arc::clone(&ending)));
            let beats = stream::unfold(state, |mut state| async move {
                state.0.tick().await;
                Some((Ok::<_, Infallible>("beat\n"), state))
            });
            std::future::ready(Body::from_stream(beats))
        };
        let app = Router::new().route("/", get(beats));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let timeouts = Timeouts { unacknowledged, ..Timeouts::default() };
        let options = ServeOptions { timeouts, ..ServeOptions::default() };
        let serving = serve(listener, app, std::future::pending(), options, ConnectionMetrics::default());
        let watching = async {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: dabba\r\n\r\n").await.unwrap();
            let mut buffer = [0; 1_024];
            assert_ne!(client.read(&mut buffer).await.unwrap(), 0);
            if is_lost {
                // The client's kernel drops every packet and acknowledges nothing, like a device without power.
                const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);
                SockRef::from(&client).attach_filter(&[DROP_ALL]).unwrap();
                timeout(PATIENCE, ended.notified()).await.is_ok()
            } else {
                let reading = async { while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
                timeout(unacknowledged * 3, reading).await.is_ok()
            }
        };
        tokio::select! {
            ended = watching => ended,
            _ = serving => panic!("the server stops"),
        }
    }

    /// Proves that a stream over HTTP/1.1 ends soon after its client has vanished without a word, and stays while its client
    /// receives.
    #[tokio::test]
    async fn a_stream_ends_when_nobody_acknowledges_its_packets() {
        let soon = Duration::from_millis(500);
        assert!(ends_stream(soon, true).await, "the device has no power");
        assert!(!ends_stream(soon, false).await, "the device receives");
    }

    /// Proves that the kernel buffers little for a client that reads nothing.
    #[tokio::test]
    async fn the_kernel_buffers_little_for_a_client_that_reads_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4_096).unwrap();
        let _client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream, &Timeouts::default()).unwrap();
        let block = [0; 16 * 1024];
        let mut taken = 0;
        stream.writable().await.unwrap();
        while let Ok(count) = stream.try_write(&block) {
            taken += count;
        }
        assert!(taken <= 3 * 64 * 1024, "{taken} bytes");
    }
}
