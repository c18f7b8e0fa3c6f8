//! Notifications that a transaction has changed orders.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_store::{Store, layer::StoreLayer};
use futures::FutureExt as _;
use tokio::sync::mpsc;

use crate::world::{World, config, dal, embedded_store};

/// A store that reports announcements of events.
struct Announcing {
    inner: Arc<dyn Store>,
    announced: mpsc::UnboundedSender<usize>,
}

#[async_trait]
impl StoreLayer for Announcing {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn announce_events(&self, shard: usize) {
        let _ = self.announced.send(shard);
    }
}

/// Proves that a waiting follower is notified of commits, once for all commits before it waits, and not of commands
/// that write nothing; and that commits are announced to other processes, far fewer times than there are commits.
#[tokio::test(flavor = "multi_thread")]
async fn commits_are_signalled_and_announced() {
    const ORDERS: usize = 100;
    let (directory, inner) = embedded_store();
    let (announced, mut announcements) = mpsc::unbounded_channel();
    let world = World::on(Arc::new(Announcing { inner, announced }), config()).await.keeping(directory);
    let signals = world.engine.commit_signals();
    assert!(signals.wait(0).now_or_never().is_none(), "nothing is committed yet");
    let began = std::time::Instant::now();
    for number in 0..ORDERS {
        world.place(&dal(1), &format!("order {number}")).await.unwrap();
    }
    assert_eq!(announcements.recv().await, Some(0));
    signals.wait(0).await;
    assert!(signals.wait(0).now_or_never().is_none(), "one notification covers all commits before it");
    world.place(&dal(1), "order 0").await.unwrap();
    assert!(signals.wait(0).now_or_never().is_none(), "a replay writes nothing");
    // At most one announcement starts per interval of 100 ms.
    let limit = usize::try_from(began.elapsed().as_millis()).unwrap() / 100 + 1;
    let mut others = 1;
    while announcements.try_recv().is_ok() {
        others += 1;
    }
    assert!(others <= limit, "{others} announcements, more than {limit}");
    assert!(signals.wait(1).now_or_never().is_none(), "there is no such shard");
}
