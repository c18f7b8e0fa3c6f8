//! Notifications that a transaction has changed orders.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_engine::CommitListener;
use dabba_store::{Store, layer::StoreLayer};
use futures::FutureExt as _;
use tokio::{sync::mpsc, time::timeout};

use crate::world::{World, config, dal, embedded_store};

/// A store that reports announcements of events, and panics in the first ones.
struct Announcing {
    inner: Arc<dyn Store>,
    announced: mpsc::UnboundedSender<usize>,
    panics: AtomicU32,
}

#[async_trait]
impl StoreLayer for Announcing {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn announce_events(&self, shard: usize) {
        let _ = self.announced.send(shard);
        let panics = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(panics.is_err(), "a panic in an announcement");
    }
}

/// Proves that every listener is notified of commits, once for all commits before it waits, and not of commands that
/// write nothing; and that commits are announced to other processes, far fewer times than there are commits.
#[tokio::test(flavor = "multi_thread")]
async fn commits_are_signalled_and_announced() {
    const ORDERS: usize = 100;
    let (directory, inner) = embedded_store();
    let (announced, mut announcements) = mpsc::unbounded_channel();
    let world = World::on(Arc::new(Announcing { inner, announced, panics: 0.into() }), config())
        .await
        .keeping(directory);
    let signals = world.engine.commit_signals();
    let (first, second, absent) = (signals.listen(0), signals.listen(0), signals.listen(1));
    assert!(first.wait().now_or_never().is_none(), "nothing is committed yet");
    let began = std::time::Instant::now();
    for number in 0..ORDERS {
        world.place(&dal(1), &format!("order {number}")).await.unwrap();
    }
    assert_eq!(announcements.recv().await, Some(0));
    first.wait().await;
    second.wait().await;
    assert!(first.wait().now_or_never().is_none(), "one notification covers all commits before it");
    world.place(&dal(1), "order 0").await.unwrap();
    assert!(first.wait().now_or_never().is_none(), "a replay writes nothing");
    // At most one announcement starts per interval of 100 ms.
    let limit = usize::try_from(began.elapsed().as_millis()).unwrap() / 100 + 1;
    let mut others = 1;
    while announcements.try_recv().is_ok() {
        others += 1;
    }
    assert!(others <= limit, "{others} announcements, more than {limit}");
    assert!(absent.wait().now_or_never().is_none(), "there is no such shard");
}

/// Proves that all listeners that wait are notified of one commit.
#[tokio::test(flavor = "multi_thread")]
async fn all_waiting_listeners_are_notified() {
    let (directory, store) = embedded_store();
    let world = World::on(store, config()).await.keeping(directory);
    let listeners = [0; 3].map(|shard| world.engine.commit_signals().listen(shard));
    let waiting = futures::future::join_all(listeners.iter().map(CommitListener::wait));
    let placing = async { world.place(&dal(1), "order").await.unwrap() };
    let both = timeout(Duration::from_secs(20), async { futures::join!(waiting, placing) });
    assert!(both.await.is_ok(), "a listener was not notified");
}

/// Proves that a panic in an announcement does not end the announcements of later commits.
#[tokio::test(flavor = "multi_thread")]
async fn announcements_survive_a_panic() {
    let (directory, inner) = embedded_store();
    let (announced, mut announcements) = mpsc::unbounded_channel();
    let store = Announcing { inner, announced, panics: 1.into() };
    let world = World::on(Arc::new(store), config()).await.keeping(directory);
    world.place(&dal(1), "order").await.unwrap();
    assert_eq!(announcements.recv().await, Some(0));
    for number in 0..100 {
        world.place(&dal(1), &format!("order {number}")).await.unwrap();
        // The task that panics may have been running still when the order was placed.
        if timeout(Duration::from_secs(1), announcements.recv()).await.is_ok() {
            return;
        }
    }
    panic!("no commit is announced after the panic");
}
