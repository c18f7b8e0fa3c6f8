//! The data directory, and the engine on a store.

use std::{fs::DirBuilder, num::NonZeroUsize, os::unix::fs::DirBuilderExt as _, sync::Arc};

use dabba_engine::{
    BreakerConfig, Clock, ClockConfig, Engine, EngineConfig, PaymentConfig, PaymentGateway, Ports,
    ServerClock, SystemRandom, TaskConfig,
};
use dabba_store::Store;
use jiff::SignedDuration;

use crate::{
    databases::Databases,
    failure::Failure,
    settings::{Bounded, Settings},
};

/// Creates the data directory, accessible to its owner only, if it does not exist.
pub(crate) fn make_directory(settings: &Settings) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&settings.data);
    made.map_err(Failure::during(format_args!("creating the data directory {}", settings.data.display())))
}

/// Returns the server's clock: the machine's clock, which [`synchronize`] corrects.
pub(crate) fn server_clock(machine: Arc<dyn Clock>, settings: &Settings) -> Arc<ServerClock> {
    let skew_limit = settings.clock_skew_limit_seconds.seconds();
    Arc::new(ServerClock::new(machine, ClockConfig { skew_limit, ..ClockConfig::default() }))
}

/// Corrects the clock by its offset to the database's clock. Fails if the offset exceeds the limit. An unreachable database is
/// not a failure here, since every later access reports it.
pub(crate) async fn synchronize(clock: &ServerClock, store: &dyn Store) -> Result<(), Failure> {
    if let Err(error) = clock.measure(store).await {
        tracing::warn!(%error, "cannot read the database's clock; this machine's clock is used until the database answers");
    }
    clock.check().map_err(|skew| Failure::new(skew.to_string()))
}

/// Starts the engine on a store of these databases, with this clock. Without a payment provider, the engine accepts no cards.
pub(crate) fn start_engine(
    store: &Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    gateway: Option<Arc<dyn PaymentGateway>>,
    databases: &Databases,
    settings: &Settings,
) -> Arc<Engine> {
    let retention = i64::try_from(settings.idempotency_retention_seconds.get()).unwrap_or(i64::MAX);
    let config = EngineConfig {
        committers: settings.committers.map_or(databases.default_committers(), Bounded::size),
        max_batch: settings.commit_batch_limit.size(),
        max_queued: settings.commit_queue_limit.size(),
        key_retention: SignedDuration::from_secs(retention),
        max_open_orders: NonZeroUsize::new(settings.open_orders_limit.size()),
        tasks: TaskConfig {
            concurrency: settings.task_concurrency.size(),
            lease: settings.task_lease_seconds.seconds(),
            poll_interval: settings.task_poll_milliseconds.milliseconds(),
            ..TaskConfig::default()
        },
        payments: PaymentConfig {
            deadline: settings.payment_deadline_seconds.seconds(),
            call_timeout: settings.payment_timeout_seconds.seconds(),
            breaker: BreakerConfig {
                failure_threshold: settings.payment_breaker_failures.small(),
                open_for: settings.payment_breaker_open_milliseconds.milliseconds(),
                probes: settings.payment_breaker_probes.size(),
            },
            ..PaymentConfig::default()
        },
        ..EngineConfig::default()
    };
    let ports = Ports { store: Arc::clone(store), clock, random: Arc::new(SystemRandom), gateway };
    Engine::start(ports, config)
}
