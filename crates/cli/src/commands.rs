//! The commands, one file each.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod help;
pub(crate) mod import_menu;
pub(crate) mod keys;
pub(crate) mod login_link;
mod migrate;
pub(crate) mod openapi;
mod remote;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod shards;
pub(crate) mod simulate;
pub(crate) mod simulate_payments;
pub(crate) mod tasks;
pub(crate) mod token;
pub(crate) mod version;
pub(crate) mod watch;
pub(crate) mod webhooks;
pub(crate) mod work;

use std::{
    ffi::OsString,
    fs,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{FromArgMatches as _, Parser, Subcommand};
use confique::Layer as _;

use crate::{
    databases::Databases,
    failure::Failure,
    logging, output,
    settings::{DATABASE_SETTINGS, DatabaseUrl, Layer, Settings, read_file},
};

/// Environment variable with the token for the server that `--server` names.
pub(crate) const TOKEN_VARIABLE: &str = "DABBA_TOKEN";

/// Maximum time for background tasks to end after a command has ended.
const RUNTIME_SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Maximum time for the store to close after a command that writes through its own engine.
const CLOSING_TIME: Duration = Duration::from_secs(30);

/// Order management for food delivery: accepts each order exactly once and tracks it until it is delivered.
#[derive(Parser)]
#[command(name = "dabba", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API.
    Serve(Box<serve::Arguments>),
    /// Processes due tasks, beside servers or without a server.
    Work(Box<work::Arguments>),
    /// Starts a temporary server, takes one order from placement to delivery, and prints each step. With --live, simulates
    /// the customers and couriers of a running `serve --demo`.
    Demo(Box<demo::Arguments>),
    /// Migrates the database to the newest schema.
    Migrate(migrate::Arguments),
    /// Shows the shards: what each database is and what it holds. A subcommand splits a shard.
    ///
    /// The command connects to the PostgreSQL databases of the shard map and needs no server. `GET /v1/shards`, for admins,
    /// shows how a running server sees its shards: whether it reaches them, their schema, parked tasks and connections.
    Shards(Box<shards::Arguments>),
    /// Writes a backup of the embedded database to a file. A server may be running.
    Backup(backup::Arguments),
    /// Replaces the embedded database with a backup. Stop the server first.
    Restore(restore::Arguments),
    /// Reads all orders and reports violated invariants. No server may use the embedded database during the audit.
    Audit(audit::Arguments),
    /// Copies all data from the embedded database to an empty PostgreSQL database. Stop the server first.
    Copy(copy::Arguments),
    /// Registers the restaurants of a file with their menus, or replaces the menu of one restaurant.
    ImportMenu(import_menu::Arguments),
    /// Lists parked tasks, which wait for an admin. Subcommands retry or resolve a task.
    Tasks(Box<tasks::Arguments>),
    /// Prints the events of orders as they happen, from a running server.
    Watch(Box<watch::Arguments>),
    /// Manages the webhook endpoints of a running server, which receive the events of orders.
    Webhooks(Box<webhooks::Arguments>),
    /// Lists, shows, disables, enables and deletes accounts, sets roles and passwords, and revokes tokens.
    Accounts(Box<accounts::Arguments>),
    /// Creates, lists and revokes API keys, and the service accounts that programs use with them.
    Keys(Box<keys::Arguments>),
    /// Prints a link that logs a person in once, within ten minutes, without a password.
    LoginLink(Box<login_link::Arguments>),
    /// Load-tests a new or a running server and verifies that every acknowledged order exists.
    Bench(Box<bench::Arguments>),
    /// Simulates orders, users and failures from a seed, in virtual time, and verifies all invariants.
    Simulate(simulate::Arguments),
    /// Simulates a payment provider for trials and tests; no money moves.
    SimulatePayments(simulate_payments::Arguments),
    /// Prints a bearer token, signed with the key in the data directory. A server may be running.
    Token(token::Arguments),
    /// Prints a settings file with the description and default of every setting; with --check, checks the settings.
    Settings(settings::Arguments),
    /// Prints the API description (`OpenAPI` 3.1, JSON).
    Openapi,
    /// Prints a shell script that completes commands and options.
    Completions(completions::Arguments),
    /// Prints the version, the commit, and the newest schemas that this binary knows.
    Version(version::Arguments),
}

impl Cli {
    /// Parses the command line. Returns wrong arguments, or a request for help, as an error for [`help::print`].
    pub(crate) fn from_arguments() -> Result<Self, clap::Error> {
        let matches = help::command().try_get_matches();
        matches.and_then(|matches| Self::from_arg_matches(&matches))
    }

    /// Runs the command.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(arguments) => serve::run(*arguments),
            Command::Work(arguments) => work::run(*arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Migrate(arguments) => migrate::run(arguments),
            Command::Shards(arguments) => shards::run(*arguments),
            Command::Backup(arguments) => backup::run(arguments),
            Command::Restore(arguments) => restore::run(arguments),
            Command::Audit(arguments) => audit::run(arguments),
            Command::Copy(arguments) => copy::run(arguments),
            Command::ImportMenu(arguments) => import_menu::run(arguments),
            Command::Tasks(arguments) => tasks::run(*arguments),
            Command::Watch(arguments) => watch::run(*arguments),
            Command::Webhooks(arguments) => webhooks::run(*arguments),
            Command::Accounts(arguments) => accounts::run(*arguments),
            Command::Keys(arguments) => keys::run(*arguments),
            Command::LoginLink(arguments) => login_link::run(*arguments),
            Command::Bench(arguments) => bench::run(*arguments),
            Command::Simulate(arguments) => simulate::run(&arguments),
            Command::SimulatePayments(arguments) => simulate_payments::run(arguments),
            Command::Token(arguments) => token::run(arguments),
            Command::Settings(arguments) => settings::run(&arguments),
            Command::Openapi => openapi::run(),
            Command::Completions(arguments) => completions::run(&arguments),
            Command::Version(arguments) => version::run(&arguments),
        }
    }
}

/// Settings of a command that needs the data directory and little else. All other settings come from the environment and the
/// file.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct DataArguments {
    /// Settings file (TOML); default `dabba.toml`, if that file exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded database and of the signing key.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// URL of the PostgreSQL database, instead of the embedded database; or `file:PATH` for a file that contains the URL.
    #[arg(long, value_name = "URL")]
    database: Option<DatabaseUrl>,
    /// File (TOML) that lists several PostgreSQL databases.
    #[arg(long, value_name = "FILE")]
    shards: Option<PathBuf>,
}

impl DataArguments {
    /// Returns these arguments, except the URL of the database, for the command line of a child process.
    fn flags(&self) -> Vec<OsString> {
        let paths = [("--config", &self.config), ("--data", &self.data), ("--shards", &self.shards)];
        let paths = paths.into_iter().filter_map(|(flag, path)| Some([flag.into(), path.as_ref()?.into()]));
        paths.flatten().collect()
    }

    /// Loads the settings and starts the log.
    fn load(self) -> Result<Settings, Failure> {
        self.load_with(|_| {})
    }

    /// Loads the settings with further flags of the command, and starts the log.
    fn load_with(self, set: impl FnOnce(&mut Layer)) -> Result<Settings, Failure> {
        let config = self.config.clone();
        let mut flags = self.into_layer();
        set(&mut flags);
        let settings = Settings::load(flags, config.as_deref())?;
        logging::start(&settings, config.as_deref())?;
        Ok(settings)
    }

    /// Loads the settings of a command that reads or changes existing data. Such a command never creates or migrates a database.
    fn load_existing(self) -> Result<(Settings, Databases), Failure> {
        let mut settings = self.load()?;
        settings.storage.migrate = false;
        let databases = Databases::from_settings(&settings)?;
        databases.require()?;
        Ok((settings, databases))
    }

    /// Loads the settings of a command that writes test data, and starts the log. Only the flags select the databases.
    fn load_for_test_data(self) -> Result<Settings, Failure> {
        let config = self.config.clone();
        let (settings, left_out) =
            Settings::load_with_databases_of_flags(self.into_layer(), config.as_deref())?;
        logging::start(&settings, config.as_deref())?;
        for source in left_out {
            output::note(format_args!(
                "the database from {source} is ignored: select a database with --database or --shards"
            ));
        }
        Ok(settings)
    }

    /// Writes a copy of the settings file without databases to `to`, and uses the copy instead of the file. For a child process.
    fn write_config_without_databases(&mut self, to: &Path) -> Result<(), Failure> {
        let text = read_file(self.config.as_deref())?.map_or_else(String::new, |(_, text)| text);
        let mut table: toml::Table = toml::from_str(&text).map_err(Failure::during("the settings file"))?;
        for setting in DATABASE_SETTINGS {
            table.remove(setting);
        }
        fs::write(to, table.to_string()).map_err(Failure::during(format!("writing {}", to.display())))?;
        self.config = Some(to.to_owned());
        Ok(())
    }

    fn into_layer(self) -> Layer {
        let mut flags = Layer::empty();
        flags.storage.data = self.data;
        flags.storage.database = self.database;
        flags.storage.shards = self.shards;
        flags
    }
}

/// Runs a future to its end on a new runtime.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::during("starting the runtime"))?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_LIMIT);
    result
}
