//! The log on standard error.

use std::str::FromStr;

use confique::Config;

use super::values::read_from_text;
use crate::redaction::shown;

/// Log.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: log")))]
pub(crate) struct Logging {
    /// Filter for the log: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels per module such as
    /// `info,dabba_engine=debug`.
    #[config(env = "DABBA_LOG", default = "info")]
    #[config(layer_attr(arg(long, value_name = "FILTER")))]
    pub(crate) log: LogFilter,

    /// Format of the log on standard error: `text` or `json`; default `text` on a terminal, otherwise `json`.
    #[config(env = "DABBA_LOG_FORMAT")]
    #[config(layer_attr(arg(long, value_name = "text|json")))]
    pub(crate) log_format: Option<LogFormat>,
}

/// Filter for logged events, in the syntax of `tracing_subscriber`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

impl LogFilter {
    /// Returns the text of the filter, which is known to be valid.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `tracing_subscriber` would interpret a word such as `warning` as a module, and log nothing.
        let is_level = |word: &str| {
            !word.trim().is_empty() && word.trim().parse::<tracing::level_filters::LevelFilter>().is_ok()
        };
        let mut words = text.split(',').filter(|directive| !directive.contains('='));
        if words.all(is_level) && tracing_subscriber::EnvFilter::try_new(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "must be a level (off, error, warn, info, debug, trace), or levels of modules as in info,dabba_engine=debug, not \
             {:?}",
            shown(text)
        ))
    }
}

read_from_text!(LogFilter);

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("must be text or json, not {:?}", shown(text))),
        }
    }
}

read_from_text!(LogFormat);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_settings_are_checked_when_read() {
        assert!("info,dabba_engine=debug".parse::<LogFilter>().is_ok());
        for wrong in ["dabba=loud", "warning", "inof", "", "info,dabba_engine"] {
            assert!(wrong.parse::<LogFilter>().unwrap_err().starts_with("must be a level"), "{wrong}");
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
