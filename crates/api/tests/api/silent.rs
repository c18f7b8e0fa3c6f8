//! Reads of restaurants, and a change, while the database answers only reads of the catalogue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    layer::{StoreCall, StoreLayer},
};
use dabba_testkit::{TestServer, sqlite_in};
use dabba_web::WebConfig;
use futures::FutureExt as _;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

/// A store that, on request, answers only reads of the catalogue.
struct SilentStore {
    inner: Arc<dyn Store>,
    is_silent: Arc<AtomicBool>,
}

#[async_trait]
impl StoreLayer for SilentStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        let is_of_catalogue = ["restaurants", "revisions", "catalogue_since"].contains(&call.method);
        if self.is_silent.load(Ordering::SeqCst) && !is_of_catalogue {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Starts a server with such a store, which answers at first. Returns the server and the switch of the store.
async fn start(directory: &TempDir, change: impl FnOnce(&mut WebConfig)) -> (TestServer, Arc<AtomicBool>) {
    let (inner, is_silent) = (sqlite_in(directory.path()), Arc::new(AtomicBool::new(false)));
    let silence = Arc::clone(&is_silent);
    let server = TestServer::builder().web(change).store(Arc::new(move || {
        let (store, is_silent) = (inner(), Arc::clone(&silence));
        async move { Arc::new(SilentStore { inner: store.await, is_silent }) as Arc<dyn Store> }.boxed()
    }));
    (server.start().await, is_silent)
}

/// Proves that the response to a change that takes too long states an unknown outcome.
#[tokio::test]
async fn the_outcome_of_a_change_that_takes_too_long_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let (server, is_silent) = start(&directory, |web| web.request_timeout = Duration::from_secs(1)).await;
    is_silent.store(true, Ordering::SeqCst);
    let path = server.orders_path();
    let placed = server.post(&path, Some(&server.customer), &TestServer::collection()).key("1").send().await;
    placed.problem(503, "outcome_unknown");
    is_silent.store(false, Ordering::SeqCst);
}

/// Proves that restaurants are read with a key that is not cached while the database of the accounts and the presence of boards
/// does not answer: the responses contain what everyone sees.
#[tokio::test]
async fn restaurants_are_read_without_the_database_of_the_accounts() {
    let directory = tempfile::tempdir().unwrap();
    let (server, is_silent) = start(&directory, |_| {}).await;
    let account = json!({"name": "Reports", "role": "admin"});
    let account = server.post("/v1/service-accounts", Some(&server.admin), &account).send().await.expect(201);
    let path = format!("/v1/accounts/{}/keys", account["id"].as_str().unwrap());
    let key = server.post(&path, Some(&server.admin), &json!({"name": "Reports"})).send().await.expect(201);
    let key = key["secret"].as_str().unwrap();
    let path = server.restaurant_path("");
    server.get(&path, None).await.expect(200);

    is_silent.store(true, Ordering::SeqCst);
    let id = server.restaurant.to_string();
    let list = server.request(Method::GET, "/v1/restaurants").token(key).send().await.expect(200);
    assert!(list["restaurants"].as_array().unwrap().iter().any(|restaurant| restaurant["id"] == id));
    let read = server.request(Method::GET, &path).token(key).send().await.expect(200);
    assert_eq!(read["id"], id);
    for account in [&server.staff, &server.admin] {
        let read = server.get(&path, Some(account)).await.expect(200);
        assert_eq!((&read["id"], read.get("unattended_since")), (&json!(id), None));
    }
    is_silent.store(false, Ordering::SeqCst);
}
