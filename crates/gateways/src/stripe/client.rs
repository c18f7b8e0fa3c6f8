//! Speaking HTTP with Stripe.

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

/// How this client introduces itself.
const USER_AGENT: &str = concat!("dabba/", env!("CARGO_PKG_VERSION"));

/// Largest answer that is read, in bytes. A page of a hundred refunds has about a tenth of this.
const MAX_ANSWER_SIZE: usize = 1024 * 1024;

/// Longest code, name of a parameter or id of a request that an error repeats, in bytes.
const MAX_WORD_LENGTH: usize = 100;

/// Codes of refusals that are about the account or the key and not about the payment.
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

/// What Stripe answers.
pub(super) struct Answer {
    /// Whether it is the stored answer to an earlier call with the same key.
    pub(super) is_replay: bool,
    /// The body of a success.
    pub(super) outcome: Result<Vec<u8>, Failure>,
}

/// An answer that is not a success.
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) error: ErrorDetail,
    request_id: Option<String>,
}

impl Client {
    /// `base_url` has no slash at its end.
    pub(super) fn new(
        base_url: String,
        authorization: HeaderValue,
        connect_timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(connect_timeout)
            // The API redirects nowhere, and the key goes nowhere else.
            .redirect(Policy::none())
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { http, base_url, authorization })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Sends a form. With a key, it is carried out once, however often it is sent.
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
            // What stands between here and Stripe may answer with anything.
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

    /// Whether the same key was used for another call before.
    pub(super) fn is_key_reused(&self) -> bool {
        self.error.kind.as_deref() == Some("idempotency_error")
    }

    /// Whether repeating the call may help: a call with the same key is under way (409), something that
    /// Stripe depends on failed (424), too many calls (429), an error of Stripe's (5xx), or an answer that
    /// is not from its API at all (1xx and 3xx).
    pub(super) fn is_unavailable(&self) -> bool {
        let code = self.error.code.as_deref();
        matches!(code, Some("idempotency_key_in_use" | "lock_timeout" | "rate_limit"))
            || matches!(self.status.as_u16(), 409 | 424 | 429)
            || !self.status.is_client_error()
    }

    /// Whether Stripe refuses the content of the call, so that neither a retry nor an operator changes that: an
    /// amount, a currency, a parameter. What is wrong with the account or its key is not of that kind.
    pub(super) fn is_final(&self) -> bool {
        let is_about_account = self.error.code.as_deref().is_some_and(|code| {
            ACCOUNT_CODES.contains(&code) || code.starts_with("account_") || code.starts_with("platform_")
        });
        self.status == StatusCode::BAD_REQUEST
            && !self.is_key_reused()
            && !self.is_unavailable()
            && !is_about_account
    }

    /// The failure as an error, without Stripe's message: it may name the customer's token or a part of
    /// the key. The message stands in Stripe's dashboard under the id of the request.
    pub(super) fn into_error(self) -> GatewayError {
        let is_unavailable = self.is_unavailable();
        let mut text = format!("Stripe answered {}", self.status.as_u16());
        let ErrorDetail { kind, code, param, .. } = self.error;
        for (name, word) in
            [("type", kind), ("code", code), ("parameter", param), ("request", self.request_id)]
        {
            if let Some(mut word) = word {
                word.retain(|character| {
                    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '[' | ']')
                });
                word.truncate(MAX_WORD_LENGTH);
                // Writing to a string does not fail.
                let _ = write!(text, ", {name} {word}");
            }
        }
        if is_unavailable { GatewayError::Unavailable(text) } else { GatewayError::Refused(text) }
    }
}

/// Reads the body of a success. When it is not understood, the call may have been carried out.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, GatewayError> {
    serde_json::from_slice(body).map_err(|error| {
        // The place, without the text that stands there.
        let (line, column) = (error.line(), error.column());
        let text = format!("Stripe's answer is not understood, at line {line}, column {column}");
        GatewayError::Unavailable(text)
    })
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, GatewayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > MAX_ANSWER_SIZE {
            let text = format!("Stripe's answer is longer than {MAX_ANSWER_SIZE} bytes");
            return Err(GatewayError::Unavailable(text));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An error of the connection, with its causes and without the address.
fn unavailable(error: reqwest::Error) -> GatewayError {
    GatewayError::Unavailable(chain(&error.without_url()))
}
