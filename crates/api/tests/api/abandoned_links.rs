//! Requests with unknown tracking links that their client abandons.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    layer::{StoreCall, StoreLayer},
};
use dabba_testkit::{TestServer, sqlite_in};
use dabba_web::Rate;
use futures::FutureExt as _;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedSender, unbounded_channel},
    },
    time::timeout,
};

use crate::{
    http2::Http2,
    tls::{PATIENCE, identity},
};

/// A store that answers look-ups of links when the test lets it.
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
        if call.method == "tracked_order" {
            self.steps.send(Step::Begun).unwrap();
            self.allowed.acquire().await.unwrap().forget();
        }
        Ok(())
    }

    async fn after(&self, call: StoreCall) -> Result<(), StoreError> {
        if call.method == "tracked_order" {
            self.steps.send(Step::Ended).unwrap();
        }
        Ok(())
    }
}

/// Proves that an unknown link spends the budget for unknown links although its client abandons the request: otherwise,
/// abandoning each request would avoid the limit.
#[tokio::test]
async fn an_abandoned_look_up_of_an_unknown_link_spends_the_budget() {
    const LIMIT: u32 = 2;
    let directory = tempfile::tempdir().unwrap();
    let (inner, (steps, mut reports)) = (sqlite_in(directory.path()), unbounded_channel());
    let allowed = Arc::new(Semaphore::new(0));
    let semaphore = Arc::clone(&allowed);
    let rate = Rate { requests: NonZeroU32::new(LIMIT).unwrap(), per: Duration::from_mins(5) };
    let identity = identity();
    let server = TestServer::builder()
        .store(Arc::new(move || {
            let (store, steps, allowed) = (inner(), steps.clone(), Arc::clone(&semaphore));
            async move { Arc::new(SlowStore { inner: store.await, steps, allowed }) as Arc<dyn Store> }
                .boxed()
        }))
        .web(|web| web.rate_limits.tokens_per_address = rate)
        .connections(|options| options.tls = Some(identity.tls()))
        .start()
        .await;
    let unknown = format!("/v1/tracking/000{}", "0".repeat(43));
    for _ in 0..LIMIT {
        let mut client = Http2::connect(&server, &identity).await;
        let response = client.begin(&unknown).await;
        assert_eq!(reports.recv().await, Some(Step::Begun));
        drop(response);
        // The response to the ping proves that the server has read the reset.
        client.ping().await;
        allowed.add_permits(1);
        assert_eq!(timeout(PATIENCE, reports.recv()).await, Ok(Some(Step::Ended)));
    }
    let (status, problem) = Http2::connect(&server, &identity).await.get(&unknown).await;
    assert_eq!(status, 429, "{problem}");
}
