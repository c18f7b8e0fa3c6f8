//! `dabba work`

use std::{path::PathBuf, sync::Arc};

use dabba_web::ConnectionMetrics;
use tokio::net::TcpListener;

use crate::{
    background::Background,
    broker::Broker,
    commands::{block_on, serve::reachable},
    data,
    databases::{Databases, Opened},
    failure::Failure,
    logging, open_files, output,
    payments::Payments,
    process_metrics, sandbox, secrets_key, serving,
    settings::{Layer, Settings},
    signals::Signals,
    webhooks::WebhookAccess,
};

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = "Any number of processes may work on the same PostgreSQL databases, beside servers. \
                        The embedded database serves one process at a time, so its server processes its tasks, \
                        and this command only while no server runs.\n\n\
                        Settings of the API, of tokens and of the limits per account and address, and the setting \
                        `work`, have no effect here, so servers and workers can share one settings file. Each \
                        setting can also be given in the environment (DABBA_DATABASE and so on) or in that file.")]
pub(crate) struct Arguments {
    /// Settings file (TOML); default `dabba.toml`, if that file exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

/// Processes tasks until a signal stops the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { config, settings } = arguments;
    let settings = Settings::load(settings, config.as_deref())?;
    logging::start(&settings, config.as_deref())?;
    block_on(work(settings))
}

async fn work(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // The connections of webhooks and of the pools may exceed the usual soft limit.
    open_files::raise_limit();
    let databases = Databases::from_settings(&settings)?;
    let admin = match &settings.listening.admin_listen {
        Some(address) => {
            let bound = address.bind("--admin-listen").await;
            Some(bound.map_err(Failure::during("the setting admin_listen"))?)
        }
        None => None,
    };
    let clock = data::server_clock(sandbox::clock_of(&settings, &databases)?, &settings);
    let is_sandbox = sandbox::is_one(&settings, &databases);
    let gateway = Payments::for_workers(&settings, is_sandbox)?.gateway;
    let broker = Broker::from_settings(&settings)?;
    let webhooks = webhooks(&settings)?;
    databases.require()?;
    let Some(opened) = signals.unless_stopped(databases.open(&settings)).await else { return Ok(()) };
    let Opened { store, mut metrics, place } = opened?;
    databases.warn_of_leftover(&settings).await;
    data::synchronize(&clock, &*store).await?;
    let engine = data::start_engine(&store, Arc::clone(&clock) as _, gateway, &databases, &settings);
    clock.register(&mut metrics);
    process_metrics::register(&mut metrics);
    let publisher = broker.publisher(&engine, &mut metrics)?;
    let webhooks = webhooks.map(|access| access.sender(&engine, &clock, is_sandbox, &mut metrics));
    let background = Background::start(&engine, &clock, &store, publisher, webhooks, true);
    let operations = match admin.as_ref().map(TcpListener::local_addr).transpose() {
        Ok(Some(address)) => format!(", metrics at http://{}", reachable(address)),
        Ok(None) => String::new(),
        Err(error) => return Err(Failure::during("listening")(error)),
    };
    output::line(format_args!("Dabba processes tasks, {place}{operations}\nStop with Ctrl-C."))?;
    tracing::info!(place, "working");
    let stopping_since = signals.stopping_since();
    let grace = settings.listening.shutdown_grace_seconds.seconds();
    match admin {
        Some(listener) => {
            let connections = ConnectionMetrics::new(&mut metrics);
            let app = dabba_api::operations_app(Arc::clone(&engine), metrics);
            let options = serving::options_for_operators(&settings);
            let served = dabba_web::serve(listener, app, signals.first(), options, connections).await;
            served.map_err(Failure::during("serving"))?;
        }
        None => signals.first().await,
    }
    background.close(grace, &stopping_since).await
}

/// Returns the access to webhooks. A worker creates no key: endpoints are created by servers, whose key it needs.
fn webhooks(settings: &Settings) -> Result<Option<WebhookAccess>, Failure> {
    let Some(keys) = secrets_key::read_if_there(settings)? else {
        tracing::warn!(
            "this process sends no webhooks: there is no secrets key at {}; give the servers' key with secrets_key_file",
            secrets_key::path(settings).display()
        );
        return Ok(None);
    };
    Ok(WebhookAccess::new(settings, keys, false))
}
