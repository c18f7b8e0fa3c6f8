//! Requests to the server under test, and what it answers.

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

use crate::{Person, description};

/// A request that is being put together.
#[must_use = "a request is sent by send()"]
pub struct Request(pub(crate) reqwest::RequestBuilder);

impl Request {
    pub(crate) fn new(client: &reqwest::Client, method: Method, url: String) -> Self {
        Self(client.request(method, url))
    }

    /// As this person.
    pub fn by(self, person: &Person) -> Self {
        self.token(&person.token)
    }

    /// With this bearer token.
    pub fn token(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    /// Under this idempotency key.
    pub fn key(self, key: impl AsRef<str>) -> Self {
        self.header("idempotency-key", key.as_ref())
    }

    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// With any body, of a type or none.
    pub fn body(self, media_type: Option<&str>, body: impl Into<reqwest::Body>) -> Self {
        let request = self.0.body(body);
        Self(match media_type {
            Some(media_type) => request.header("content-type", media_type),
            None => request,
        })
    }

    /// Sends it, and waits for the whole answer.
    pub async fn send(self) -> Answer {
        self.try_send().await.expect("the server should answer")
    }

    /// Sends it; the connection may fail. Panics if the answer is not as the API's description says.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let (client, request) = self.0.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let json = serde_json::from_str(&text).map_or(Value::Null, |json| {
            if let Some(place) = null_in(&json) {
                panic!("null at {place:?} in the answer; what has no value is absent: {text}");
            }
            json
        });
        description::check(&method, &path, status, &headers, &json);
        Ok(Answer { status, headers, text, json })
    }
}

/// The place of a `null` in a body, if there is one. Nothing that Dabba answers contains `null`.
fn null_in(json: &Value) -> Option<String> {
    let below = |name: &dyn std::fmt::Display, member| null_in(member).map(|rest| format!("/{name}{rest}"));
    match json {
        Value::Null => Some(String::new()),
        Value::Object(members) => members.iter().find_map(|(name, member)| below(name, member)),
        Value::Array(values) => values.iter().enumerate().find_map(|(index, value)| below(&index, value)),
        _ => None,
    }
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
    /// The body as JSON; `null` when it is none.
    pub json: Value,
}

impl Answer {
    /// A header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// All values of a header that may be repeated, separated by commas.
    pub fn header_values(&self, name: &str) -> String {
        let values: Vec<_> =
            self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        values.join(", ")
    }

    /// Insists on the status, and gives the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// Insists on a problem of this status and code, well formed, and gives it.
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

    /// Insists on an invalid body, and gives the places of what is wrong with it.
    #[track_caller]
    pub fn pointers(self) -> Vec<String> {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_array().expect("an invalid body's problem lists errors");
        errors.iter().map(|error| error["pointer"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The text at a JSON Pointer in the body.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let text = self.json.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.text)).to_owned()
    }
}
