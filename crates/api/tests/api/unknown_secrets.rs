//! Requests with secrets that do not exist: in parallel, and abandoned by their client.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    layer::{StoreCall, StoreLayer},
};
use dabba_testkit::{Request, TestServer, TestServerBuilder, sqlite_in};
use dabba_web::{PLAIN_COOKIE, Rate, SECURE_COOKIE};
use futures::{FutureExt as _, future::join_all};
use http::request;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{sleep, timeout},
};

use crate::{
    http2::Http2,
    tls::{PATIENCE, identity},
};

/// Calls of the store that look up a secret.
const LOOK_UPS: [&str; 3] = ["tracked_order", "session_by_hash", "login_link"];

/// A store that answers look-ups of secrets when the test lets it.
struct SlowStore {
    inner: Arc<dyn Store>,
    /// Receives the beginning and the end of each look-up.
    steps: UnboundedSender<Step>,
    /// Look-ups that may end.
    allowed: Arc<Semaphore>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Begun,
    Ended,
}

#[async_trait]
impl StoreLayer for SlowStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if LOOK_UPS.contains(&call.method) {
            self.steps.send(Step::Begun).unwrap();
            self.allowed.acquire().await.unwrap().forget();
        }
        Ok(())
    }

    async fn after(&self, call: StoreCall) -> Result<(), StoreError> {
        if LOOK_UPS.contains(&call.method) {
            self.steps.send(Step::Ended).unwrap();
        }
        Ok(())
    }
}

/// The look-ups of a server.
struct LookUps {
    steps: UnboundedReceiver<Step>,
    allowed: Arc<Semaphore>,
    _directory: TempDir,
}

impl LookUps {
    async fn next(&mut self) -> Step {
        timeout(PATIENCE, self.steps.recv()).await.unwrap().unwrap()
    }

    /// Returns the number of look-ups that have begun and were not counted before.
    fn count(&mut self) -> usize {
        let steps = std::iter::from_fn(|| self.steps.try_recv().ok());
        steps.filter(|step| *step == Step::Begun).count()
    }
}

/// Returns a server that looks up at most `limit` secrets that do not exist.
fn limited(limit: u32) -> (TestServerBuilder, LookUps) {
    let directory = tempfile::tempdir().unwrap();
    let (inner, (steps, receiver)) = (sqlite_in(directory.path()), unbounded_channel());
    let allowed = Arc::new(Semaphore::new(0));
    let semaphore = Arc::clone(&allowed);
    let rate = Rate { requests: NonZeroU32::new(limit).unwrap(), per: Duration::from_mins(5) };
    let builder = TestServer::builder()
        .store(Arc::new(move || {
            let (store, steps, allowed) = (inner(), steps.clone(), Arc::clone(&semaphore));
            async move { Arc::new(SlowStore { inner: store.await, steps, allowed }) as Arc<dyn Store> }
                .boxed()
        }))
        .web(|web| web.rate_limits.tokens_per_address = rate);
    (builder, LookUps { steps: receiver, allowed, _directory: directory })
}

/// A kind of secrets. API keys are looked up like sessions.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Session,
    LoginLink,
    TrackingLink,
}

/// A request with a secret that does not exist.
struct Unknown {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Unknown {
    /// Returns a request with another secret for each number.
    fn new(kind: Kind, number: usize, cookie: &str) -> Self {
        let (method, headers, body) = (Method::GET, Vec::new(), Value::Null);
        let token = format!("{number:04}{}", "A".repeat(39));
        match kind {
            Kind::Session => {
                let cookie = format!("{cookie}={token}");
                let headers = vec![("cookie", cookie), ("sec-fetch-site", "same-origin".to_owned())];
                Self { method, path: "/v1/session".to_owned(), headers, body }
            }
            Kind::LoginLink => {
                let headers = vec![("content-type", "application/json".to_owned())];
                let body = json!({"link_token": token});
                Self { method: Method::POST, path: "/v1/session".to_owned(), headers, body }
            }
            Kind::TrackingLink => {
                Self { method, path: format!("/v1/tracking/000{number:043}"), headers, body }
            }
        }
    }

    fn request(self, server: &TestServer) -> Request {
        let mut request = server.request(self.method, &self.path);
        if !self.body.is_null() {
            request = request.json(&self.body);
        }
        let headers = self.headers.iter().filter(|(name, _)| *name != "content-type");
        headers.fold(request, |request, (name, value)| request.header(name, value))
    }

    fn over_http2(&self) -> request::Builder {
        let request = http::Request::builder().method(self.method.as_str());
        let request = request.uri(format!("https://localhost{}", self.path));
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }
}

/// Proves that parallel requests with unknown secrets look up no more secrets than the limit.
#[tokio::test]
async fn parallel_look_ups_share_the_budget() {
    const LIMIT: usize = 5;
    const REQUESTS: usize = 60;
    for (kind, status) in [(Kind::Session, 401), (Kind::LoginLink, 401), (Kind::TrackingLink, 404)] {
        let (builder, mut look_ups) = limited(u32::try_from(LIMIT).unwrap());
        let server = builder.start().await;
        look_ups.count();
        let requests =
            (0..REQUESTS).map(|number| Unknown::new(kind, number, PLAIN_COOKIE).request(&server).send());
        let release = async {
            for _ in 0..LIMIT {
                assert_eq!(look_ups.next().await, Step::Begun, "{kind:?}");
            }
            // Until the other requests have arrived.
            sleep(Duration::from_millis(500)).await;
            look_ups.allowed.add_permits(REQUESTS);
        };
        let (responses, ()) = tokio::join!(join_all(requests), release);
        assert_eq!(look_ups.count(), 0, "{kind:?}");
        let mut statuses = BTreeMap::<u16, usize>::new();
        for response in responses {
            *statuses.entry(response.status).or_default() += 1;
        }
        assert_eq!(statuses, BTreeMap::from([(status, LIMIT), (429, REQUESTS - LIMIT)]), "{kind:?}");
    }
}

/// Proves that an unknown secret spends the budget although its client abandons the request: otherwise, abandoning each
/// request would avoid the limit.
#[tokio::test]
async fn an_abandoned_look_up_of_an_unknown_secret_spends_the_budget() {
    const LIMIT: usize = 2;
    let identity = identity();
    for kind in [Kind::Session, Kind::LoginLink, Kind::TrackingLink] {
        let (builder, mut look_ups) = limited(u32::try_from(LIMIT).unwrap());
        let server = builder.connections(|options| options.tls = Some(identity.tls())).start().await;
        look_ups.count();
        for number in 0..LIMIT {
            let unknown = Unknown::new(kind, number, SECURE_COOKIE);
            let mut client = Http2::connect(&server, &identity).await;
            let response = client.begin_request(unknown.over_http2(), &unknown.body).await;
            assert_eq!(look_ups.next().await, Step::Begun, "{kind:?}");
            drop(response);
            // The response to the ping proves that the server has read the reset.
            client.ping().await;
            look_ups.allowed.add_permits(1);
            assert_eq!(look_ups.next().await, Step::Ended, "{kind:?}");
        }
        let unknown = Unknown::new(kind, LIMIT, SECURE_COOKIE);
        let mut client = Http2::connect(&server, &identity).await;
        let (status, problem) = client.ask(unknown.over_http2(), &unknown.body).await;
        assert_eq!(status, 429, "{kind:?}: {problem}");
    }
}

/// Proves that look-ups of secrets that exist refuse neither each other nor a login, however many are in flight, and spend
/// no budget.
#[tokio::test]
async fn valid_secrets_are_not_refused() {
    const LIMIT: u32 = 2;
    const SESSIONS: usize = 12;
    let (builder, mut look_ups) = limited(LIMIT);
    let mut server = builder.start().await;
    let mut cookies = Vec::new();
    for _ in 0..SESSIONS {
        cookies.push(server.log_in(&server.customer).await);
    }
    // The new server has cached no session.
    server.restart().await;
    look_ups.count();
    let requests = cookies.iter().map(|cookie| {
        let request = server.request(Method::GET, "/v1/session").session(cookie);
        request.send()
    });
    let login = async {
        for _ in 0..LIMIT {
            assert_eq!(look_ups.next().await, Step::Begun);
        }
        let release = async {
            sleep(Duration::from_millis(500)).await;
            look_ups.allowed.add_permits(2 * SESSIONS);
        };
        tokio::join!(server.log_in(&server.customer), release);
    };
    let (responses, ()) = tokio::join!(join_all(requests), login);
    for response in responses {
        response.expect(200);
    }
    let mut statuses = Vec::new();
    for number in 0..3 {
        statuses.push(Unknown::new(Kind::Session, number, PLAIN_COOKIE).request(&server).send().await.status);
    }
    assert_eq!(statuses, [401, 401, 429]);
}
