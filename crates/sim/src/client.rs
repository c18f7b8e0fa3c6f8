//! An API client that sends one request at a time.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use reqwest::{
    Method, Url,
    header::{ETAG, IF_MATCH},
};
use serde::Serialize;
use serde_json::Value;

/// Time after which a stream ends in any case: longer than any run of a program.
const STREAM_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// Timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// A client of one server, with or without a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// Shows only the address of the server, because the token is a secret.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be used.
    #[error("{address} is not a valid server address: {reason}")]
    Address {
        /// The address.
        address: String,
        /// The reason.
        reason: String,
    },
    /// There was no complete response.
    #[error("no response from {url}: {reason}")]
    Transport {
        /// The URL of the request.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The server responded with an error status.
    #[error("{0}")]
    Problem(Box<ProblemResponse>),
}

impl ClientError {
    /// Returns the server's error response, if this is one.
    pub const fn problem(&self) -> Option<&ProblemResponse> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}

/// An error response. It has problem details (RFC 9457) if the server sent them.
#[derive(Clone, Debug, PartialEq)]
pub struct ProblemResponse {
    /// The HTTP status.
    pub status: u16,
    /// The code of the problem; empty if the server sent none.
    pub code: String,
    /// The text for humans.
    pub detail: String,
    /// The whole body; null if it is not JSON.
    pub body: Value,
    /// Time from sending the request to receiving the whole response.
    pub elapsed: Duration,
}

impl fmt::Display for ProblemResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.code)?;
        if !self.detail.is_empty() {
            write!(formatter, ": {}", self.detail)?;
        }
        for error in self.body["errors"].as_array().into_iter().flatten() {
            let (pointer, detail) = (error["pointer"].as_str(), error["detail"].as_str());
            write!(formatter, "\n  {}: {}", pointer.unwrap_or("/"), detail.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// A successful response.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if there is none.
    pub body: Value,
    /// The `ETag` header, unchanged.
    pub etag: Option<String>,
    /// Whether this is the stored response to an earlier request with the same idempotency key.
    pub replayed: bool,
    /// Time from sending the request to receiving the whole response.
    pub elapsed: Duration,
}

impl Client {
    /// Creates a client for the server at this address, for example `http://127.0.0.1:8080`.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        let wrong = |reason: String| ClientError::Address { address: address.to_owned(), reason };
        let base = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
        if base.scheme() != "http" {
            return Err(wrong("it must begin with http://".into()));
        }
        let mut builder = reqwest::Client::builder().timeout(REQUEST_TIMEOUT);
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host.parse::<std::net::IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback());
        if is_loopback {
            builder = builder.no_proxy(); // The loopback address of a proxy is another machine.
        }
        let http = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { http, base, token: None })
    }

    /// Returns the same client with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Creates a GET request.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Creates a POST request, which creates something or sends a command.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Creates a PUT request, which replaces something.
    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// Creates a PATCH request, which changes a part of something.
    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    /// Creates a DELETE request, which deletes something.
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    fn call(&self, method: Method, path: &str) -> Call {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self.http.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request, url }
    }
}

/// A request that is being built.
#[derive(Debug)]
#[must_use]
pub struct Call {
    request: reqwest::RequestBuilder,
    url: String,
}

impl Call {
    /// Sets the idempotency key, so that a retry has no further effect.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.request = self.request.header("idempotency-key", key);
        self
    }

    /// Sets the condition that the current `ETag` is this one; `*` accepts any `ETag`.
    pub fn if_match(mut self, etag: &str) -> Self {
        self.request = self.request.header(IF_MATCH, etag);
        self
    }

    /// Sets the JSON body.
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Sets the id of the last message that was received of a stream.
    pub fn last_event_id(mut self, id: &str) -> Self {
        self.request = self.request.header("last-event-id", id);
        self
    }

    /// Sends the request and returns the response before its body, which may go on for any time.
    pub async fn open(self) -> Result<OpenResponse, ClientError> {
        let Self { request, url } = self;
        let started = Instant::now();
        let transport = |reason: String| ClientError::Transport { url: url.clone(), reason };
        let sending = tokio::time::timeout(REQUEST_TIMEOUT, request.timeout(STREAM_TIMEOUT).send());
        let response = sending.await.map_err(|_| transport("the server did not respond in time".into()))?;
        let response = response.map_err(|error| transport(innermost(&error).to_string()))?;
        if response.status().is_success() {
            return Ok(OpenResponse { response, url });
        }
        let status = response.status().as_u16();
        let text = tokio::time::timeout(REQUEST_TIMEOUT, response.text()).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        Err(problem(status, &text, started.elapsed()))
    }

    /// Sends the request and waits for the whole response.
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        let Self { request, url } = self;
        let started = Instant::now();
        let transport = |error: reqwest::Error| ClientError::Transport {
            url: url.clone(),
            reason: innermost(&error).to_string(),
        };
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let etag = header(ETAG.as_str());
        let replayed = header("idempotency-replayed").as_deref() == Some("true");
        let text = response.text().await.map_err(transport)?;
        let elapsed = started.elapsed();
        if status.is_success() {
            let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            return Ok(ClientResponse { status: status.as_u16(), body, etag, replayed, elapsed });
        }
        Err(problem(status.as_u16(), &text, elapsed))
    }
}

/// Returns the error of a response with an error status.
fn problem(status: u16, text: &str, elapsed: Duration) -> ClientError {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (code, detail) = (member("code"), member("detail"));
    ClientError::Problem(Box::new(ProblemResponse { status, code, detail, body, elapsed }))
}

/// A response whose body is read piece by piece.
#[derive(Debug)]
pub struct OpenResponse {
    response: reqwest::Response,
    url: String,
}

impl OpenResponse {
    /// Returns the next bytes of the body; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let chunk = self.response.chunk().await.map_err(|error| ClientError::Transport {
            url: self.url.clone(),
            reason: innermost(&error).to_string(),
        })?;
        Ok(chunk.map(Into::into))
    }
}

/// Returns the innermost error. The outermost error says only that sending failed; the innermost says why.
fn innermost(error: &dyn Error) -> &dyn Error {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
