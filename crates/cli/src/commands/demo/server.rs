//! The demo's server: a child process that does not outlive the demo.

use std::path::Path;

use dabba_sim::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::{child::ChildServer, failure::Failure, settings::ENVIRONMENT_PREFIX};

/// A running server.
pub(super) struct Server {
    child: ChildServer,
    /// Its output when it was ready.
    pub(super) announcement: Announcement,
}

/// The output of `serve --demo --json`.
#[derive(Deserialize)]
pub(super) struct Announcement {
    pub(super) address: String,
    pub(super) restaurant_id: String,
    pub(super) courier_id: String,
    pub(super) tokens: Tokens,
    pub(super) order: Value,
}

/// One token per role.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) customer: String,
    pub(super) restaurant: String,
    pub(super) courier: String,
}

impl Server {
    /// Starts a server on a data directory and waits until it is ready.
    pub(super) async fn start(directory: &Path) -> Result<Self, Failure> {
        let (child, announcement) = ChildServer::start(|command| {
            command.args(["--demo", "--data"]).arg(directory.join("data"));
            command.current_dir(directory); // This directory has no settings file.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with(ENVIRONMENT_PREFIX) {
                    command.env_remove(name);
                }
            }
        })
        .await?;
        Ok(Self { child, announcement })
    }

    /// Returns a client without a token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.announcement.address).map_err(Failure::during("connecting"))
    }

    /// Kills the server with SIGKILL, so that it cannot finish anything, and waits until it has ended.
    pub(super) async fn kill(self) -> Result<(), Failure> {
        self.child.kill().await
    }
}
