//! The server that is measured: a child process, started as anyone would start it.

use std::{net::SocketAddr, path::Path, time::Duration};

use dabba_domain::{AccountId, Role};
use dabba_engine::{Clock as _, SystemClock};
use dabba_http::{SigningKey, issue_token};
use dabba_sim::{Client, workload::Issuer};
use serde::Deserialize;

use crate::{
    child::ChildServer, commands::token::fresh_account_id, failure::Failure, settings::Settings, signing_key,
};

/// A running server. Ends with this at the latest.
pub(super) struct Server {
    child: ChildServer,
    address: SocketAddr,
    key: SigningKey,
    token_lifetime: Duration,
}

/// What `serve --json` prints.
#[derive(Deserialize)]
struct Announcement {
    address: String,
}

impl Server {
    /// Starts one with these settings, and waits until it is ready.
    pub(super) async fn start(settings: &Settings, config: Option<&Path>) -> Result<Self, Failure> {
        let (child, announcement): (_, Announcement) = ChildServer::start(|command| {
            command.arg("--data").arg(&settings.data);
            if let Some(url) = &settings.database {
                command.arg("--database").arg(url.as_str());
            }
            if let Some(config) = config {
                command.arg("--config").arg(config);
            }
        })
        .await?;
        let address = announcement.address.trim_start_matches("http://").parse();
        let address = address.map_err(Failure::during("starting a server"))?;
        let key = signing_key::read(&signing_key::path(settings))?;
        Ok(Self { child, address, key, token_lifetime: settings.token_lifetime_seconds.seconds() })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client without a token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&format!("http://{}", self.address)).map_err(Failure::during("connecting"))
    }

    /// Kills the server, with no chance to finish anything (SIGKILL): what it acknowledged has to be there
    /// all the same.
    pub(super) async fn kill(self) -> Result<(), Failure> {
        self.child.kill().await
    }
}

impl Issuer for Server {
    fn token(&self, account_id: AccountId, role: Role) -> String {
        issue_token(&self.key, account_id, role, SystemClock.now(), self.token_lifetime)
    }

    fn fresh_account_id(&self) -> AccountId {
        fresh_account_id(SystemClock.now())
    }
}
