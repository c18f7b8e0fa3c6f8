//! Expensive reads of admins: the checks of the shards, and the searches by display code.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use dabba_store::{CodeMatches, CodeQuery, PageSize, Store, StoreError, layer::StoreLayer};
use futures::{
    future::{join, join_all},
    poll,
};
use jiff::SignedDuration;

use crate::{
    faulty::{Fault, Gate},
    world::{World, config, embedded_store},
};

/// Proves that callers at the same time share one check of the shards, also if the first of them goes away, and that a later
/// caller begins another check.
#[tokio::test]
async fn callers_share_a_check_of_the_shards() {
    let world = World::new().await;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    world.store.measurements.plan(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Fault::None
    });
    let check = || world.engine.check_shards(&world.admin);
    world.store.measurement_gate.shut();
    let mut first = Box::pin(check());
    assert!(poll!(&mut first).is_pending());
    let others: Vec<_> = (0..4).map(|_| Box::pin(check())).collect();
    let opened = async {
        drop(first);
        world.store.measurement_gate.until_blocked().await;
        world.store.measurement_gate.open();
    };
    let (checks, ()) = join(join_all(others), opened).await;
    let began = world.engine.now();
    for check in checks {
        let check = check.unwrap();
        assert_eq!(check.checked_at, began);
        assert!(check.shards.iter().all(|shard| shard.answer.is_ok()), "{check:?}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    world.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(check().await.unwrap().checked_at, world.engine.now());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// A store whose searches by display code wait at a gate.
struct SearchedStore {
    inner: Arc<dyn Store>,
    begun: AtomicU64,
    gate: Gate,
}

#[async_trait]
impl StoreLayer for SearchedStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn orders_with_code(&self, query: &CodeQuery) -> Result<CodeMatches, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.pass().await;
        self.inner.orders_with_code(query).await
    }
}

/// Proves that two searches by display code run at the same time, that others wait, and that every search ends.
#[tokio::test]
async fn searches_by_code_wait_for_each_other() {
    let (_directory, inner) = embedded_store();
    let store = Arc::new(SearchedStore { inner, begun: AtomicU64::new(0), gate: Gate::new() });
    let world = World::on(Arc::clone(&store) as Arc<dyn Store>, config()).await;
    let search = |_| async {
        let page = PageSize::new(PageSize::MAX).unwrap();
        let code = "PF2DB".parse().unwrap();
        world.engine.orders.orders_with_code(&world.admin, code, &[], page).await
    };
    store.gate.shut();
    let opened = async {
        store.gate.until_blocked().await;
        store.gate.until_blocked().await;
        assert_eq!(store.begun.load(Ordering::SeqCst), 2);
        store.gate.open();
    };
    // `join` polls all searches before it polls the end of the wait.
    let (found, ()) = join(join_all((0..5).map(search)), opened).await;
    for page in found {
        assert!(page.unwrap().0.orders.is_empty());
    }
    assert_eq!(store.begun.load(Ordering::SeqCst), 5);
}
