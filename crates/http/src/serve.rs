//! Serving the API on a socket, until told to stop.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use tokio::{net::TcpListener, sync::oneshot};

/// Serves `app` until `shutdown` is ready. Takes no new connections then, finishes the requests in
/// flight, and returns; after `grace` it returns whatever is still in flight.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    // Answers are small; waiting to fill a packet would only delay them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let (stopping, stopped) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // Only when serving has ended already is nobody there to hear this.
        let _ = stopping.send(());
    };
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(shutdown);
    let out_of_grace = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(grace).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = async { serving.await } => served,
        () = out_of_grace => {
            tracing::warn!(?grace, "requests were still in flight when the time to finish them was over");
            Ok(())
        }
    }
}
