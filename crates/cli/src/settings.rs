//! The settings, from flags, environment variables and a file, each with a default.
//!
//! Each topic has a file with its settings: their names, ranges, defaults and texts, the types of their values, and the
//! conversion into the configuration of the crates below. [`Settings`] lists the topics; `docs/reference/settings.md` and
//! `dabba settings` are generated from it. The names of settings are unique across topics, because the settings file has
//! no tables.
//!
//! - A new setting needs a field in the file of its topic, and a regenerated page (a test names the command).
//! - A new topic needs a file beside the others, and a field in [`Settings`] whose text is the title of the topic.

mod check;
mod documentation;
mod events;
mod file;
mod limits;
mod listening;
mod loading;
mod logging;
mod names;
mod payments;
mod pools;
mod storage;
mod tasks;
mod tokens;
mod values;
mod writes;
mod wrong;

pub(crate) use self::{
    check::Checked,
    documentation::{default_of, template},
    file::{Names, parse as parse_file},
    loading::read_file,
    logging::LogFormat,
    names::unknown_variables,
    payments::PaymentGatewayName,
    pools::{PoolSeconds, PoolSize},
    storage::{DATABASE_SETTINGS, DatabaseUrl, is_database_url},
    values::{Bounded, Milliseconds, NOT_REPEATED, WebUrl},
    wrong::describe as describe_refusal,
};
use self::{
    events::Events, limits::Limits, listening::Listening, logging::Logging, payments::PaymentProvider,
    pools::Pools, storage::Storage, tasks::Tasks, tokens::Tokens, values::Name, writes::Writes,
};

/// Settings file that is read if it exists and no file is named.
pub(crate) const DEFAULT_FILE: &str = "dabba.toml";

/// Prefix of the environment variables of all settings.
pub(crate) const ENVIRONMENT_PREFIX: &str = "DABBA_";

/// All settings, by topic.
#[derive(confique::Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
pub(crate) struct Settings {
    /// Listening and proxies
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) listening: Listening,

    /// Storage
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) storage: Storage,

    /// Connections to PostgreSQL
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) pools: Pools,

    /// Writes
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) writes: Writes,

    /// Tasks and workers
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) tasks: Tasks,

    /// Payments
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) payments: PaymentProvider,

    /// Outgoing events
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) events: Events,

    /// Tokens
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) tokens: Tokens,

    /// Limits per account and address
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) limits: Limits,

    /// Log
    #[config(nested)]
    #[config(layer_attr(command(flatten)))]
    #[config(layer_attr(serde(flatten)))]
    pub(crate) logging: Logging,
}

/// The settings of one source. Every setting may be absent.
pub(crate) type Layer = <Settings as confique::Config>::Layer;
