//! The server that is measured: a child process, started as anyone would start it.

use std::{net::SocketAddr, path::Path, process::Stdio};

use dabba_domain::{AccountId, Role};
use dabba_engine::{Clock as _, SystemClock};
use dabba_http::{SigningKey, issue_token};
use dabba_sim::{Client, workload::Issuer};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{commands::token::fresh_account_id, failure::Failure, settings::Settings, signing_key};

/// A running server. Ends with this at the latest.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    key: SigningKey,
    settings_lifetime: std::time::Duration,
}

/// What `serve --json` prints.
#[derive(Deserialize)]
struct Announcement {
    address: String,
}

impl Server {
    /// Starts one with these settings, and waits until it is ready.
    pub(super) async fn start(settings: &Settings, config: Option<&Path>) -> Result<Self, Failure> {
        let during = "starting a server";
        let program = std::env::current_exe().map_err(Failure::during(during))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--log", "warn", "--data"])
            .arg(&settings.data);
        if let Some(url) = &settings.database {
            command.arg("--database").arg(url.as_str());
        }
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(Failure::during(during))?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("the server has no output"))?;
        let mut line = String::new();
        // Ends with the line, or with the server.
        BufReader::new(stdout).read_line(&mut line).await.map_err(Failure::during(during))?;
        if line.is_empty() {
            return Err(Failure::new("the server ended before it was ready; its reason stands above"));
        }
        let Announcement { address } = serde_json::from_str(&line).map_err(Failure::during(during))?;
        let address = address.trim_start_matches("http://").parse().map_err(Failure::during(during))?;
        let key = signing_key::read(&signing_key::path(settings))?;
        Ok(Self { child, address, key, settings_lifetime: settings.token_lifetime_seconds.seconds() })
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
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(Failure::during("killing the server"))
    }
}

impl Issuer for Server {
    fn token(&self, account_id: AccountId, role: Role) -> String {
        issue_token(&self.key, account_id, role, SystemClock.now(), self.settings_lifetime)
    }

    fn fresh_account_id(&self) -> AccountId {
        fresh_account_id(SystemClock.now())
    }
}
