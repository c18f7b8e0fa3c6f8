//! The cookie of a session: how requests and responses contain it, and which requests may use it.
//!
//! Over HTTPS the cookie is `__Host-dabba`: browsers accept this name only with `Secure` from this host itself, so neither another
//! host of the domain nor plain HTTP can plant a cookie. On plain HTTP it is `dabba`, which is accepted only where the request does
//! not cross a network, or where the operator allows it.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use dabba_engine::SecretToken;

use crate::{
    Transport, WebConfig, address, code,
    headers::{FORWARDED_PROTO, SEC_FETCH_SITE, is_passed_on},
    hygiene::host_name,
    problem::{Problem, Result},
};

/// Name of the cookie over HTTPS.
pub const SECURE_COOKIE: &str = "__Host-dabba";
/// Name of the cookie over plain HTTP.
pub const PLAIN_COOKIE: &str = "dabba";
/// `Max-Age` of the cookie, in seconds: 400 days, the maximum of browsers. The server alone decides when a session ends: uses extend
/// it, and a browser would not learn of that.
const MAX_AGE_SECONDS: u32 = 400 * 24 * 3_600;

/// Maximum number of sessions that a login or a logout ends: those of the first cookies of the request. A browser sends more than
/// one such cookie only if the server was called on both ways, or if another program has set one.
const MAX_ENDED_SESSIONS: usize = 8;

/// The way on which a request arrived, as far as a session depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// HTTPS, to this server or to a trusted proxy.
    Https,
    /// Plain HTTP within the client's machine: the client calls the server by a name or an address of the loopback interface.
    Loopback,
    /// Plain HTTP over a network.
    Plain,
}

impl Channel {
    /// Returns the way on which a request arrived. Only a trusted proxy may state that its client uses HTTPS. A request that a
    /// proxy has passed on is not from the loopback interface, although proxies often call the server by such an address. A proxy
    /// that states nothing is recognized by its address, if it is trusted.
    pub(crate) fn of(parts: &Parts, config: &WebConfig) -> Self {
        let Parts { headers, extensions, .. } = parts;
        let is_from_proxy = address::is_from_proxy(extensions, &config.trusted_proxies);
        if Transport::of(extensions).is_encrypted() || is_from_proxy && states_https(headers) {
            Self::Https
        } else if host(parts).is_some_and(is_loopback) && !is_from_proxy && !is_passed_on(headers) {
            Self::Loopback
        } else {
            Self::Plain
        }
    }

    /// Returns the way on which a login arrived. A login of a page over HTTPS came through a proxy, also if the proxy states nothing:
    /// this server shows no such page on the loopback interface.
    pub(crate) fn of_login(parts: &Parts, config: &WebConfig) -> Self {
        match Self::of(parts, config) {
            Self::Loopback if is_of_https_page(&parts.headers) => Self::Plain,
            channel => channel,
        }
    }

    /// Returns whether sessions are allowed on this way.
    pub(crate) const fn allows_sessions(self, config: &WebConfig) -> bool {
        matches!(self, Self::Https | Self::Loopback) || config.insecure_sessions
    }

    const fn cookie_name(self) -> &'static str {
        match self {
            Self::Https => SECURE_COOKIE,
            Self::Loopback | Self::Plain => PLAIN_COOKIE,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Loopback | Self::Plain => "http",
        }
    }

    /// Returns the value of `Set-Cookie` that gives a browser the secret of a session.
    pub(crate) fn set_cookie(self, secret: &SecretToken) -> Result<HeaderValue> {
        self.cookie(&secret.expose(), MAX_AGE_SECONDS)
    }

    /// Returns the value of `Set-Cookie` that removes the cookie.
    pub(crate) fn clear_cookie(self) -> Result<HeaderValue> {
        self.cookie("", 0)
    }

    fn cookie(self, value: &str, max_age: u32) -> Result<HeaderValue> {
        let secure = if self == Self::Https { "; Secure" } else { "" };
        let name = self.cookie_name();
        let text = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| Problem::internal("a cookie is not a valid header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Returns the names and values of a request's cookies of sessions, in the request's order. Other programs of the host may have
/// set cookies with any bytes, so each pair is read on its own.
fn session_cookies(parts: &Parts) -> impl Iterator<Item = (&str, &str)> {
    let values = parts.headers.get_all(header::COOKIE).iter();
    let pairs = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.filter(|(name, _)| [SECURE_COOKIE, PLAIN_COOKIE].contains(name))
}

/// Returns the text in the cookie of a session, if the request has one that counts on its way. The first cookie with the name of the
/// way counts, also if later ones with this name are different: browsers send the cookie with the longest path first, and after
/// that the oldest one.
pub(crate) fn session_cookie<'a>(parts: &'a Parts, config: &WebConfig) -> Option<&'a str> {
    // Most requests have no cookie.
    if !parts.headers.contains_key(header::COOKIE) {
        return None;
    }
    let channel = Channel::of(parts, config);
    if !channel.allows_sessions(config) {
        return None;
    }
    session_cookies(parts).find(|(name, _)| *name == channel.cookie_name()).map(|(_, value)| value)
}

/// Returns the different secrets in all cookies of sessions of a request, for a login or a logout: first those with the name of the
/// request's way, and at most [`MAX_ENDED_SESSIONS`]. Each of these sessions ends, because the client may send its cookie on another
/// way; also on a way on which sessions are not allowed, because nobody but the client loses anything.
pub(crate) fn session_secrets(parts: &Parts, config: &WebConfig) -> Vec<SecretToken> {
    let channel = Channel::of(parts, config);
    let (of_way, others): (Vec<_>, Vec<_>) =
        session_cookies(parts).partition(|(name, _)| *name == channel.cookie_name());
    let mut secrets = Vec::new();
    for secret in of_way.into_iter().chain(others).filter_map(|(_, value)| SecretToken::parse(value)) {
        if secrets.len() == MAX_ENDED_SESSIONS {
            break;
        }
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    secrets
}

/// Refuses a login on a way on which a network could read the cookie.
pub(crate) fn check_login(channel: Channel, config: &WebConfig) -> Result<()> {
    if channel.allows_sessions(config) {
        return Ok(());
    }
    Err(Problem::new(
        code::INSECURE_LOGIN,
        "Login is refused because this connection is not encrypted: anyone on the network could read the password and the \
         session. Use an address that begins with https://. Operators: serve HTTPS, or let a proxy in trusted_proxies serve it \
         and send X-Forwarded-Proto: https; in a network that you trust, the setting insecure_sessions = true allows this login.",
    ))
}

/// Refuses a request that uses the cookie of a session and that another site may have caused: an unsafe method needs proof that
/// the server's own page sent it. A stream is refused if the request comes from another site. Browsers state nothing about a
/// stream over plain HTTP from another host: they send neither `Sec-Fetch-Site` nor, for the same origin, `Origin`.
pub(crate) fn check_by_cookie(parts: &Parts, config: &WebConfig, is_stream: bool) -> Result<()> {
    let is_refused = match is_same_origin(parts, config) {
        Some(is_same_origin) => !is_same_origin && (is_stream || !parts.method.is_safe()),
        None => !parts.method.is_safe(),
    };
    if is_refused { Err(cross_site(&parts.method)) } else { Ok(()) }
}

/// Refuses a request about the session itself that a browser sent for another site. Clients other than browsers prove nothing.
pub(crate) fn check_not_cross_site(parts: &Parts, config: &WebConfig) -> Result<()> {
    let is_cross_site = !parts.method.is_safe() && is_same_origin(parts, config) == Some(false);
    if is_cross_site { Err(cross_site(&parts.method)) } else { Ok(()) }
}

fn cross_site(method: &Method) -> Problem {
    Problem::new(
        code::CROSS_SITE_REQUEST,
        format!(
            "The session cookie is accepted for {method} only from this server's own pages: the header Sec-Fetch-Site must be \
             same-origin or, without that header, Origin must be this server's scheme and host, which a proxy must \
             pass on in Host, with the port. Other clients send Authorization: Bearer TOKEN in place of the cookie."
        ),
    )
}

/// Returns whether a page of this server sent the request; `None` if the client does not tell.
fn is_same_origin(parts: &Parts, config: &WebConfig) -> Option<bool> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    if let Some(site) = parts.headers.get(&SEC_FETCH_SITE) {
        return Some(text(site) == "same-origin");
    }
    let origin = text(parts.headers.get(header::ORIGIN)?);
    let own = authority(parts).map(|host| format!("{}://{host}", Channel::of(parts, config).scheme()));
    Some(own.is_some_and(|own| own.eq_ignore_ascii_case(&origin)))
}

/// Returns whether a page that the browser loaded over HTTPS sent the request.
fn is_of_https_page(headers: &HeaderMap) -> bool {
    let scheme = |value: &HeaderValue| value.as_bytes().get(..8).map(<[u8]>::to_ascii_lowercase);
    headers.get_all(header::ORIGIN).iter().any(|value| scheme(value).as_deref() == Some(b"https://"))
}

/// Returns the host and the port by which the client calls the server.
fn authority(parts: &Parts) -> Option<&str> {
    let of_target = parts.uri.authority().map(axum::http::uri::Authority::as_str);
    of_target.or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
}

fn host(parts: &Parts) -> Option<&str> {
    host_name(authority(parts)?)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = |name: &str| name.eq_ignore_ascii_case("localhost");
    address.parse::<IpAddr>().map_or_else(
        // Every name below `localhost` is the loopback interface, too (RFC 6761, section 6.3).
        |_| is_name(host.rsplit('.').next().unwrap_or_default()),
        |address| address.to_canonical().is_loopback(),
    )
}

fn states_https(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(&FORWARDED_PROTO).iter().peekable();
    values.peek().is_some()
        && values
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .all(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{extract::ConnectInfo, http::Request};

    use super::*;
    use crate::SigningKey;

    fn config(change: impl FnOnce(&mut WebConfig)) -> WebConfig {
        let mut config = WebConfig::new(SigningKey::from_bytes(&[7; SigningKey::MIN_BYTES]).unwrap());
        config.trusted_proxies = vec!["10.0.0.7".parse().unwrap()];
        change(&mut config);
        config
    }

    fn parts(method: Method, peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/v1/session");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let peer: SocketAddr = format!("{peer}:1234").parse().unwrap();
        parts.extensions.insert(ConnectInfo(peer));
        parts
    }

    /// Proves which requests count as encrypted, and which as local.
    #[test]
    fn the_way_of_a_request_is_recognized() {
        use Channel::{Https, Loopback, Plain};
        let https = ("x-forwarded-proto", "https");
        for (peer, headers, channel) in [
            ("127.0.0.1", &[("host", "localhost:8080")][..], Loopback),
            ("127.0.0.1", &[("host", "LOCALHOST")], Loopback),
            ("127.0.0.1", &[("host", "till.localhost")], Loopback),
            ("127.0.0.1", &[("host", "127.8.9.1:80")], Loopback),
            ("[::1]", &[("host", "[::1]:8080")], Loopback),
            ("127.0.0.1", &[("host", "dabba.example.org")], Plain),
            ("127.0.0.1", &[("host", "localhost.example.org")], Plain),
            ("127.0.0.1", &[("host", "127.0.0.1.example.org")], Plain),
            ("192.0.2.1", &[("host", "192.0.2.9")], Plain),
            ("127.0.0.1", &[], Plain),
            // A proxy that is not trusted states nothing, and makes the request no local one.
            ("127.0.0.1", &[("host", "localhost"), https], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-forwarded-host", "example.org")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-forwarded-port", "443")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-forwarded-server", "proxy")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("forwarded", "for=192.0.2.1")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("via", "1.1 proxy")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-real-ip", "192.0.2.1")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-client-ip", "192.0.2.1")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("true-client-ip", "192.0.2.1")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("cf-connecting-ip", "192.0.2.1")], Plain),
            ("127.0.0.1", &[("host", "localhost"), ("x-original-host", "example.org")], Plain),
            // A trusted proxy that states nothing.
            ("10.0.0.7", &[("host", "localhost:8080")], Plain),
            ("10.0.0.7", &[("host", "127.0.0.1:8080"), https], Https),
            ("10.0.0.7", &[("host", "dabba.example.org"), https], Https),
            ("10.0.0.7", &[("host", "dabba.example.org"), ("x-forwarded-proto", "HTTPS, https")], Https),
            ("10.0.0.7", &[("host", "dabba.example.org"), https, ("x-forwarded-proto", "http")], Plain),
            ("10.0.0.7", &[("host", "dabba.example.org"), ("x-forwarded-proto", "http")], Plain),
            ("10.0.0.7", &[("host", "dabba.example.org")], Plain),
            ("10.0.0.8", &[("host", "dabba.example.org"), https], Plain),
        ] {
            let found = Channel::of(&parts(Method::GET, peer, headers), &config(|_| {}));
            assert_eq!(found, channel, "{peer} {headers:?}");
        }
        let mut over_tls = parts(Method::GET, "192.0.2.1", &[("host", "dabba.example.org")]);
        over_tls.extensions.insert(Transport::Tls);
        assert_eq!(Channel::of(&over_tls, &config(|_| {})), Https);
    }

    /// Proves that a login of a page over HTTPS is not local, whatever the server is called by, and that the login is refused.
    #[test]
    fn a_login_of_a_page_over_https_is_not_local() {
        use Channel::{Https, Loopback, Plain};
        let (strict, insecure) = (config(|_| {}), config(|config| config.insecure_sessions = true));
        for (peer, origin, more, channel) in [
            ("127.0.0.1", "https://dabba.example.org", None, Plain),
            ("127.0.0.1", "HTTPS://localhost:8080", None, Plain),
            ("127.0.0.1", "http://localhost:8080", None, Loopback),
            ("127.0.0.1", "https:", None, Loopback),
            ("127.0.0.1", "null", None, Loopback),
            ("10.0.0.7", "https://dabba.example.org", None, Plain),
            ("10.0.0.7", "https://dabba.example.org", Some(("x-forwarded-proto", "https")), Https),
        ] {
            let headers: Vec<_> =
                [("host", "localhost:8080"), ("origin", origin)].into_iter().chain(more).collect();
            let found = Channel::of_login(&parts(Method::POST, peer, &headers), &strict);
            assert_eq!(found, channel, "{peer} {headers:?}");
            assert_eq!(check_login(found, &strict).is_ok(), channel != Plain);
            check_login(found, &insecure).unwrap();
        }
    }

    /// Proves that only the cookie of the request's way counts, and that the flags of the cookie fit the way.
    #[test]
    fn the_cookie_fits_the_way() {
        let both = ("cookie", "a=b; __Host-dabba=secure;dabba=plain; c");
        let local = parts(Method::GET, "127.0.0.1", &[("host", "localhost"), both]);
        let plain = parts(Method::GET, "192.0.2.1", &[("host", "example.org"), both]);
        let mut https = plain.clone();
        https.extensions.insert(Transport::Tls);
        let (strict, insecure) = (config(|_| {}), config(|config| config.insecure_sessions = true));
        assert_eq!(session_cookie(&local, &strict), Some("plain"));
        assert_eq!(session_cookie(&https, &strict), Some("secure"));
        assert_eq!(session_cookie(&plain, &strict), None);
        assert_eq!(session_cookie(&plain, &insecure), Some("plain"));
        let split = [("host", "localhost"), ("cookie", "x=1"), ("cookie", "dabba=second")];
        assert_eq!(session_cookie(&parts(Method::GET, "127.0.0.1", &split), &strict), Some("second"));
        let twice = [("host", "localhost"), ("cookie", "dabba=first; dabba=second")];
        assert_eq!(session_cookie(&parts(Method::GET, "127.0.0.1", &twice), &strict), Some("first"));
        let other = [("host", "localhost"), ("cookie", "xdabba=1; dabba2=2; DABBA=3")];
        assert_eq!(session_cookie(&parts(Method::GET, "127.0.0.1", &other), &strict), None);

        let set = Channel::Https.cookie("value", 9).unwrap();
        assert_eq!(set, "__Host-dabba=value; Path=/; Max-Age=9; HttpOnly; SameSite=Strict; Secure");
        let set = Channel::Loopback.cookie("value", 9).unwrap();
        assert_eq!(set, "dabba=value; Path=/; Max-Age=9; HttpOnly; SameSite=Strict");
        let refused = check_login(Channel::Plain, &strict).unwrap_err();
        assert_eq!(refused.code(), code::INSECURE_LOGIN);
        for allowed in [Channel::Https, Channel::Loopback] {
            check_login(allowed, &strict).unwrap();
        }
        check_login(Channel::Plain, &insecure).unwrap();
    }

    /// Proves which sessions a login or a logout ends: those of all cookies, with the one that counts first, each once, up to the
    /// limit; also on a way on which sessions are not allowed, and beside cookies in another encoding.
    #[test]
    fn all_cookies_name_sessions_that_end() {
        let secret = |letter: char| letter.to_string().repeat(42) + "A";
        let (plain, secure, other) = (secret('p'), secret('s'), secret('o'));
        let cookies = format!(
            "__Host-dabba={secure}; dabba={plain}; dabba=malformed; a=b; dabba={plain}; dabba={other}"
        );
        let found = |peer: &str, host: &str, transport: Transport, cookies: &str| {
            let mut parts = parts(Method::DELETE, peer, &[("host", host), ("cookie", cookies)]);
            parts.extensions.insert(transport);
            let secrets = session_secrets(&parts, &config(|_| {}));
            secrets.iter().map(SecretToken::expose).collect::<Vec<_>>()
        };
        let local = found("127.0.0.1", "localhost", Transport::Plain, &cookies);
        assert_eq!(local, [plain.clone(), other.clone(), secure.clone()]);
        assert_eq!(found("192.0.2.1", "example.org", Transport::Tls, &cookies), [secure, plain, other]);
        let network = found("192.0.2.1", "example.org", Transport::Plain, &cookies);
        assert_eq!(network, local);
        let latin1 = HeaderValue::from_bytes(&[b"n=\xe9; ", cookies.as_bytes()].concat()).unwrap();
        let mut parts = parts(Method::DELETE, "127.0.0.1", &[("host", "localhost")]);
        parts.headers.insert(header::COOKIE, latin1);
        assert_eq!(session_secrets(&parts, &config(|_| {})).len(), 3);
        assert_eq!(session_cookie(&parts, &config(|_| {})), Some(&*local[0]));
        let many: Vec<_> = ('a'..='z').map(|letter| format!("dabba={}", secret(letter))).collect();
        let many = found("127.0.0.1", "localhost", Transport::Plain, &many.join("; "));
        assert_eq!((many.len(), &many[0]), (MAX_ENDED_SESSIONS, &secret('a')));
    }

    /// Proves the table of requests with a cookie that another site may have caused.
    #[test]
    fn requests_of_other_sites_are_refused() {
        let site = |value| ("sec-fetch-site", value);
        let origin = |value| ("origin", value);
        // Headers; whether an unsafe request by cookie passes; whether a request about the session passes.
        for (headers, by_cookie, login) in [
            (&[][..], false, true),
            (&[site("same-origin")], true, true),
            (&[site("same-site")], false, false),
            (&[site("cross-site")], false, false),
            (&[site("none")], false, false),
            (&[site("Same-Origin ")], false, false),
            (&[site("same-origin"), origin("https://evil.example")], true, true),
            (&[site("cross-site"), origin("http://localhost:8080")], false, false),
            (&[origin("http://localhost:8080")], true, true),
            (&[origin("HTTP://LOCALHOST:8080")], true, true),
            (&[origin("https://localhost:8080")], false, false),
            (&[origin("http://localhost")], false, false),
            (&[origin("http://localhost:80801")], false, false),
            (&[origin("null")], false, false),
        ] {
            let config = config(|_| {});
            let headers = [&[("host", "localhost:8080")], headers].concat();
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let parts = parts(method, "127.0.0.1", &headers);
                assert_eq!(check_by_cookie(&parts, &config, false).is_ok(), by_cookie, "{headers:?}");
                assert_eq!(check_not_cross_site(&parts, &config).is_ok(), login, "{headers:?}");
            }
            let parts = parts(Method::GET, "127.0.0.1", &headers);
            check_by_cookie(&parts, &config, false).unwrap();
            check_not_cross_site(&parts, &config).unwrap();
            let stream = check_by_cookie(&parts, &config, true);
            assert_eq!(stream.is_ok(), login, "{headers:?}");
            assert!(stream.is_ok() || stream.unwrap_err().code() == code::CROSS_SITE_REQUEST);
        }
    }
}
