//! `dabba settings`

use std::path::PathBuf;

use crate::{
    commands::DataArguments, databases::Databases, failure::Failure, output, payments::Payments,
    settings::template, signing_key,
};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Checks the settings of a server, and the files that they name, instead. Changes nothing and opens no database.
    #[arg(long)]
    check: bool,
    /// Settings file (TOML) to check. `dabba.toml` if there is one, when absent.
    #[arg(long, value_name = "FILE", requires = "check")]
    config: Option<PathBuf>,
}

/// Prints a settings file to begin with, or checks the settings.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    if !arguments.check {
        return output::line(template().trim_end());
    }
    let settings = DataArguments { config: arguments.config, ..DataArguments::default() }.load()?;
    Databases::from_settings(&settings)?;
    let _payments = Payments::for_server(&settings, false, false)?;
    signing_key::read_if_there(&settings)?;
    output::line("The settings can be used.")
}
