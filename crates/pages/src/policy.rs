//! The headers with which browsers protect the pages.
//!
//! `dabba-web` adds those that every response has, such as `Referrer-Policy: no-referrer`: the path of a tracking page
//! contains a secret.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Content security policy of every file, also of scripts: a service worker has the policy of its own response.
///
/// The pages are scripts and styles of this server. They set no HTML but through the policies named here: Svelte's, and the
/// policy `dabba`, which creates the URL of the service worker and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types svelte-trusted-html dabba 'allow-duplicates'";

/// Features of browsers that the pages use: the board rings, fills the screen and keeps it on. The other powerful features are
/// off, so that a script that gets into a page cannot use them. Chromium writes a warning into its console about a name that it
/// does not know, so this list has only names that it knows.
const PERMISSIONS_POLICY: &str = "autoplay=(self), fullscreen=(self), screen-wake-lock=(self), accelerometer=(), camera=(), \
    clipboard-read=(), display-capture=(), encrypted-media=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), \
    idle-detection=(), keyboard-map=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), serial=(), storage-access=(), \
    sync-xhr=(), usb=(), window-management=(), xr-spatial-tracking=()";

/// Permissions of a page (W3C, Permissions Policy).
static PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
/// Isolation of a page's window from windows of other origins (HTML, cross-origin opener policies).
static OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Adds the headers.
pub(crate) fn protect(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(PERMISSIONS.clone(), HeaderValue::from_static(PERMISSIONS_POLICY));
    headers.insert(OPENER.clone(), HeaderValue::from_static("same-origin"));
}
