//! The server that is measured: a child process, started as anyone would start it, or one that runs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dabba_domain::{AccountId, Role};
use dabba_engine::{Clock, Principal};
use dabba_http::{SigningKey, issue_token};
use dabba_sim::{Client, workload::Issuer};
use serde::Deserialize;

use crate::{
    child::ChildServer,
    commands::{DataArguments, token::fresh_account_id},
    databases::Databases,
    failure::Failure,
    sandbox,
    settings::{DATABASE_SETTINGS, ENVIRONMENT_PREFIX, Settings, WebUrl},
    signing_key,
};

/// A server to be measured.
pub(super) struct Server {
    /// One that was started for it, and ends with this at the latest.
    child: Option<ChildServer>,
    address: SocketAddr,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    token_lifetime: Duration,
}

/// Switches off the limits of accounts and addresses: a load comes from a few of them.
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

/// What `serve --json` prints.
#[derive(Deserialize)]
struct Announcement {
    address: WebUrl,
}

impl Server {
    /// Starts one with these settings, and waits until it is ready.
    pub(super) async fn start(settings: &Settings, data: &DataArguments) -> Result<Self, Failure> {
        let (child, announcement): (_, Announcement) = ChildServer::start(|command| {
            command.args(data.flags()).args(WITHOUT_LIMITS);
            for setting in DATABASE_SETTINGS {
                command.env_remove(format!("{ENVIRONMENT_PREFIX}{}", setting.to_uppercase()));
            }
            // Not among the arguments, which other users can read; and not the name of a file, which may be readable only once.
            if let Some(url) = &data.database {
                command.env(format!("{ENVIRONMENT_PREFIX}DATABASE"), url.as_str());
            }
        })
        .await?;
        let mut server = Self::running(&announcement.address, settings)?;
        server.child = Some(child);
        Ok(server)
    }

    /// Takes one that runs. Its signing key is where the settings say.
    pub(super) fn running(url: &WebUrl, settings: &Settings) -> Result<Self, Failure> {
        let address = address_of(url)?;
        let key = signing_key::read(&signing_key::path(settings))?;
        let clock = sandbox::clock_of(settings, &Databases::from_settings(settings)?)?;
        let token_lifetime = settings.token_lifetime_seconds.seconds();
        Ok(Self { child: None, address, key, clock, token_lifetime })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it was started to be measured.
    pub(super) const fn is_own(&self) -> bool {
        self.child.is_some()
    }

    /// A client without a token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&format!("http://{}", self.address)).map_err(Failure::during("connecting"))
    }

    /// Kills the server, with no chance to finish anything (SIGKILL): what it acknowledged has to be there
    /// all the same. Does nothing to one that ran before.
    pub(super) async fn kill(self) -> Result<(), Failure> {
        match self.child {
            Some(child) => child.kill().await,
            None => Ok(()),
        }
    }
}

/// Where a server listens.
fn address_of(url: &WebUrl) -> Result<SocketAddr, Failure> {
    let during = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", url.as_str()));
    let parsed = reqwest::Url::parse(url.as_str()).map_err(|error| during(&error))?;
    if parsed.scheme() != "http" {
        return Err(during(&"must begin with http://: load is put on the server itself"));
    }
    let addresses = parsed.socket_addrs(|| None).map_err(|error| during(&error))?;
    match addresses.first() {
        Some(address) if address.ip().is_loopback() => Ok(*address),
        Some(_) => Err(during(&"is not on this machine: load is only put on a server that is")),
        None => Err(during(&"has no address")),
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
