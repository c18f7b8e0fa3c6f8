//! The data directory, and the engine on a store.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, sync::Arc};

use dabba_engine::{Clock, Engine, EngineConfig, PaymentGateway, Ports, ServerClock, SystemRandom};
use dabba_store::Store;

use crate::{databases::Databases, failure::Failure, settings::Settings};

/// Creates the data directory, accessible to its owner only, if it does not exist.
pub(crate) fn make_directory(settings: &Settings) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&settings.storage.data);
    made.map_err(Failure::during(format_args!(
        "creating the data directory {}",
        settings.storage.data.display()
    )))
}

/// Returns the server's clock: the machine's clock, which [`synchronize`] corrects.
pub(crate) fn server_clock(machine: Arc<dyn Clock>, settings: &Settings) -> Arc<ServerClock> {
    Arc::new(ServerClock::new(machine, settings.storage.clock_config()))
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
    let config = EngineConfig {
        max_open_orders: settings.limits.max_open_orders(),
        tasks: settings.tasks.task_config(),
        payments: settings.payments.payment_config(),
        unattended_pause: settings.tasks.unattended_pause(),
        ..settings.writes.engine_config(databases.default_committers())
    };
    let ports = Ports { store: Arc::clone(store), clock, random: Arc::new(SystemRandom), gateway };
    Engine::start(ports, config)
}
