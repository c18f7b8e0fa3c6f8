//! Whole faces in one file: routes, a body with its schema, credentials and an error format of its own. They need
//! nothing of Dabba's own API, which proves that `dabba-web` is enough for another face.

#![expect(clippy::unwrap_used, reason = "shared functions fail a test in the same way as the test itself")]

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use dabba_domain::{AccountId, Bucket, Role, Timestamp};
use dabba_engine::{
    Engine, EngineConfig, ManualClock, PasswordCost, Ports, Principal, Registration, SeededRandom,
};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_web::{
    Admission, Face, Hosts, JsonFace, Problem, ProblemBody, Rate, Registry, Result, Schemas, SigningKey, Web,
    WebConfig, code,
    extract::{Caller, CurrentSession, EndingSession, JsonBody, LoginRequest},
    issue_token, layered,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use utoipa::ToSchema;

/// Password of each account.
const PASSWORD: &str = "long enough to be a password";

/// Media type of this face's problems.
const PROBLEM: &str = "application/vnd.kiosk.problem+json";

/// The state of a kiosk's routes.
struct Kiosk {
    web: Arc<Web>,
    schemas: Schemas,
}

impl Face for Kiosk {
    fn web(&self) -> &Web {
        &self.web
    }

    fn token_operation(&self) -> &'static str {
        "PUT /kiosk/login"
    }

    fn problem_body(&self, problem: &Problem, request_id: &str) -> ProblemBody {
        let body = json!({
            "why": problem.code().as_str(), "text": problem.detail(), "request": request_id,
            "places": problem.member("errors"),
        });
        ProblemBody { content_type: HeaderValue::from_static(PROBLEM), bytes: body.to_string().into_bytes() }
    }
}

impl JsonFace for Kiosk {
    fn schemas(&self) -> &Schemas {
        &self.schemas
    }
}

/// A label to print.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Label {
    colour: String,
    copies: u32,
}

fn schemas() -> Schemas {
    let label = json!({
        "type": "object", "required": ["colour", "copies"],
        "properties": {
            "colour": {"type": "string"}, "copies": {"type": "integer", "minimum": 1, "maximum": 9},
        },
    });
    let check_text = |schema: &str, member: &str, text: &str| match (schema, member) {
        ("Label", "colour") if text != "red" => Some(Err(format!("must be red, not {text}"))),
        _ => None,
    };
    Schemas::new([("Label".to_owned(), label)].into_iter().collect(), check_text, &[])
}

async fn print(
    State(_): State<Arc<Kiosk>>,
    Caller(caller): Caller,
    JsonBody(label): JsonBody<Label>,
) -> Result<String> {
    Ok(format!("{} {} for {}", label.copies, label.colour, caller.account_id))
}

/// The caller, identified by this face's own credentials: the account's id in a header.
struct Badge(Principal);

impl FromRequestParts<Arc<Kiosk>> for Badge {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kiosk: &Arc<Kiosk>) -> Result<Self> {
        let id = parts.headers.get("badge").and_then(|badge| badge.to_str().ok()?.parse().ok());
        let Some(id) = id else { return Err(Problem::unauthenticated("Badge must be an account's id.")) };
        let caller = Principal::new(id, Role::Customer);
        match kiosk.web.admit(&caller, kiosk.web.engine().now(), parts).await? {
            Admission::Admitted => Ok(Self(caller)),
            Admission::Revoked => Err(Problem::new(code::TOKEN_REVOKED, "The badge is revoked.")),
        }
    }
}

/// Logs in with a session: the face decides who may. Here everyone is a customer whose name is the body.
async fn open(State(kiosk): State<Arc<Kiosk>>, login: LoginRequest, email: String) -> Result<Response> {
    let accounts = &kiosk.web.engine().accounts;
    let account = accounts.authenticate(&email, PASSWORD.to_owned()).await;
    let account = account.map_err(|error| Problem::of_error(error).unwrap())?;
    let logged_in = accounts.log_in(account, login.user_agent.as_deref()).await;
    let logged_in = logged_in.map_err(|error| Problem::of_error(error).unwrap())?;
    Ok(([(header::SET_COOKIE, login.set_cookie(&logged_in.secret)?)], ()).into_response())
}

async fn read(current: CurrentSession) -> Result<Response> {
    let account = current.session.principal.account_id.to_string();
    Ok(([(header::SET_COOKIE, current.renew_cookie()?)], account).into_response())
}

async fn close(State(kiosk): State<Arc<Kiosk>>, ending: EndingSession) -> Result<Response> {
    for session in &ending.sessions {
        kiosk.web.engine().accounts.log_out(session).await.unwrap();
    }
    Ok(([(header::SET_COOKIE, ending.clear_cookie()?)], ()).into_response())
}

async fn ring(Badge(caller): Badge) -> String {
    caller.account_id.to_string()
}

/// Another face, with no body and the usual format of problems.
struct Bell(Arc<Web>);

impl Face for Bell {
    fn web(&self) -> &Web {
        &self.0
    }

    fn token_operation(&self) -> &'static str {
        "PUT /bell/login"
    }
}

async fn ring_bell(Caller(caller): Caller) -> String {
    caller.account_id.to_string()
}

/// A server with both faces on one listener.
struct Server {
    app: Router,
    engine: Arc<Engine>,
    key: SigningKey,
    _directory: TempDir,
}

impl Server {
    fn start(change: impl FnOnce(&mut WebConfig)) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("dabba.db");
        SqliteStore::migrate(&path).unwrap();
        let ports = Ports {
            store: Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap()),
            clock: Arc::new(ManualClock::new("2026-06-01T12:00:00Z".parse().unwrap())),
            random: Arc::new(SeededRandom::new(1)),
            gateway: None,
        };
        let engine = Engine::start(
            ports,
            EngineConfig { password_cost: PasswordCost::MIN, ..EngineConfig::default() },
        );
        let key = SigningKey::from_bytes(&[7; SigningKey::MIN_BYTES]).unwrap();
        let mut config = WebConfig::new(key.clone());
        change(&mut config);
        let web = Web::new(Arc::clone(&engine), config, Registry::default());
        let bell = Arc::new(Bell(Arc::clone(&web)));
        let bell = layered(Router::new().route("/bell", post(ring_bell)), &bell, Hosts::default());
        let kiosk = Arc::new(Kiosk { web, schemas: schemas() });
        let routes = Router::new()
            .route("/kiosk/labels", post(print))
            .route("/kiosk/bell", post(ring))
            .route("/kiosk/session", get(read).post(open).delete(close));
        let app = layered(routes, &kiosk, Hosts::default()).fallback_service(bell);
        Self { app, engine, key, _directory: directory }
    }

    fn token_of(&self, caller: &Principal) -> (&'static str, String) {
        bearer(&issue_token(&self.key, caller, self.engine.now(), Duration::from_mins(1)))
    }

    async fn send(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        body: &Value,
    ) -> (StatusCode, HeaderMap, String) {
        self.send_text(Method::POST, path, headers, body.to_string()).await
    }

    async fn send_text(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path);
        let mut request = request.header("host", "localhost").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1_000_000).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn account(number: u16) -> AccountId {
    AccountId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(number.into()), number.into())
}

fn customer() -> Principal {
    Principal::new(account(1), Role::Customer)
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

fn label() -> Value {
    json!({"colour": "red", "copies": 2})
}

/// Proves that a face authenticates callers by bearer tokens, and that the problems name the face's own operation.
#[tokio::test]
async fn callers_are_authenticated() {
    let server = Server::start(|_| {});
    let token = server.token_of(&customer());
    let (status, _, text) = server.send("/kiosk/labels", &[token], &label()).await;
    assert_eq!((status, text), (StatusCode::OK, format!("2 red for {}", customer().account_id)));
    let invalid = "Bearer error=\"invalid_token\", error_description=\"the token is not valid; get a new one with PUT \
                   /kiosk/login\"";
    for (headers, challenge) in [(vec![], "Bearer"), (vec![bearer("forged")], invalid)] {
        let (status, headers, text) = server.send("/kiosk/labels", &headers, &label()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(headers["www-authenticate"], challenge);
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["why"], "unauthenticated");
        assert!(problem["text"].as_str().unwrap().contains("PUT /kiosk/login"), "{text}");
    }
}

/// Proves that problems have the face's own format, and that the face's schemas and rules find every problem of a body.
#[tokio::test]
async fn problems_have_the_format_of_the_face() {
    let server = Server::start(|_| {});
    let token = [server.token_of(&customer())];
    let wrong = json!({"colour": "blue", "copies": 10, "size": 1});
    let (status, headers, text) = server.send("/kiosk/labels", &token, &wrong).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (StatusCode::UNPROCESSABLE_ENTITY, PROBLEM)
    );
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        problem["places"],
        json!([
            {"pointer": "/colour", "detail": "must be red, not blue"},
            {"pointer": "/copies", "detail": "must be a whole number from 1 to 9, not 10"},
            {"pointer": "/size", "detail": "is unknown; allowed are colour, copies"},
        ])
    );
    assert_eq!(headers["x-request-id"], problem["request"].as_str().unwrap());

    let large = json!({"colour": " ".repeat(dabba_web::MAX_BODY_BYTES)});
    let (status, _, text) = server.send("/kiosk/labels", &token, &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("The body must have at most 65536 bytes."), "{text}");
}

/// Proves that writes spend from the account's budget, whatever the credentials, and that responses report the budget.
#[tokio::test]
async fn limits_hold_for_all_credentials_of_an_account() {
    let rate = Rate { requests: NonZeroU32::new(2).unwrap(), per: Duration::from_mins(1) };
    let server = Server::start(|config| config.rate_limits.customers.writes = Some(rate));
    let token = [server.token_of(&customer())];
    let badge = [("badge", customer().account_id.to_string())];
    let (status, headers, _) = server.send("/kiosk/labels", &token, &label()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers["ratelimit"].to_str().unwrap().starts_with("\"writes\";r=1;t=30"), "{headers:?}");
    let (status, _, text) = server.send("/kiosk/bell", &badge, &json!({})).await;
    assert_eq!((status, text), (StatusCode::OK, customer().account_id.to_string()));
    for (path, credentials) in [("/kiosk/labels", &token), ("/kiosk/bell", &badge)] {
        let (status, headers, text) = server.send(path, credentials, &label()).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(headers["retry-after"], "30");
        assert!(text.contains("too_many_requests"), "{text}");
    }
}

/// Proves that two faces on one listener keep their own formats and operations, and share the budgets of accounts.
#[tokio::test]
async fn two_faces_share_a_listener_and_the_budgets() {
    let rate = Rate { requests: NonZeroU32::new(2).unwrap(), per: Duration::from_mins(1) };
    let server = Server::start(|config| config.rate_limits.customers.writes = Some(rate));
    for path in ["/bell", "/elsewhere"] {
        let (_, headers, text) = server.send(path, &[], &label()).await;
        assert_eq!(headers["content-type"], dabba_web::problem::CONTENT_TYPE, "{path}");
        assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
        assert_eq!(text.contains("PUT /bell/login"), path == "/bell", "{text}");
    }
    let token = [server.token_of(&customer())];
    for (path, expected) in [
        ("/bell", StatusCode::OK),
        ("/kiosk/labels", StatusCode::OK),
        ("/bell", StatusCode::TOO_MANY_REQUESTS),
    ] {
        let (status, ..) = server.send(path, &token, &label()).await;
        assert_eq!(status, expected, "{path}");
    }
}

/// Proves that a revocation ends both kinds of credentials.
#[tokio::test]
async fn revoked_credentials_are_refused() {
    let server = Server::start(|_| {});
    let token = [server.token_of(&customer())];
    let admin = Principal::new(account(2), Role::Admin);
    server.engine.accounts.revoke_tokens(&admin, customer().account_id, None).await.unwrap();
    let badge = [("badge", customer().account_id.to_string())];
    for (path, credentials) in [("/kiosk/labels", &token), ("/kiosk/bell", &badge)] {
        let (status, _, text) = server.send(path, credentials, &label()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(text.contains("token_revoked"), "{text}");
    }
}

/// Proves that sessions work with a face of its own: its route logs in, every extractor of a caller accepts the cookie, unsafe
/// methods need the proof of their origin, both faces share the session, and the logout ends it.
#[tokio::test]
async fn a_session_works_with_every_face() {
    let server = Server::start(|_| {});
    let registration = Registration {
        email: "ada@example.org".into(),
        name: "Ada".into(),
        password: PASSWORD.into(),
        role: Role::Customer,
    };
    let id = server.engine.accounts.register(None, registration).await.unwrap().id.to_string();
    let (status, headers, _) =
        server.send_text(Method::POST, "/kiosk/session", &[], "ada@example.org".into()).await;
    assert_eq!(status, StatusCode::OK);
    let set = headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("dabba=") && set.ends_with("; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = ("cookie", set.split(';').next().unwrap().to_owned());
    let same_origin = ("sec-fetch-site", "same-origin".to_owned());

    let (status, headers, text) =
        server.send_text(Method::GET, "/kiosk/session", std::slice::from_ref(&cookie), String::new()).await;
    assert_eq!((status, text), (StatusCode::OK, id.clone()));
    assert_eq!(headers["set-cookie"], set);
    let (status, _, text) = server.send("/kiosk/labels", std::slice::from_ref(&cookie), &label()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("cross_site_request"), "{text}");
    let own = [cookie.clone(), same_origin];
    let (status, _, text) = server.send("/kiosk/labels", &own, &label()).await;
    assert_eq!((status, text), (StatusCode::OK, format!("2 red for {id}")));
    let (status, _, text) = server.send("/bell", &own, &label()).await;
    assert_eq!((status, text), (StatusCode::OK, id));

    let (status, headers, _) = server.send_text(Method::DELETE, "/kiosk/session", &own, String::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers["set-cookie"].to_str().unwrap().starts_with("dabba=; "), "{headers:?}");
    let (status, _, text) = server.send("/kiosk/labels", &own, &label()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(text.contains("token_revoked"), "{text}");
}
