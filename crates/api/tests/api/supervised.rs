//! Parts of the server that keep failing, as operators see them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    layer::{CallKind, StoreCall, StoreLayer},
};
use dabba_testkit::{TestServer, sqlite_in};
use futures::FutureExt as _;

use crate::metric;

/// A store whose commits panic while `panics` is set.
struct PanickingStore {
    inner: Arc<dyn Store>,
    panics: Arc<AtomicBool>,
}

#[async_trait]
impl StoreLayer for PanickingStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }
    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        let panics = call.kind == CallKind::Commit && self.panics.load(Ordering::SeqCst);
        assert!(!panics, "injected by the test");
        Ok(())
    }
}

/// Proves that a server whose commits panic responds with an unknown outcome, is not ready and names the failing part, and
/// recovers by itself.
#[tokio::test]
async fn a_committer_that_keeps_panicking_makes_the_server_unready() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, panics) = (sqlite_in(directory.path()), Arc::new(AtomicBool::new(false)));
    let shared = Arc::clone(&panics);
    let server = TestServer::builder().store(Arc::new(move || {
        let (store, panics) = (inner(), Arc::clone(&shared));
        async move { Arc::new(PanickingStore { inner: store.await, panics }) as Arc<dyn Store> }.boxed()
    }));
    let server = server.start().await;
    let place = async |key: &str| {
        let request = server.post(&server.orders_path(), Some(&server.customer), &TestServer::collection());
        request.key(key).send().await
    };
    panics.store(true, Ordering::SeqCst);
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
    panics.store(false, Ordering::SeqCst);
    place("a").await.expect(201);
    assert_eq!(server.get("/readyz", None).await.expect(200)["status"], "ok");
    let metrics = server.get("/metrics", None).await;
    assert_eq!(metric(&metrics, "dabba_part_up{part=\"committer_0\"}"), 1);
}
