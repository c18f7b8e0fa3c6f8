//! Servers: an engine with its workers and watchers, and a sender of webhooks, on a machine whose clock may be off, which may die.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{Actor, Timestamp, order::Order};
use dabba_engine::{
    BreakerConfig, Clock, ClockConfig, CommitListener, Egress, Engine, EngineConfig, PasswordCost,
    PaymentConfig, Ports, SeededRandom, ServerClock, TaskConfig, Webhooks, sealing::SecretKeys,
};
use dabba_gateways::simulated::{Provider, wire::Notification};
use dabba_outbound::webhooks::{OrderRenderer, WebhookPorts, WebhookSender};
use dabba_store::{FeedEvent, ShardMap, ShardedStore, ShardedStoreError, Store};
use jiff::SignedDuration;
use serde_json::value::RawValue;
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use super::{
    chaos::Chaos,
    coverage::Mark,
    provider::FaultyProvider,
    receivers::{FaultyEgress, Receivers},
    store::FaultyStore,
    world::WorldClock,
};

/// Maximum number of commits in a batch. Low, so that full batches occur.
const MAX_BATCH: usize = 16;
/// Lease of a task. Shorter than a shard hangs, so that leases expire while their holders wait.
const LEASE: Duration = Duration::from_secs(16);
/// Maximum pause after a failure of a task. Short, so that tasks that always fail are parked during the simulation.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Minimum interval between two notifications of the sender of webhooks.
const MIN_SIGNAL_INTERVAL: Duration = Duration::from_millis(5);
/// Interval at which the sender of webhooks polls. Long, because polls that find nothing make a simulation slow.
const WEBHOOK_POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum number of attempts to measure the clock of a machine that starts.
const CLOCK_ATTEMPTS: u32 = 5;

/// Represents an order by its version.
struct Versions;

#[async_trait]
impl OrderRenderer for Versions {
    async fn render(&self, order: &Order, _: &Actor) -> Result<Box<RawValue>, String> {
        RawValue::from_string(format!("{{\"version\":{}}}", order.version)).map_err(|error| error.to_string())
    }
}

/// The life of a server, which ends once.
///
/// All who wait for the end are woken in the order in which they began to wait, as the simulation's determinism requires. A
/// channel of `tokio::sync::watch` wakes its receivers in a random order.
#[derive(Default)]
pub(super) struct Life {
    is_over: AtomicBool,
    end: Notify,
}

impl Life {
    /// Ends the life. All clients lose their connections.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.end.notify_waiters();
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Waits for the end.
    pub(super) async fn over(&self) {
        // Begun before the check, so that it notices an end after the check.
        let ended = self.end.notified();
        if !self.is_over() {
            ended.await;
        }
    }
}

/// The clock of a server's machine.
struct MachineClock {
    truth: Arc<WorldClock>,
    /// Milliseconds by which the clock is ahead.
    skew: AtomicI64,
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let skew = SignedDuration::from_millis(self.skew.load(Ordering::Relaxed));
        let now = self.truth.now();
        now.saturating_add(skew).unwrap_or(now)
    }
}

/// The surroundings of all servers.
pub(super) struct Site {
    pub(super) seed: u64,
    pub(super) map: ShardMap,
    /// The shards' stores, without faults.
    pub(super) shards: Vec<Arc<dyn Store>>,
    pub(super) chaos: Arc<Chaos>,
    pub(super) clock: Arc<WorldClock>,
    pub(super) provider: Arc<Provider>,
    pub(super) reports: Arc<Mutex<Vec<Notification>>>,
    pub(super) receivers: Arc<Receivers>,
    /// The keys of the secrets of webhook endpoints.
    pub(super) keys: Arc<SecretKeys>,
    /// The events of each shard that a plant publishes although they were lost.
    pub(super) lost_events: Vec<Arc<Mutex<Vec<FeedEvent>>>>,
}

/// A running server.
pub(super) struct Server {
    pub(super) engine: Arc<Engine>,
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) life: Arc<Life>,
    machine: Arc<MachineClock>,
    clock: Arc<ServerClock>,
    /// The workers, the watchers and the sender of webhooks.
    running: Mutex<JoinSet<()>>,
}

impl Server {
    /// Starts a server. `number` counts all servers of the simulation, and `skew` says by how many milliseconds the
    /// clock of its machine is ahead.
    pub(super) async fn start(site: &Site, number: u64, skew: i64) -> Result<Arc<Self>, ShardedStoreError> {
        let (life, config) = (Arc::<Life>::default(), config(site.chaos.rates.poll_interval));
        let reach = |(shard, inner): (usize, &Arc<dyn Store>)| {
            Arc::new(FaultyStore {
                inner: Arc::clone(inner),
                shard,
                chaos: Arc::clone(&site.chaos),
                clock: Arc::clone(&site.clock),
                life: Arc::clone(&life),
                lost_events: site.lost_events.get(shard).map(Arc::clone).unwrap_or_default(),
                commit_timeout: config.commit_timeout,
            }) as Arc<dyn Store>
        };
        let shards = site.shards.iter().enumerate().map(reach).collect();
        let store: Arc<dyn Store> = Arc::new(ShardedStore::new(site.map.clone(), shards)?);
        let machine = Arc::new(MachineClock { truth: Arc::clone(&site.clock), skew: AtomicI64::new(skew) });
        let clock = Arc::new(ServerClock::new(Arc::clone(&machine) as _, ClockConfig::default()));
        for _ in 0..CLOCK_ATTEMPTS {
            if clock.measure(&*store).await.is_ok() {
                break;
            }
        }
        let gateway = FaultyProvider {
            chaos: Arc::clone(&site.chaos),
            provider: Arc::clone(&site.provider),
            clock: Arc::clone(&site.clock),
            reports: Arc::clone(&site.reports),
            life: Arc::clone(&life),
            call_timeout: config.payments.call_timeout,
        };
        let ports = Ports {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(site.seed.wrapping_add(number << 32))),
            gateway: Some(Arc::new(gateway)),
        };
        let engine = Engine::start(ports, config);
        let mut running = JoinSet::new();
        running.spawn(Arc::clone(&clock).follow(Arc::clone(&store), Arc::clone(engine.supervisor())));
        running.spawn(Arc::clone(&engine.work).maintain());
        running.spawn(Arc::clone(&engine.catalogue).watch_catalogues());
        running.spawn(Arc::clone(&engine.accounts).watch_revocations());
        running.spawn(Arc::clone(&engine.work).run(std::future::pending()));
        let egress: Arc<dyn Egress> = Arc::new(FaultyEgress {
            chaos: Arc::clone(&site.chaos),
            receivers: Arc::clone(&site.receivers),
            life: Arc::clone(&life),
        });
        let webhooks = Webhooks::new(&engine, Arc::clone(&egress), Arc::clone(&site.keys));
        let sender = WebhookSender::new(WebhookPorts {
            store,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(!site.seed.wrapping_add(number << 32))),
            egress,
            keys: Arc::clone(&site.keys),
            orders: Arc::new(Versions),
            supervisor: Arc::clone(engine.supervisor()),
            poll_interval: WEBHOOK_POLL_INTERVAL,
        });
        for shard in 0..site.shards.len() {
            running.spawn(notify(Arc::clone(&sender), engine.commit_signals().listen(shard), shard));
        }
        running.spawn(sender.run(std::future::pending()));
        Ok(Arc::new(Self { engine, webhooks, life, machine, clock, running: Mutex::new(running) }))
    }

    /// Ends the server's life and aborts its background tasks. What the engine has spawned itself goes on, but each of its
    /// store calls fails from now on.
    pub(super) fn stop(&self) {
        self.life.end();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Sets the clock of the machine ahead by this number of milliseconds. Returns whether the clock went back.
    pub(super) fn set_skew(&self, skew: i64) -> bool {
        self.machine.skew.swap(skew, Ordering::Relaxed) > skew
    }

    /// Counts the rare conditions in which the server is.
    pub(super) fn observe(&self, chaos: &Chaos) {
        if self.clock.check().is_err() {
            chaos.coverage.pass(Mark::ClockOff);
        }
        if self.engine.payments.breaker_state() == Some(dabba_engine::BreakerState::Open) {
            chaos.coverage.pass(Mark::BreakerOpen);
        }
    }
}

/// Notifies a sender of the commits of its server.
async fn notify(sender: Arc<WebhookSender>, commits: CommitListener, shard: usize) {
    loop {
        commits.wait().await;
        sender.committed(shard);
        sleep(MIN_SIGNAL_INTERVAL).await;
    }
}

fn config(poll_interval: Duration) -> EngineConfig {
    let breaker = BreakerConfig { open_duration: Duration::from_secs(20), ..BreakerConfig::default() };
    EngineConfig {
        max_batch: MAX_BATCH,
        password_cost: PasswordCost::MIN,
        catalogue_poll_interval: 4 * poll_interval,
        revocation_poll_interval: 4 * poll_interval,
        maintenance_interval: Duration::from_mins(5),
        tasks: TaskConfig { poll_interval, lease: LEASE, max_backoff: MAX_BACKOFF, ..TaskConfig::default() },
        payments: PaymentConfig { breaker, ..PaymentConfig::default() },
        ..EngineConfig::default()
    }
}
