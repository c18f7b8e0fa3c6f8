//! The command line with the parts that the clap definition lacks: the defaults of the settings.

use std::{
    io::{self, IsTerminal, Write as _},
    process::ExitCode,
};

use clap::{
    Arg, Command, CommandFactory as _, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;
use crate::{
    failure::Failure,
    logging::wants_colours,
    output,
    redaction::{HIDDEN, redacted, shown},
    settings,
};

/// Returns the definition of the whole command line.
pub(crate) fn command() -> Command {
    complete(Cli::command())
}

fn complete(command: Command) -> Command {
    let command = command.max_term_width(output::WIDTH).mut_args(with_default);
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, complete))
}

/// Adds the default to the help of an option that takes a value. clap adds the defaults of the commands' own options. The default
/// of a setting is not known to clap, because environment and file take precedence over it.
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

/// Returns whether a help text states the default, or that the option is required instead of another one.
fn says_default(help: &str) -> bool {
    ["default", "Default", "absent", "Required without"].iter().any(|text| help.contains(text))
}

/// Prints the parser's error: help to standard output, errors to standard error. Returns the exit status.
pub(crate) fn print(error: Error) -> Result<ExitCode, Failure> {
    if !error.use_stderr() {
        output::line(text_for(&io::stdout(), &error).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = u8::try_from(error.exit_code()).unwrap_or(u8::MAX);
    let text = text_for(&io::stderr(), &with_order_of_options(without_passwords(error)));
    // A failed write of the message does not change the exit status.
    let _ = io::stderr().write_all(redacted(&text).as_bytes());
    Ok(ExitCode::from(status))
}

/// Returns the text, with colours if the stream is a terminal.
fn text_for(stream: &impl IsTerminal, error: &Error) -> String {
    let text = error.render();
    if stream.is_terminal() && wants_colours() { text.ansi().to_string() } else { text.to_string() }
}

/// Returns the error without possible secrets in the arguments that it repeats.
fn without_passwords(mut error: Error) -> Error {
    let is_url = matches!(
        error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if name.ends_with("URL>")
    );
    let shown = |kind: ContextKind, text: &str| match kind {
        ContextKind::InvalidValue if is_url => HIDDEN.to_owned(),
        _ => shown(text),
    };
    let contexts: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(shown(kind, text)))),
            ContextValue::Strings(texts) => {
                Some((kind, ContextValue::Strings(texts.iter().map(|text| shown(kind, text)).collect())))
            }
            _ => None,
        })
        .collect();
    for (kind, value) in contexts {
        error.insert(kind, value);
    }
    error
}

/// Returns the error about options before a subcommand with the remedy. The parser's own text says that the options cannot be
/// used with the subcommand, which is wrong: most of them are allowed after it.
fn with_order_of_options(error: Error) -> Error {
    let (ErrorKind::ArgumentConflict, Some(ContextValue::String(subcommand))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    else {
        return error;
    };
    let text = format!(
        "an option precedes the subcommand '{subcommand}': write the subcommand first, then its options"
    );
    command().error(ErrorKind::ArgumentConflict, text)
}

#[cfg(test)]
mod tests {
    use dabba_testkit::WITH_SECRET;

    use super::*;

    fn walk(command: &Command, path: &str, visit: &mut impl FnMut(&str, &Command)) {
        let path = format!("{path} {}", command.get_name());
        visit(&path, command);
        for command in command.get_subcommands() {
            walk(command, &path, visit);
        }
    }

    /// Proves that the help of every option of every command states the default.
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

    /// Proves that the help of an option shows the default of its setting.
    #[test]
    fn help_shows_the_defaults_of_settings() {
        let help_of = |name: &str| {
            let help = command().find_subcommand_mut(name).unwrap().render_help().to_string();
            help.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let help = help_of("serve");
        for shown in ["[default: 127.0.0.1:8080]", "[default: dabba-data]", "[default: true]", "default 16"] {
            assert!(help.contains(shown), "{shown} is missing in {help}");
        }
        let help = help_of("audit");
        assert!(help.contains("[default: dabba-data]") && help.contains("[default: none]"), "{help}");
    }

    /// Proves that help fits a terminal of 80 columns, the width if it is unknown.
    #[test]
    fn help_fits_the_width() {
        walk(&command(), "", &mut |path, command| {
            let help = command.clone().render_long_help().to_string();
            let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(longest.chars().count() <= output::WIDTH, "{path}: {longest:?}");
        });
    }

    /// Proves that no option and no argument of any command repeats a secret, in whatever form, and that the error still names
    /// the option.
    #[test]
    fn no_wrong_argument_repeats_a_secret() {
        let (mut whole, mut refused) = (command(), 0);
        walk(&command(), "", &mut |path, command| {
            let words: Vec<&str> = path.split_whitespace().skip(1).collect();
            let options = command.get_opts().filter_map(|option| option.get_long());
            let options =
                options.map(|option| format!("--{option}")).chain([String::new(), "--nothing".to_owned()]);
            for (option, secret) in
                options.flat_map(|option| WITH_SECRET.map(|secret| (option.clone(), secret)))
            {
                let mut arguments = [&["dabba"][..], &words].concat();
                let given = if option.is_empty() { secret.to_owned() } else { format!("{option}={secret}") };
                arguments.push(&given);
                let Err(error) = whole.try_get_matches_from_mut(arguments) else { continue };
                let is_named = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
                let text = redacted(&without_passwords(error).render().to_string()).into_owned();
                assert!(!text.contains("hush"), "{path} {given}: {text}");
                assert!(!is_named || text.contains(option.as_str()), "{path} {given}: {text}");
                refused += 1;
            }
        });
        assert!(refused > 300, "{refused}");
    }

    /// Proves that the error about an option before a subcommand states the remedy, repeats no secret, and that the same
    /// option is accepted after the subcommand.
    #[test]
    fn options_before_a_subcommand_are_refused_with_the_remedy() {
        let id = "0195c2d4-0000-7000-8000-000000000000";
        let url = "postgresql://u@h/d";
        let after = ["dabba", "tasks", "retry", id, "--database", url];
        assert!(command().try_get_matches_from(after).is_ok());
        for arguments in [
            &["tasks", "--database", url, "retry", id][..],
            &["tasks", "--database", url, "resolve", id, "--reason", "done"],
            &["shards", "--database", url, "purge"],
            &["tasks", "--database", url, "postgresql://u:hush@h/d"],
        ] {
            let error = command().try_get_matches_from([&["dabba"][..], arguments].concat()).unwrap_err();
            let error = with_order_of_options(without_passwords(error));
            let text = redacted(&error.render().to_string()).into_owned();
            assert!(text.contains("write the subcommand first, then its options"), "{text}");
            assert!(text.contains("--help") && !text.contains("hush"), "{text}");
            assert_eq!((error.use_stderr(), error.exit_code()), (true, 2));
        }
    }

    /// Proves that an error about an argument does not repeat a password.
    #[test]
    fn an_error_repeats_no_password() {
        for arguments in [
            &["migrate", "--database", "mysql://user:secret@host/db"][..],
            &["migrate", "--database", "user:secret"],
            &["postgresql://user:secret@host/db"],
            &["migrate", "--database", "user:secret@host"],
            &["migrate", "--database", "host=h password=secret"],
            &["migrate", "postgresql://user:secret@host/db"],
            &["copy", "--to", "postgre://user:secret@host/db"],
            &["serve", "--replica-database=pg://user:sec?ret@host"],
        ] {
            let error = command().try_get_matches_from([&["dabba"][..], arguments].concat()).unwrap_err();
            let text = without_passwords(error).render().to_string();
            assert!(!text.contains("sec") && !text.contains("ret"), "{arguments:?}: {text}");
            let option = arguments.get(1).and_then(|option| option.split('=').next()).unwrap_or_default();
            assert!(text.contains(option) || arguments.len() == 2, "{text}");
        }
    }
}
