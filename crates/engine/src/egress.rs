//! The port to servers whose URLs users enter, such as the receivers of webhooks.
//!
//! The port is here, because its users (`outbound`) and its implementation (`gateways`) stand side by side above the
//! engine. The implementation decides which addresses are allowed; nothing else connects to a URL that a user entered.

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use dabba_domain::{Timestamp, problem::cut};

/// Maximum length of a URL that a user enters, in bytes, after normalization.
pub const MAX_TARGET_URL_LENGTH: usize = 2_048;

/// Port to servers whose URLs users enter.
#[async_trait]
pub trait Egress: Send + Sync {
    /// Checks a URL when a user enters it, without looking up its host, and returns its normalized form.
    fn check_url(&self, url: &str) -> Result<TargetUrl, EgressUrlError>;

    /// Sends one POST request, without a retry. The implementation checks the URL again, because the rules may have
    /// changed since the user entered it, and checks every address before it connects. The call ends within a limited
    /// time.
    async fn post(&self, request: EgressRequest) -> EgressAttempt;
}

/// A URL in its normalized form. Whether a connection is allowed is decided at each request.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl(String);

impl TargetUrl {
    /// Wraps a URL that [`Egress::check_url`] returned before, such as a stored URL.
    pub fn from_checked(url: String) -> Self {
        Self(url)
    }

    /// Returns the URL. Its path and query may contain a token of the receiver, so they do not belong in logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns scheme, host and port, for logs.
    pub fn origin(&self) -> &str {
        let host = self.0.find("://").map_or(0, |at| at + "://".len());
        let length = self.0[host..].find(['/', '?', '#']).unwrap_or(self.0.len() - host);
        &self.0[..host + length]
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TargetUrl({}/…)", self.origin())
    }
}

/// A POST request to a server whose URL a user entered.
#[derive(Clone)]
pub struct EgressRequest {
    /// The URL.
    pub url: TargetUrl,
    /// Headers, including the content type. The client sets `host`, `content-length` and `user-agent`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// Shows no body, because bodies contain personal data.
impl fmt::Debug for EgressRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("EgressRequest");
        shown.field("url", &self.url).field("body_length", &self.body.len()).finish_non_exhaustive()
    }
}

/// The result of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressAttempt {
    /// The response, or the reason why there is none.
    pub outcome: Result<EgressReply, EgressFailure>,
    /// Time from the start of the request to the end of the response.
    pub duration: Duration,
}

/// A response, with any status. Redirects are responses as well: they are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressReply {
    /// The HTTP status.
    pub status: u16,
    /// The header `retry-after`, if it is present and valid.
    pub retry_after: Option<RetryAfter>,
    /// The first characters of the body, without control characters.
    pub excerpt: String,
    /// Whether the body was longer than the maximum, and its rest was not read.
    pub is_body_cut: bool,
}

/// When the server wants the next attempt. The caller limits it: a server may send any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this duration.
    Delay(Duration),
    /// At this time.
    At(Timestamp),
}

impl RetryAfter {
    /// Returns how long to wait from `now`; zero if the time is in the past.
    pub fn delay_from(self, now: Timestamp) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(time) => Duration::try_from(time.duration_since(now)).unwrap_or_default(),
        }
    }
}

/// The reason why a request got no complete response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct EgressFailure {
    /// The class of the failure.
    pub kind: EgressFailureKind,
    /// The status, if the failure happened after the head of the response.
    pub status: Option<u16>,
    /// The reason, for the log of attempts. The text contains neither the URL nor an address that a name resolved to,
    /// and no control characters.
    pub text: String,
}

/// Classes of failed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EgressFailureKind {
    /// The rules for URLs or addresses do not allow the request. Nothing was sent.
    Refused,
    /// The host's name could not be resolved. Nothing was sent.
    Dns,
    /// No connection was made: refused, unreachable or within the timeout. Nothing was sent.
    Connect,
    /// The encrypted connection was not made, for example because of the certificate. Nothing was sent.
    Tls,
    /// The head of the response did not arrive in time. The server may have processed the request.
    Timeout,
    /// The body of the response did not arrive in time. The status is known.
    SlowBody,
    /// The connection ended early, or the response is not HTTP. The server may have processed the request.
    Protocol,
}

impl EgressFailureKind {
    /// Returns the name for logs, metrics and the log of attempts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::SlowBody => "slow_body",
            Self::Protocol => "protocol",
        }
    }
}

/// What an operator can do about a refused URL.
const ALLOW_HINT: &str = "; an operator can allow the host in webhook_allowed_hosts";

/// The reason why a URL is not allowed. The text follows the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressUrlError {
    /// The URL is too long.
    #[error("must have at most {MAX_TARGET_URL_LENGTH} characters; use a shorter URL")]
    TooLong,
    /// The URL contains characters that programs interpret differently.
    #[error("must not contain spaces, control characters or backslashes; remove them or percent-encode them")]
    Characters,
    /// The text is not a URL with a host.
    #[error("must be a complete URL, such as https://hooks.example.com/dabba")]
    Malformed,
    /// The scheme is not allowed.
    #[error("must begin with https://, not with {}:{}", cut(.0), hint_for_scheme(.0))]
    Scheme(String),
    /// The URL contains a user name or a password. The text does not repeat it.
    #[error("must not contain a user name or a password; remove the @ and everything between :// and the @")]
    Credentials,
    /// The URL contains a fragment, which would not be sent.
    #[error("must not contain a fragment; remove the # and everything after it")]
    Fragment,
    /// The host's name is not a public domain name.
    #[error("must name its host by a public domain name, such as hooks.example.com, not {}{ALLOW_HINT}", cut(.0))]
    LocalName(String),
    /// The port is not allowed.
    #[error("must use port 443 or 8443, not {0}{ALLOW_HINT}")]
    Port(u16),
    /// The host is an address that is not public.
    #[error("must lead to a public address; {address} is {kind}{ALLOW_HINT}")]
    Address {
        /// The address.
        address: IpAddr,
        /// The kind of the address, with its article.
        kind: &'static str,
    },
}

/// Returns what an operator can do about a scheme: an allowed host may use http, and no other scheme.
fn hint_for_scheme(scheme: &str) -> &'static str {
    if scheme == "http" { ALLOW_HINT } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that debug output contains neither the token in a URL nor the body.
    #[test]
    fn debug_output_contains_no_token_and_no_body() {
        for url in ["https://h.example/token", "https://h.example?token", "https://h.example/?a=token"] {
            let url = TargetUrl::from_checked(url.to_owned());
            let request = EgressRequest { url, headers: Vec::new(), body: Bytes::from_static(b"token") };
            let shown = format!("{request:?}");
            assert!(shown.contains("https://h.example") && !shown.contains("token"), "{shown}");
        }
    }

    /// Proves that a time in the past means no delay, and that a duration is returned unchanged.
    #[test]
    fn a_delay_is_never_negative() {
        let now = Timestamp::from_second(1_000).unwrap();
        let at = |second| RetryAfter::At(Timestamp::from_second(second).unwrap()).delay_from(now);
        assert_eq!((at(1_030), at(900)), (Duration::from_secs(30), Duration::ZERO));
        assert_eq!(RetryAfter::Delay(Duration::from_secs(7)).delay_from(now), Duration::from_secs(7));
    }

    /// Proves that a long value is cut in a message.
    #[test]
    fn a_long_value_is_cut() {
        let text = EgressUrlError::LocalName("é".repeat(100)).to_string();
        assert!(text.contains(&format!("not {}…; ", "é".repeat(64))), "{text}");
    }

    /// Proves that a refusal names the setting that allows a host, if the setting would help.
    #[test]
    fn refusals_name_the_setting_for_operators() {
        let hint = "; an operator can allow the host in webhook_allowed_hosts";
        let address = EgressUrlError::Address { address: [10, 0, 0, 1].into(), kind: "a private address" };
        for error in [EgressUrlError::Scheme("http".to_owned()), EgressUrlError::Port(80), address] {
            assert!(error.to_string().ends_with(hint), "{error}");
        }
        let other = EgressUrlError::Scheme("ftp".to_owned()).to_string();
        assert_eq!(other, "must begin with https://, not with ftp:");
    }
}
