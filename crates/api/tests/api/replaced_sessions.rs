//! The session whose cookie a login replaces, when the login or the end of that session fails.

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
