//! Parts of the server that keep failing, as operators see them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    intercept::{InterceptedStore, Interceptor, StoreCall},
};
use dabba_testkit::{TestServer, sqlite_in};
use futures::FutureExt as _;

use crate::metric;

/// Panics at every commit while it is set.
#[derive(Clone, Default)]
struct Panics(Arc<AtomicBool>);

#[async_trait]
impl Interceptor for Panics {
    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        assert!(call != StoreCall::Commit || !self.0.load(Ordering::SeqCst), "as the test says");
        Ok(())
    }
    async fn after(&self, _: StoreCall) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Proves that a server whose commits panic responds with an unknown outcome, is not ready and names the failing part, and
/// recovers by itself.
#[tokio::test]
async fn a_committer_that_keeps_panicking_makes_the_server_unready() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, panics) = (sqlite_in(directory.path()), Panics::default());
    let interceptor = panics.clone();
    let server = TestServer::builder().store(Arc::new(move || {
        let (store, interceptor) = (inner(), interceptor.clone());
        async move { Arc::new(InterceptedStore::new(store.await, interceptor)) as Arc<dyn Store> }.boxed()
    }));
    let server = server.start().await;
    let place = async |key: &str| {
        let request = server.post(&server.orders_path(), Some(&server.customer), &TestServer::collection());
        request.key(key).send().await
    };
    panics.0.store(true, Ordering::SeqCst);
    for key in ["a", "b", "c"] {
        server.get("/readyz", None).await.expect(200);
        place(key).await.problem(503, "outcome_unknown");
    }
    let answer = server.get("/readyz", None).await;
    assert!(answer.text.contains("committer_0"), "{}", answer.text);
    answer.problem(503, "unavailable");
    let metrics = server.get("/metrics", None).await;
    assert_eq!(metric(&metrics, "dabba_part_up{part=\"committer_0\"}"), 0);
    assert_eq!(metric(&metrics, "dabba_part_failures_total{part=\"committer_0\"}"), 3);
    panics.0.store(false, Ordering::SeqCst);
    place("a").await.expect(201);
    assert_eq!(server.get("/readyz", None).await.expect(200)["status"], "ok");
    let metrics = server.get("/metrics", None).await;
    assert_eq!(metric(&metrics, "dabba_part_up{part=\"committer_0\"}"), 1);
}
