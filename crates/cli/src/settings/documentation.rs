//! The settings as a page and as a file to begin with, made from their definition.

use std::fmt::Write as _;

use confique::{
    Config as _,
    meta::{Expr, Field, FieldKind, Integer, LeafKind},
};

use super::Settings;

/// A settings file in which every setting stands as a comment, with its description and default.
pub(crate) fn template() -> String {
    confique::toml::template::<Settings>(confique::toml::FormatOptions::default())
}

/// The environment variables of all settings.
pub(super) fn variables() -> Vec<&'static str> {
    Settings::META.fields.iter().filter_map(variable).collect()
}

/// The environment variable of a setting.
pub(super) fn variable(field: &Field) -> Option<&'static str> {
    match field.kind {
        FieldKind::Leaf { env, .. } => env,
        FieldKind::Nested { .. } => None,
    }
}

/// `docs/settings.md`.
#[cfg_attr(not(test), expect(dead_code, reason = "a test compares the page with it"))]
fn page() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         <!-- Made from crates/cli/src/settings.rs. A test compares; run\n     \
         DABBA_WRITE_DOCS=1 cargo test -p dabba-cli settings\n     to make it anew. -->\n\n\
         A setting is taken from a flag, else from an environment variable, else from a file, else from its\n\
         default. The file is TOML: `dabba.toml` in the current directory if there is one, or the one named\n\
         with `--config FILE`. Unknown names in it are refused. `dabba settings` prints a file to begin with.\n\
         A wrong value stops the program with a message that names the setting and where it was found.\n\n\
         Relative paths start at the current directory. Times are whole numbers in the unit that the name\n\
         ends with.\n\n\
         | in the file | flag | environment | default | what it is |\n|---|---|---|---|---|\n",
    );
    for field in Settings::META.fields {
        let name = field.name;
        let flag = name.replace('_', "-");
        let variable = variable(field).unwrap_or("–");
        let default = default_in(field).map_or_else(|| "–".to_owned(), |default| format!("`{default}`"));
        let description = field.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let description = description.trim();
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | `--{flag}` | `{variable}` | {default} | {description} |");
    }
    page
}

/// The default of the setting of this name.
pub(crate) fn default_of(name: &str) -> Option<String> {
    default_in(Settings::META.fields.iter().find(|field| field.name == name)?)
}

/// Whether an empty value of a setting has a meaning: where the default is one.
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
    use super::*;

    #[test]
    fn the_page_of_the_settings_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(found, page(), "run: DABBA_WRITE_DOCS=1 cargo test -p dabba-cli settings");
    }

    #[test]
    fn every_setting_has_a_variable_named_after_it_and_a_description() {
        for field in Settings::META.fields {
            let expected = format!("{}{}", super::super::ENVIRONMENT_PREFIX, field.name.to_uppercase());
            assert_eq!(variable(field), Some(expected.as_str()));
            assert!(!field.doc.is_empty(), "{}", field.name);
        }
    }

    #[test]
    fn the_template_is_a_settings_file() {
        let template = template();
        assert!(template.contains("#listen = \"127.0.0.1:8080\""), "{template}");
    }
}
