//! Logs to standard error.

use std::{error::Error, io::IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::{
    failure::Failure,
    settings::{LogFormat, Settings},
};

/// Sends what is logged from now on to standard error, as the settings say.
pub(crate) fn start(settings: &Settings) -> Result<(), Failure> {
    let is_terminal = std::io::stderr().is_terminal();
    let default_format = if is_terminal { LogFormat::Text } else { LogFormat::Json };
    let filter = EnvFilter::try_new(settings.log.as_str()).map_err(Failure::during("the setting log"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.log_format.unwrap_or(default_format) {
        LogFormat::Text => builder.with_ansi(is_terminal).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::during("starting the log")(error as Box<dyn Error>))?;
    for name in crate::settings::unknown_variables() {
        tracing::warn!(name, "this environment variable looks like a setting and is none");
    }
    Ok(())
}
