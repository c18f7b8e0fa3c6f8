//! `dabba settings --check`: collects all errors of the settings, each with the place of the setting.

use std::path::{Path, PathBuf};

use super::{Settings, documentation, file, loading, unknown_variables};
use crate::failure::Failure;

/// The sources of settings: the environment and the file.
struct Places {
    file: Option<(PathBuf, String)>,
}

/// The settings and their errors so far.
pub(crate) struct Checked {
    /// The settings, if every value is valid.
    pub(crate) settings: Option<Settings>,
    /// The sources of the settings.
    places: Places,
    /// The errors.
    pub(crate) wrong: Vec<String>,
    /// Environment variables with the prefix of settings whose names resemble no setting.
    pub(crate) foreign: Vec<String>,
}

impl Checked {
    /// Loads the settings of a server without flags. Fails if the settings file cannot be read.
    pub(crate) fn load(config: Option<&Path>) -> Result<Self, Failure> {
        let (settings, mut wrong) = match Settings::load_or_list(config)? {
            Ok(settings) => (Some(settings), Vec::new()),
            Err(wrong) => (None, wrong),
        };
        let mut foreign = Vec::new();
        for (name, suggestion) in unknown_variables() {
            // A name that resembles a setting is misspelt, or belongs to an earlier version. Container platforms set other names
            // with the prefix, such as DABBA_SERVICE_HOST for a service called dabba.
            if suggestion.is_empty() {
                foreign.push(name);
            } else {
                wrong.push(format!("{name} is not a setting{suggestion}"));
            }
        }
        Ok(Self { settings, places: Places { file: loading::read_file(config)? }, wrong, foreign })
    }

    /// Checks the file that a setting names, if the setting is given. Returns whether the file is valid.
    pub(crate) fn file(&mut self, name: &str, check: impl FnOnce(&Path) -> Result<(), Failure>) -> bool {
        let Some((place, path)) = self.places.path(name) else { return true };
        let checked = check(&path);
        if let Err(failure) = &checked {
            self.wrong.push(format!("{place}: {failure}"));
        }
        checked.is_ok()
    }

    /// Adds the error of a failed check.
    pub(crate) fn add<T>(&mut self, checked: Result<T, Failure>) {
        self.wrong.extend(checked.err().map(|failure| failure.to_string()));
    }

    /// Fails with all errors, if there are any.
    pub(crate) fn end(self) -> Result<(), Failure> {
        if self.wrong.is_empty() { Ok(()) } else { Err(loading::failure_of(&self.wrong)) }
    }
}

impl Places {
    /// Returns the path in a setting and its place: the name of the environment variable, or the line in the file.
    fn path(&self, name: &str) -> Option<(String, PathBuf)> {
        let field = documentation::field(name)?;
        if let Some(variable) = documentation::variable(field)
            && let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty())
        {
            return Some((variable.to_owned(), value.into()));
        }
        let (path, text) = self.file.as_ref()?;
        let (line, value) = file::text_at(text, name)?;
        Some((format!("{}: line {line}: {name}", path.display()), value.into()))
    }
}
