//! The log line of a request: who asked for what, and how it ended.
//!
//! A line contains no secret, no e-mail address and no postal address: neither query, nor headers, nor bodies are logged, and the
//! path is masked. Texts of clients are logged as strings, never with `%`: the subscriber escapes strings, so that a client cannot
//! forge lines.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderValue, Method, Uri, header, request::Parts},
    response::Response,
};
use dabba_domain::{OrderId, RestaurantId};
use dabba_engine::Principal;
use percent_encoding::percent_decode;
use tracing::Span;

use crate::{limit::Report, problem::Problem};

/// Maximum length of a path in the log, in bytes.
const MAX_PATH_LENGTH: usize = 256;
/// Maximum length of a path's segment that is shown, in bytes: an id has 36. Tokens and keys are longer.
const MAX_SEGMENT_LENGTH: usize = 40;
/// Stands for a part of a path that is not shown.
const MASK: &str = "…";

/// What extractors find out about a request, for what is done when it is answered and its parts are gone: the caller, and what is
/// left of the caller's budgets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    caller: OnceLock<Principal>,
    report: OnceLock<Report>,
}

impl Seen {
    /// Notes the caller of the request that these are the parts of.
    pub(crate) fn note(parts: &Parts, caller: Principal) {
        if let Some(Self(seen)) = parts.extensions.get() {
            // A request has one caller, so a second note is the same.
            let _ = seen.caller.set(caller);
        }
    }

    /// Notes what is left of the budgets that the request has spent from.
    pub(crate) fn report(parts: &Parts, report: Report) {
        if let Some(Self(seen)) = parts.extensions.get() {
            let _ = seen.report.set(report);
        }
    }
}

/// What the log says of a request besides how it ended.
pub(super) struct Line {
    client: IpAddr,
    method: Method,
    uri: Uri,
    seen: Seen,
}

impl Line {
    /// Keeps what the line needs of a request from this address.
    pub(super) fn begin(request: &mut Request, client: IpAddr) -> Self {
        let seen = Seen::default();
        request.extensions_mut().insert(seen.clone());
        Self { client, method: request.method().clone(), uri: request.uri().clone(), seen }
    }

    /// Writes the line. A refusal by the server's fault is an error or a warning; other refusals and writes are information.
    /// Reads are most of the traffic and change nothing, so an answered read is for debugging.
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
        // Fields are evaluated for a line that is written, and only then.
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    parent: span,
                    status,
                    code = refusal.map(|problem| problem.code().as_str()),
                    path = shown(route, self.uri.path()),
                    client = display(self.client),
                    account_id = self.caller().map(|caller| display(caller.account_id)),
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

    fn caller(&self) -> Option<&Principal> {
        self.seen.0.caller.get()
    }

    /// What is left of the budgets that the request has spent from, if it has.
    pub(super) fn report(&self) -> Option<&Report> {
        self.seen.0.report.get()
    }

    /// The id that the path has for this parameter of its route, if it is an id.
    fn named<T: std::str::FromStr>(&self, route: Option<&str>, name: &str) -> Option<T> {
        let template = route?.split('/');
        let is_named =
            |segment: &str| segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) == Some(name);
        let found = template.zip(self.uri.path().split('/')).find(|(template, _)| is_named(template));
        found?.1.parse().ok()
    }
}

/// Where the order or restaurant is that a request has made.
fn location(response: &Response) -> Option<&str> {
    response.headers().get(header::LOCATION).map(HeaderValue::to_str)?.ok()
}

/// Whether a segment of a path may contain an e-mail address, or a parameter with its value (`;token=…`), which ids do not.
fn may_be_personal(segment: &str) -> bool {
    let mut plain = segment.as_bytes().to_vec();
    // A segment may be encoded several times. Each round makes the text shorter, or is the last.
    loop {
        let decoded: Vec<u8> = percent_decode(&plain).collect();
        if decoded == plain {
            return plain.iter().any(|byte| b"@=;".contains(byte));
        }
        plain = decoded;
    }
}

/// The path as the log shows it. Segments that the route names are as they are; others may be anything, so a long one, one that
/// may be an e-mail address or has a parameter, and the value of a parameter named `token` is masked.
fn shown(route: Option<&str>, path: &str) -> String {
    let mut template = route.unwrap_or_default().split('/');
    let mut shown = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            shown.push('/');
        }
        let place = template.next().unwrap_or_default();
        let is_masked = place.contains("token") && place.starts_with('{')
            || place != segment && (segment.len() > MAX_SEGMENT_LENGTH || may_be_personal(segment));
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

    /// Proves that what may be a secret or a person's address is not in the log, while ids and routes are.
    #[test]
    fn paths_are_masked() {
        let id = "0198b2f4-0000-7000-8000-000000000000";
        let order = format!("/v1/orders/{id}/accept");
        assert_eq!(shown(Some("/v1/orders/{order_id}/accept"), &order), order);
        assert_eq!(shown(None, "/wp-admin/setup.php"), "/wp-admin/setup.php");
        assert_eq!(shown(Some("/v1/tracking/{token}"), "/v1/tracking/abc"), "/v1/tracking/…");
        assert_eq!(shown(None, &format!("/v1/{}/x", "s".repeat(41))), "/v1/…/x");
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
