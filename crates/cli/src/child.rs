//! A server as a child process, started through the public command line. For commands that demonstrate or measure a
//! server.

use std::process::Stdio;

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::failure::Failure;

/// A running server. Dropping this value kills the server.
pub(crate) struct ChildServer(Child);

impl ChildServer {
    /// Starts a server on a free port. `change` adds arguments and changes the environment. Waits until the server is
    /// ready, and returns its announcement.
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
        // The read ends with the line, or when the server ends.
        BufReader::new(stdout).read_line(&mut line).await.map_err(Failure::during(during))?;
        if line.is_empty() {
            return Err(Failure::new(
                "the server ended before it was ready; the reason is in the lines above",
            ));
        }
        let announcement = serde_json::from_str(&line).map_err(Failure::during(during))?;
        Ok((Self(child), announcement))
    }

    /// Returns the id of the process; `None` after its end.
    pub(crate) fn process(&self) -> Option<u32> {
        self.0.id()
    }

    /// Kills the server with SIGKILL, so that it cannot finish anything, and waits until it has ended.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.0.kill().await.map_err(Failure::during("killing the server"))
    }
}
