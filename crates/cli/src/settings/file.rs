//! Parser for TOML files. It reports all unknown names at once, each with its line. No message repeats a line of the file, since
//! the line may contain a password.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::names::suggestion;
use crate::redaction::shown;

/// Names that a table may contain, and its inner tables.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Names of values.
    pub(crate) known: &'a [&'a str],
    /// Names of tables, or lists of tables, with the names that these may contain.
    pub(crate) tables: &'a [(&'a str, Names<'a>)],
}

/// Returns why the value of a name is refused, as a whole sentence.
type Refusal<'a> = &'a dyn Fn(&str, &toml::Value) -> Option<String>;

/// Parses the text of a file. `what` is the noun for a name in messages, such as "setting".
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    what: &str,
    names: Names<'_>,
    refusal: impl Fn(&str, &toml::Value) -> Option<String>,
) -> Result<T, String> {
    parse_each(text, what, names, refusal).map_err(|wrong| wrong.join("; "))
}

/// Parses like [`parse`], and returns every error separately, in the order of the lines.
pub(super) fn parse_each<T: DeserializeOwned>(
    text: &str,
    what: &str,
    names: Names<'_>,
    refusal: impl Fn(&str, &toml::Value) -> Option<String>,
) -> Result<T, Vec<String>> {
    let only = |error: &toml::de::Error| vec![describe(error, text)];
    let table = DeTable::parse(text).map_err(|error| only(&error))?;
    let values: toml::Table = toml::from_str(text).map_err(|error| only(&error))?;
    let mut wrong = BTreeMap::new();
    Judge { what, refusal: &refusal }.collect(table.get_ref(), &values, names, &mut wrong);
    if wrong.is_empty() {
        return toml::from_str(text).map_err(|error| only(&error));
    }
    let line = |(position, text_of): (usize, String)| format!("line {}: {text_of}", line_at(text, position));
    Err(wrong.into_iter().map(line).collect())
}

struct Judge<'a> {
    what: &'a str,
    refusal: Refusal<'a>,
}

impl Judge<'_> {
    /// Adds the errors of a table by their positions. The table is given twice: with positions, and as values.
    fn collect(
        &self,
        table: &DeTable<'_>,
        values: &toml::Table,
        names: Names<'_>,
        wrong: &mut BTreeMap<usize, String>,
    ) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let inner = names.tables.iter().find(|(table, _)| *table == name);
            if let Some((_, inner)) = inner {
                let inner_values = values.get(name).map(table_values_in).unwrap_or_default();
                for (table, values) in tables_in(value).into_iter().zip(inner_values) {
                    self.collect(table, values, *inner, wrong);
                }
            } else if !names.known.contains(&name) {
                let all = names.known.iter().copied().chain(names.tables.iter().map(|(name, _)| *name));
                let text = format!("there is no {} {:?}{}", self.what, shown(name), suggestion(name, all));
                wrong.insert(key.span().start, text);
            } else if let Some(refusal) = values.get(name).and_then(|value| (self.refusal)(name, value)) {
                wrong.insert(key.span().start, refusal);
            }
        }
    }
}

fn tables_in<'a, 'i>(value: &'a Spanned<DeValue<'i>>) -> Vec<&'a DeTable<'i>> {
    match value.get_ref() {
        DeValue::Table(table) => vec![table],
        DeValue::Array(values) => values.iter().flat_map(tables_in).collect(),
        _ => Vec::new(),
    }
}

fn table_values_in(value: &toml::Value) -> Vec<&toml::Table> {
    match value {
        toml::Value::Table(table) => vec![table],
        toml::Value::Array(values) => values.iter().flat_map(table_values_in).collect(),
        _ => Vec::new(),
    }
}

/// Returns the text value of a name in the file, with the number of its line; `None` if the name has no text value.
pub(super) fn text_at(text: &str, name: &str) -> Option<(usize, String)> {
    let table = DeTable::parse(text).ok()?;
    let (key, value) = table.get_ref().get_key_value(name)?;
    let DeValue::String(value) = value.get_ref() else { return None };
    (!value.is_empty()).then(|| (line_at(text, key.span().start), value.clone().into_owned()))
}

/// Returns the number of the line at a position, counted from 1.
fn line_at(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

/// Returns the error with its line and the name on that line, without the text of the line.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().trim_end().replace('\n', ", ");
    let Some(span) = error.span() else { return message };
    let line = line_at(text, span.start);
    let source = text.lines().nth(line - 1).unwrap_or_default();
    match source.split_once('=').map(|(name, _)| name.trim()) {
        Some(name) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
            format!("line {line}: {name}: {message}")
        }
        _ => format!("line {line}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Anything {}

    const NAMES: Names<'_> = Names {
        known: &["listen", "pool_size"],
        tables: &[(
            "shard",
            Names { known: &["name"], tables: &[("pool", Names { known: &["size"], tables: &[] })] },
        )],
    };

    #[test]
    fn every_unknown_name_is_listed_with_its_line_and_a_suggestion() {
        let text =
            "listn = 1\n\npool-size = 2\nsomething_else = 3\n[[shard]]\nnme = 4\npool = { sise = 5 }\n";
        let error = parse::<Anything>(text, "setting", NAMES, |_, _| None).unwrap_err();
        for part in [
            "line 1: there is no setting \"listn\"; did you mean listen?",
            "line 3: there is no setting \"pool-size\"; did you mean pool_size?",
            "line 4: there is no setting \"something_else\"",
            "line 6: there is no setting \"nme\"; did you mean name?",
            "line 7: there is no setting \"sise\"; did you mean size?",
        ] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
        assert!(!error.contains("something_else\"; did"), "{error}");
        assert!(parse::<Anything>("listen = 1", "setting", NAMES, |_, _| None).is_ok());
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let error = parse::<Anything>("listen = 1\nlisten = \"u:secret@h", "setting", NAMES, |_, _| None)
            .unwrap_err();
        assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
    }
}
