//! The engine: all parts of one process, wired together.

use std::{sync::Arc, time::Duration};

use dabba_domain::Timestamp;
use dabba_store::{Store, Supervisor};
use tokio::sync::Semaphore;

use crate::{
    Accounts, Boards, Catalogues, Clock, CommitSignals, EngineConfig, EngineMetrics, Orders, PaymentGateway,
    Payments, Random, Statistics, Work,
    accounts::{ApiKeys, MembershipCache, Passwords, Revocations, Sessions},
    boards::Presence,
    catalogue::CatalogueCache,
    committer::Committers,
    measure::Measurements,
    order_writer::{OrderWriter, Unattended},
    orders::{MAX_CODE_SEARCHES, OpenOrders, RecentOrders},
    payments::Gateway,
    post_commit::{Followers, PostCommits},
    readiness::Probe,
    shards::ShardChecks,
    statistics::PlacingLatency,
    work::{MaintenanceConfig, WorkerSignals},
};

/// The use cases, in parts. One engine per process, shared by `Arc`.
pub struct Engine {
    /// Use cases of orders.
    pub orders: Arc<Orders>,
    /// Use cases of restaurants, their menus and their stock.
    pub catalogue: Arc<Catalogues>,
    /// Use cases of the presence of boards.
    pub boards: Arc<Boards>,
    /// Use cases of accounts.
    pub accounts: Arc<Accounts>,
    /// Use cases of payments.
    pub payments: Arc<Payments>,
    /// Workers, and the actions of admins on tasks.
    pub work: Arc<Work>,
    /// Statistics of the platform.
    pub statistics: Arc<Statistics>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) writer: Arc<OrderWriter>,
    pub(crate) probe: Probe,
    pub(crate) measurements: Arc<Measurements>,
    pub(crate) shard_checks: ShardChecks,
    commit_signals: Arc<CommitSignals>,
    pub(crate) config: EngineConfig,
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
        let shared = Shared::new(store, clock, random, &config);
        let gateway = gateway.map(|port| Gateway::new(port, &config.payments, &shared.metrics));
        let post_commits = shared.post_commits(&config);
        let writer = shared.writer(&post_commits, &config);
        let unattended = shared.unattended(&writer);
        let accounts = shared.accounts(&config);
        let payments = shared.payments(&unattended, gateway, &config);
        let orders = shared.orders(&post_commits, &writer, &accounts, &payments, &config);
        let catalogue = shared.catalogues(&post_commits, &accounts, &config);
        let boards = shared.boards(&accounts, &catalogue, &config);
        let work = shared.work(&post_commits, unattended, &payments, &boards, &config);
        let statistics = shared.statistics(&config);
        let Shared { store, clock, random, metrics, supervisor, .. } = shared;
        Arc::new(Self {
            orders,
            catalogue,
            boards,
            accounts,
            payments,
            work,
            statistics,
            probe: Probe::start(&store, &supervisor),
            measurements: Arc::new(Measurements::new(store.shard_count())),
            shard_checks: ShardChecks::default(),
            commit_signals: Arc::clone(&post_commits.commit_signals),
            store,
            clock,
            random,
            metrics,
            supervisor,
            writer,
            config,
        })
    }

    /// Prepares the store for the first writes; see [`Store::warm_up`].
    pub async fn warm_up(&self) {
        self.store.warm_up(self.config.committers.max(1)).await;
    }

    /// Stops accepting writes, finishes the queued ones, and closes the store. Waits at most `limit`; returns `false` if
    /// that was not enough. Nothing else may use up the limit: [`Statistics::finish`] and other last writes come before.
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

    /// Returns the notifications about commits of this process.
    pub const fn commit_signals(&self) -> &Arc<CommitSignals> {
        &self.commit_signals
    }

    /// Returns the store, for parts that follow its feed. Requests use the use cases.
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Returns the current time as the use cases see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns random bits for names outside the use cases, such as request ids.
    pub fn random_u64(&self) -> u64 {
        self.random.next_u64()
    }
}

/// What several parts of an engine use. A clone shares it.
#[derive(Clone)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metrics: Arc<EngineMetrics>,
    supervisor: Arc<Supervisor>,
    catalogue_cache: Arc<CatalogueCache>,
    latency: Arc<PlacingLatency>,
}

impl Shared {
    fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        config: &EngineConfig,
    ) -> Self {
        let of_supervisor = Arc::clone(&random);
        Self {
            catalogue_cache: Arc::new(CatalogueCache::new(Arc::clone(&store), config.cached_catalogues)),
            latency: Arc::new(PlacingLatency::new(store.shard_count())),
            store,
            clock,
            random,
            metrics: Arc::new(EngineMetrics::default()),
            supervisor: Arc::new(Supervisor::new(Arc::new(move || of_supervisor.next_u64()))),
        }
    }

    /// Starts the followers of commits.
    fn post_commits(&self, config: &EngineConfig) -> Arc<PostCommits> {
        let Self { store, metrics, supervisor, catalogue_cache, .. } = self.clone();
        Arc::new(PostCommits {
            recent: Arc::new(RecentOrders::new(config.cached_orders)),
            open_orders: Arc::new(OpenOrders::new(config.max_open_orders)),
            signals: Arc::<WorkerSignals>::default(),
            commit_signals: CommitSignals::new(&store),
            followers: Followers::start(store.shard_count(), &catalogue_cache, &supervisor),
            store,
            metrics,
        })
    }

    /// Starts the committers.
    fn writer(&self, post_commits: &Arc<PostCommits>, config: &EngineConfig) -> Arc<OrderWriter> {
        let Self { clock, random, supervisor, .. } = self.clone();
        Arc::new(OrderWriter {
            committers: Committers::start(post_commits, config, &supervisor),
            clock,
            random,
            open_orders: Arc::clone(&post_commits.open_orders),
            max_attempts: config.max_decision_attempts,
        })
    }

    fn unattended(&self, writer: &Arc<OrderWriter>) -> Arc<Unattended> {
        let Self { store, clock, catalogue_cache, .. } = self.clone();
        Arc::new(Unattended { store, clock, catalogue_cache, writer: Arc::clone(writer) })
    }

    fn accounts(&self, config: &EngineConfig) -> Arc<Accounts> {
        let Self { store, clock, random, metrics, supervisor, catalogue_cache, .. } = self.clone();
        Arc::new(Accounts {
            passwords: Passwords::new(config, Arc::clone(&random)),
            store,
            clock,
            random,
            metrics,
            supervisor,
            catalogue_cache,
            memberships: MembershipCache::new(config),
            revocations: Arc::new(Revocations::new(config)),
            keys: ApiKeys::new(),
            sessions: Sessions::new(),
            use_write_interval: config.key_use_write_interval,
        })
    }

    fn payments(
        &self,
        unattended: &Arc<Unattended>,
        gateway: Option<Gateway>,
        config: &EngineConfig,
    ) -> Arc<Payments> {
        let Self { store, clock, random, metrics, .. } = self.clone();
        Arc::new(Payments {
            store,
            clock,
            random,
            metrics,
            unattended: Arc::clone(unattended),
            gateway,
            config: config.payments.clone(),
        })
    }

    fn orders(
        &self,
        post_commits: &PostCommits,
        writer: &Arc<OrderWriter>,
        accounts: &Arc<Accounts>,
        payments: &Arc<Payments>,
        config: &EngineConfig,
    ) -> Arc<Orders> {
        let Self { store, clock, random, metrics, catalogue_cache, latency, .. } = self.clone();
        Arc::new(Orders {
            store,
            clock,
            random,
            metrics,
            catalogue_cache,
            recent: Arc::clone(&post_commits.recent),
            open: Arc::clone(&post_commits.open_orders),
            writer: Arc::clone(writer),
            accounts: Arc::clone(accounts),
            payments: Arc::clone(payments),
            max_searched_ids: config.max_searched_ids.max(1),
            code_searches: Semaphore::new(MAX_CODE_SEARCHES),
            latency,
        })
    }

    fn statistics(&self, config: &EngineConfig) -> Arc<Statistics> {
        let Self { store, clock, random, supervisor, latency, .. } = self;
        let interval = config.statistics_interval;
        Arc::new(Statistics::new(store, clock, random, supervisor, latency, interval))
    }

    fn catalogues(
        &self,
        post_commits: &PostCommits,
        accounts: &Arc<Accounts>,
        config: &EngineConfig,
    ) -> Arc<Catalogues> {
        let Self { store, clock, random, metrics, supervisor, catalogue_cache, .. } = self.clone();
        Arc::new(Catalogues {
            store,
            clock,
            random,
            metrics,
            supervisor,
            catalogue_cache,
            accounts: Arc::clone(accounts),
            signals: Arc::clone(&post_commits.signals),
            commit_signals: Arc::clone(&post_commits.commit_signals),
            max_attempts: config.max_decision_attempts,
            unattended_pause: config.unattended_pause,
            poll_interval: config.catalogue_poll_interval,
            sweep_interval: config.restaurant_sweep_interval,
        })
    }

    fn boards(
        &self,
        accounts: &Arc<Accounts>,
        catalogue: &Arc<Catalogues>,
        config: &EngineConfig,
    ) -> Arc<Boards> {
        let Self { store, clock, random, metrics, supervisor, .. } = self.clone();
        let presence = Presence::new(&*store, &*clock);
        Arc::new(Boards {
            store,
            clock,
            random,
            metrics,
            supervisor,
            accounts: Arc::clone(accounts),
            catalogue: Arc::clone(catalogue),
            presence,
            write_interval: config.board_write_interval,
            pause_after: config.unattended_pause,
        })
    }

    fn work(
        &self,
        post_commits: &Arc<PostCommits>,
        unattended: Arc<Unattended>,
        payments: &Arc<Payments>,
        boards: &Arc<Boards>,
        config: &EngineConfig,
    ) -> Arc<Work> {
        let Self { store, clock, random, metrics, supervisor, .. } = self.clone();
        Arc::new(Work {
            store,
            clock,
            random,
            metrics,
            supervisor,
            signals: Arc::clone(&post_commits.signals),
            post_commits: Arc::clone(post_commits),
            unattended,
            payments: Arc::clone(payments),
            boards: Arc::clone(boards),
            config: config.tasks.clone(),
            maintenance: MaintenanceConfig::of(config),
        })
    }
}
