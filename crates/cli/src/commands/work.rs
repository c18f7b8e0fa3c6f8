//! `dabba work`

use std::sync::Arc;

use crate::{
    background::Background,
    commands::{DataArguments, block_on},
    data,
    databases::{Databases, Opened},
    failure::Failure,
    output,
    payments::Payments,
    sandbox,
    settings::Settings,
    signals::Signals,
};

/// What the command takes.
#[derive(clap::Args)]
#[command(after_help = "Any number of processes may work on the same PostgreSQL databases, beside servers. \
                        The embedded database serves one process at a time, so its tasks are worked by its \
                        server, and by this command only while no server runs.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: DataArguments,
}

/// Works tasks until a signal says to stop.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    block_on(work(settings))
}

async fn work(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let databases = Databases::from_settings(&settings)?;
    let clock = data::server_clock(sandbox::clock_of(&settings, &databases)?, &settings);
    let gateway = Payments::for_workers(&settings, sandbox::is_one(&settings, &databases))?.gateway;
    databases.require()?;
    let Some(opened) = signals.unless_stopped(databases.open(&settings)).await else { return Ok(()) };
    let Opened { store, place, .. } = opened?;
    databases.warn_of_leftover(&settings).await;
    data::synchronize(&clock, &*store).await?;
    let engine = data::start_engine(&store, Arc::clone(&clock) as _, gateway, &databases, &settings);
    let background = Background::start(&engine, &clock, &store, true);
    output::line(format_args!("Dabba works the tasks, {place}\nStop with Ctrl-C."))?;
    tracing::info!(place, "working");
    let stopping_since = signals.stopping_since();
    signals.first().await;
    background.close(settings.shutdown_grace_seconds.seconds(), &stopping_since).await
}
