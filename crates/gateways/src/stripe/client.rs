//! The HTTP client of Stripe's API.

use std::{fmt::Write as _, time::Duration};

use dabba_engine::GatewayError;
use dabba_store::chain;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::de::DeserializeOwned;

use super::{
    API_VERSION,
    objects::{ErrorBody, ErrorDetail},
};

const VERSION_HEADER: HeaderName = HeaderName::from_static("stripe-version");
const IDEMPOTENCY_KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("request-id");

/// The `User-Agent` header of this client.
const USER_AGENT: &str = concat!("dabba/", env!("CARGO_PKG_VERSION"));

/// Maximum size of a response body, in bytes. A page of a hundred refunds has about a tenth of this size.
const MAX_ANSWER_SIZE: usize = 1024 * 1024;

/// Maximum length of a code, parameter name or request id in an error text, in bytes.
const MAX_WORD_LENGTH: usize = 100;

/// Codes of refusals that concern the account or the key, and not the payment.
const ACCOUNT_CODES: &[&str] = &[
    "api_key_expired",
    "livemode_mismatch",
    "secret_key_required",
    "testmode_charges_only",
    "tls_version_unsupported",
];

pub(super) struct Client {
    http: reqwest::Client,
    base_url: String,
    authorization: HeaderValue,
}

/// A response of Stripe.
pub(super) struct Answer {
    /// Whether this is the stored response to an earlier call with the same key.
    pub(super) is_replay: bool,
    /// The body of a successful response, or the failure.
    pub(super) outcome: Result<Vec<u8>, Failure>,
}

/// A response that is not a success.
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) error: ErrorDetail,
    request_id: Option<String>,
}

impl Client {
    /// Creates a client. `base_url` must not end with a slash.
    pub(super) fn new(
        base_url: String,
        authorization: HeaderValue,
        connect_timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(connect_timeout)
            // The API never redirects, and the key must not be sent to another address.
            .redirect(Policy::none())
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { http, base_url, authorization })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Sends a form. With an idempotency key, Stripe carries out the call once, however often it is sent.
    pub(super) async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        key: Option<&str>,
    ) -> Result<Answer, GatewayError> {
        let mut request = self.http.post(self.url(path)).form(form);
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY_HEADER, key);
        }
        self.send(request).await
    }

    /// Reads an object.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GatewayError> {
        let answer = self.send(self.http.get(self.url(path))).await?;
        match answer.outcome {
            Ok(body) => read(&body),
            Err(failure) => Err(failure.into_error()),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, GatewayError> {
        let request = request
            .header(AUTHORIZATION, self.authorization.clone())
            .header(VERSION_HEADER, HeaderValue::from_static(API_VERSION));
        let response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        let is_replay = text_of(response.headers(), &REPLAYED_HEADER) == Some("true");
        let request_id = text_of(response.headers(), &REQUEST_ID_HEADER).map(str::to_owned);
        let body = body_of(response).await?;
        let outcome = if status.is_success() {
            Ok(body)
        } else {
            // A proxy between this client and Stripe may respond with any body.
            let ErrorBody { error } = serde_json::from_slice(&body).unwrap_or_default();
            Err(Failure { status, error, request_id })
        };
        Ok(Answer { is_replay, outcome })
    }
}

impl Failure {
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.error.code.as_deref() == Some(code)
    }

    pub(super) fn is_about(&self, param: &str) -> bool {
        self.error.param.as_deref() == Some(param)
    }

    /// Returns whether the same idempotency key was used for a different call before.
    pub(super) fn is_key_reused(&self) -> bool {
        self.error.kind.as_deref() == Some("idempotency_error")
    }

    /// Returns whether a retry may help: another call with the same key is in progress (409), a dependency of
    /// Stripe failed (424), there were too many calls (429), Stripe had an internal error (5xx), or the
    /// response does not come from the API (1xx and 3xx).
    pub(super) fn is_unavailable(&self) -> bool {
        let code = self.error.code.as_deref();
        matches!(code, Some("idempotency_key_in_use" | "lock_timeout" | "rate_limit"))
            || matches!(self.status.as_u16(), 409 | 424 | 429)
            || !self.status.is_client_error()
    }

    /// Returns whether Stripe refuses the content of the call, such as an amount, a currency or a parameter,
    /// so that neither a retry nor an operator can help. A refusal because of the account or its key is not
    /// final.
    pub(super) fn is_final(&self) -> bool {
        let is_about_account = self.error.code.as_deref().is_some_and(|code| {
            ACCOUNT_CODES.contains(&code) || code.starts_with("account_") || code.starts_with("platform_")
        });
        self.status == StatusCode::BAD_REQUEST
            && !self.is_key_reused()
            && !self.is_unavailable()
            && !is_about_account
    }

    /// Converts the failure to an error, without Stripe's message: the message may contain the customer's
    /// token or a part of the key. Stripe's dashboard shows the message under the id of the request.
    pub(super) fn into_error(self) -> GatewayError {
        let is_unavailable = self.is_unavailable();
        let mut text = format!("Stripe responded with {}", self.status.as_u16());
        let ErrorDetail { kind, code, param, .. } = self.error;
        for (name, word) in
            [("type", kind), ("code", code), ("parameter", param), ("request", self.request_id)]
        {
            if let Some(mut word) = word {
                word.retain(|character| {
                    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '[' | ']')
                });
                word.truncate(MAX_WORD_LENGTH);
                // Writing to a string cannot fail.
                let _ = write!(text, ", {name} {word}");
            }
        }
        if is_unavailable { GatewayError::Unavailable(text) } else { GatewayError::Refused(text) }
    }
}

/// Parses the body of a successful response. If parsing fails, the call may still have been carried out.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, GatewayError> {
    serde_json::from_slice(body).map_err(|error| {
        // The error states the position, without the text at that position.
        let (line, column) = (error.line(), error.column());
        let text =
            format!("Stripe's response is not valid JSON of the expected form: line {line}, column {column}");
        GatewayError::Unavailable(text)
    })
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, GatewayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > MAX_ANSWER_SIZE {
            let text = format!("Stripe's response is longer than {MAX_ANSWER_SIZE} bytes");
            return Err(GatewayError::Unavailable(text));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Converts a connection error to an error with all its causes and without the URL.
fn unavailable(error: reqwest::Error) -> GatewayError {
    GatewayError::Unavailable(chain(&error.without_url()))
}
