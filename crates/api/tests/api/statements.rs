//! The calls that requests make to the store.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    layer::{CallKind, StoreCall, StoreLayer},
};
use dabba_testkit::{TestServer, sqlite_in};
use futures::FutureExt as _;
use serde_json::json;

/// Calls that a store recorded. While `only_commits` is set, all other calls fail.
#[derive(Clone, Default)]
struct Calls {
    made: Arc<Mutex<Vec<StoreCall>>>,
    only_commits: Arc<AtomicBool>,
}

/// A store that records every call, except the probes of its health.
struct RecordingStore {
    inner: Arc<dyn Store>,
    calls: Calls,
}

#[async_trait]
impl StoreLayer for RecordingStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }
    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if call.kind == CallKind::Health {
            return Ok(());
        }
        self.calls.made.lock().unwrap().push(call);
        if self.calls.only_commits.load(Ordering::SeqCst) && call.kind != CallKind::Commit {
            return Err(StoreError::Unavailable("injected by the test".to_owned()));
        }
        Ok(())
    }
}

/// Proves that placing an order and a command on it make no call to the store except the commit, because revocations and
/// memberships are in memory. Both succeed while the database with the accounts is unavailable.
#[tokio::test]
async fn placing_and_commands_make_no_query_about_the_caller() {
    const NEVER: Duration = Duration::from_hours(24);
    let directory = tempfile::tempdir().unwrap();
    let (inner, calls) = (sqlite_in(directory.path()), Calls::default());
    let shared = calls.clone();
    let builder = TestServer::builder().store(Arc::new(move || {
        let (store, calls) = (inner(), shared.clone());
        async move { Arc::new(RecordingStore { inner: store.await, calls }) as Arc<dyn Store> }.boxed()
    }));
    // All polling is off while the calls are counted.
    let server = builder
        .engine(|engine| {
            engine.revocation_poll_interval = NEVER;
            engine.catalogue_poll_interval = NEVER;
            engine.maintenance_interval = NEVER;
            engine.membership_max_age = NEVER;
            engine.tasks.poll_interval = NEVER;
        })
        .start()
        .await;
    let accept = json!({"preparation_minutes": 20});
    let warm = server.place("warm", &TestServer::order()).await;
    server.command(&warm, "accept", &server.staff, &accept).send().await.expect(200);
    for only_commits in [false, true] {
        calls.only_commits.store(only_commits, Ordering::SeqCst);
        calls.made.lock().unwrap().clear();
        let order = server.place(&format!("counted-{only_commits}"), &TestServer::order()).await;
        server.command(&order, "accept", &server.staff, &accept).send().await.expect(200);
        let made: Vec<_> = calls.made.lock().unwrap().clone();
        let queries: Vec<_> = made
            .iter()
            .filter(|call| !matches!(call.kind, CallKind::Commit | CallKind::ClaimTasks))
            .collect();
        assert!(queries.is_empty(), "{made:?}");
    }
}
