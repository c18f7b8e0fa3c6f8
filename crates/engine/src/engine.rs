//! The engine: all parts of one process, wired together.

use std::{sync::Arc, time::Duration};

use dabba_domain::Timestamp;
use dabba_store::{Store, Supervisor};

use crate::{
    Accounts, Catalogues, Clock, CommitSignals, EngineConfig, EngineMetrics, Orders, PaymentGateway,
    Payments, Random, Work,
    accounts::{ApiKeys, MembershipCache, Passwords, Revocations},
    catalogue::CatalogueCache,
    committer::Committers,
    measure::Measurements,
    order_writer::{OrderWriter, Unattended},
    orders::{OpenOrders, RecentOrders},
    payments::Gateway,
    post_commit::{Followers, PostCommits},
    readiness::Probe,
    work::{MaintenanceConfig, WorkerSignals},
};

/// The use cases, in parts. One engine per process, shared by `Arc`.
pub struct Engine {
    /// Use cases of orders.
    pub orders: Arc<Orders>,
    /// Use cases of restaurants, their menus and their stock.
    pub catalogue: Arc<Catalogues>,
    /// Use cases of accounts.
    pub accounts: Arc<Accounts>,
    /// Use cases of payments.
    pub payments: Arc<Payments>,
    /// Workers, and the actions of admins on tasks.
    pub work: Arc<Work>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) writer: Arc<OrderWriter>,
    pub(crate) probe: Probe,
    pub(crate) measurements: Arc<Measurements>,
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
        let metrics = Arc::new(EngineMetrics::default());
        let gateway = gateway.map(|port| Gateway::new(port, &config.payments, &metrics));
        let supervisor = new_supervisor(Arc::clone(&random));
        let catalogue_cache = Arc::new(CatalogueCache::new(Arc::clone(&store), config.cached_catalogues));
        let recent = Arc::new(RecentOrders::new(config.cached_orders));
        let open = Arc::new(OpenOrders::new(config.max_open_orders));
        let followers = Followers::start(store.shard_count(), &catalogue_cache, &supervisor);
        let post_commits = new_post_commits(&store, &metrics, &recent, &open, followers);
        let signals = Arc::clone(&post_commits.signals);
        let commit_signals = Arc::clone(&post_commits.commit_signals);
        let writer = Arc::new(OrderWriter {
            committers: Committers::start(&post_commits, &config, &supervisor),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            open_orders: Arc::clone(&open),
            max_attempts: config.max_decision_attempts,
        });
        let unattended = Arc::new(Unattended {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            catalogue_cache: Arc::clone(&catalogue_cache),
            writer: Arc::clone(&writer),
        });
        let accounts = Arc::new(Accounts {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            metrics: Arc::clone(&metrics),
            supervisor: Arc::clone(&supervisor),
            catalogue_cache: Arc::clone(&catalogue_cache),
            passwords: Passwords::new(&config, Arc::clone(&random)),
            memberships: MembershipCache::new(&config),
            revocations: Arc::new(Revocations::new(&config)),
            keys: ApiKeys::new(config.key_use_write_interval),
        });
        let payments = Arc::new(Payments {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            metrics: Arc::clone(&metrics),
            unattended: Arc::clone(&unattended),
            gateway,
            config: config.payments.clone(),
        });
        Arc::new(Self {
            orders: Arc::new(Orders {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                random: Arc::clone(&random),
                metrics: Arc::clone(&metrics),
                catalogue_cache: Arc::clone(&catalogue_cache),
                recent,
                open,
                writer: Arc::clone(&writer),
                accounts: Arc::clone(&accounts),
                payments: Arc::clone(&payments),
            }),
            catalogue: Arc::new(Catalogues {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                random: Arc::clone(&random),
                metrics: Arc::clone(&metrics),
                supervisor: Arc::clone(&supervisor),
                catalogue_cache,
                accounts: Arc::clone(&accounts),
                signals: Arc::clone(&signals),
                commit_signals: Arc::clone(&commit_signals),
                max_attempts: config.max_decision_attempts,
                poll_interval: config.catalogue_poll_interval,
            }),
            work: Arc::new(Work {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                random: Arc::clone(&random),
                metrics: Arc::clone(&metrics),
                supervisor: Arc::clone(&supervisor),
                signals,
                post_commits,
                unattended,
                payments: Arc::clone(&payments),
                config: config.tasks.clone(),
                maintenance: MaintenanceConfig::of(&config),
            }),
            accounts,
            payments,
            probe: Probe::start(&store, &supervisor),
            measurements: Arc::new(Measurements::new(store.shard_count())),
            commit_signals,
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

fn new_supervisor(random: Arc<dyn Random>) -> Arc<Supervisor> {
    Arc::new(Supervisor::new(Arc::new(move || random.next_u64())))
}

fn new_post_commits(
    store: &Arc<dyn Store>,
    metrics: &Arc<EngineMetrics>,
    recent: &Arc<RecentOrders>,
    open_orders: &Arc<OpenOrders>,
    followers: Followers,
) -> Arc<PostCommits> {
    Arc::new(PostCommits {
        store: Arc::clone(store),
        metrics: Arc::clone(metrics),
        recent: Arc::clone(recent),
        open_orders: Arc::clone(open_orders),
        signals: Arc::<WorkerSignals>::default(),
        commit_signals: CommitSignals::new(store),
        followers,
    })
}
