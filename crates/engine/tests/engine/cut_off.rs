//! After a write nothing can make the request fail: even if the store refuses every call from some point on, a request
//! that has written something is answered as successful.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use dabba_domain::{
    menu::{Availability, MenuDocument},
    order::{Command, RefundReason, RefundRequest},
    restaurant::SettingsDocument,
    text::Slug,
};
use dabba_engine::{CatalogueEntry, CommandRequest, EngineConfig, Error, Principal};
use dabba_store::{
    PageSize, Store, StoreError,
    layer::{CallKind, StoreCall, StoreLayer},
};
use tempfile::TempDir;

use crate::unavailable::{dal_and_naan, no_naan};
use crate::world::{World, accept, cancel, config, dal, embedded_store, key, settings};

/// Upper bound of the number of store calls of a request.
const MANY: u64 = 50;

/// A store that fails every call after the first `calls_left` ones.
struct CutOffStore {
    inner: Arc<dyn Store>,
    calls_left: Arc<AtomicU64>,
}

#[async_trait]
impl StoreLayer for CutOffStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }
    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if call.kind == CallKind::Health {
            return Ok(());
        }
        let take = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        match self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unavailable("injected by the test".into())),
        }
    }
}

struct CutOff {
    world: World,
    store: Arc<dyn Store>,
    calls_left: Arc<AtomicU64>,
    _directory: TempDir,
}

impl CutOff {
    /// Creates a world that caches no memberships and no orders, so that everything is read from the store.
    async fn new() -> Self {
        let (directory, store) = embedded_store();
        let calls_left = Arc::new(AtomicU64::new(u64::MAX));
        let none = std::time::Duration::ZERO;
        let config = EngineConfig {
            membership_max_age: none,
            membership_max_stale_age: none,
            cached_orders: 0,
            ..config()
        };
        let cut = CutOffStore { inner: Arc::clone(&store), calls_left: Arc::clone(&calls_left) };
        let world = World::on(Arc::new(cut), config).await;
        Self { world, store, calls_left, _directory: directory }
    }

    /// Repeats a request with an increasing number of executed store calls, until the request needs no more calls.
    /// `state` returns the stored state.
    async fn check<T>(
        &self,
        name: &str,
        prepare: impl AsyncFn(u64) -> T,
        request: impl AsyncFn(&T) -> Result<(), Error>,
        state: impl AsyncFn(&T) -> String,
    ) {
        for calls in 0..MANY {
            let subject = prepare(calls).await;
            let before = state(&subject).await;
            self.calls_left.store(calls, Ordering::SeqCst);
            let answer = request(&subject).await;
            let left = self.calls_left.swap(u64::MAX, Ordering::SeqCst);
            let is_written = state(&subject).await != before;
            assert_eq!(answer.is_ok(), is_written, "{name} with {calls} calls: {answer:?}");
            if is_written && left > 0 {
                return;
            }
        }
        panic!("{name} never had enough calls");
    }

    async fn check_command(&self, name: &str, before: &[Command], command: Command, principal: Principal) {
        let world = &self.world;
        self.check(
            name,
            async |number| {
                let id = world.place(&dal(1), &format!("{name} {number}")).await.unwrap().order.id;
                for command in before {
                    world.act(&world.staff, id, command.clone()).await.unwrap();
                }
                id
            },
            async |id| {
                let (order_id, command) = (*id, command.clone());
                let request = CommandRequest { order_id, command, key: None, expected_versions: None };
                world.engine.orders.act(&principal, &request).await.map(drop)
            },
            async |id| self.store.order(*id).await.unwrap().unwrap().version.to_string(),
        )
        .await;
    }
}

/// Proves this for placing orders, and for commands by staff, whose membership is read.
#[tokio::test]
async fn a_written_order_is_always_answered() {
    let cut_off = CutOff::new().await;
    let world = &cut_off.world;
    cut_off
        .check(
            "place",
            async |number| key(&format!("place {number}")),
            async |key| {
                let orders = &world.engine.orders;
                orders.place(&world.customer, world.restaurant_id, &dal(1), key.clone()).await.map(drop)
            },
            async |key| {
                let claim = cut_off.store.find_claim(world.customer.account_id, world.restaurant_id, key);
                claim.await.unwrap().is_some().to_string()
            },
        )
        .await;
    let (staff, life) = (world.staff, [accept(), Command::MarkReady, Command::deliver()]);
    cut_off.check_command("accept", &[], accept(), staff).await;
    cut_off.check_command("ready", &life[..1], Command::MarkReady, staff).await;
    cut_off.check_command("deliver", &life[..2], Command::deliver(), staff).await;
    cut_off.check_command("cancel", &[], cancel(), world.customer).await;
    let refund = Command::Refund(RefundRequest::new(None, RefundReason::Late));
    cut_off.check_command("refund", &life, refund, world.admin).await;
}

/// Proves this for a rejection that marks items, after which the catalogue is read again.
#[tokio::test]
async fn a_written_rejection_is_always_answered() {
    let cut_off = CutOff::new().await;
    let world = &cut_off.world;
    let naan = Slug::new("naan").unwrap();
    cut_off
        .check(
            "reject",
            async |number| {
                let (catalogue, available) = (&world.engine.catalogue, Availability::Available);
                let set =
                    catalogue.set_availability(&world.staff, world.restaurant_id, &naan, available, None);
                set.await.unwrap();
                world.place(&dal_and_naan(), &format!("reject {number}")).await.unwrap().order.id
            },
            async |id| world.act(&world.staff, *id, no_naan(None)).await.map(drop),
            async |id| {
                let order = cut_off.store.order(*id).await.unwrap().unwrap();
                let catalogue = cut_off.store.catalogue(world.restaurant_id).await.unwrap().unwrap();
                format!("{} {:?}", order.version, catalogue.unavailable.availability("naan"))
            },
        )
        .await;
}

/// Proves this for restaurants: the answer contains what was written, even if it cannot be read again.
#[tokio::test]
async fn a_written_restaurant_is_always_answered() {
    let cut_off = CutOff::new().await;
    let world = &cut_off.world;
    let (engine, staff, id) = (&world.engine, &world.staff, world.restaurant_id);
    // A change without effect is not written, so each attempt begins with another state.
    let resumed = async |_| drop(engine.catalogue.resume(staff, id).await.unwrap());
    let paused = async |_| drop(engine.catalogue.pause(staff, id, None).await.unwrap());
    let nothing = async |_| ();
    let renamed = async |_| {
        let other = SettingsDocument { name: "Elsewhere".into(), ..settings() };
        drop(engine.catalogue.replace_settings(staff, id, other, None).await.unwrap());
    };
    let restaurant = async |(): &()| {
        let catalogue = cut_off.store.catalogue(id).await.unwrap().unwrap();
        format!("{:?}", catalogue.restaurant)
    };
    let answered = async |entry: Arc<CatalogueEntry>| {
        let stored = cut_off.calls_left.swap(u64::MAX, Ordering::SeqCst);
        assert_eq!(format!("{:?}", entry.restaurant()), restaurant(&()).await);
        cut_off.calls_left.store(stored, Ordering::SeqCst);
        Ok(())
    };
    let pause = async |(): &()| answered(engine.catalogue.pause(staff, id, None).await?).await;
    cut_off.check("pause", resumed, pause, restaurant).await;
    let resume = async |(): &()| answered(engine.catalogue.resume(staff, id).await?).await;
    cut_off.check("resume", paused, resume, restaurant).await;
    let replace =
        async |(): &()| answered(engine.catalogue.replace_settings(staff, id, settings(), None).await?).await;
    cut_off.check("settings", renamed, replace, restaurant).await;
    let create = async |(): &()| {
        engine.catalogue.create_restaurant(&world.admin, settings(), MenuDocument::default()).await.map(drop)
    };
    let count = async |(): &()| {
        let page =
            cut_off.store.restaurants(None, None, PageSize::new(PageSize::MAX).unwrap()).await.unwrap();
        page.restaurants.len().to_string()
    };
    cut_off.check("create", nothing, create, count).await;
}
