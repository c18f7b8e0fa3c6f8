//! What Dabba can do: quote, place, act, read and list orders; keep restaurants, menus, stock and
//! accounts. On the domain's rules and any store that keeps the contract.
//!
//! The way of a write: load what is needed (the catalogue and recent orders from memory, others from the store),
//! let the domain decide, hand the decision to a committer, and answer from its outcome. A
//! decision that was made on a stale version is made again, a bounded number of times.
//!
//! What has to be done later, with nobody waiting, is written as a task with the decision from which it
//! follows. [`Engine::work`] does it when its time has come, in the same way as any other write.
//!
//! Time, randomness and the payment provider are ports ([`Clock`], [`Random`], [`PaymentGateway`]); a test
//! drives all of them.

mod accounts;
mod catalogue;
mod clock;
mod committer;
mod condition;
mod config;
mod error;
mod maintenance;
mod measure;
mod metrics;
mod nudge;
mod orders;
mod payments;
mod post_commit;
mod readiness;
mod registering;
mod restaurants;
mod sparse;
mod stock;
mod tasks;
mod watch;
mod writing;

use std::{sync::Arc, time::Duration};

use dabba_domain::{AccountId, Bucket, ExternalId, RestaurantId, Role};
pub use dabba_store::panic_text;
use dabba_store::{Credential, RevocationRevision, Store, Supervisor};

pub use accounts::{
    AccountAnswer, AccountFilter, AccountPatch, EmailError, MAX_EMAIL_LENGTH, MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH, NewPassword, Registered, Registration, check_email,
};
pub use catalogue::CatalogueEntry;
pub use clock::{
    AdjustableClock, Clock, ClockConfig, ClockSkew, ManualClock, Random, SeededRandom, ServerClock,
    SystemClock, SystemRandom,
};
pub use config::{EngineConfig, PasswordCost, TaskConfig};
pub use error::{Conflict, Error};
pub use metrics::{
    CallLabel, CallOutcome, EngineMetrics, StateLabel, StatusLabel, StepLabel, TaskLabel, TaskOutcome,
    TaskOutcomeLabel,
};
pub use orders::{Answer, CommandRequest, Obstacle, Quote};
pub use payments::{
    AmountNotAccepted, AmountRules, BreakerConfig, BreakerState, GatewayAnswer, GatewayError, Payment,
    PaymentConfig, PaymentGateway, ProviderNotice, ProviderObject, WebhookError, WebhookReader,
};
pub use readiness::Readiness;
pub use registering::RestaurantAnswer;
pub use restaurants::{Conditional, ExpectedMenu};
pub use stock::{StockAdjustment, StockAnswer};

/// Who is calling: an account and its role, as a verified token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The account.
    pub account_id: AccountId,
    /// Its role.
    pub role: Role,
    /// The revision of the account's last revocation when the token was issued.
    pub as_of: RevocationRevision,
}

impl Principal {
    /// A caller of an account that was never revoked, or that is in no store, as an operator's.
    pub const fn new(account_id: AccountId, role: Role) -> Self {
        Self { account_id, role, as_of: 0 }
    }

    /// What a write checks that must not follow a revocation.
    pub(crate) const fn credential(&self) -> Credential {
        let Self { account_id, role, as_of } = *self;
        Credential { account_id, role, as_of }
    }
}

/// The use cases. Cheap to share; one per process.
pub struct Engine {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    config: EngineConfig,
    committers: committer::Committers,
    catalogues: Arc<catalogue::CatalogueCache>,
    recent: Arc<orders::RecentOrders>,
    open_orders: Arc<orders::OpenOrders>,
    passwords: accounts::Passwords,
    memberships: accounts::MembershipCache,
    revocations: Arc<accounts::Revocations>,
    gateway: Option<payments::Gateway>,
    nudges: Arc<nudge::Nudges>,
    post_commits: Arc<post_commit::PostCommits>,
    supervisor: Arc<Supervisor>,
    probe: readiness::Probe,
    metrics: Arc<EngineMetrics>,
    measurements: Arc<measure::Measurements>,
}

/// What an engine stands on.
pub struct Ports {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random bits come from.
    pub random: Arc<dyn Random>,
    /// Who moves the money of payments by card. Without it none are taken, and none are worked.
    pub gateway: Option<Arc<dyn PaymentGateway>>,
}

impl Engine {
    /// Starts the committers on the current Tokio runtime.
    pub fn start(ports: Ports, config: EngineConfig) -> Arc<Self> {
        let Ports { store, clock, random, gateway } = ports;
        let breaker = || payments::Breaker::new(config.payments.breaker);
        let gateway = gateway.map(|port| payments::Gateway { port, breaker: breaker() });
        let metrics = Arc::new(EngineMetrics::default());
        if let Some(gateway) = &gateway {
            metrics.show_gateway(gateway.port.name());
        }
        let bits = Arc::clone(&random);
        let supervisor = Arc::new(Supervisor::new(Arc::new(move || bits.next_u64())));
        let catalogues =
            Arc::new(catalogue::CatalogueCache::new(Arc::clone(&store), config.cached_catalogues));
        let recent = Arc::new(orders::RecentOrders::new(config.remembered_orders));
        let open_orders = Arc::new(orders::OpenOrders::new(config.max_open_orders));
        let nudges = Arc::<nudge::Nudges>::default();
        let followers = post_commit::Followers::start(store.shard_count(), &catalogues, &supervisor);
        let post_commits = Arc::new(post_commit::PostCommits {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            recent: Arc::clone(&recent),
            open_orders: Arc::clone(&open_orders),
            nudges: Arc::clone(&nudges),
            followers,
        });
        Arc::new(Self {
            committers: committer::Committers::start(&post_commits, &config, &supervisor),
            catalogues,
            recent,
            open_orders,
            passwords: accounts::Passwords::new(&config, Arc::clone(&random)),
            memberships: accounts::MembershipCache::new(&config),
            revocations: Arc::new(accounts::Revocations::new(&config)),
            gateway,
            nudges,
            post_commits,
            probe: readiness::Probe::start(&store, &supervisor),
            supervisor,
            measurements: Arc::new(measure::Measurements::new(store.shard_count())),
            store,
            clock,
            random,
            config,
            metrics,
        })
    }

    /// Makes the store ready for the first writes; see [`Store::warm_up`].
    pub async fn warm_up(&self) {
        self.store.warm_up(self.config.committers.max(1)).await;
    }

    /// Takes no new writes, finishes those that are queued, and closes the store. Gives up waiting
    /// after `limit`; `false` then.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        let finish = async {
            self.committers.finish().await;
            self.store.close().await;
        };
        tokio::time::timeout(limit, finish).await.is_ok()
    }

    /// The measurements of the engine.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// Runs the parts of this process. Whoever starts another long-running part has it run by this.
    pub const fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// The time, as the use cases see it.
    pub fn now(&self) -> dabba_domain::Timestamp {
        self.clock.now()
    }

    /// Whether orders can be paid by card.
    pub const fn takes_cards(&self) -> bool {
        self.gateway.is_some()
    }

    /// Whether the payment provider is called, or left alone for a while; `None` without one.
    pub fn breaker_state(&self) -> Option<BreakerState> {
        self.gateway.as_ref().map(|gateway| gateway.breaker.state(self.now()))
    }

    /// Random bits, for what is named around the use cases: request ids.
    pub fn random_u64(&self) -> u64 {
        self.random.next_u64()
    }

    /// An id whose bucket means nothing.
    fn new_account_id(&self) -> AccountId {
        let bucket = Bucket::from_random(self.random.next_u64());
        AccountId::generate(self.clock.now(), bucket, self.random.next_u64())
    }

    /// An id with the bucket of all its orders to come: that of the external id, or one drawn at random.
    fn new_restaurant_id(&self, external_id: Option<&ExternalId>) -> RestaurantId {
        let bucket =
            external_id.map_or_else(|| Bucket::from_random(self.random.next_u64()), ExternalId::bucket);
        RestaurantId::generate(self.clock.now(), bucket, self.random.next_u64())
    }
}
