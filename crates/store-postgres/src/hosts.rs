//! A database that one of several servers has: finding that one, without waiting long for those that are
//! dead.
//!
//! The client library asks the hosts of a URL in their order, each until it fails. A machine that has lost
//! its power does not fail, it says nothing; nor does one whose PostgreSQL hangs. While such a host comes
//! first in the URL, nobody would ever get to the second. So each host has its share of the time, and the
//! one that answered last is asked first.

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

/// The port where the URL names none.
const DEFAULT_PORT: u16 = 5_432;

/// The servers of a URL, of which one is to be found.
#[derive(Clone)]
pub(crate) struct Hosts {
    /// The configuration with one host each.
    configs: Arc<[Config]>,
    tls: MakeRustlsConnect,
    /// How long a host is waited for while there is another one to ask.
    share: Duration,
    /// The host that answered last.
    preferred: Arc<AtomicUsize>,
}

impl Hosts {
    /// The hosts of a configuration, and the time in which all of them are to be asked.
    pub(crate) fn new(config: &Config, tls: MakeRustlsConnect, time: Duration) -> Self {
        let configs = one_for_each_host(config);
        let share = time / u32::try_from(configs.len()).unwrap_or(u32::MAX).max(1);
        Self { configs: configs.into(), tls, share, preferred: Arc::default() }
    }

    /// Connects to the first host that is there and is what the URL asks for. The task ends with the
    /// connection.
    ///
    /// The host that is asked last has no limit here: the caller stops waiting. The error is that of a host that answered,
    /// if one did: it says more than that another one cannot be reached.
    pub(crate) async fn find(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let count = self.configs.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut answered = None;
        for host in (first..first + count - 1).map(|host| host % count) {
            match tokio::time::timeout(self.share, self.connect(host)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => {
                    tracing::debug!(host, error = describe(&error), "not the database wanted");
                    if is_answer(&error) {
                        answered = Some(error);
                    }
                }
                Err(_) => tracing::debug!(host, "this host of the database does not answer"),
            }
        }
        let last = self.connect((first + count - 1) % count).await;
        last.map_err(|error| if is_answer(&error) { error } else { answered.unwrap_or(error) })
    }

    async fn connect(&self, host: usize) -> Result<(Client, JoinHandle<()>), Error> {
        let (client, connection) = self.configs[host].connect(self.tls.clone()).await?;
        self.preferred.store(host, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            // Whoever is using the connection is told too; this is for the log.
            if let Err(error) = connection.await {
                tracing::warn!(error = describe(&error), "a connection ended");
            }
        });
        Ok((client, task))
    }
}

/// Whether an error comes from a host that answered: one of PostgreSQL, or that the host does not allow writes.
fn is_answer(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.as_db_error().is_some()
        || cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
}

impl Connect for Hosts {
    /// The configuration is that of the pool, from which these hosts were made.
    fn connect(&self, _config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(self.find())
    }
}

/// The same configuration for each of its hosts. At least one; where hosts and ports do not fit together it
/// is the configuration itself, for the client library to refuse.
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

/// A configuration without its hosts and ports, which cannot be taken out of one that has them.
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

    /// A URL with several hosts is those with one each, and nothing else of it is lost. The second
    /// configuration is compared whole, so what the client library learns later is missed here.
    #[test]
    fn hosts_are_taken_apart_and_all_else_stays() {
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

    /// One port serves all hosts, an address stands beside its name, and what does not fit together is left
    /// for the client library to refuse.
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
