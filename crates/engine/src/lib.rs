//! Use cases of Dabba: quote, place, change, read and list orders; manage restaurants, menus, stock and accounts. The
//! engine uses the rules of the domain and any store that implements the storage contract.
//!
//! A write has four steps: load what the decision needs (the catalogue and recent orders from memory, everything else
//! from the store), let the domain decide, pass the decision to a committer, and answer from the outcome of the commit.
//! When a decision was based on a stale version, the engine decides again, a bounded number of times.
//!
//! Work for later is stored as a task in the transaction of the decision that causes it. [`Engine::work`] executes the
//! task when it is due, in the same way as any other write.
//!
//! Time, randomness and the payment provider are ports ([`Clock`], [`Random`], [`PaymentGateway`]), which tests
//! replace.

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
mod order_writer;
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

/// Caller of a use case: an account and its role, as stated by a verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The account.
    pub account_id: AccountId,
    /// The account's role.
    pub role: Role,
    /// The revision of the account's last revocation when the token was issued.
    pub as_of: RevocationRevision,
}

impl Principal {
    /// Returns a caller whose account was never revoked, or has no account in the store (an operator's token).
    pub const fn new(account_id: AccountId, role: Role) -> Self {
        Self { account_id, role, as_of: 0 }
    }

    /// Returns the credential that the store checks in a write that a revocation must prevent.
    pub(crate) const fn credential(&self) -> Credential {
        let Self { account_id, role, as_of } = *self;
        Credential { account_id, role, as_of }
    }
}

/// The use cases. One engine per process, shared by `Arc`.
pub struct Engine {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    config: EngineConfig,
    writer: order_writer::OrderWriter,
    catalogues: Arc<catalogue::CatalogueCache>,
    recent: Arc<orders::RecentOrders>,
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

/// Dependencies of an engine.
pub struct Ports {
    /// The store of all data.
    pub store: Arc<dyn Store>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The source of random bits.
    pub random: Arc<dyn Random>,
    /// The payment provider for payments by card. Without a provider, the engine accepts no cards and executes no
    /// payment tasks.
    pub gateway: Option<Arc<dyn PaymentGateway>>,
}

impl Engine {
    /// Creates the engine and starts the committers on the current Tokio runtime.
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
        let writer = order_writer::OrderWriter {
            committers: committer::Committers::start(&post_commits, &config, &supervisor),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            open_orders,
            max_attempts: config.max_decision_attempts,
        };
        Arc::new(Self {
            writer,
            catalogues,
            recent,
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

    /// Prepares the store for the first writes; see [`Store::warm_up`].
    pub async fn warm_up(&self) {
        self.store.warm_up(self.config.committers.max(1)).await;
    }

    /// Stops accepting writes, finishes the queued ones, and closes the store. Waits at most `limit`; returns `false`
    /// if that was not enough.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        let finish = async {
            self.writer.committers.finish().await;
            self.store.close().await;
        };
        tokio::time::timeout(limit, finish).await.is_ok()
    }

    /// Returns the metrics of the engine.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// Returns the supervisor of this process. Every other long-running part of the process must run under it.
    pub const fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// Returns the current time as the use cases see it.
    pub fn now(&self) -> dabba_domain::Timestamp {
        self.clock.now()
    }

    /// Returns whether orders can be paid by card.
    pub const fn takes_cards(&self) -> bool {
        self.gateway.is_some()
    }

    /// Returns the state of the payment provider's circuit breaker; `None` without a provider.
    pub fn breaker_state(&self) -> Option<BreakerState> {
        self.gateway.as_ref().map(|gateway| gateway.breaker.state(self.now()))
    }

    /// Returns random bits for names outside the use cases, such as request ids.
    pub fn random_u64(&self) -> u64 {
        self.random.next_u64()
    }

    /// Returns a new account id. Its bucket is random and has no meaning.
    fn new_account_id(&self) -> AccountId {
        let bucket = Bucket::from_random(self.random.next_u64());
        AccountId::generate(self.clock.now(), bucket, self.random.next_u64())
    }

    /// Returns a new restaurant id. Its bucket is that of the external id, or random without one; all orders of the
    /// restaurant have the same bucket.
    fn new_restaurant_id(&self, external_id: Option<&ExternalId>) -> RestaurantId {
        let bucket =
            external_id.map_or_else(|| Bucket::from_random(self.random.next_u64()), ExternalId::bucket);
        RestaurantId::generate(self.clock.now(), bucket, self.random.next_u64())
    }
}
