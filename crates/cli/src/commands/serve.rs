//! `dabba serve`

mod announcement;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use dabba_api::{ApiConfig, Apps, LiveConfig, LiveMetrics};
use dabba_engine::{AdjustableClock, Clock, SystemClock};
use dabba_web::{ConnectionMetrics, SigningKey, Web, WebConfig};
use futures::FutureExt as _;
use tokio::net::TcpListener;

use self::announcement::Announcement;
use crate::{
    background::Background,
    broker::Broker,
    data,
    databases::{Databases, Opened},
    demo_data,
    failure::Failure,
    listening::ListenAddress,
    logging,
    payments::Payments,
    process_metrics, sandbox, secrets_key, serving,
    settings::{Layer, Settings},
    signals::Signals,
    signing_key,
    webhooks::{WebhookAccess, Webhooks},
};

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = "Each setting can also be given in the environment (DABBA_LISTEN and so on) or in \
                        the settings file; `dabba settings` prints a template of the file.")]
pub(crate) struct Arguments {
    /// Adds a demo if the database has none: restaurants, accounts, and tokens for them.
    #[arg(long)]
    demo: bool,
    /// Serves a sandbox, whose clock an admin can advance (`POST /v1/sandbox/clock/advance`). Only for an embedded database that
    /// was created with this flag.
    #[arg(long)]
    sandbox: bool,
    /// Prints the address as one JSON object on standard output, with the demo's tokens and an order.
    #[arg(long)]
    json: bool,
    /// Settings file (TOML); default `dabba.toml`, if that file exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

/// Serves until a signal stops the server.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { demo, sandbox, json, config, settings } = arguments;
    let settings = Settings::load(settings, config.as_deref())?;
    logging::start(&settings, config.as_deref())?;
    super::block_on(serve(settings, demo, sandbox, json))
}

async fn serve(settings: Settings, with_demo: bool, is_sandbox: bool, json: bool) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // Steps that can fail and change nothing come first. So a port in use or a missing file changes nothing, and a data directory
    // without write permission leaves the database as it is.
    let databases = Databases::from_settings(&settings)?;
    let payments = Payments::for_server(&settings, with_demo, is_sandbox)?;
    let broker = Broker::from_settings(&settings)?;
    let signing_key = signing_key::read_if_there(&settings)?;
    let secret_keys = secrets_key::read_if_there(&settings)?;
    settings.listening.refuse_shared_port()?;
    let listener = bind(&settings.listening.listen, "listen").await?;
    let admin_listener = match &settings.listening.admin_listen {
        Some(address) => Some(bind(address, "admin_listen").await?),
        None => None,
    };
    data::make_directory(&settings)?;
    let sandbox_clock = if is_sandbox {
        Some(sandbox::open(&settings, &databases)?)
    } else {
        sandbox::refuse(&settings, &databases)?;
        None
    };
    let signing_key = match signing_key {
        Some(key) => key,
        None => signing_key::read_or_make(&settings)?,
    };
    let secret_keys = match secret_keys {
        Some(keys) => keys,
        None => secrets_key::read_or_make(&settings)?,
    };
    let webhooks = WebhookAccess::new(&settings, secret_keys, with_demo);
    let machine: Arc<dyn Clock> = match &sandbox_clock {
        Some(clock) => Arc::clone(clock) as _,
        None => Arc::new(SystemClock),
    };
    let server_clock = data::server_clock(machine, &settings);
    let clock = Arc::clone(&server_clock) as Arc<dyn Clock>;
    let payments = payments(&clock);
    let Some(opened) = signals.unless_stopped(databases.open(&settings)).await else { return Ok(()) };
    let Opened { store, mut metrics, place } = opened?;
    databases.warn_of_leftover(&settings).await;
    data::synchronize(&server_clock, &*store).await?;
    server_clock.register(&mut metrics);
    process_metrics::register(&mut metrics);
    let engine = data::start_engine(&store, clock, payments.gateway, &databases, &settings);
    // The start does not wait for the warm-up, which an unreachable database would delay.
    let warmed_up = Arc::clone(&engine);
    tokio::spawn(async move { warmed_up.warm_up().await });
    let demo = if with_demo { Some(demo_data::ensure(&engine, &*store).await?) } else { None };

    let address = listener.local_addr().map_err(Failure::during("listening"))?;
    let admin_address = admin_listener.as_ref().map(TcpListener::local_addr).transpose();
    let admin_address = admin_address.map_err(Failure::during("listening"))?;
    let announcement = Announcement {
        address: reachable(address),
        admin_address: admin_address.map(reachable),
        demo: demo.as_ref(),
        signing_key: &signing_key,
        now: engine.now(),
        settings: &settings,
        place: &place,
    };
    // Connections that arrived before are served as well, so a reader of the announcement can use the address at once.
    announcement.publish(json)?;
    tracing::info!(%address, place, "serving");

    let grace = settings.listening.shutdown_grace_seconds.seconds();
    let publisher = broker.publisher(&engine, &mut metrics)?;
    let sending =
        webhooks.as_ref().map(|access| access.sender(&engine, &server_clock, is_sandbox, &mut metrics));
    let background =
        Background::start(&engine, &server_clock, &store, publisher, sending.clone(), settings.tasks.work);
    let options = serving::options(&settings, &databases);
    let api = ApiConfig {
        has_admin_listener: settings.listening.admin_listen.is_some(),
        webhooks: payments.webhooks,
        webhook_endpoints: sending.as_ref().map(Webhooks::endpoints),
        sandbox: sandbox_clock.map(|clock| clock as Arc<dyn AdjustableClock>),
        live: LiveConfig {
            max_streams: serving::max_streams(&options),
            metrics: LiveMetrics::new(&mut metrics),
            ..LiveConfig::default()
        },
    };
    let connections = ConnectionMetrics::new(&mut metrics);
    let web = Web::new(engine, web_config(&settings, signing_key), metrics);
    let Apps { public, admin } = dabba_api::apps(web, api);
    let stopping_since = signals.stopping_since();
    let stop = signals.first().shared();
    let serving = dabba_web::serve(listener, public, stop.clone(), options, connections);
    let serving_admins = async {
        let (Some(listener), Some(app)) = (admin_listener, admin) else { return Ok(()) };
        let options = serving::options_for_operators(&settings);
        dabba_web::serve(listener, app, stop, options, ConnectionMetrics::default()).await
    };
    tokio::try_join!(serving, serving_admins).map_err(Failure::during("serving"))?;
    background.close(grace, &stopping_since).await
}

/// Binds the port. Connections wait in the queue of the socket until the server is ready.
async fn bind(address: &ListenAddress, setting: &str) -> Result<TcpListener, Failure> {
    let option = format!("--{}", setting.replace('_', "-"));
    address.bind(&option).await.map_err(Failure::during(format_args!("the setting {setting}")))
}

/// Returns the address under which this machine reaches a server that listens on all addresses.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn web_config(settings: &Settings, signing_key: SigningKey) -> WebConfig {
    WebConfig {
        token_lifetime: settings.tokens.lifetime(),
        rate_limits: settings.limits.rate_limits(),
        ..settings.listening.web_config(signing_key)
    }
}
