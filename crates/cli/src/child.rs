//! A server as a child process, started as anyone would start it: for commands that show or measure one.

use std::process::Stdio;

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::failure::Failure;

/// A running server. Ends with this at the latest.
pub(crate) struct ChildServer(Child);

impl ChildServer {
    /// Starts a server on a free port, with these arguments more and with what `change` does to its
    /// surroundings. Waits until it is ready, and answers what it said then.
    pub(crate) async fn start<T: DeserializeOwned>(
        change: impl FnOnce(&mut Command),
    ) -> Result<(Self, T), Failure> {
        let during = "starting a server";
        let program = std::env::current_exe().map_err(Failure::during(during))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--log", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        change(&mut command);
        let mut child = command.spawn().map_err(Failure::during(during))?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("the server has no output"))?;
        let mut line = String::new();
        // Ends with the line, or with the server.
        BufReader::new(stdout).read_line(&mut line).await.map_err(Failure::during(during))?;
        if line.is_empty() {
            return Err(Failure::new("the server ended before it was ready; its reason stands above"));
        }
        let announcement = serde_json::from_str(&line).map_err(Failure::during(during))?;
        Ok((Self(child), announcement))
    }

    /// Kills the server, with no chance to finish anything (SIGKILL), and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.0.kill().await.map_err(Failure::during("killing the server"))
    }
}
