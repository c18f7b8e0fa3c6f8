//! The page of the settings and the settings file template, both generated from the definition of the settings.

use std::fmt::Write as _;

use clap::Command;
use confique::{
    Config as _,
    meta::{Expr, Field, FieldKind, Integer, LeafKind},
};

use super::Settings;
use crate::commands::help;

/// Returns a settings file with every setting as a comment, with its description and default. A topic is a comment in the file,
/// not a table.
pub(crate) fn template() -> String {
    let with_tables = confique::toml::template::<Settings>(confique::toml::FormatOptions::default());
    let lines = with_tables.lines().map(|line| if line.starts_with('[') { "" } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the topics, each with its title and its settings.
fn topics() -> impl Iterator<Item = (String, &'static [Field])> {
    Settings::META.fields.iter().filter_map(|topic| match topic.kind {
        FieldKind::Nested { meta } => Some((text_of(topic), meta.fields)),
        FieldKind::Leaf { .. } => None,
    })
}

/// Returns all settings.
pub(super) fn fields() -> impl Iterator<Item = &'static Field> {
    topics().flat_map(|(_, fields)| fields)
}

/// Returns the setting with this name.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    fields().find(|field| field.name == name)
}

/// Returns the documentation of a field on one line.
fn text_of(field: &Field) -> String {
    field.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Returns the environment variables of all settings.
pub(super) fn variables() -> Vec<&'static str> {
    fields().filter_map(variable).collect()
}

/// Returns the environment variable of a setting.
pub(super) fn variable(field: &Field) -> Option<&'static str> {
    match field.kind {
        FieldKind::Leaf { env, .. } => env,
        FieldKind::Nested { .. } => None,
    }
}

/// Returns the text of `docs/reference/settings.md`.
#[cfg_attr(not(test), expect(dead_code, reason = "a test compares the page with it"))]
fn page() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         <!-- Generated from crates/cli/src/settings. A test compares; to regenerate, run\n     \
         DABBA_WRITE_DOCS=1 cargo test --workspace --bin dabba settings -->\n\n\
         A setting has a flag, an environment variable, a name in the settings file and a default, in this order of\n\
         precedence. The settings file is TOML: the file named with `--config FILE`, or `dabba.toml` in the current\n\
         directory if it exists. Unknown names in the file are refused. `dabba settings` prints a template of the file. If\n\
         a value is wrong, the program does not start, and the message names the setting and the place of the value.\n\n\
         Environment and settings file set every setting of every command that has settings. The flags differ:\n\n\
         | command | flags for settings |\n|---|---|\n",
    );
    page += &rows_of_flags(&help::command());
    page += "\n\n\
         All these commands accept `--config`. The other commands have no settings, and neither have `dabba import-menu`,\n\
         `dabba tasks`, `dabba accounts`, `dabba keys` and `dabba login-link` with `--server`. A command ignores settings of\n\
         parts that it does not run: `dabba work` ignores `listen`, for example.\n\n\
         Relative paths start at the current directory. Times are whole numbers in the unit at the end of\n\
         the setting's name.\n";
    for (title, fields) in topics() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "\n## {title}\n\n| setting | flag | environment variable | default | description |\n|---|---|---|---|---|"
        );
        for field in fields {
            let _ = writeln!(page, "{}", row(field));
        }
    }
    page
}

/// Returns the rows of the table of flags, one for the commands that accept the same flags.
fn rows_of_flags(whole: &Command) -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (command, flags) in flags_by_command(whole) {
        let Some(flags) = flags else { continue };
        let (option, remark) = match command.as_str() {
            "dabba settings" => (" --check", ""),
            "dabba bench" => ("", "; only these flags select the database"),
            "dabba token" => ("", "; `--lifetime-seconds` for `token_lifetime_seconds`"),
            _ => ("", ""),
        };
        let (command, flags) = (format!("`{command}{option}`"), format!("{flags}{remark}"));
        match rows.iter_mut().find(|(found, _)| *found == flags) {
            Some((_, commands)) => commands.push(command),
            None => rows.push((flags, vec![command])),
        }
    }
    let rows = rows.iter().map(|(flags, commands)| format!("| {} | {flags} |", commands.join(", ")));
    rows.collect::<Vec<_>>().join("\n")
}

/// Returns a command and its subcommands with their [`flags_of`]. A command whose subcommands all accept the same flags is
/// returned alone. A command that only has subcommands accepts nothing itself.
fn flags_by_command(command: &Command) -> Vec<(String, Option<String>)> {
    let name = command.get_name();
    let own = (!command.is_subcommand_required_set()).then(|| (name.to_owned(), flags_of(command)));
    let below = command.get_subcommands().flat_map(flags_by_command);
    let below = below.map(|(path, flags)| (format!("{name} {path}"), flags));
    let all: Vec<_> = own.into_iter().chain(below).collect();
    match all.first() {
        Some((_, first)) if all.iter().all(|(_, flags)| flags == first) => {
            vec![(name.to_owned(), first.clone())]
        }
        _ => all,
    }
}

/// Returns the flags with which a command sets settings, in words; `None` if the command has no settings: it does not accept
/// `--config`.
fn flags_of(command: &Command) -> Option<String> {
    let accepts = |flag: &str| command.get_arguments().any(|argument| argument.get_long() == Some(flag));
    if !accepts("config") {
        return None;
    }
    let flags = fields().map(|field| field.name.replace('_', "-")).filter(|flag| accepts(flag));
    let flags: Vec<_> = flags.map(|flag| format!("`--{flag}`")).collect();
    Some(match flags.len() {
        0 => "none".to_owned(),
        number if number == fields().count() => "every setting".to_owned(),
        _ => flags.join(", "),
    })
}

/// Returns the row of a setting in the table of its topic.
fn row(field: &Field) -> String {
    let name = field.name;
    let flag = name.replace('_', "-");
    let variable = variable(field).unwrap_or("–");
    let default = default_in(field).map_or_else(|| "–".to_owned(), |default| format!("`{default}`"));
    format!("| `{name}` | `--{flag}` | `{variable}` | {default} | {} |", text_of(field))
}

/// Returns the default of the setting with this name.
pub(crate) fn default_of(name: &str) -> Option<String> {
    default_in(field(name)?)
}

/// Returns whether an empty value of a setting has a meaning: only if the default is empty.
pub(super) fn may_be_empty(field: &Field) -> bool {
    matches!(field.kind, FieldKind::Leaf { kind: LeafKind::Required { default: Some(Expr::Str("")) }, .. })
}

fn default_in(field: &Field) -> Option<String> {
    match field.kind {
        FieldKind::Leaf { kind: LeafKind::Required { default: Some(default) }, .. } => Some(match default {
            Expr::Str("") => return None,
            Expr::Str(text) => (*text).to_owned(),
            Expr::Bool(value) => value.to_string(),
            Expr::Integer(Integer::I32(number)) => number.to_string(),
            other => format!("{other:?}"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, Args as _};

    use super::{super::Layer, *};

    #[test]
    fn the_settings_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/settings.md");
        if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(found, page(), "run: DABBA_WRITE_DOCS=1 cargo test --workspace --bin dabba settings");
    }

    /// Proves that servers and workers accept every setting as a flag, as the page states.
    #[test]
    fn servers_and_workers_accept_every_setting_as_a_flag() {
        let whole = help::command();
        for name in ["serve", "work"] {
            let command = whole.find_subcommand(name).unwrap();
            let flags: BTreeSet<_> =
                command.get_arguments().filter_map(|argument| argument.get_long()).collect();
            for field in fields() {
                let flag = field.name.replace('_', "-");
                assert!(flags.contains(flag.as_str()), "dabba {name} has no --{flag}");
            }
        }
    }

    /// Proves that the table of flags names exactly the commands with settings, names a subcommand only if its flags differ from
    /// those of its command, and that the remark on `dabba token` is true.
    #[test]
    fn the_table_of_flags_names_the_commands_with_settings() {
        let has = |command: &Command, flag: &str| {
            command.get_arguments().any(|argument| argument.get_long() == Some(flag))
        };
        let whole = help::command();
        let table = rows_of_flags(&whole);
        for command in whole.get_subcommands() {
            let name = command.get_name();
            let has_settings = has(command, "config")
                || command.get_subcommands().any(|subcommand| has(subcommand, "config"));
            let is_named =
                table.contains(&format!("`dabba {name}`")) || table.contains(&format!("`dabba {name} "));
            assert_eq!(is_named, has_settings, "dabba {name} in\n{table}");
        }
        assert!(has(whole.find_subcommand("token").unwrap(), "lifetime-seconds"));

        let args = || ["config", "data"].map(|name| Arg::new(name).long(name));
        let different = Command::new("dabba").subcommand_required(true).subcommands([
            Command::new("one").args(args()).subcommand(Command::new("same").args(args())),
            Command::new("two")
                .arg(Arg::new("config").long("config"))
                .subcommands([Command::new("without"), Command::new("with").args(args())]),
        ]);
        assert_eq!(
            rows_of_flags(&different),
            "| `dabba one`, `dabba two with` | `--data` |\n| `dabba two` | none |"
        );
    }

    #[test]
    fn every_setting_has_a_matching_variable_and_a_description() {
        for field in fields() {
            let expected = format!("{}{}", super::super::ENVIRONMENT_PREFIX, field.name.to_uppercase());
            assert_eq!(variable(field), Some(expected.as_str()));
            assert!(!field.doc.is_empty(), "{}", field.name);
        }
    }

    /// Proves that the names of settings are unique, that every topic has a title, and that help shows the settings of a topic
    /// under this title.
    #[test]
    fn every_setting_belongs_to_one_topic() {
        let options = Layer::augment_args(Command::new("settings"));
        let mut names = BTreeSet::new();
        for (title, fields) in topics() {
            for field in fields {
                assert!(names.insert(field.name), "{} belongs to two topics", field.name);
                let option = options.get_arguments().find(|option| option.get_id() == field.name).unwrap();
                let heading = option.get_help_heading().unwrap().strip_prefix("Settings: ").unwrap();
                assert!(title.eq_ignore_ascii_case(heading), "{}: {heading:?}, {title:?}", field.name);
            }
        }
        assert_eq!(names.len(), options.get_arguments().count());
        assert_eq!(topics().count(), Settings::META.fields.len(), "a setting belongs to a topic");
    }

    /// Proves that the template has every setting and every topic as comments, and no tables.
    #[test]
    fn the_template_contains_the_settings_as_comments() {
        let template = template();
        assert!(template.contains("#listen = \"127.0.0.1:8080\""), "{template}");
        for field in fields() {
            assert!(template.contains(&format!("\n#{} =", field.name)), "{} in {template}", field.name);
        }
        for (title, _) in topics() {
            assert!(template.contains(&format!("# {title}\n")), "{title} in {template}");
        }
        assert!(template.lines().all(|line| line.is_empty() || line.starts_with('#')), "{template}");
    }
}
