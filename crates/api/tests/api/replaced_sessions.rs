//! The sessions whose cookies a login or a logout has, when the login or the end of one of the sessions fails.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{AccountId, Timestamp};
use dabba_store::{
    Credential, CredentialId, CredentialRevocation, NewSession, SessionCreation, Store, StoreError,
    layer::StoreLayer,
};
use dabba_testkit::{HttpResponse, PASSWORD, TestAccount, TestServer, sqlite_in};
use futures::FutureExt as _;
use reqwest::Method;
use serde_json::json;

/// A store that fails to create or to revoke sessions.
struct FailingStore {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    creates_nothing: AtomicBool,
    revokes_nothing: AtomicBool,
}

fn unavailable_if(flag: &AtomicBool) -> Result<(), StoreError> {
    if flag.load(Ordering::SeqCst) {
        return Err(StoreError::Unavailable("injected by the test".into()));
    }
    Ok(())
}

#[async_trait]
impl StoreLayer for FailingStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn create_session(&self, new: &NewSession) -> Result<SessionCreation, StoreError> {
        unavailable_if(&self.faults.creates_nothing)?;
        self.inner.create_session(new).await
    }

    async fn revoke_credential(
        &self,
        account_id: AccountId,
        id: CredentialId,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<CredentialRevocation, StoreError> {
        unavailable_if(&self.faults.revokes_nothing)?;
        self.inner.revoke_credential(account_id, id, by, at).await
    }
}

/// Sends a login with a cookie.
async fn log_in(server: &TestServer, account: &TestAccount, cookie: &str) -> HttpResponse {
    let body = json!({"email": account.email, "password": PASSWORD});
    server.post("/v1/session", None, &body).header("cookie", cookie).send().await
}

/// Sends a logout with cookies.
async fn log_out(server: &TestServer, cookies: &str) -> HttpResponse {
    server.request(Method::DELETE, "/v1/session").session(cookies).send().await
}

async fn session(server: &TestServer, cookie: &str) -> HttpResponse {
    server.request(Method::GET, "/v1/session").header("cookie", cookie).send().await
}

/// Proves that a login whose session cannot be created ends nothing, that a login succeeds if the session that it replaces cannot
/// be ended, and that this session can still be revoked.
#[tokio::test]
async fn the_replaced_session_ends_after_the_login() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, faults) = (sqlite_in(directory.path()), Arc::<Faults>::default());
    let of_store = Arc::clone(&faults);
    let server = TestServer::builder().store(Arc::new(move || {
        let (store, faults) = (inner(), Arc::clone(&of_store));
        async move { Arc::new(FailingStore { inner: store.await, faults }) as Arc<dyn Store> }.boxed()
    }));
    let server = server.start().await;
    let first = server.log_in(&server.staff).await;
    faults.creates_nothing.store(true, Ordering::SeqCst);
    log_in(&server, &server.staff, &first).await.problem(503, "unavailable");
    session(&server, &first).await.expect(200);
    faults.creates_nothing.store(false, Ordering::SeqCst);

    faults.revokes_nothing.store(true, Ordering::SeqCst);
    let second = log_in(&server, &server.staff, &first).await;
    let cookie = second.header("set-cookie").split(';').next().unwrap().to_owned();
    second.expect(200);
    faults.revokes_nothing.store(false, Ordering::SeqCst);
    session(&server, &first).await.expect(200);
    let path = format!("/v1/accounts/{}/sessions", server.staff.id);
    let listed = server.request(Method::GET, &path).header("cookie", &cookie).send().await.expect(200);
    let sessions = listed["sessions"].as_array().unwrap();
    let other = sessions.iter().find(|session| session["current"] != true).unwrap()["id"].as_str().unwrap();
    server.request(Method::DELETE, &format!("{path}/{other}")).session(&cookie).send().await.expect(204);
    session(&server, &first).await.problem(401, "token_revoked");
    session(&server, &cookie).await.expect(200);
}

/// Proves that the cookie of a session that does not exist spends no attempt to log in: neither this login nor later requests of
/// the network are refused.
#[tokio::test]
async fn a_stale_cookie_spends_no_attempt() {
    let one = dabba_web::Rate { requests: NonZeroU32::MIN, per: Duration::from_mins(5) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_address = one).start().await;
    for number in 0..3 {
        let stale = format!("dabba={number}{}", "A".repeat(42));
        log_in(&server, &server.customer, &stale).await.expect(200);
    }
    let unknown = format!("dabba=9{}", "A".repeat(42));
    session(&server, &unknown).await.problem(401, "unauthenticated");
}

/// Proves that a logout ends the session that it can read although it cannot read another one, and reports the failure.
#[tokio::test]
async fn a_logout_ends_what_it_can_read() {
    let one = dabba_web::Rate { requests: NonZeroU32::MIN, per: Duration::from_mins(5) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_address = one).start().await;
    let unknown = |number: usize| format!("dabba={number}{}", "A".repeat(42));
    let known = server.log_in(&server.staff).await;
    session(&server, &known).await.expect(200);
    log_out(&server, &unknown(1)).await.expect(204);
    let refused = log_out(&server, &format!("{}; {known}", unknown(2))).await;
    refused.problem(429, "too_many_requests");
    session(&server, &known).await.problem(401, "token_revoked");
}

/// Proves that a login and a logout end the sessions of all cookies of their request, with both names and with the same name twice,
/// and that the first cookie with the name of the request's way counts.
#[tokio::test]
async fn the_sessions_of_all_cookies_end() {
    let server = crate::start().await;
    for by_login in [true, false] {
        let first = server.log_in(&server.staff).await;
        let second = server.log_in(&server.customer).await;
        let third = server.log_in(&server.staff).await;
        let over_https = third.replace("dabba=", "__Host-dabba=");
        let cookies = format!("{over_https}; {first}; {second}");
        let shown = session(&server, &cookies).await.expect(200);
        assert_eq!(shown["id"], session(&server, &first).await.expect(200)["id"]);
        if by_login {
            log_in(&server, &server.staff, &cookies).await.expect(200);
        } else {
            log_out(&server, &cookies).await.expect(204);
        }
        for cookie in [first, second, third] {
            session(&server, &cookie).await.problem(401, "token_revoked");
        }
    }
}
