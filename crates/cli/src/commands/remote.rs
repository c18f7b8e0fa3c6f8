//! Commands that go through a running server.

use std::{fs, path::PathBuf};

use dabba_sim::Client;

use super::{DataArguments, TOKEN_VARIABLE};
use crate::failure::Failure;

/// A server, and the token for it.
#[derive(clap::Args)]
pub(super) struct ServerArguments {
    /// Goes through a running server, for example `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A token for that server. Other users of the machine can read it here: prefer --token-file or the environment.
    #[arg(long, env = TOKEN_VARIABLE, hide_env_values = true)]
    token: Option<String>,
    /// File with the token for that server.
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
}

/// Where something is: behind a server, or in databases.
#[derive(clap::Args)]
pub(super) struct PlaceArguments {
    #[command(flatten)]
    pub(super) server: ServerArguments,
    #[command(flatten)]
    pub(super) settings: DataArguments,
}

impl ServerArguments {
    /// A client of the server, if one is named.
    pub(super) fn client(&self) -> Result<Option<Client>, Failure> {
        let Some(server) = &self.server else { return Ok(None) };
        let token = match (&self.token_file, &self.token) {
            (Some(file), _) => {
                let read = fs::read_to_string(file);
                read.map_err(Failure::during(format_args!("reading the token {}", file.display())))?
            }
            (None, Some(token)) => token.clone(),
            (None, None) => {
                return Err(Failure::new(format!(
                    "--server needs a token: in the environment variable {TOKEN_VARIABLE}, or with --token-file or --token \
                     (`dabba token --role admin` prints one)"
                )));
            }
        };
        let client = Client::new(server).map_err(Failure::during("--server"))?;
        Ok(Some(client.with_token(token.trim())))
    }
}
