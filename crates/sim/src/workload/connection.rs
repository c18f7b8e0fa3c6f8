//! A kept connection, with as little work as there can be: it shares the machine with what it measures.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Time after which a request counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one server.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// A request, but for the connection.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// None for what is public.
    pub(super) token: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) body: Bytes,
}

/// What came back.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) is_replay: bool,
    pub(super) body: Bytes,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends with the sender; an error reaches whoever sends.
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer. The error is the kind of failure, for the report.
    pub(super) async fn send(&mut self, call: Call<'_>) -> Result<Answered, String> {
        tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(call))
            .await
            .unwrap_or_else(|_| Err("timeout".into()))
    }

    async fn exchange(&mut self, call: Call<'_>) -> Result<Answered, String> {
        let Call { method, path, token, key, body } = call;
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let response: Response<Incoming> =
            self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let is_replay = response.headers().contains_key("idempotency-replayed");
        // The body has to be read before the connection can be used again.
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answered { status, is_replay, body })
    }
}
