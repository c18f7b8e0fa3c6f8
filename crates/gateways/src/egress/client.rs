//! The client.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_engine::{
    Egress, EgressAttempt, EgressFailure, EgressFailureKind, EgressReply, EgressRequest, EgressUrlError,
    RetryAfter, TargetUrl,
};
use dabba_store::chain;
use reqwest::{
    Certificate, Client, Response, Version,
    header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect, retry,
};
use tokio::time::{Instant, timeout_at};
use tower::util::MapFutureLayer;

use super::{
    failure::{MAX_EXCERPT_LENGTH, classify, excerpt, failure, refused},
    kept::{Host, Kept, Lease, counted},
    lookups::Lookups,
    policy::EgressPolicy,
    resolver::{GuardedResolver, NameResolver},
};

/// Timeout of a connection, including the lookup of the name and the TLS handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a request, from its start to the end of the response.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of bytes of a response's body that are read. The client does not read the rest and closes the
/// connection.
pub const MAX_BODY_LENGTH: usize = 64 * 1024;
/// Maximum number of headers of a response.
pub const MAX_HEADERS: usize = 100;
/// Maximum number of unused connections per host. Many endpoints may share a host, for example those of a provider of
/// points of sale. With fewer connections than requests in flight, most requests would open one of their own.
pub const MAX_IDLE_PER_HOST: usize = 256;
/// Maximum number of connections that the client keeps for further requests, of all hosts together. Includes those that
/// a request is using.
pub const MAX_KEPT: usize = 1_024;
/// Time after which the client closes an unused connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Value of the header `connection` that requests the end of a connection.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The `User-Agent` header of the client.
const USER_AGENT: &str = concat!("dabba/", env!("CARGO_PKG_VERSION"));

/// Limits and trusted certificates of the client.
#[derive(Clone, Debug)]
pub struct EgressOptions {
    /// Timeout of a connection. Default [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// Timeout of a request. Default [`TOTAL_TIMEOUT`].
    pub total_timeout: Duration,
    /// Maximum number of connections that are kept. Default [`MAX_KEPT`].
    pub max_kept: usize,
    /// Certificate authorities that are trusted in addition to those of the machine. Default: none.
    pub authorities: Vec<Certificate>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            max_kept: MAX_KEPT,
            authorities: Vec::new(),
        }
    }
}

/// This machine cannot create an HTTP client, for example because it has no certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot create the HTTP client for webhooks: {0}")]
pub struct EgressSetupError(String);

/// The only client for URLs that users enter.
#[derive(Clone, Debug)]
pub struct EgressClient {
    policy: Arc<EgressPolicy>,
    total_timeout: Duration,
    kept: Arc<Kept>,
    guarded: Client,
    /// The client for allowed hosts. It has its own resolver and its own connections, because a resolver learns the
    /// name without the port: the permission for one port must not open the other ports of the host.
    unguarded: Client,
}

impl EgressClient {
    /// Creates a client.
    pub fn new(
        policy: EgressPolicy,
        options: &EgressOptions,
        names: Arc<dyn NameResolver>,
    ) -> Result<Self, EgressSetupError> {
        let policy = Arc::new(policy);
        let lookups = Lookups::new(names);
        let guarded = GuardedResolver { lookups: lookups.clone(), policy: Some(Arc::clone(&policy)) };
        let unguarded = GuardedResolver { lookups, policy: None };
        Ok(Self {
            policy,
            total_timeout: options.total_timeout,
            kept: Kept::new(options.max_kept),
            guarded: client(options, guarded)?,
            unguarded: client(options, unguarded)?,
        })
    }

    async fn send(&self, request: EgressRequest, deadline: Instant) -> Result<EgressReply, EgressFailure> {
        let target = self.policy.check(request.url.as_str()).map_err(|error| refused(&error))?;
        let client = if target.is_allowed_host { &self.unguarded } else { &self.guarded };
        let mut headers = headers(request.headers)?;
        let origin = target.url.origin().ascii_serialization();
        let lease = self.kept.lease(Host { origin, is_allowed: target.is_allowed_host });
        if !lease.may_keep {
            headers.insert(CONNECTION, CLOSE);
        }
        let sending = client.post(target.url).headers(headers).body(request.body).send();
        let reply = match timeout_at(deadline, lease.scope(sending)).await {
            Ok(Ok(response)) => self.reply(response, &lease, deadline).await,
            Ok(Err(error)) => Err(classify(error)),
            Err(_) => Err(failure(EgressFailureKind::Timeout, self.timeout_text("no response"))),
        };
        if reply.is_err() {
            lease.closed();
        }
        reply
    }

    async fn reply(
        &self,
        mut response: Response,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<EgressReply, EgressFailure> {
        let is_last = is_last(&response);
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        let mut first = Vec::new();
        let mut length = 0;
        let is_body_cut = loop {
            let chunk = match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(error)) => return Err(EgressFailure { status: Some(status), ..classify(error) }),
                Err(_) => {
                    let text = self.timeout_text("no complete response");
                    let failure = failure(EgressFailureKind::SlowBody, text);
                    return Err(EgressFailure { status: Some(status), ..failure });
                }
            };
            let Some(chunk) = chunk else { break false };
            let missing = MAX_EXCERPT_LENGTH.saturating_sub(first.len());
            first.extend_from_slice(&chunk[..chunk.len().min(missing)]);
            length += chunk.len();
            if length > MAX_BODY_LENGTH {
                break true;
            }
        };
        if is_last || is_body_cut {
            lease.closed();
        }
        Ok(EgressReply { status, retry_after, excerpt: excerpt(&first), is_body_cut })
    }

    fn timeout_text(&self, what: &str) -> String {
        format!("{what} within {} s", self.total_timeout.as_secs_f32())
    }
}

#[async_trait]
impl Egress for EgressClient {
    fn check_url(&self, url: &str) -> Result<TargetUrl, EgressUrlError> {
        Ok(TargetUrl::from_checked(self.policy.check(url)?.url.into()))
    }

    async fn post(&self, request: EgressRequest) -> EgressAttempt {
        let start = Instant::now();
        let outcome = self.send(request, start + self.total_timeout).await;
        EgressAttempt { outcome, duration: start.elapsed() }
    }
}

fn client(options: &EgressOptions, resolver: GuardedResolver) -> Result<Client, EgressSetupError> {
    let client = Client::builder()
        .dns_resolver(resolver)
        .connector_layer(MapFutureLayer::new(counted))
        // A proxy would connect to addresses that nothing checked.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_only()
        .http1_max_headers(MAX_HEADERS)
        .tcp_nodelay(true)
        .tls_certs_merge(options.authorities.iter().cloned());
    client.build().map_err(|error| EgressSetupError(chain(&error)))
}

fn headers(headers: Vec<(&'static str, String)>) -> Result<HeaderMap, EgressFailure> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::try_from(value).ok());
        let Some((parsed, value)) = parsed else {
            let text = format!("the header {name} of the request is not valid");
            return Err(failure(EgressFailureKind::Refused, text));
        };
        map.insert(parsed, value);
    }
    Ok(map)
}

/// Returns whether the server closes the connection after the response (RFC 9112, section 9.3).
fn is_last(response: &Response) -> bool {
    let values = response.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut options = values.flat_map(|value| value.split(',')).map(str::trim);
    if response.version() < Version::HTTP_11 {
        return !options.any(|option| option.eq_ignore_ascii_case("keep-alive"));
    }
    options.any(|option| option.eq_ignore_ascii_case("close"))
}

/// Parses the header `retry-after` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<RetryAfter> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits beyond the range mean a very long time.
        return Some(RetryAfter::Delay(Duration::from_secs(text.parse().unwrap_or(u64::MAX))));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(RetryAfter::At(Timestamp::from(date)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves the accepted forms of `retry-after`.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let parse = |text: &'static str| retry_after(&HeaderValue::from_static(text));
        let delay = |seconds| Some(RetryAfter::Delay(Duration::from_secs(seconds)));
        let at = |text: &str| Some(RetryAfter::At(text.parse().unwrap()));
        for (text, expected) in [
            ("0", delay(0)),
            (" 120 ", delay(120)),
            ("99999999999999999999999", delay(u64::MAX)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", at("1999-12-31T23:59:59Z")),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("Fri, 31 Dec 1999", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
