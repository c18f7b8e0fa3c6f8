//! `dabba serve`

mod announcement;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use dabba_api::{ApiConfig, Apps, LiveConfig, LiveMetrics};
use dabba_engine::{AdjustableClock, Clock, SystemClock, sealing::SecretKeys};
use dabba_pages::Content;
use dabba_web::{ConnectionMetrics, ServeOptions, SigningKey, Web, WebConfig};
use futures::FutureExt as _;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use self::announcement::Announcement;
use crate::{
    background::Background,
    broker::Broker,
    build::BUILD_NAME,
    data,
    databases::{Databases, Opened},
    demo_data,
    failure::Failure,
    listening::ListenAddress,
    logging,
    payments::Payments,
    process_metrics,
    sandbox::{self, SandboxClock},
    secrets_key, serving,
    settings::{Layer, Settings},
    signals::Signals,
    signing_key,
    tls::ServerTls,
    webhooks::{self, WebhookAccess, Webhooks},
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
    let keys = FoundKeys::read(&settings)?;
    let tls = ServerTls::from_settings(&settings)?;
    let listeners = Listeners::bind(&settings).await?;
    data::make_directory(&settings)?;
    let sandbox_clock = sandbox_clock(&settings, &databases, is_sandbox)?;
    let Keys { signing: signing_key, secrets: secret_keys, is_secrets_key_new } = keys.or_make(&settings)?;
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
    if is_secrets_key_new {
        webhooks::warn_of_new_key(&*store, &settings).await;
    }
    server_clock.register(&mut metrics);
    process_metrics::register(&mut metrics);
    ServerTls::register(tls.as_deref(), &mut metrics);
    let engine = data::start_engine(&store, clock, payments.gateway, &databases, &settings);
    // The start does not wait for the warm-up, which an unreachable database would delay.
    let warmed_up = Arc::clone(&engine);
    tokio::spawn(async move { warmed_up.warm_up().await });
    let (address, admin_address) = listeners.addresses()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(address));
    let public_url = settings.listening.public_url.as_ref().map(|url| url.as_str().to_owned());
    let mut demo = if with_demo { Some(demo_data::ensure(&engine, &*store).await?) } else { None };
    // Each client that reaches the server could use a link, so a server that other machines reach has none.
    if let Some(demo) = &mut demo
        && address.ip().is_loopback()
        && settings.listening.pages
    {
        demo.create_links(&engine, public_url.as_deref().unwrap_or(&url)).await;
    }
    let announcement = Announcement {
        url: &url,
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
    let publisher = broker.publisher(&engine, &mut metrics)?;
    let sending =
        webhooks.as_ref().map(|access| access.sender(&engine, &server_clock, is_sandbox, &mut metrics));
    let mut background =
        Background::start(&engine, &server_clock, &store, publisher, sending.clone(), settings.tasks.work);
    background.spawn(ServerTls::watch(tls.clone(), Arc::clone(engine.supervisor())));
    let options = serving::options(&settings, &databases, tls.as_deref());
    let api = ApiConfig {
        has_admin_listener: settings.listening.admin_listen.is_some(),
        has_simulated_payments: payments.is_simulated,
        webhooks: payments.webhooks,
        webhook_endpoints: sending.as_ref().map(Webhooks::endpoints),
        sandbox: sandbox_clock.map(|clock| clock as Arc<dyn AdjustableClock>),
        public_url,
        live: live_config(&options, &mut metrics),
        build: BUILD_NAME,
    };
    let connections = ConnectionMetrics::new(&mut metrics);
    let web = Web::new(engine, web_config(&settings, signing_key), metrics);
    let apps = with_pages(dabba_api::apps(Arc::clone(&web), api), web, &settings);
    let stopping_since = signals.stopping_since();
    listeners.serve(apps, signals.first(), options, connections, &settings).await?;
    background.close(settings.listening.shutdown_grace_seconds.seconds(), &stopping_since).await
}

/// Returns the clock of a sandbox. Without a sandbox, refuses the database of one.
fn sandbox_clock(
    settings: &Settings,
    databases: &Databases,
    is_sandbox: bool,
) -> Result<Option<Arc<SandboxClock>>, Failure> {
    if is_sandbox {
        return sandbox::open(settings, databases).map(Some);
    }
    sandbox::refuse(settings, databases)?;
    Ok(None)
}

/// Adds the pages to what everyone may use, unless a setting switches them off.
fn with_pages(apps: Apps, web: Arc<Web>, settings: &Settings) -> Apps {
    if !settings.listening.pages {
        return apps;
    }
    if let Content::Missing(reason) = Content::EMBEDDED {
        tracing::warn!(
            reason,
            "this binary was built without the web pages; with pages = false, this warning ends"
        );
    }
    let pages = dabba_pages::router(web, Content::EMBEDDED);
    Apps { public: apps.public.fallback_service(pages), ..apps }
}

fn live_config(options: &ServeOptions, metrics: &mut Registry) -> LiveConfig {
    LiveConfig {
        max_streams: serving::max_streams(options),
        metrics: LiveMetrics::new(metrics),
        ..LiveConfig::default()
    }
}

/// The keys that exist before the start changes anything.
struct FoundKeys {
    signing: Option<SigningKey>,
    secrets: Option<SecretKeys>,
}

/// The keys of a server.
struct Keys {
    signing: SigningKey,
    secrets: SecretKeys,
    /// Whether this start created the key of the secrets.
    is_secrets_key_new: bool,
}

impl FoundKeys {
    /// Reads the keys, and changes nothing.
    fn read(settings: &Settings) -> Result<Self, Failure> {
        let signing = signing_key::read_if_there(settings)?;
        Ok(Self { signing, secrets: secrets_key::read_if_there(settings)? })
    }

    /// Returns the keys. Creates those that are missing.
    fn or_make(self, settings: &Settings) -> Result<Keys, Failure> {
        let signing = match self.signing {
            Some(key) => key,
            None => signing_key::read_or_make(settings)?,
        };
        let (secrets, is_secrets_key_new) = match self.secrets {
            Some(keys) => (keys, false),
            None => secrets_key::read_or_make(settings)?,
        };
        Ok(Keys { signing, secrets, is_secrets_key_new })
    }
}

/// The sockets of a server. Connections wait in their queues until the server is ready.
struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Self, Failure> {
        settings.listening.refuse_shared_port()?;
        let public = bind(&settings.listening.listen, "listen").await?;
        let admin = match &settings.listening.admin_listen {
            Some(address) => Some(bind(address, "admin_listen").await?),
            None => None,
        };
        Ok(Self { public, admin })
    }

    /// Returns the public address, and the address for admins if there is one.
    fn addresses(&self) -> Result<(SocketAddr, Option<SocketAddr>), Failure> {
        let public = self.public.local_addr().map_err(Failure::during("listening"))?;
        let admin = self.admin.as_ref().map(TcpListener::local_addr).transpose();
        Ok((public, admin.map_err(Failure::during("listening"))?))
    }

    /// Serves until `stop` is ready.
    async fn serve(
        self,
        apps: Apps,
        stop: impl Future<Output = ()> + Send + 'static,
        options: ServeOptions,
        connections: ConnectionMetrics,
        settings: &Settings,
    ) -> Result<(), Failure> {
        let Apps { public, admin } = apps;
        let stop = stop.shared();
        let serving = dabba_web::serve(self.public, public, stop.clone(), options, connections);
        let serving_admins = async {
            let (Some(listener), Some(app)) = (self.admin, admin) else { return Ok(()) };
            let options = serving::options_for_operators(settings);
            dabba_web::serve(listener, app, stop, options, ConnectionMetrics::default()).await
        };
        tokio::try_join!(serving, serving_admins).map_err(Failure::during("serving"))?;
        Ok(())
    }
}

/// Binds the port of a setting.
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
