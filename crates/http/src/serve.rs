//! Serving the API on a socket, until told to stop.
//!
//! | module | what it does |
//! |---|---|
//! | `registry` | the open connections, their limits, and which one makes room for another |
//! | `activity` | what a connection is doing, and until when it may go on doing that |
//! | `stream` | the socket of a connection, which notes what is read and what cannot be written |
//! | `body` | bodies of requests and responses, which count the bytes that are held for them |
//! | `connection` | one connection, from its first byte to its end |

mod activity;
mod body;
mod connection;
mod registry;
mod stream;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

pub(crate) use self::body::NoRoom;
pub use self::registry::{ConnectionMetrics, Network};
use self::registry::{Refused, Registry};

/// How long the client of a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Time within which the head of a request has to arrive, from its first byte, and on a new connection from its beginning.
    /// 10 seconds.
    pub head: Duration,
    /// Time after which a connection on which no request is made is closed. 90 seconds: clients that poll every 30 seconds keep
    /// their connections.
    pub idle: Duration,
    /// Time after which a connection is closed whose client takes nothing of a response. 30 seconds.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), idle: Duration::from_secs(90), stall: Duration::from_secs(30) }
    }
}

/// Maximum size of the head of a request, in bytes: the request line and all headers.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Maximum number of headers of a request.
pub const MAX_HEADERS: usize = 100;
/// Maximum total size of the request bodies that are held, in bytes. Beyond it the connections are closed whose bodies have cost
/// the most so far: bytes, times the time that they take to arrive. If no such connection is left, the request is refused with 503.
pub const MAX_RECEIVED_BYTES: usize = 32 * 1024 * 1024;
/// Total size of the responses that are held until their clients take them, in bytes, from which on the connections are closed
/// whose clients have taken nothing for the longest time.
pub const MAX_UNSENT_BYTES: usize = 32 * 1024 * 1024;

/// Maximum number of bytes of responses that the kernel takes for a connection before it can send them. What the client's window
/// allows is not among them, so that the limit costs no throughput.
#[cfg(target_os = "linux")]
const MAX_UNSENT_IN_KERNEL: u32 = 64 * 1024;

/// Pause after a failure to accept a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Minimum time between two log lines about such failures.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Limits of a server's connections.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Time to finish the requests in flight after the server was told to stop. 10 seconds.
    pub grace: Duration,
    /// Maximum number of connections. A new one beyond it takes the place of one that does nothing. 4,096.
    pub max_connections: usize,
    /// Maximum number of connections from one address, or from one network of IPv6 (/64). A new one beyond it is closed. 1,024.
    pub max_connections_per_address: usize,
    /// Maximum total size of the request bodies that are held, in bytes. [`MAX_RECEIVED_BYTES`].
    pub max_received_bytes: usize,
    /// Total size of the responses that are held, in bytes. [`MAX_UNSENT_BYTES`].
    pub max_unsent_bytes: usize,
    /// Networks whose connections do not count by address.
    pub trusted_proxies: Vec<Network>,
    /// How long clients may take.
    pub timeouts: Timeouts,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            max_connections: 4_096,
            max_connections_per_address: 1_024,
            max_received_bytes: MAX_RECEIVED_BYTES,
            max_unsent_bytes: MAX_UNSENT_BYTES,
            trusted_proxies: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Serves `app` until `shutdown` is ready. Takes no new connections then, closes those without a request, finishes the
/// requests in flight, and returns; after the grace it returns whatever is still in flight.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send,
    options: ServeOptions,
    metrics: ConnectionMetrics,
) -> io::Result<()> {
    let grace = options.grace;
    let registry = Arc::new(Registry::new(options, metrics));
    tokio::select! {
        () = shutdown => {}
        never = accept(&listener, &app, &registry) => match never {},
    }
    drop(listener);
    registry.stop();
    if tokio::time::timeout(grace, registry.emptied()).await.is_err() {
        tracing::warn!(?grace, "requests were still in flight when the time to finish them was over");
        registry.close_all();
    }
    Ok(())
}

/// Takes connections for ever.
async fn accept(listener: &TcpListener, app: &Router, registry: &Arc<Registry>) -> std::convert::Infallible {
    let mut logged_at: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => begin(stream, address, app, registry),
            // A client that is gone by now is no reason to pause.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                if logged_at.is_none_or(|at| at.elapsed() >= ACCEPT_LOG_INTERVAL) {
                    logged_at = Some(Instant::now());
                    tracing::error!(%error, "no connection can be accepted");
                }
                registry.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn begin(stream: TcpStream, address: SocketAddr, app: &Router, registry: &Arc<Registry>) {
    let place = match registry.enter(address.ip()) {
        Ok(place) => place,
        Err(Refused { reason }) => {
            tracing::debug!(%address, reason, "a connection is refused");
            return;
        }
    };
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "a connection keeps the system's options");
    }
    tokio::spawn(connection::run(stream, address, place, app.clone()));
}

/// Sets the options of a connection's socket.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Answers are small; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    // Otherwise the kernel takes megabytes for each client that reads nothing, and the memory that the machine has for all
    // connections is used up.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT_IN_KERNEL)?;
    Ok(())
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    /// Proves that a client that reads nothing takes little of the kernel's memory.
    #[tokio::test]
    async fn the_kernel_takes_little_for_a_client_that_reads_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4_096).unwrap();
        let _client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream).unwrap();
        let block = [0; 16 * 1024];
        let mut taken = 0;
        stream.writable().await.unwrap();
        while let Ok(count) = stream.try_write(&block) {
            taken += count;
        }
        assert!(taken <= 3 * 64 * 1024, "{taken} bytes");
    }
}
