//! Errors in the values of settings, with the messages of the types that refuse them.

use std::{
    error::Error as _,
    ffi::{OsStr, OsString},
};

use clap::{
    Args as _, Command,
    error::{ContextKind, ContextValue},
};
use confique::meta::Field;

use super::{Layer, documentation};
use crate::redaction::shown;

/// Values of an environment variable that are accepted for `true` or `false`.
const BOOLEANS: [&str; 6] = ["true", "false", "yes", "no", "1", "0"];

/// Returns the errors in the environment variables of all settings.
pub(super) fn in_environment() -> Vec<String> {
    let mut wrong = Vec::new();
    for field in documentation::fields() {
        let Some(variable) = documentation::variable(field) else { continue };
        let Some(value) = std::env::var_os(variable) else { continue };
        let Some(text) = value.to_str() else {
            wrong.push(format!("{variable} must be text in UTF-8"));
            continue;
        };
        if is_blank(field, text) {
            wrong.push(format!("{variable} must not be empty: unset it, or give a value"));
            continue;
        }
        match refusal(field.name, &value) {
            None => {}
            Some(Refusal::OfBoolean { found }) if is_boolean(&found) => {}
            Some(refusal) => wrong.push(format!("{variable} {}", refusal.text())),
        }
    }
    wrong
}

/// Returns whether a value is empty although an empty value has no meaning. Settings with an empty default accept an
/// empty list.
fn is_blank(field: &Field, value: &str) -> bool {
    value.trim().is_empty() && !documentation::may_be_empty(field)
}

fn is_boolean(text: &str) -> bool {
    BOOLEANS.iter().any(|known| text.trim().eq_ignore_ascii_case(known))
}

/// Returns the error in a value of the settings file, with the name of the setting.
pub(super) fn in_file(name: &str, value: &toml::Value) -> Option<String> {
    let alone = toml::Table::from_iter([(name.to_owned(), value.clone())]);
    let field = documentation::field(name)?;
    if value.as_str().is_some_and(|text| is_blank(field, text)) {
        return Some(format!("{name} must not be empty: remove the line, or give a value"));
    }
    if toml::Value::Table(alone).try_into::<Layer>().is_ok() {
        return None;
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // The text of the value is valid, so its TOML type is wrong.
    let form = if value.is_str() { "without quotes" } else { "as one text in quotes" };
    let of_type = || format!("must be written {form}, not {:?}", shown(&text));
    let refusal = refusal(name, OsStr::new(&text)).map_or_else(of_type, Refusal::text);
    Some(format!("{name} {refusal}"))
}

/// Reason why a value is refused.
enum Refusal {
    /// The value is neither `true` nor `false`.
    OfBoolean { found: String },
    /// The message of the setting's type, which begins with `must` or names a part of the value.
    OfType(String),
}

impl Refusal {
    fn text(self) -> String {
        match self {
            Self::OfBoolean { found } => format!("must be true or false, not {:?}", shown(&found)),
            Self::OfType(text) if text.starts_with(MUST) => text,
            Self::OfType(text) => format!("is wrong: {text}"),
        }
    }
}

/// Beginning of a message that follows the name of a setting.
const MUST: &str = "must ";

/// Returns a sentence that says why the value of this name is refused. `refusal` is the message of the value's type.
pub(crate) fn describe(name: &str, refusal: &str) -> String {
    format!("{name} {}", Refusal::OfType(refusal.to_owned()).text())
}

/// Returns why the setting with this name refuses a text. The command line option defines the rule for all sources.
fn refusal(name: &str, text: &OsStr) -> Option<Refusal> {
    let options = Layer::augment_args(Command::new("settings").no_binary_name(true));
    let mut option = OsString::from(format!("--{}=", name.replace('_', "-")));
    option.push(text);
    let error = options.try_get_matches_from([option]).err()?;
    Some(match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => Refusal::OfType(source.to_string()),
        (None, Some(ContextValue::Strings(_))) => {
            Refusal::OfBoolean { found: text.to_string_lossy().into_owned() }
        }
        (None, _) => Refusal::OfType("must be text in UTF-8".to_owned()),
    })
}
