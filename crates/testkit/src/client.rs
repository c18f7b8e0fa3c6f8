//! Requests to the server under test, and its responses.

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

use crate::{PATIENCE, TestAccount, description};

/// Returns a client whose requests fail after [`PATIENCE`]: a server that hangs then fails the test, instead of blocking
/// the test run.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().expect("a client without special settings")
}

/// A request under construction.
#[must_use = "call send() to send the request"]
pub struct Request(pub(crate) reqwest::RequestBuilder);

impl Request {
    pub(crate) fn new(client: &reqwest::Client, method: Method, url: String) -> Self {
        Self(client.request(method, url))
    }

    /// Adds the bearer token of this account.
    pub fn by(self, account: &TestAccount) -> Self {
        self.token(&account.token)
    }

    /// Adds this bearer token.
    pub fn token(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    /// Adds the cookie of a session ([`crate::TestServer::log_in`]), as a page of the server does.
    pub fn session(self, cookie: &str) -> Self {
        self.header("cookie", cookie).header("sec-fetch-site", "same-origin")
    }

    /// Adds this idempotency key.
    pub fn key(self, key: impl AsRef<str>) -> Self {
        self.header("idempotency-key", key.as_ref())
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Adds a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// Adds any body, with an optional media type.
    pub fn body(self, media_type: Option<&str>, body: impl Into<reqwest::Body>) -> Self {
        let request = self.0.body(body);
        Self(match media_type {
            Some(media_type) => request.header("content-type", media_type),
            None => request,
        })
    }

    /// Sends the request and waits for the whole response, or for the head of a stream. Panics if the connection fails.
    pub async fn send(self) -> HttpResponse {
        self.try_send().await.expect("the server should respond")
    }

    /// Sends the request; the connection may fail. Panics if the response does not match the `OpenAPI` description.
    pub async fn try_send(self) -> Result<HttpResponse, reqwest::Error> {
        let (client, request) = self.0.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        // A stream has no end; Request::stream reads it.
        let is_stream = content_type == Some("text/event-stream");
        let text = if is_stream { String::new() } else { response.text().await? };
        let json = serde_json::from_str(&text).map_or(Value::Null, |json| {
            if let Some(place) = null_in(&json) {
                panic!("null at {place:?} in the response; a field without a value must be absent: {text}");
            }
            json
        });
        description::check(&method, &path, status, &headers, &json);
        Ok(HttpResponse { status, headers, text, json })
    }
}

/// Returns the JSON Pointer of a `null` in a body, if there is one. Dabba's responses never contain `null`.
fn null_in(json: &Value) -> Option<String> {
    let below = |name: &dyn std::fmt::Display, member| null_in(member).map(|rest| format!("/{name}{rest}"));
    match json {
        Value::Null => Some(String::new()),
        Value::Object(members) => members.iter().find_map(|(name, member)| below(name, member)),
        Value::Array(values) => values.iter().enumerate().find_map(|(index, value)| below(&index, value)),
        _ => None,
    }
}

/// A response of the server.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as text.
    pub text: String,
    /// Body as JSON; `null` if the body is not JSON.
    pub json: Value,
}

impl HttpResponse {
    /// Returns a header's value, or an empty string if the header is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Returns all values of a header that may repeat, separated by commas.
    pub fn header_values(&self, name: &str) -> String {
        let values: Vec<_> =
            self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        values.join(", ")
    }

    /// Panics unless the response has this status. Returns the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// Panics unless the response is a well-formed problem with this status and code. Returns the problem.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["type"], format!("urn:dabba:problem:{code}"));
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["request_id"], self.header("x-request-id"));
        assert!(self.json["title"].is_string() && self.json["detail"].is_string(), "{}", self.text);
        self.json
    }

    /// Panics unless the response reports an invalid body. Returns the JSON Pointers of the errors.
    #[track_caller]
    pub fn pointers(self) -> Vec<String> {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_array().expect("the problem of an invalid body should list errors");
        errors.iter().map(|error| error["pointer"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Returns the text at a JSON Pointer in the body.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let text = self.json.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.text)).to_owned()
    }
}
