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
pub(crate) mod migrate;
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

/// The environment variable with a token for the server that `--server` names.
pub(crate) const TOKEN_VARIABLE: &str = "DABBA_TOKEN";

/// Time for what runs in the background to end when a command has ended.
const RUNTIME_SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

/// Time for the store to close after a command that changes something through an engine of its own.
const CLOSING_TIME: Duration = Duration::from_secs(30);

/// Order management for food delivery: takes an order exactly once and walks it to the door.
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
    /// Works the tasks of the database, beside its servers or without: what is due is done.
    Work(work::Arguments),
    /// Walks one order from the kitchen to the door, on a server of its own, and shows each step.
    Demo(demo::Arguments),
    /// Brings the database to the newest schema.
    Migrate(migrate::Arguments),
    /// Shows the shards: what each database is and holds. Its subcommands split a shard.
    Shards(Box<shards::Arguments>),
    /// Writes a backup of the embedded database to a file. Also while a server runs.
    Backup(backup::Arguments),
    /// Puts a backup in the place of the embedded database. Stop the server first.
    Restore(restore::Arguments),
    /// Reads all orders and reports what is wrong with them. The embedded database must not be served
    /// meanwhile.
    Audit(audit::Arguments),
    /// Copies everything from the embedded database to an empty PostgreSQL database. The server must be stopped.
    Copy(copy::Arguments),
    /// Registers the restaurants in a file with their menus, or replaces a restaurant's menu.
    ImportMenu(import_menu::Arguments),
    /// Lists the tasks that have failed too often. Its subcommands have one tried again, or put it away.
    Tasks(Box<tasks::Arguments>),
    /// Lists and shows accounts, disables, enables and deletes them, sets roles and passwords, and revokes tokens.
    Accounts(Box<accounts::Arguments>),
    /// Measures a server under load, one of its own or one that runs, and looks whether all that it
    /// acknowledged is there.
    Bench(Box<bench::Arguments>),
    /// Simulates orders, people and failures from a seed, in a time of its own, and looks whether everything is
    /// as it must be.
    Simulate(simulate::Arguments),
    /// Plays a payment provider that moves no money, for trying out and for tests.
    SimulatePayments(simulate_payments::Arguments),
    /// Prints a bearer token, signed with the data directory's key. Also while a server runs.
    Token(token::Arguments),
    /// Prints a settings file to begin with: every setting with its description and default. Or checks the settings.
    Settings(settings::Arguments),
    /// Prints the description of the API (`OpenAPI` 3.1, JSON).
    Openapi,
    /// Prints a script that completes commands and options in a shell.
    Completions(completions::Arguments),
    /// Prints the version, the commit, and the schemas that this binary knows.
    Version(version::Arguments),
}

impl Cli {
    /// Reads the command line. Returns what is wrong with it, or the help that it asks for, as an error for [`help::print`].
    pub(crate) fn from_arguments() -> Result<Self, clap::Error> {
        let matches = help::command().try_get_matches();
        matches.and_then(|matches| Self::from_arg_matches(&matches))
    }

    /// Carries the command out.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(arguments) => serve::run(*arguments),
            Command::Work(arguments) => work::run(arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Migrate(arguments) => migrate::run(arguments),
            Command::Shards(arguments) => shards::run(*arguments),
            Command::Backup(arguments) => backup::run(arguments),
            Command::Restore(arguments) => restore::run(arguments),
            Command::Audit(arguments) => audit::run(arguments),
            Command::Copy(arguments) => copy::run(arguments),
            Command::ImportMenu(arguments) => import_menu::run(arguments),
            Command::Tasks(arguments) => tasks::run(*arguments),
            Command::Accounts(arguments) => accounts::run(*arguments),
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

/// The settings of a command that needs the data directory and little else. The others still come
/// from the environment and the file.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct DataArguments {
    /// Settings file (TOML). `dabba.toml` if there is one, when absent.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded database and of the signing key.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// URL of the PostgreSQL database, instead of the embedded one; or `file:PATH` for a file with the URL.
    #[arg(long, value_name = "URL")]
    database: Option<DatabaseUrl>,
    /// File (TOML) that lists several PostgreSQL databases.
    #[arg(long, value_name = "FILE")]
    shards: Option<PathBuf>,
}

impl DataArguments {
    /// These arguments but for the database's URL, for a command of a child process.
    fn flags(&self) -> Vec<OsString> {
        let paths = [("--config", &self.config), ("--data", &self.data), ("--shards", &self.shards)];
        let paths = paths.into_iter().filter_map(|(flag, path)| Some([flag.into(), path.as_ref()?.into()]));
        paths.flatten().collect()
    }

    /// Loads the settings, and starts the log.
    fn load(self) -> Result<Settings, Failure> {
        self.load_with(|_| {})
    }

    /// Loads the settings, with further flags of the command, and starts the log.
    fn load_with(self, set: impl FnOnce(&mut Layer)) -> Result<Settings, Failure> {
        let config = self.config.clone();
        let mut flags = self.into_layer();
        set(&mut flags);
        let settings = Settings::load(flags, config.as_deref())?;
        logging::start(&settings, config.as_deref())?;
        Ok(settings)
    }

    /// Loads the settings of a command that looks at what is there, or changes it: never makes a database, and never migrates
    /// one.
    fn load_existing(self) -> Result<(Settings, Databases), Failure> {
        let mut settings = self.load()?;
        settings.migrate = false;
        let databases = Databases::from_settings(&settings)?;
        databases.require()?;
        Ok((settings, databases))
    }

    /// Loads the settings of a command that writes test data, and starts the log: only these flags say which databases are used.
    fn load_for_test_data(self) -> Result<Settings, Failure> {
        let config = self.config.clone();
        let (settings, left_out) =
            Settings::load_with_databases_of_flags(self.into_layer(), config.as_deref())?;
        logging::start(&settings, config.as_deref())?;
        for source in left_out {
            output::note(format_args!(
                "the database that {source} names is not used: name one with --database or --shards"
            ));
        }
        Ok(settings)
    }

    /// Writes the settings file without the databases that it names, and takes it in its place: for a child process.
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
        flags.data = self.data;
        flags.database = self.database;
        flags.shards = self.shards;
        flags
    }
}

/// Runs a command that waits for things, to its end.
fn block_on(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::during("starting the runtime"))?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_LIMIT);
    result
}
