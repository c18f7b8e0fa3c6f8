//! The pages as browsers get them: paths, headers, tags, forms and refusals.

#![expect(clippy::unwrap_used, reason = "shared functions fail a test in the same way as the test itself")]

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderName, Method, Request, StatusCode, header},
};
use dabba_engine::{Engine, EngineConfig, ManualClock, Ports, SeededRandom};
use dabba_pages::{CONTENT_SECURITY_POLICY, Content, File, router};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_web::{Registry, SigningKey, Web, WebConfig};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// An id of a restaurant. No restaurant has it: the server does not ask.
const RESTAURANT: &str = "0198b2f4-0000-7000-8000-000000000000";
/// A digest with a leading zero, which a tag must keep.
const DIGEST: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
/// The tags of a file with this digest.
const IDENTITY_TAG: &str = "\"0123456789abcdef0123456789abcdef\"";
const BROTLI_TAG: &str = "\"0123456789abcdef0123456789abcdef-br\"";

const fn html(path: &'static str, identity: &'static [u8]) -> File {
    File { path, content_type: "text/html; charset=utf-8", digest: DIGEST, identity, brotli: Some(b"short") }
}

/// A build whose pages contain their names.
const BUILT: Content = Content::Built(&[
    html("console.html", b"the console"),
    html("kitchen.html", b"the board of the kitchen"),
    html("login.html", b"the login"),
    html("order.html", b"the ordering"),
    html("start.html", b"the start"),
    html("tracking.html", b"the tracking"),
    File {
        path: "assets/kitchen-B4xqTz1a.js",
        content_type: "text/javascript; charset=utf-8",
        digest: 1,
        identity: b"the script",
        brotli: Some(b"script"),
    },
    File {
        path: "assets/icons/bell-B4xqTz1a.png",
        content_type: "image/png",
        digest: 2,
        identity: b"the bell",
        brotli: None,
    },
    File {
        path: "sw.js",
        content_type: "text/javascript; charset=utf-8",
        digest: 3,
        identity: b"the service worker",
        brotli: None,
    },
    File {
        path: "manifest-kitchen.webmanifest",
        content_type: "application/manifest+json",
        digest: 4,
        identity: b"{}",
        brotli: None,
    },
]);

/// A response, read completely.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

struct Server {
    app: Router,
    _directory: TempDir,
}

impl Server {
    fn start(content: Content) -> Self {
        Self::start_with(content, |_| {})
    }

    fn start_with(content: Content, change: impl FnOnce(&mut WebConfig)) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("dabba.db");
        SqliteStore::migrate(&path).unwrap();
        let ports = Ports {
            store: Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap()),
            clock: Arc::new(ManualClock::new("2026-06-01T12:00:00Z".parse().unwrap())),
            random: Arc::new(SeededRandom::new(1)),
            gateway: None,
        };
        let engine = Engine::start(ports, EngineConfig::default());
        let mut config = WebConfig::new(SigningKey::from_bytes(&[7; SigningKey::MIN_BYTES]).unwrap());
        change(&mut config);
        let web = Web::new(engine, config, Registry::default());
        Self { app: router(web, content), _directory: directory }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "dabba.example");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1_000_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
        self.send(Method::GET, path, headers).await
    }
}

/// Proves that each path has its page, for any id and token, and that other paths have none. The names of pages are no paths.
#[tokio::test]
async fn each_path_has_its_page() {
    let server = Server::start(BUILT);
    for (path, body) in [
        ("/", "the start"),
        ("/login", "the login"),
        (&format!("/kitchen/{RESTAURANT}"), "the board of the kitchen"),
        ("/kitchen/not-an-id", "the board of the kitchen"),
        (&format!("/order/{RESTAURANT}?lang=hi"), "the ordering"),
        ("/t/3f0abcdefghijklmnopqrstuvwxyz012345", "the tracking"),
        ("/console", "the console"),
        ("/console/orders/7?status=created", "the console"),
        ("/assets/kitchen-B4xqTz1a.js", "the script"),
        ("/assets/icons/bell-B4xqTz1a.png", "the bell"),
        ("/sw.js", "the service worker"),
        ("/manifest-kitchen.webmanifest", "{}"),
    ] {
        let answer = server.get(path, &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, body), "{path}");
    }
    for path in [
        "/kitchen",
        "/kitchen/",
        "/kitchen/a/b",
        "/t/",
        "/t/token//",
        "/login//",
        "/login.html",
        "/kitchen.html",
        "/assets",
        "/assets/",
        "/assets/kitchen-00000000.js",
        "/assets/../sw.js",
        "/assets/%2e%2e/sw.js",
        "/assets/%ff",
        "/assets/icons",
        "/consolea",
        "/nothing.js",
    ] {
        let answer = server.get(path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), Some(dabba_web::problem::CONTENT_TYPE), "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"), "{path}");
    }
}

/// Proves that the path of a page with a slash at its end leads to the path without it, with the same query, whether the
/// pages are built or not.
#[tokio::test]
async fn a_slash_at_the_end_of_a_page_is_removed() {
    let kitchen = format!("/kitchen/{RESTAURANT}");
    for content in [BUILT, Content::Missing("npm was missing when the server was built")] {
        let server = Server::start(content);
        for (path, to) in [
            ("/login/", "/login"),
            (&format!("{kitchen}/"), &kitchen),
            ("/order/1/?lang=hi&table=4", "/order/1?lang=hi&table=4"),
            ("/t/token/", "/t/token"),
            ("/t/%2F%2Fexample.com/", "/t/%2F%2Fexample.com"),
            ("/console/", "/console"),
        ] {
            let answer = server.get(path, &[]).await;
            assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT, "{path}");
            assert_eq!(answer.header(header::LOCATION), Some(to), "{path}");
            assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"), "{path}");
        }
    }
}

/// Proves that every file has the policy of the design, word by word, and the other headers that protect pages.
#[tokio::test]
async fn every_file_has_the_headers_that_protect_pages() {
    let policy = [
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         manifest-src 'self';",
        "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script';",
        "trusted-types svelte-trusted-html dabba 'allow-duplicates'",
    ];
    assert_eq!(CONTENT_SECURITY_POLICY, policy.join(" "));
    let server = Server::start(BUILT);
    for path in ["/", "/t/token", "/sw.js", "/assets/kitchen-B4xqTz1a.js", "/manifest-kitchen.webmanifest"] {
        for has in [vec![], vec![(header::IF_NONE_MATCH, "*")]] {
            let answer = server.get(path, &has).await;
            for (name, value) in [
                ("content-security-policy", CONTENT_SECURITY_POLICY),
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{path}");
            }
            let permissions = answer.header("permissions-policy").unwrap();
            for (feature, allowed) in [
                ("fullscreen", "(self)"),
                ("screen-wake-lock", "(self)"),
                ("camera", "()"),
                ("geolocation", "()"),
                ("usb", "()"),
            ] {
                assert!(permissions.split(", ").any(|entry| entry == format!("{feature}={allowed}")));
            }
            assert_eq!(answer.headers.get_all("content-security-policy").iter().count(), 1);
        }
    }
}

/// Proves that browsers verify the files whose names stay, and keep the others for a year.
#[tokio::test]
async fn browsers_keep_the_files_with_a_hash_in_their_names() {
    let server = Server::start(BUILT);
    for (path, content_type, kept) in [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/kitchen/1", "text/html; charset=utf-8", "no-cache"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/manifest-kitchen.webmanifest", "application/manifest+json", "no-cache"),
        (
            "/assets/kitchen-B4xqTz1a.js",
            "text/javascript; charset=utf-8",
            "public, max-age=31536000, immutable",
        ),
        ("/assets/icons/bell-B4xqTz1a.png", "image/png", "public, max-age=31536000, immutable"),
    ] {
        let answer = server.get(path, &[]).await;
        assert_eq!(answer.header(header::CONTENT_TYPE), Some(content_type), "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), Some(kept), "{path}");
        let length = answer.body.len().to_string();
        assert_eq!(answer.header(header::CONTENT_LENGTH), Some(length.as_str()), "{path}");
    }
}

/// Proves that a file is sent compressed to callers that accept it, that each form has its tag, and that caches keep the forms
/// apart. A file without a compressed form does not depend on what the caller accepts.
#[tokio::test]
async fn each_form_has_its_tag() {
    let server = Server::start(BUILT);
    let brotli = (header::ACCEPT_ENCODING, "gzip, deflate, br");
    for (headers, body, tag, coding) in [
        (vec![], "the login", IDENTITY_TAG, None),
        (vec![(header::ACCEPT_ENCODING, "gzip")], "the login", IDENTITY_TAG, None),
        (vec![brotli.clone()], "short", BROTLI_TAG, Some("br")),
    ] {
        let answer = server.get("/login", &headers).await;
        assert_eq!(answer.body, body);
        assert_eq!(answer.header(header::ETAG), Some(tag));
        assert_eq!(answer.header(header::CONTENT_ENCODING), coding);
        assert_eq!(answer.header(header::VARY), Some("accept-encoding"));
    }
    let answer = server.get("/sw.js", &[brotli]).await;
    assert_eq!((answer.body.as_str(), answer.header(header::VARY)), ("the service worker", None));
    assert_eq!(answer.header(header::CONTENT_ENCODING), None);
}

/// Proves that a caller that has a form gets no body, and that the tag of the other form, of another file or of an earlier build
/// does not count.
#[tokio::test]
async fn a_known_form_is_not_sent_again() {
    let server = Server::start(BUILT);
    let (weak, listed) = (format!("W/{IDENTITY_TAG}"), format!("\"1\", {IDENTITY_TAG}"));
    for (accepted, has, is_known) in [
        ("gzip", IDENTITY_TAG, true),
        ("br", BROTLI_TAG, true),
        ("gzip", weak.as_str(), true),
        ("gzip", listed.as_str(), true),
        ("gzip", "*", true),
        ("br", IDENTITY_TAG, false),
        ("gzip", BROTLI_TAG, false),
        ("gzip", "\"00000000000000000000000000000001\"", false),
        ("gzip", "\"7\"", false),
    ] {
        let headers = [(header::ACCEPT_ENCODING, accepted), (header::IF_NONE_MATCH, has)];
        let answer = server.get("/kitchen/1", &headers).await;
        let expected = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        assert_eq!((answer.status, answer.body.is_empty()), (expected, is_known), "{accepted} {has}");
        let tag = if accepted == "br" { BROTLI_TAG } else { IDENTITY_TAG };
        assert_eq!(answer.header(header::ETAG), Some(tag));
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-cache"));
        assert_eq!(answer.header(header::VARY), Some("accept-encoding"));
    }
}

/// Proves that `HEAD` has the headers of `GET` without the body, and that other methods are refused.
#[tokio::test]
async fn only_reads_are_supported() {
    let server = Server::start(BUILT);
    for path in ["/", "/t/token", "/sw.js", "/assets/kitchen-B4xqTz1a.js"] {
        let (get, head) = (server.get(path, &[]).await, server.send(Method::HEAD, path, &[]).await);
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{path}");
        for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::ETAG, header::CACHE_CONTROL] {
            assert_eq!(head.header(&name), get.header(&name), "{path} {name}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = server.send(method.clone(), path, &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header(header::ALLOW), Some("GET,HEAD"));
        }
    }
}

/// Proves that a page does not depend on who asks: a session, a token and none get the same response, so that a cache and a link
/// from mail work.
#[tokio::test]
async fn no_page_depends_on_the_caller() {
    let server = Server::start(BUILT);
    for path in
        ["/", "/login", "/kitchen/1", "/t/token", "/console", "/order/1", "/assets/kitchen-B4xqTz1a.js"]
    {
        let expected = server.get(path, &[]).await;
        for credentials in [
            (header::COOKIE, "dabba=forged; __Host-dabba=forged"),
            (header::AUTHORIZATION, "Bearer forged"),
            (header::ORIGIN, "https://elsewhere.example"),
        ] {
            let answer = server.get(path, &[credentials]).await;
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &expected.body), "{path}");
            assert_eq!(answer.header(header::SET_COOKIE), None, "{path}");
            assert_eq!(answer.header(header::VARY), expected.header(header::VARY), "{path}");
        }
    }
}

/// Proves that the pages are served under the same hosts as the API.
#[tokio::test]
async fn the_pages_have_the_hosts_of_the_api() {
    for (allowed, status) in
        [("dabba.example", StatusCode::OK), ("other.example", StatusCode::MISDIRECTED_REQUEST)]
    {
        let server = Server::start_with(BUILT, |config| config.allowed_hosts = vec![allowed.to_owned()]);
        for path in ["/", "/sw.js", "/assets/kitchen-B4xqTz1a.js"] {
            assert_eq!(server.get(path, &[]).await.status, status, "{path}");
        }
    }
}

/// Proves that without a build, each page states the reason in words and as a failure of the server, and that nothing else
/// exists.
#[tokio::test]
async fn missing_pages_are_explained() {
    let server = Server::start(Content::Missing("npm was missing when the server was built"));
    for path in ["/", "/login", "/kitchen/1", "/t/token", "/console", "/console/orders", "/order/1"] {
        let answer = server.get(path, &[]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(answer.header(header::CONTENT_SECURITY_POLICY), Some(CONTENT_SECURITY_POLICY));
        assert!(answer.body.contains("npm was missing when the server was built"), "{}", answer.body);
        assert!(answer.body.contains(answer.header("x-request-id").unwrap()), "{}", answer.body);
        // The policy forbids both.
        assert!(!answer.body.contains("style") && !answer.body.contains("script"), "{}", answer.body);
    }
    for path in ["/sw.js", "/assets/kitchen-B4xqTz1a.js", "/v1/orders"] {
        assert_eq!(server.get(path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// Proves that a binary with pages has all of them, and that they obey the policy as far as a text shows it: nothing is inside
/// a page that the policy forbids, and all that a page names is there.
#[tokio::test]
async fn the_embedded_pages_are_complete() {
    let server = Server::start(Content::EMBEDDED);
    let expected =
        if Content::EMBEDDED.is_built() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    for path in ["/", "/login", "/kitchen/1", "/t/token", "/console", "/order/1"] {
        let page = server.get(path, &[]).await;
        assert_eq!(page.status, expected, "{path}");
        for forbidden in ["<style", " style=", " onclick=", " onload=", "<script>", "http://", "https://"] {
            assert!(!page.body.contains(forbidden), "{path} contains {forbidden}");
        }
        for attribute in ["src=\"", "href=\""] {
            for reference in page.body.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(reference.starts_with('/'), "{path}: {reference} depends on the path of the page");
                assert_eq!(server.get(reference, &[]).await.status, StatusCode::OK, "{path}: {reference}");
            }
        }
    }
}
