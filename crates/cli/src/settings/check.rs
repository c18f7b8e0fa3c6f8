//! `dabba settings --check`: everything that is wrong at once, each with where it is set.

use std::path::{Path, PathBuf};

use confique::Config as _;

use super::{Settings, documentation, file, loading, unknown_variables};
use crate::failure::Failure;

/// Where settings are set: in the environment or in the file.
struct Places {
    file: Option<(PathBuf, String)>,
}

/// The settings, and what is wrong with them so far.
pub(crate) struct Checked {
    /// The settings, if each has a value that is allowed.
    pub(crate) settings: Option<Settings>,
    /// Where they are set.
    places: Places,
    /// What is wrong.
    pub(crate) wrong: Vec<String>,
    /// Names of environment variables that begin like a setting's, and resemble none.
    pub(crate) foreign: Vec<String>,
}

impl Checked {
    /// Loads the settings of a server without flags. A settings file that cannot be read is a failure.
    pub(crate) fn load(config: Option<&Path>) -> Result<Self, Failure> {
        let (settings, mut wrong) = match Settings::load_or_list(config)? {
            Ok(settings) => (Some(settings), Vec::new()),
            Err(wrong) => (None, wrong),
        };
        let mut foreign = Vec::new();
        for (name, suggestion) in unknown_variables() {
            // A name that resembles a setting is misspelt, or of an earlier version. Container platforms set others, such as
            // DABBA_SERVICE_HOST for a service called dabba.
            if suggestion.is_empty() {
                foreign.push(name);
            } else {
                wrong.push(format!("{name} is not a setting{suggestion}"));
            }
        }
        Ok(Self { settings, places: Places { file: loading::read_file(config)? }, wrong, foreign })
    }

    /// Checks the file that a setting names, if the setting is given. Returns whether nothing is wrong with it.
    pub(crate) fn file(&mut self, name: &str, check: impl FnOnce(&Path) -> Result<(), Failure>) -> bool {
        let Some((place, path)) = self.places.path(name) else { return true };
        let checked = check(&path);
        if let Err(failure) = &checked {
            self.wrong.push(format!("{place}: {failure}"));
        }
        checked.is_ok()
    }

    /// Adds what is wrong, unless nothing is.
    pub(crate) fn add<T>(&mut self, checked: Result<T, Failure>) {
        self.wrong.extend(checked.err().map(|failure| failure.to_string()));
    }

    /// Fails with everything that is wrong.
    pub(crate) fn end(self) -> Result<(), Failure> {
        if self.wrong.is_empty() { Ok(()) } else { Err(loading::failure_of(&self.wrong)) }
    }
}

impl Places {
    /// The path that a setting gives, and where: the name of its environment variable, or its line in the file.
    fn path(&self, name: &str) -> Option<(String, PathBuf)> {
        let field = Settings::META.fields.iter().find(|field| field.name == name)?;
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
