//! A persistent connection that needs as little work as possible, because it shares the machine with the
//! server that it measures.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, InvalidHeaderValue},
    http::response::Parts,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The header with the idempotency key.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one server.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// A request to be sent on any connection.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: Uri,
    /// The value of the Authorization header, from [`bearer`]; `None` for a public endpoint.
    pub(super) bearer: Option<&'a HeaderValue>,
    pub(super) key: Option<HeaderValue>,
    pub(super) body: Bytes,
}

/// Returns the value of the Authorization header for a token.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::try_from(format!("Bearer {token}"))
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // The task ends with the sender. Errors reach the sender.
        tokio::spawn(connection);
        let host = HeaderValue::try_from(address.to_string()).map_err(|error| error.to_string())?;
        Ok(Self { sender, host })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request, reads the whole response and returns its head. The error is the kind of failure for
    /// the report.
    pub(super) async fn send(&mut self, call: Call<'_>) -> Result<Parts, String> {
        tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(call))
            .await
            .unwrap_or_else(|_| Err("timeout".into()))
    }

    async fn exchange(&mut self, call: Call<'_>) -> Result<Parts, String> {
        let (head, mut body) = self.begin(call).await?.into_parts();
        // The body must be read before the next request on this connection.
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| error.to_string())?;
        }
        Ok(head)
    }

    /// Sends a request and returns the head and the body of the response, of at most this number of bytes.
    pub(super) async fn read(&mut self, call: Call<'_>, limit: usize) -> Result<(Parts, Bytes), String> {
        let reading = async {
            let (head, body) = self.begin(call).await?.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| error.to_string())?;
            Ok((head, body.to_bytes()))
        };
        tokio::time::timeout(REQUEST_TIMEOUT, reading).await.unwrap_or_else(|_| Err("timeout".into()))
    }

    /// Sends a request and returns the response before its body, which may go on for any time.
    pub(super) async fn open_stream(&mut self, call: Call<'_>) -> Result<Response<Incoming>, String> {
        tokio::time::timeout(REQUEST_TIMEOUT, self.begin(call))
            .await
            .unwrap_or_else(|_| Err("timeout".into()))
    }

    async fn begin(&mut self, call: Call<'_>) -> Result<Response<Incoming>, String> {
        let Call { method, path, bearer, key, body } = call;
        let has_body = !body.is_empty();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(bearer) = bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        if let Some(key) = key {
            headers.insert(&IDEMPOTENCY_KEY, key);
        }
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.sender.ready().await.map_err(|error| error.to_string())?;
        self.sender.send_request(request).await.map_err(|error| error.to_string())
    }
}

/// Returns a request that reads something.
pub(super) const fn get(path: Uri, bearer: &HeaderValue) -> Call<'_> {
    Call { method: Method::GET, path, bearer: Some(bearer), key: None, body: Bytes::new() }
}
