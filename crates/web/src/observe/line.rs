//! The log line of a request: the caller, the operation and the result.
//!
//! A line contains no secret, no e-mail address and no postal address. Queries, headers and bodies are not logged, and the path
//! is masked. Texts of clients are logged as strings, never with `%`, because the subscriber escapes strings, so that a client
//! cannot forge lines.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use dabba_domain::{ApiKeyId, OrderId, RestaurantId, SessionId};
use dabba_engine::{CredentialId, Principal};
use percent_encoding::percent_decode;
use tracing::Span;
use uuid::Uuid;

use crate::{problem::Problem, quota::Report, seen::Seen};

/// Maximum length of a path in the log, in bytes.
const MAX_PATH_LENGTH: usize = 256;
/// Maximum length of a path segment that is logged, in bytes. An id has 36; tokens and keys are longer.
const MAX_SEGMENT_LENGTH: usize = 40;
/// Maximum length of a segment of a path without a route, in bytes, unless it is an id. Such a path may be a misspelt path with a
/// secret, such as a link with a token and one character too many; tokens are longer.
const MAX_UNKNOWN_SEGMENT_LENGTH: usize = 24;
/// Replaces a masked part of a path.
const MASK: &str = "…";

/// Fields of the log line that are known before the response.
pub(super) struct Line {
    client: IpAddr,
    method: Method,
    uri: Uri,
    seen: Seen,
}

impl Line {
    /// Stores what the line needs of a request from this client address.
    pub(super) fn begin(request: &mut Request, client: IpAddr) -> Self {
        let seen = Seen::default();
        request.extensions_mut().insert(seen.clone());
        Self { client, method: request.method().clone(), uri: request.uri().clone(), seen }
    }

    /// Writes the line. The level is `error` for status 500 and `warn` for other server errors. Client errors and successful
    /// writes are `info`. Successful reads are `debug`, because they are most of the traffic and change nothing.
    pub(super) fn write(
        &self,
        span: &Span,
        route: Option<&str>,
        response: &Response,
        refusal: Option<&Problem>,
        took: Duration,
    ) {
        let status = response.status().as_u16();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // The fields are evaluated only if the line is written.
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    parent: span,
                    status,
                    code = refusal.map(|problem| problem.code().as_str()),
                    path = shown(route, self.uri.path()),
                    client = display(self.client),
                    account_id = self.caller().map(|caller| display(caller.account_id)),
                    api_key_id = self.api_key_id().map(display),
                    session_id = self.session_id().map(display),
                    role = self.caller().map(|caller| caller.role.as_str()),
                    order_id = self.named::<OrderId>(route, "order_id").map(display),
                    restaurant_id = self.named::<RestaurantId>(route, "restaurant_id").map(display),
                    location = location(response),
                    error = refusal.and_then(Problem::log_text),
                    took_us,
                    $text
                )
            };
        }
        match status {
            500 => line!(error, "failed"),
            501.. => line!(warn, "refused"),
            400.. => line!(info, "refused"),
            _ if !self.method.is_safe() => line!(info, "answered"),
            _ => line!(debug, "answered"),
        }
    }

    /// Returns whether the body of the request is being read.
    pub(super) fn is_reading_body(&self) -> bool {
        self.seen.is_reading_body()
    }

    fn caller(&self) -> Option<&Principal> {
        self.seen.caller()
    }

    fn api_key_id(&self) -> Option<ApiKeyId> {
        match self.caller()?.kept? {
            CredentialId::ApiKey(id) => Some(id),
            CredentialId::Session(_) => None,
        }
    }

    fn session_id(&self) -> Option<SessionId> {
        match self.caller()?.kept? {
            CredentialId::ApiKey(_) => None,
            CredentialId::Session(id) => Some(id),
        }
    }

    /// Returns the remaining budgets, if the request has spent from any.
    pub(super) fn report(&self) -> Option<&Report> {
        self.seen.report()
    }

    /// Returns the id in the path for this parameter of the route, if it is a valid id.
    fn named<T: std::str::FromStr>(&self, route: Option<&str>, name: &str) -> Option<T> {
        let template = route?.split('/');
        let is_named =
            |segment: &str| segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) == Some(name);
        let found = template.zip(self.uri.path().split('/')).find(|(template, _)| is_named(template));
        found?.1.parse().ok()
    }
}

/// Returns the path of the order or restaurant that the request has created. A redirect repeats the path of the request, whose
/// secrets the log does not contain.
fn location(response: &Response) -> Option<&str> {
    if response.status() != StatusCode::CREATED {
        return None;
    }
    response.headers().get(header::LOCATION).map(HeaderValue::to_str)?.ok()
}

/// Returns whether a path segment may contain an e-mail address, or a parameter with its value (`;token=…`). Ids contain neither.
fn may_be_personal(segment: &str) -> bool {
    let mut plain: Cow<'_, [u8]> = percent_decode(segment.as_bytes()).into();
    // A segment may be encoded several times. Each round makes the text shorter, or is the last.
    loop {
        if plain.iter().any(|byte| b"@=;".contains(byte)) {
            return true;
        }
        let Cow::Owned(decoded) = Cow::from(percent_decode(&plain)) else { return false };
        plain = Cow::Owned(decoded);
    }
}

/// Returns the path for the log. Fixed segments of the route are not masked. Other segments can contain anything, so this
/// function masks long segments, segments that may be an e-mail address or have a parameter, the value of a route parameter
/// named `token`, and without a route everything that may be a token.
fn shown(route: Option<&str>, path: &str) -> String {
    let mut template = route.unwrap_or_default().split('/');
    let mut shown = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            shown.push('/');
        }
        let place = template.next().unwrap_or_default();
        let is_masked = place.contains("token") && place.starts_with('{')
            || place != segment && (segment.len() > MAX_SEGMENT_LENGTH || may_be_personal(segment))
            || route.is_none()
                && segment.len() > MAX_UNKNOWN_SEGMENT_LENGTH
                && Uuid::try_parse(segment).is_err();
        shown.push_str(if is_masked { MASK } else { segment });
        if shown.len() > MAX_PATH_LENGTH {
            let end = shown.floor_char_boundary(MAX_PATH_LENGTH);
            shown.truncate(end);
            shown.push_str(MASK);
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the log masks possible secrets and e-mail addresses, and shows ids and routes.
    #[test]
    fn paths_are_masked() {
        let id = "0198b2f4-0000-7000-8000-000000000000";
        let order = format!("/v1/orders/{id}/accept");
        assert_eq!(shown(Some("/v1/orders/{order_id}/accept"), &order), order);
        assert_eq!(shown(None, "/wp-admin/setup.php"), "/wp-admin/setup.php");
        assert_eq!(shown(Some("/v1/tracking/{token}"), "/v1/tracking/abc"), "/v1/tracking/…");
        assert_eq!(shown(None, &format!("/v1/{}/x", "s".repeat(41))), "/v1/…/x");
        // A token in a path that is not quite a route.
        let token = "3f0".to_owned() + &"a7Q".repeat(10) + "xy";
        for path in ["/t/TOKEN/", "//t/TOKEN", "/T/TOKEN", "/v1/tracking/TOKEN/cancle"] {
            assert_eq!(shown(None, &path.replace("TOKEN", &token)), path.replace("TOKEN", MASK));
        }
        assert_eq!(shown(None, &format!("/v1/order/{id}")), format!("/v1/order/{id}"));
        for address in [
            "asha@example.org",
            "asha%40example.org",
            "asha%2540example.org",
            "asha%252540x.org",
            "me;token=abc",
            "token%3Dabc",
            "me%253Btoken",
            "asha%4%30example.org",
        ] {
            assert_eq!(
                shown(Some("/v1/orders/{order_id}"), &format!("/v1/orders/{address}")),
                "/v1/orders/…"
            );
            assert_eq!(shown(None, &format!("/{address}")), "/…");
        }
        for harmless in ["caf%C3%A9", "100%", "%zz", "a%2520b", "%E9"] {
            assert_eq!(shown(None, &format!("/{harmless}")), format!("/{harmless}"));
        }
        let long = shown(None, &"/abc".repeat(1_000));
        assert!(long.len() <= MAX_PATH_LENGTH + MASK.len() && long.ends_with(MASK), "{long}");
    }
}
