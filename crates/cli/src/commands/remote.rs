//! Commands that work through a running server or directly in the databases.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dabba_domain::Role;
use dabba_engine::{Engine, Principal};
use dabba_sim::{Authorities, Client, ClientError};

use super::{CLOSING_TIME, DataArguments, TOKEN_VARIABLE, block_on};
use crate::{
    data,
    databases::{Databases, Opened},
    demo_data,
    failure::Failure,
    named_file, output, sandbox,
    settings::{NOT_REPEATED, Settings, WebUrl},
};

/// Server of a command without `--server` that always needs one.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Time without a response after which a command states on standard error what it waits for.
const SLOW_RESPONSE: Duration = Duration::from_secs(3);

/// Parses the URL of a server. Refuses users, passwords and parameters, since a server only needs the token.
pub(super) fn server_url(text: &str) -> Result<WebUrl, String> {
    let url = text.parse::<WebUrl>().ok();
    let is_plain = !text.contains(['@', '?', '#']);
    url.filter(|_| is_plain).ok_or_else(|| {
        format!(
            "must be the URL of a server, such as http://127.0.0.1:8080 or https://dabba.example.com, without user and \
             parameters; {NOT_REPEATED}"
        )
    })
}

/// The token for a server.
#[derive(clap::Args)]
struct TokenArguments {
    /// Token for the server; default: the environment variable `DABBA_TOKEN`. Other users of the machine can read it in
    /// the arguments: prefer --token-file or the environment.
    // The parser does not read the variable: it would show --token in the usage of a wrong command, as if it were
    // required.
    #[arg(long)]
    token: Option<String>,
    /// File with the token for the server.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the certificate of the authority that issued the server's certificate, for a server with `https://`. It is
    /// trusted in addition to the authorities of the machine.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// The server of a command that always needs one, and its token.
#[derive(clap::Args)]
pub(super) struct RequiredServerArguments {
    /// URL of the running server.
    #[arg(long, value_name = "URL", value_parser = server_url, default_value = DEFAULT_SERVER)]
    server: WebUrl,
    #[command(flatten)]
    token: TokenArguments,
}

/// A server and its token.
#[derive(clap::Args)]
pub(super) struct ServerArguments {
    /// URL of a running server that performs the command, for example `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    server: Option<WebUrl>,
    #[command(flatten)]
    token: TokenArguments,
}

/// The server or the databases on which a command works.
#[derive(clap::Args)]
pub(super) struct PlaceArguments {
    #[command(flatten)]
    pub(super) server: ServerArguments,
    #[command(flatten)]
    pub(super) settings: DataArguments,
}

/// An action of an admin that works in both places.
pub(super) trait AdminAction {
    /// Returns whether the action changes nothing, so that a PostgreSQL user with read access can perform it.
    fn reads_only(&self) -> bool;

    /// Returns the action with what it uses of the settings. Called only before [`Self::within`], because a command that works
    /// through a server has no settings.
    fn with_settings(self, _: &Settings) -> Self
    where
        Self: Sized,
    {
        self
    }

    /// Performs the action through a server.
    async fn through(self, client: &Client) -> Result<(), Failure>;

    /// Performs the action directly in the databases.
    async fn within(self, engine: &Engine, admin: &Principal) -> Result<(), Failure>;
}

impl PlaceArguments {
    /// Returns the URL of the server, if one is given.
    pub(super) fn server_url(&self) -> Option<&str> {
        self.server.server.as_ref().map(WebUrl::as_str)
    }

    /// Performs an action on the given server or databases. The databases must exist.
    pub(super) fn run(self, action: impl AdminAction) -> Result<(), Failure> {
        if let Some(client) = self.server.client()? {
            return block_on(action.through(&client));
        }
        let (settings, databases) = self.settings.load_existing()?;
        let action = action.with_settings(&settings);
        block_on(async {
            // An embedded database that was copied is out of date, so reading it is refused, too.
            let opened = if action.reads_only() && matches!(databases, Databases::Postgres(_)) {
                databases.open_to_read(&settings).await
            } else {
                databases.open(&settings).await
            };
            let Opened { store, .. } = opened.map_err(|failure| {
                if !failure.is_in_use() {
                    return failure;
                }
                Failure::new(format!(
                    "{failure}\nWhile a server uses this data directory, run the command through the server: \
                     --server URL, with a token in {TOKEN_VARIABLE} (`dabba token --role admin` prints a token)"
                ))
            })?;
            let clock = data::server_clock(sandbox::clock_of(&settings, &databases)?, &settings);
            data::synchronize(&clock, &*store).await?;
            let engine = data::start_engine(&store, clock, None, &databases, &settings);
            let admin = Principal::new(demo_data::fresh_account_id(&engine), Role::Admin);
            let result = action.within(&engine, &admin).await;
            engine.shut_down(CLOSING_TIME).await;
            result
        })
    }
}

impl RequiredServerArguments {
    /// Returns the URL of the server.
    pub(super) fn url(&self) -> &str {
        self.server.as_str()
    }

    /// Returns a client of the server with the token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        self.token.client(&self.server)
    }
}

impl ServerArguments {
    /// Returns a client of the server; `None` if no server is given.
    pub(super) fn client(&self) -> Result<Option<Client>, Failure> {
        match &self.server {
            Some(server) => self.token.client(server).map(Some),
            None if self.token.token_file.is_some() => {
                Err(Failure::new("--token-file is for a server: name the server with --server URL"))
            }
            None if self.token.ca_file.is_some() => {
                Err(Failure::new("--ca-file is for a server: name the server with --server URL"))
            }
            None => Ok(None),
        }
    }
}

impl TokenArguments {
    /// Returns a client of the server with the token.
    fn client(&self, server: &WebUrl) -> Result<Client, Failure> {
        let token = if let Some(file) = &self.token_file {
            named_file::read(file).map_err(Failure::during("--token-file"))?
        } else {
            let given = self.token.clone().or_else(|| std::env::var(TOKEN_VARIABLE).ok());
            given.unwrap_or_default()
        };
        let token = token.trim();
        // A `dabba token` that fails in the shell's `$(…)` leaves an empty variable.
        if token.is_empty() {
            return Err(Failure::new(format!(
                "--server needs a token: in the environment variable {TOKEN_VARIABLE}, or with --token-file or --token \
                 (`dabba token --role admin` prints a token)"
            )));
        }
        let client = Client::with_authorities(server.as_str(), &authorities(self.ca_file.as_deref())?);
        Ok(with_note(&client.map_err(Failure::during("--server"))?).with_token(token))
    }
}

/// Returns the authorities of `--ca-file`; none if the option is absent.
pub(super) fn authorities(ca_file: Option<&Path>) -> Result<Authorities, Failure> {
    let Some(file) = ca_file else { return Ok(Authorities::default()) };
    let text = named_file::read(file).map_err(Failure::during("--ca-file"))?;
    Authorities::from_pem(&text).ok_or_else(|| {
        Failure::new(format!(
            "--ca-file {} contains no certificate: name a PEM file with the certificate of the authority that issued the \
             server's",
            file.display()
        ))
    })
}

/// Returns a client without a token for a command.
pub(super) fn client_of(address: &str, authorities: &Authorities) -> Result<Client, ClientError> {
    Client::with_authorities(address, authorities).map(|client| with_note(&client))
}

/// Returns the client of a command. A command that waits for a response states this on standard error.
fn with_note(client: &Client) -> Client {
    client.with_slow_note(SLOW_RESPONSE, |url, timeout| {
        output::note(format_args!(
            "waiting for a response from {url}; the request fails after {} s without one",
            timeout.as_secs()
        ));
    })
}
