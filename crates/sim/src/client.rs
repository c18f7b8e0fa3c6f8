//! An API client that sends one request at a time. It follows no redirect, because a redirect would send the token to
//! another address, and takes nothing for a success that Dabba does not send.

mod authorities;
mod foreign;
mod slow;

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use reqwest::{
    Method, StatusCode, Url,
    header::{ETAG, IF_MATCH},
    redirect,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::{authorities::Authorities, foreign::ForeignResponse};
use self::{foreign::Origin, slow::SlowNote};

/// Time after which a stream ends in any case: longer than any run of a program.
const STREAM_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// Default timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Maximum size of a response's body, in bytes, except the body of a stream. The largest response of Dabba is a page
/// of parked tasks, with up to 20 MB of error texts.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Text in the reason of a failure whose cause is the server's certificate, of rustls.
const WRONG_CERTIFICATE: &str = "invalid peer certificate";

/// Text in the reason of a failure whose cause is the authority of the server's certificate, of rustls.
const UNKNOWN_AUTHORITY: &str = "UnknownIssuer";

/// A client of one server, with or without a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    slow: Option<SlowNote>,
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
    /// The server responded with an error status and the code of a problem.
    #[error("{0}")]
    Problem(Box<ProblemResponse>),
    /// The response is not one of Dabba's.
    #[error("{0}")]
    Foreign(Box<ForeignResponse>),
}

impl ClientError {
    /// Returns the server's error response, if this is one.
    pub const fn problem(&self) -> Option<&ProblemResponse> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Returns whether the client refused the server's certificate.
    pub fn is_about_certificate(&self) -> bool {
        matches!(self, Self::Transport { reason, .. } if reason.contains(WRONG_CERTIFICATE))
    }

    /// Returns the HTTP status of the response; `None` if there was no complete response.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Foreign(response) => Some(response.status()),
            Self::Address { .. } | Self::Transport { .. } => None,
        }
    }
}

/// An error response with problem details (RFC 9457).
#[derive(Clone, Debug, PartialEq)]
pub struct ProblemResponse {
    /// The HTTP status.
    pub status: u16,
    /// The code of the problem.
    pub code: String,
    /// The text for humans.
    pub detail: String,
    /// The whole body.
    pub body: Value,
    /// Time from sending the request to receiving the whole response.
    pub elapsed: Duration,
}

impl fmt::Display for ProblemResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.code)?;
        let errors: Vec<String> =
            self.body["errors"].as_array().into_iter().flatten().map(text_of_error).collect();
        // The detail of an invalid request consists of the errors, which are then shown once: one in the line, several
        // in a list.
        let is_repeated = self.detail == errors.join("; ");
        if !self.detail.is_empty() && (!is_repeated || errors.len() == 1) {
            write!(formatter, ": {}", printable(&self.detail))?;
        }
        if is_repeated && errors.len() == 1 {
            return Ok(());
        }
        errors.iter().try_for_each(|error| write!(formatter, "\n  {}", printable(error)))
    }
}

/// Returns a text of a server without control characters, which would change the terminal.
pub fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Returns an entry of `errors` in the form in which the detail contains it.
fn text_of_error(error: &Value) -> String {
    let place = error["pointer"].as_str().or_else(|| error["parameter"].as_str());
    let place = place.filter(|place| !place.is_empty()).unwrap_or("/");
    format!("{place}: {}", error["detail"].as_str().unwrap_or_default())
}

/// A successful response.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body, an object; null if there is no content (204).
    pub body: Value,
    /// The `ETag` header, unchanged.
    pub etag: Option<String>,
    /// Whether this is the stored response to an earlier request with the same idempotency key.
    pub replayed: bool,
    /// Time from sending the request to receiving the whole response.
    pub elapsed: Duration,
    origin: Origin,
}

impl ClientResponse {
    /// Returns the body as a value of a type. Fails if it is none.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let Self { body, origin, .. } = self;
        serde_json::from_value(body).map_err(|error| origin.without(format!("other content ({error})")))
    }

    /// Returns the response if its body has all of these members. Fails otherwise.
    pub fn with_members(self, names: &[&str]) -> Result<Self, ClientError> {
        match names.iter().find(|name| self.body[**name].is_null()) {
            Some(name) => Err(self.origin.without(format!("an object with the member {name}"))),
            None => Ok(self),
        }
    }

    /// Returns the entries of a list. Fails if the body has no such list.
    pub fn list(&self, name: &str) -> Result<&[Value], ClientError> {
        let list = self.body[name].as_array().map(Vec::as_slice);
        list.ok_or_else(|| self.origin.without(format!("an object with the list {name}")))
    }

    /// Fails if the response has content.
    pub fn without_content(&self) -> Result<(), ClientError> {
        if self.body.is_null() { Ok(()) } else { Err(self.origin.without("status 204 without content")) }
    }
}

impl Client {
    /// Creates a client for the server at this address, for example `http://127.0.0.1:8080`. With `https://`, the server needs a
    /// certificate of an authority that the machine trusts.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        Self::with_authorities(address, &Authorities::default())
    }

    /// Creates a client as [`Self::new`] does. With `https://`, it also trusts these authorities.
    pub fn with_authorities(address: &str, authorities: &Authorities) -> Result<Self, ClientError> {
        let wrong = |reason: String| ClientError::Address { address: address.to_owned(), reason };
        let base = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("it must begin with http:// or https://".into()));
        }
        let mut builder = reqwest::Client::builder().redirect(redirect::Policy::none());
        builder = authorities.trusted_by(builder);
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host.parse::<std::net::IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback());
        if is_loopback {
            builder = builder.no_proxy(); // The loopback address of a proxy is another machine.
        }
        let http = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { http, base, token: None, slow: None })
    }

    /// Returns the same client with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Returns the same client, which calls `note` once for each request without a complete response after this time,
    /// with the URL and the timeout of the request.
    #[must_use]
    pub fn with_slow_note(&self, after: Duration, note: fn(&str, Duration)) -> Self {
        Self { slow: Some(SlowNote { after, note }), ..self.clone() }
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
        Call { request, url, timeout: REQUEST_TIMEOUT, slow: self.slow }
    }
}

/// A request that is being built.
#[derive(Debug)]
#[must_use]
pub struct Call {
    request: reqwest::RequestBuilder,
    url: String,
    timeout: Duration,
    slow: Option<SlowNote>,
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

    /// Sets the timeout, by default a minute, of [`Call::send`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the id of the last message that was received of a stream.
    pub fn last_event_id(mut self, id: &str) -> Self {
        self.request = self.request.header("last-event-id", id);
        self
    }

    /// Sends the request and returns the response, a stream of events, before its body, which may go on for any time.
    pub async fn open(self) -> Result<OpenResponse, ClientError> {
        let (slow, url) = (self.slow, self.url.clone());
        SlowNote::wait(slow, &url, REQUEST_TIMEOUT, self.open_silently()).await
    }

    async fn open_silently(self) -> Result<OpenResponse, ClientError> {
        let Self { request, url, .. } = self;
        let started = Instant::now();
        let transport = |reason: String| ClientError::Transport { url: url.clone(), reason };
        let sending = tokio::time::timeout(REQUEST_TIMEOUT, request.timeout(STREAM_TIMEOUT).send());
        let response = sending.await.map_err(|_| transport("the server did not respond in time".into()))?;
        let response = response.map_err(|error| transport(reason(&error)))?;
        let origin = Origin::of(&response, &url);
        if response.status().is_success() {
            let is_stream = origin.has_media_type(&["text/event-stream"]);
            return if is_stream {
                Ok(OpenResponse { response, url })
            } else {
                Err(origin.without("a stream of events (text/event-stream)"))
            };
        }
        let text = tokio::time::timeout(REQUEST_TIMEOUT, text_of(response)).await;
        let text = text.ok().and_then(Result::ok).flatten().unwrap_or_default();
        Err(refusal(&origin, &text, started.elapsed()))
    }

    /// Sends the request and waits for the whole response.
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        let (slow, timeout, url) = (self.slow, self.timeout, self.url.clone());
        SlowNote::wait(slow, &url, timeout, self.send_silently()).await
    }

    async fn send_silently(self) -> Result<ClientResponse, ClientError> {
        let Self { request, url, timeout, .. } = self;
        let started = Instant::now();
        let transport =
            |error: reqwest::Error| ClientError::Transport { url: url.clone(), reason: reason(&error) };
        let response = request.timeout(timeout).send().await.map_err(transport)?;
        let (status, origin) = (response.status(), Origin::of(&response, &url));
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let etag = header(ETAG.as_str());
        let replayed = header("idempotency-replayed").as_deref() == Some("true");
        let text = text_of(response)
            .await
            .map_err(transport)?
            .ok_or_else(|| origin.without(format!("a body of at most {} MiB", MAX_BODY_BYTES >> 20)))?;
        let elapsed = started.elapsed();
        if !status.is_success() {
            return Err(refusal(&origin, &text, elapsed));
        }
        let body = if status == StatusCode::NO_CONTENT {
            Value::Null
        } else {
            let body = json(&origin, &["application/json"], &text);
            body.ok_or_else(|| origin.without("an object in JSON (application/json)"))?
        };
        Ok(ClientResponse { status: status.as_u16(), body, etag, replayed, elapsed, origin })
    }
}

/// Returns the body of a response; `None` if it is larger than [`MAX_BODY_BYTES`].
async fn text_of(mut response: reqwest::Response) -> Result<Option<String>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body);
    Ok(Some(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
}

/// Returns the object in a response with one of these media types; `None` for any other content.
fn json(origin: &Origin, media_types: &[&str], text: &str) -> Option<Value> {
    let body = origin.has_media_type(media_types).then(|| serde_json::from_str(text).ok()).flatten();
    body.filter(Value::is_object)
}

/// Returns the error of a response with an error status or a redirect.
fn refusal(origin: &Origin, text: &str, elapsed: Duration) -> ClientError {
    let body = json(origin, &["application/problem+json"], text).unwrap_or_default();
    match body["code"].as_str() {
        Some(code) => problem(origin.status(), code.to_owned(), body, elapsed),
        None => origin.without("a problem with its code in JSON (application/problem+json)"),
    }
}

/// Returns the error of a problem.
fn problem(status: u16, code: String, body: Value, elapsed: Duration) -> ClientError {
    let detail = body["detail"].as_str().unwrap_or_default().to_owned();
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
        let chunk = self
            .response
            .chunk()
            .await
            .map_err(|error| ClientError::Transport { url: self.url.clone(), reason: reason(&error) })?;
        Ok(chunk.map(Into::into))
    }
}

/// Returns why there is no complete response. For a certificate of an unknown authority, also states what to do.
fn reason(error: &reqwest::Error) -> String {
    let reason = innermost(error).to_string();
    if reason.contains(UNKNOWN_AUTHORITY) {
        format!(
            "{reason}: this machine does not know the authority that issued it; if the command has the option --ca-file, name \
             the authority's certificate there"
        )
    } else {
        reason
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

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        sync::{Mutex, PoisonError},
    };

    use serde_json::json;

    use super::*;

    /// Requests that were reported as slow.
    static NOTED: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

    fn note(url: &str, timeout: Duration) {
        NOTED.lock().unwrap_or_else(PoisonError::into_inner).push((url.to_owned(), timeout));
    }

    /// Proves that each request to a server that never answers is reported once, with its timeout, before it fails, and
    /// that a request that fails earlier is not reported.
    #[tokio::test(start_paused = true)]
    async fn a_slow_request_is_reported_once() {
        // The system accepts the connections, and nothing reads from them.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", silent.local_addr().unwrap());
        let (after, short) = (Duration::from_secs(3), Duration::from_secs(10));
        let client = Client::new(&base).unwrap().with_slow_note(after, note);
        for error in [
            client.get("/default").send().await.unwrap_err(),
            client.get("/short").timeout(short).send().await.unwrap_err(),
            client.get("/early").timeout(after).send().await.unwrap_err(),
            client.get("/stream").open().await.unwrap_err(),
        ] {
            assert!(matches!(error, ClientError::Transport { .. }), "{error}");
        }
        let noted = |path: &str, timeout: Duration| (format!("{base}{path}"), timeout);
        let expected =
            [noted("/default", REQUEST_TIMEOUT), noted("/short", short), noted("/stream", REQUEST_TIMEOUT)];
        assert_eq!(*NOTED.lock().unwrap(), expected);
    }

    /// Proves that the text of a problem states each error once.
    #[test]
    fn a_problem_states_each_error_once() {
        let text = |detail: &str, errors: Value| {
            let body = json!({"code": "invalid", "detail": detail, "errors": errors});
            problem(422, "invalid".to_owned(), body, Duration::ZERO).to_string()
        };
        let (one, two) = (json!({"pointer": "/a", "detail": "x"}), json!({"pointer": "", "detail": "y"}));
        assert_eq!(text("/a: x", json!([one])), "422 invalid: /a: x");
        assert_eq!(text("/a: x; /: y", json!([one, two])), "422 invalid\n  /a: x\n  /: y");
        assert_eq!(text("only admins", json!([one])), "422 invalid: only admins\n  /a: x");
        assert_eq!(text("gone", Value::Null), "422 invalid: gone");
    }
}
