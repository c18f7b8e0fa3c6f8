//! The command line as clap knows it, with what its definition cannot say: the defaults of the settings.

use clap::{
    Arg, Command, CommandFactory as _, Error,
    error::{ContextKind, ContextValue},
};

use super::Cli;
use crate::{output, redaction::redacted, settings};

/// The whole command line.
pub(crate) fn command() -> Command {
    complete(Cli::command())
}

fn complete(command: Command) -> Command {
    let command = command.max_term_width(output::WIDTH).mut_args(with_default);
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, complete))
}

/// Adds the default to the help of an option that takes a value. clap knows those of the commands' own options; a setting
/// has its default after the flag, the environment and the file.
fn with_default(argument: Arg) -> Arg {
    let is_own = !argument.get_default_values().is_empty() || argument.is_required_set();
    if is_own || !argument.get_action().takes_values() || argument.is_positional() {
        return argument;
    }
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if says_default(&help) {
        return argument;
    }
    let default = settings::default_of(argument.get_id().as_str()).unwrap_or_else(|| "none".to_owned());
    let help = format!("{} [default: {default}]", help.trim_end());
    argument.help(help)
}

/// Whether a help text says what happens without the option.
fn says_default(help: &str) -> bool {
    help.contains("default") || help.contains("absent")
}

/// The error without the passwords of URLs that it repeats.
pub(super) fn without_passwords(mut error: Error) -> Error {
    let is_url = matches!(
        error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if name.ends_with("URL>")
    );
    let shown = |text: &str| {
        // A text that is no URL may still be a part of one, or another form of it.
        if is_url && !text.contains("://") && text.contains(['@', '=']) {
            "…".to_owned()
        } else {
            redacted(text).into_owned()
        }
    };
    let contexts: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| match (kind, value) {
            (ContextKind::InvalidValue | ContextKind::InvalidArg, ContextValue::String(text)) => {
                Some((kind, ContextValue::String(shown(text))))
            }
            (ContextKind::InvalidArg, ContextValue::Strings(texts)) => {
                Some((kind, ContextValue::Strings(texts.iter().map(|text| shown(text)).collect())))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in contexts {
        error.insert(kind, value);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &Command, path: &str, visit: &mut impl FnMut(&str, &Command)) {
        let path = format!("{path} {}", command.get_name());
        visit(&path, command);
        for command in command.get_subcommands() {
            walk(command, &path, visit);
        }
    }

    /// Proves that the help of every option of every command says what happens without the option.
    #[test]
    fn every_option_shows_its_default() {
        let mut options = 0;
        walk(&command(), "", &mut |path, command| {
            let optional = command
                .get_opts()
                .filter(|option| option.get_action().takes_values() && !option.is_required_set());
            for option in optional {
                let help = option.get_help().map(ToString::to_string).unwrap_or_default();
                let has_default = !option.get_default_values().is_empty() || says_default(&help);
                assert!(has_default, "{path} --{}: {help}", option.get_id());
                options += 1;
            }
        });
        assert!(options > 50, "{options}");
    }

    /// Proves that each default is that of the setting.
    #[test]
    fn the_default_of_a_setting_is_shown() {
        let help_of = |name: &str| {
            let help = command().find_subcommand_mut(name).unwrap().render_help().to_string();
            help.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let help = help_of("serve");
        for shown in
            ["[default: 127.0.0.1:8080]", "[default: dabba-data]", "[default: true]", "[default: 16]"]
        {
            assert!(help.contains(shown), "{shown} is missing in {help}");
        }
        let help = help_of("audit");
        assert!(help.contains("[default: dabba-data]") && help.contains("[default: none]"), "{help}");
    }

    /// Proves that help fits a terminal of 80 columns where nothing says how wide it is.
    #[test]
    fn help_fits_the_width() {
        walk(&command(), "", &mut |path, command| {
            let help = command.clone().render_long_help().to_string();
            let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            let is_usage = longest.trim_start().starts_with("Usage:") || longest.contains("dabba");
            assert!(is_usage || longest.chars().count() <= output::WIDTH, "{path}: {longest:?}");
        });
    }

    /// Proves that an error about an argument does not repeat a password.
    #[test]
    fn an_error_repeats_no_password() {
        for arguments in [
            &["migrate", "--database", "mysql://user:secret@host/db"][..],
            &["migrate", "--database", "user:secret@host"],
            &["migrate", "--database", "host=h password=secret"],
            &["migrate", "postgresql://user:secret@host/db"],
            &["copy", "--to", "postgre://user:secret@host/db"],
            &["serve", "--replica-database=pg://user:sec?ret@host"],
        ] {
            let error = command().try_get_matches_from([&["dabba"][..], arguments].concat()).unwrap_err();
            let text = without_passwords(error).render().to_string();
            assert!(!text.contains("sec") && !text.contains("ret"), "{arguments:?}: {text}");
            assert!(text.contains(arguments[1].split('=').next().unwrap()) || arguments.len() == 2, "{text}");
        }
    }
}
