//! `dabba settings`

use std::path::PathBuf;

use crate::{
    databases::{Databases, ShardsFile},
    failure::Failure,
    logging, output,
    payments::{self, Payments},
    secrets_key,
    settings::{Checked, template},
    signing_key,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Checks the settings of a server and the files that they name, and prints no settings file. Lists all errors.
    /// Changes nothing and connects to nothing.
    #[arg(long)]
    check: bool,
    /// Settings file (TOML) to check; default `dabba.toml`, if that file exists.
    #[arg(long, value_name = "FILE", requires = "check")]
    config: Option<PathBuf>,
}

/// Prints the template of a settings file, or checks the settings.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.check {
        return output::line(template().trim_end());
    }
    let mut checked = Checked::load(arguments.config.as_deref())?;
    let has_shards = checked.file("shards", |path| ShardsFile::read(path).map(drop));
    let has_key = checked.file("signing_key_file", |path| signing_key::read(path).map(drop));
    let has_secrets_key = checked.file("secrets_key_file", |path| secrets_key::read(path).map(drop));
    let has_payment_key = checked.file("payment_key_file", |path| payments::secret(path).map(drop));
    let has_secret = checked.file("payment_webhook_secret_file", |path| payments::secret(path).map(drop));
    if let Some(settings) = checked.settings.take() {
        logging::start_for_check(&settings, arguments.config.as_deref())?;
        // The error of a file is reported only once.
        if has_shards {
            checked.add(Databases::from_settings(&settings));
        }
        if has_payment_key && has_secret {
            checked.add(Payments::for_server(&settings, false, false));
        }
        if has_key {
            checked.add(signing_key::read_if_there(&settings));
        }
        if has_secrets_key {
            checked.add(secrets_key::read_if_there(&settings));
        }
        checked.add(settings.events.broker());
        checked.add(settings.listening.refuse_shared_port());
    }
    for name in &checked.foreign {
        output::line(format_args!("The environment variable {name} is not a setting and is ignored."))?;
    }
    checked.end()?;
    output::line("The settings are valid.")
}
