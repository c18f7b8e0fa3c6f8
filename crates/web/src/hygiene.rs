//! Rules for every request and response: the hosts that are served, the origins whose pages may read responses in a browser, and
//! the security headers.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, Version, header},
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{CorsOrigins, WebConfig, code, headers, problem::Problem};

/// Time for which browsers cache the response to a preflight: the maximum that Chromium allows.
const PREFLIGHT_MAX_AGE: std::time::Duration = std::time::Duration::from_hours(2);
/// Content security policy of responses that are data: forbids running, loading and framing anything.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The hosts under which routes are served.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Names without ports. Empty: any host.
    pub allowed: Arc<[String]>,
    /// Paths that are served under any host, because probes call a server by its address.
    pub probes: &'static [&'static str],
}

/// Refuses a request that has no valid `Host`, or whose host this server does not serve.
pub(crate) fn check_host(request: &Request, hosts: &Hosts) -> Result<(), Problem> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = match (given.next(), given.next()) {
        (Some(host), None) => {
            let name = host.to_str().ok().and_then(host_name);
            Some(name.ok_or_else(|| {
                bad_host("must be a host name or an address, optionally followed by a colon and a port")
            })?)
        }
        (Some(_), Some(_)) => return Err(bad_host("must be given once")),
        (None, _) if request.version() < Version::HTTP_11 => None,
        (None, _) => return Err(bad_host("is missing")),
    };
    if hosts.allowed.is_empty() || hosts.probes.contains(&request.uri().path()) {
        return Ok(());
    }
    // The host of a target in absolute form replaces the header (RFC 9112, section 3.2.2).
    let host = request.uri().host().or(host).unwrap_or_default();
    let is_allowed = hosts.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    if is_allowed {
        return Ok(());
    }
    Err(Problem::new(
        code::MISDIRECTED_REQUEST,
        "This server does not serve the host in the header Host. Use the address of the service.",
    ))
}

fn bad_host(detail: &str) -> Problem {
    Problem::bad_parameter("Host", detail)
}

/// Returns the host in a value of `Host` without its port (RFC 9110, section 7.2); `None` if the value is not valid.
pub(crate) fn host_name(value: &str) -> Option<&str> {
    let (host, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&value[..address.len() + 2], port)
        }
        None => value.split_at(value.bytes().position(|byte| byte == b':').unwrap_or(value.len())),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_host = host.starts_with('[') || !host.is_empty() && host.bytes().all(is_name);
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|digit| digit.is_ascii_digit())
                && (port.is_empty() || port.parse::<u16>().is_ok())
        });
    (is_host && is_port).then_some(host)
}

/// Returns the CORS rules by which browsers let pages of other origins call this server; `None` if no other origin may.
pub(crate) fn cors(config: &WebConfig) -> Option<CorsLayer> {
    let origins = match &config.cors_origins {
        CorsOrigins::None => return None,
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::List(origins) => {
            AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
        }
    };
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                header::ACCEPT,
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                header::IF_NONE_MATCH,
                headers::IDEMPOTENCY_KEY.clone(),
                headers::LAST_EVENT_ID.clone(),
                headers::REQUEST_ID.clone(),
            ])
            .expose_headers([
                header::ALLOW,
                header::ETAG,
                header::LOCATION,
                header::RETRY_AFTER,
                header::WWW_AUTHENTICATE,
                headers::INCOMPLETE.clone(),
                headers::IDEMPOTENCY_REPLAYED.clone(),
                headers::RATE_LIMIT.clone(),
                headers::RATE_LIMIT_POLICY.clone(),
                headers::REQUEST_ID.clone(),
            ])
            .max_age(PREFLIGHT_MAX_AGE),
    )
}

/// Returns a function that adds the security headers to each response. It keeps a handler's own `Cache-Control` and
/// `Content-Security-Policy`.
pub(crate) fn protect(config: &WebConfig) -> impl Fn(Response) -> Response + Clone + Send + Sync + 'static {
    let hsts = config.hsts_seconds;
    let hsts = (hsts > 0).then(|| HeaderValue::from_str(&format!("max-age={hsts}"))).and_then(Result::ok);
    move |mut response| {
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(DATA_POLICY);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if let Some(hsts) = &hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that valid values of `Host` are accepted and others refused.
    #[test]
    fn hosts_are_read() {
        for (value, host) in [
            ("api.example.org", Some("api.example.org")),
            ("api.example.org:8080", Some("api.example.org")),
            ("api.example.org:", Some("api.example.org")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("[2001:db8::1]:80", Some("[2001:db8::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a/b", None),
            ("a@b", None),
            ("a:b", None),
            ("a:65536", None),
            ("a:80:80", None),
            ("[::1", None),
            ("[nonsense]", None),
            ("::1", None),
            ("a,b", None),
        ] {
            assert_eq!(host_name(value), host, "{value}");
        }
    }
}
