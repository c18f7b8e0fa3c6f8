//! Connecting to the right server of several, without long waits for dead ones.
//!
//! The client library tries the hosts of a URL in their order, each until it fails. A machine that has lost its power
//! does not fail, and neither does a hanging PostgreSQL: both are silent. If such a host were first in the URL, no
//! client would ever reach the second one. So each host gets a share of the time, and the last host that responded is
//! tried first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Connect;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, config::Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::describe;

/// Default port.
const DEFAULT_PORT: u16 = 5_432;

/// The servers of a URL.
#[derive(Clone)]
pub(crate) struct Hosts {
    /// The configuration, once for each host.
    configs: Arc<[Config]>,
    tls: MakeRustlsConnect,
    /// Maximum time to wait for a host while other hosts remain.
    share: Duration,
    /// Index of the last host to which a connection succeeded.
    preferred: Arc<AtomicUsize>,
}

impl Hosts {
    /// Splits a configuration into its hosts. `time` is the limit for trying all of them.
    pub(crate) fn new(config: &Config, tls: MakeRustlsConnect, time: Duration) -> Self {
        let configs = one_for_each_host(config);
        let share = time / u32::try_from(configs.len()).unwrap_or(u32::MAX).max(1);
        Self { configs: configs.into(), tls, share, preferred: Arc::default() }
    }

    /// Connects to the first host that is available and meets the URL's requirements. The task ends with the
    /// connection.
    ///
    /// The last host has no timeout here: the caller limits the total. If a host responded with an error, that
    /// error is returned, because it says more than the failure to reach another host.
    pub(crate) async fn find(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let count = self.configs.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut answered = None;
        for host in (first..first + count - 1).map(|host| host % count) {
            match tokio::time::timeout(self.share, self.connect(host)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => {
                    tracing::debug!(
                        host,
                        error = describe(&error),
                        "the connection to this host of the database failed"
                    );
                    if is_answer(&error) {
                        answered = Some(error);
                    }
                }
                Err(_) => tracing::debug!(host, "this host of the database does not respond"),
            }
        }
        let last = self.connect((first + count - 1) % count).await;
        last.map_err(|error| if is_answer(&error) { error } else { answered.unwrap_or(error) })
    }

    async fn connect(&self, host: usize) -> Result<(Client, JoinHandle<()>), Error> {
        let (client, connection) = self.configs[host].connect(self.tls.clone()).await?;
        self.preferred.store(host, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            // The user of the connection gets an error too; this one is for the log.
            if let Err(error) = connection.await {
                tracing::warn!(error = describe(&error), "a connection to the database failed");
            }
        });
        Ok((client, task))
    }
}

/// Returns whether an error comes from a host that responded: an error of PostgreSQL, or that the host does not
/// accept writes.
fn is_answer(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.as_db_error().is_some()
        || cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
}

impl Connect for Hosts {
    /// Ignores the pool's configuration, from which these hosts were created.
    fn connect(&self, _config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(self.find())
    }
}

/// Returns one configuration for each host; at least one. If the numbers of hosts and ports do not match, returns the
/// configuration unchanged, and the client library refuses it.
fn one_for_each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |given: usize| given == 0 || given == count;
    if count < 2 || !fits(hosts.len()) || !fits(addresses.len()) || !(ports.len() == 1 || fits(ports.len())) {
        return vec![config.clone()];
    }
    let one = |index: usize| {
        let mut one = without_hosts(config);
        match hosts.get(index) {
            Some(Host::Tcp(name)) => drop(one.host(name)),
            #[cfg(unix)]
            Some(Host::Unix(path)) => drop(one.host_path(path)),
            None => {}
        }
        if let Some(address) = addresses.get(index) {
            one.hostaddr(*address);
        }
        one.port(ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT));
        one
    };
    (0..count).map(one).collect()
}

/// Returns a copy without hosts and ports. They cannot be removed from an existing configuration.
fn without_hosts(config: &Config) -> Config {
    let mut other = Config::new();
    other
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(password) = config.get_password() {
        other.password(password);
    }
    if let Some(name) = config.get_dbname() {
        other.dbname(name);
    }
    if let Some(options) = config.get_options() {
        other.options(options);
    }
    if let Some(name) = config.get_application_name() {
        other.application_name(name);
    }
    if let Some(timeout) = config.get_connect_timeout() {
        other.connect_timeout(*timeout);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        other.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        other.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        other.keepalives_retries(retries);
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts_of(url: &str) -> Vec<Config> {
        one_for_each_host(&url.parse().unwrap())
    }

    /// Each host's configuration keeps every parameter of the URL. The test compares whole configurations, except for
    /// parameters that the client library adds later.
    #[test]
    fn each_host_keeps_all_parameters() {
        let parameters = "sslmode=require&sslnegotiation=direct&options=-c%20a%3Db&application_name=n\
             &connect_timeout=3&tcp_user_timeout=4&keepalives=1&keepalives_idle=5&keepalives_interval=6\
             &keepalives_retries=7&target_session_attrs=read-write&channel_binding=require\
             &load_balance_hosts=random";
        let several = hosts_of(&format!("postgresql://u:p%40@one:1,two,%2Fthree:3/d?{parameters}"));
        let each: Vec<Config> = ["one:1", "two:5432", "%2Fthree:3"]
            .iter()
            .map(|host| format!("postgresql://u:p%40@{host}/d?{parameters}").parse().unwrap())
            .collect();
        assert_eq!(several, each);
        assert!(each.iter().all(|config| *config != Config::new()));
    }

    /// A single port applies to all hosts, and each address stays with its host name. A mismatch is left to the
    /// client library to refuse.
    #[test]
    fn ports_and_addresses_stay_with_their_hosts() {
        let of = |text: &str| hosts_of(text);
        assert_eq!(
            of("host=a,b port=7 user=u"),
            ["host=a port=7 user=u", "host=b port=7 user=u"].map(of).concat()
        );
        assert_eq!(
            of("host=a,b hostaddr=10.0.0.1,10.0.0.2 user=u"),
            ["host=a hostaddr=10.0.0.1 port=5432 user=u", "host=b hostaddr=10.0.0.2 port=5432 user=u"]
                .map(of)
                .concat()
        );
        for whole in ["host=a user=u", "user=u", "host=a,b,c port=1,2 user=u", "host=a,b hostaddr=10.0.0.1"] {
            assert_eq!(of(whole), [whole.parse::<Config>().unwrap()], "{whole}");
        }
    }
}
