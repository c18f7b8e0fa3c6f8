//! The measured server: a child process, started through the public command line, or a running server.

use std::{ffi::OsString, net::SocketAddr, sync::Arc, time::Duration};

use dabba_domain::{AccountId, Role};
use dabba_engine::{Clock, Principal};
use dabba_sim::{Authorities, Client, workload::Issuer};
use dabba_web::{SigningKey, issue_token};
use serde::Deserialize;

use crate::{
    child::ChildServer,
    commands::{DataArguments, remote::client_of, token::fresh_account_id},
    databases::Databases,
    failure::Failure,
    sandbox,
    settings::{DATABASE_SETTINGS, ENVIRONMENT_PREFIX, Settings, WebUrl},
    signing_key,
};

/// The measured server.
pub(super) struct Server {
    /// The child process, if this command started the server. Dropping this value kills it.
    child: Option<ChildServer>,
    address: SocketAddr,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    token_lifetime: Duration,
}

/// Switches off the limits per account and address, because a load uses few of them.
const WITHOUT_LIMITS: [&str; 12] = [
    "--open-orders-limit",
    "0",
    "--customer-writes-limit",
    "0",
    "--customer-body-kib-limit",
    "0",
    "--staff-writes-limit",
    "0",
    "--staff-body-kib-limit",
    "0",
    "--quotes-per-address-limit",
    "0",
];

/// The output of `serve --json`.
#[derive(Deserialize)]
struct Announcement {
    address: WebUrl,
}

impl Server {
    /// Starts a server with these settings and further flags, and waits until it is ready.
    pub(super) async fn start(
        settings: &Settings,
        data: &DataArguments,
        flags: &[OsString],
    ) -> Result<Self, Failure> {
        let (child, announcement): (_, Announcement) = ChildServer::start(|command| {
            command.args(data.flags()).args(WITHOUT_LIMITS).args(flags);
            for setting in DATABASE_SETTINGS {
                command.env_remove(format!("{ENVIRONMENT_PREFIX}{}", setting.to_uppercase()));
            }
            // The URL is not an argument, since other users can read arguments, and not the name of a file, since the file may be
            // readable only once.
            if let Some(url) = &data.database {
                command.env(format!("{ENVIRONMENT_PREFIX}DATABASE"), url.as_str());
            }
        })
        .await?;
        let mut server = Self::running(&announcement.address, settings)?;
        server.child = Some(child);
        Ok(server)
    }

    /// Uses a running server. The settings locate its signing key.
    pub(super) fn running(url: &WebUrl, settings: &Settings) -> Result<Self, Failure> {
        let address = address_of(url)?;
        let key = signing_key::read(&signing_key::path(settings))?;
        let clock = sandbox::clock_of(settings, &Databases::from_settings(settings)?)?;
        let token_lifetime = settings.tokens.lifetime();
        Ok(Self { child: None, address, key, clock, token_lifetime })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the process of the server, if this command started it.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.as_ref()?.process()
    }

    /// Returns the server's clock, as this process reads it.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Returns whether this command started the server.
    pub(super) const fn is_own(&self) -> bool {
        self.child.is_some()
    }

    /// Returns a client without a token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        client_of(&format!("http://{}", self.address), &Authorities::default())
            .map_err(Failure::during("connecting"))
    }

    /// Kills the server with SIGKILL, so that it cannot finish anything: all acknowledged orders must exist nevertheless. A
    /// server that ran before keeps running.
    pub(super) async fn kill(self) -> Result<(), Failure> {
        match self.child {
            Some(child) => child.kill().await,
            None => Ok(()),
        }
    }
}

/// Returns the address of a server.
pub(super) fn address_of(url: &WebUrl) -> Result<SocketAddr, Failure> {
    let during = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", url.as_str()));
    let parsed = reqwest::Url::parse(url.as_str()).map_err(|error| during(&error))?;
    if parsed.scheme() != "http" {
        return Err(during(&"must begin with http://: the load goes to the server directly"));
    }
    let addresses = parsed.socket_addrs(|| None).map_err(|error| during(&error))?;
    match addresses.first() {
        Some(address) if address.ip().is_loopback() => Ok(*address),
        Some(_) => Err(during(&"is not on this machine: only a local server can be loaded")),
        None => Err(during(&"has no address")),
    }
}

impl Server {
    /// Returns different tokens of one account: each expires one second before the previous one.
    pub(super) fn tokens(&self, account_id: AccountId, role: Role, count: usize) -> Vec<String> {
        let (caller, now) = (Principal::new(account_id, role), self.clock.now());
        let shorter = (0..count).map(|number| Duration::from_secs(u64::try_from(number).unwrap_or(u64::MAX)));
        let lifetimes = shorter.map(|seconds| self.token_lifetime.saturating_sub(seconds));
        lifetimes.map(|lifetime| issue_token(&self.key, &caller, now, lifetime)).collect()
    }
}

impl Issuer for Server {
    fn token(&self, account_id: AccountId, role: Role) -> String {
        issue_token(&self.key, &Principal::new(account_id, role), self.clock.now(), self.token_lifetime)
    }

    fn fresh_account_id(&self) -> AccountId {
        fresh_account_id(self.clock.now())
    }
}
