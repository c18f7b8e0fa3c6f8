//! The demo's server: a child process that ends with the demo at the latest.

use std::{path::Path, process::Stdio};

use dabba_sim::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{failure::Failure, settings::ENVIRONMENT_PREFIX};

/// A running server.
pub(super) struct Server {
    child: Child,
    /// What it said when it was ready.
    pub(super) announcement: Announcement,
}

/// What `serve --demo --json` prints.
#[derive(Deserialize)]
pub(super) struct Announcement {
    pub(super) address: String,
    pub(super) restaurant_id: String,
    pub(super) courier_id: String,
    pub(super) tokens: Tokens,
    pub(super) order: Value,
}

/// A token of each role.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) customer: String,
    pub(super) restaurant: String,
    pub(super) courier: String,
}

impl Server {
    /// Starts a server on a data directory and waits until it is ready.
    pub(super) async fn start(directory: &Path) -> Result<Self, Failure> {
        let during = "starting a server";
        let program = std::env::current_exe().map_err(Failure::during(during))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--demo", "--json", "--listen", "127.0.0.1:0", "--log", "warn", "--data"])
            .arg(directory.join("data"))
            .current_dir(directory) // There is no settings file.
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(ENVIRONMENT_PREFIX) {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().map_err(Failure::during(during))?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("the server has no output"))?;
        let mut line = String::new();
        // Ends with the line, or with the server.
        BufReader::new(stdout).read_line(&mut line).await.map_err(Failure::during(during))?;
        if line.is_empty() {
            return Err(Failure::new("the server ended before it was ready; its reason stands above"));
        }
        let announcement = serde_json::from_str(&line).map_err(Failure::during(during))?;
        Ok(Self { child, announcement })
    }

    /// A client without a token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.announcement.address).map_err(Failure::during("connecting"))
    }

    /// Kills the server, with no chance to finish anything (SIGKILL), and waits until it is gone.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(Failure::during("killing the server"))
    }
}
