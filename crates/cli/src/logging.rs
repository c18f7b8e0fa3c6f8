//! The log, written to standard error.

use std::{error::Error, io::IsTerminal as _, path::Path};

use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    failure::Failure,
    permissions,
    redaction::has_password,
    settings::{LogFormat, Settings, is_database_url, unknown_variables},
};

/// Prefix of the names of Dabba's own modules.
const OWN: &str = "dabba";

/// Most detailed level of other modules. At more detailed levels, libraries log what they send and receive: the parameters of
/// statements, headers and bodies, and so passwords, tokens and addresses.
const LIBRARY_LEVEL: LevelFilter = LevelFilter::INFO;

/// Prefixes of modules with a less detailed level, because Dabba itself logs in one line what they do. The modules that
/// execute migrations log each step with the path of a source file on the machine that built Dabba. The client of the
/// broker logs each connection with the port as the only name of the server.
const QUIET: [&str; 2] = ["refinery", "async_nats"];

/// Most detailed level of the modules in [`QUIET`].
const QUIET_LEVEL: LevelFilter = LevelFilter::WARN;

/// Crate of earlier versions, and the crates that replace it. The setting `log` may still name the former.
const REPLACED: (&str, [&str; 2]) = ("dabba_http", ["dabba_web", "dabba_api"]);

/// Starts the log on standard error as the settings say. Warns about unknown environment variables, a password in the arguments,
/// and unsafe permissions of files, `config` included.
pub(crate) fn start(settings: &Settings, config: Option<&Path>) -> Result<(), Failure> {
    start_for_check(settings, config)?;
    for (name, suggestion) in unknown_variables() {
        tracing::warn!(name, "this environment variable looks like a setting but is not one{suggestion}");
    }
    Ok(())
}

/// As [`start`], but without the warnings about unknown variables: the check of the settings reports them itself.
pub(crate) fn start_for_check(settings: &Settings, config: Option<&Path>) -> Result<(), Failure> {
    let is_terminal = std::io::stderr().is_terminal();
    let default_format = if is_terminal { LogFormat::Text } else { LogFormat::Json };
    let filter = EnvFilter::try_new(with_present_names(settings.logging.log.as_str()))
        .map_err(Failure::during("the setting log"))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.logging.log_format.unwrap_or(default_format) {
        LogFormat::Text => {
            let layer = layer.with_ansi(is_terminal && wants_colours());
            registry.with(layer.with_filter(filter_fn(may_be_shown))).try_init()
        }
        LogFormat::Json => {
            registry.with(layer.json().flatten_event(true).with_filter(filter_fn(may_be_shown))).try_init()
        }
    };
    started.map_err(|error| Failure::during("starting the log")(Box::new(error) as Box<dyn Error>))?;
    if std::env::args_os().any(|argument| is_url_with_password(&argument.to_string_lossy())) {
        tracing::warn!(
            "the arguments of this process contain a password, and every user of the machine can read them: give the \
             database's URL in the environment (DABBA_DATABASE) or as file:PATH"
        );
    }
    permissions::warn(settings, config);
    Ok(())
}

/// Returns a filter of events with the present names of crates.
fn with_present_names(filter: &str) -> String {
    let (former, present) = REPLACED;
    let directives = filter.split(',').map(|directive| {
        let rest = directive.trim_start().strip_prefix(former);
        let is_name_continued =
            |rest: &str| rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
        match rest.filter(|rest| !is_name_continued(rest)) {
            Some(rest) => present.map(|name| format!("{name}{rest}")).join(","),
            None => directive.to_owned(),
        }
    });
    directives.collect::<Vec<_>>().join(",")
}

/// Returns whether output to a terminal may have colours (<https://no-color.org>).
pub(crate) fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let level = if target.starts_with(OWN) {
        LevelFilter::TRACE
    } else if QUIET.iter().any(|prefix| target.starts_with(prefix)) {
        QUIET_LEVEL
    } else {
        LIBRARY_LEVEL
    };
    level >= *metadata.level()
}

fn is_url_with_password(argument: &str) -> bool {
    let value = argument
        .strip_prefix("--")
        .and_then(|option| option.split_once('='))
        .map_or(argument, |(_, value)| value);
    is_database_url(value) && has_password(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a filter that names a crate of earlier versions applies to the crates that replace it.
    #[test]
    fn former_names_of_crates_are_accepted() {
        for (filter, present) in [
            ("info", "info"),
            ("info,dabba_http=debug", "info,dabba_web=debug,dabba_api=debug"),
            (
                "info, dabba_http::serve=trace,dabba_engine=warn",
                "info,dabba_web::serve=trace,dabba_api::serve=trace,dabba_engine=warn",
            ),
            ("dabba_https=debug", "dabba_https=debug"),
        ] {
            assert_eq!(with_present_names(filter), present);
        }
    }

    #[test]
    fn a_password_among_the_arguments_is_detected() {
        for (argument, has) in [
            ("postgresql://u:secret@h/d", true),
            ("--database=postgresql://u:secret@h/d", true),
            ("--to=postgres://h/d?password=secret", true),
            ("postgresql://u@h/d", false),
            ("--database=file:/run/secrets/database", false),
            ("--listen=127.0.0.1:80", false),
        ] {
            assert_eq!(is_url_with_password(argument), has, "{argument}");
        }
    }
}
