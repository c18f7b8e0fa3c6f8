//! Loading of the settings from flags, environment, file and defaults, with the checks that concern several settings.

use std::path::{Path, PathBuf};

use confique::{Config as _, Layer as _};
use dabba_store::chain;

use super::{
    DEFAULT_FILE, Layer, Settings, documentation,
    file::{Names, parse_each},
    storage::take_databases,
    wrong,
};
use crate::{failure::Failure, named_file};

impl Settings {
    /// Loads the settings. Flags take precedence over the environment, the environment over the file, and the file over the
    /// defaults.
    ///
    /// A named file must exist; the default file may be missing.
    pub(crate) fn load(flags: Layer, file: Option<&Path>) -> Result<Self, Failure> {
        let (environment, of_file) = read_layers(file)?.map_err(|wrong| failure_of(&wrong))?;
        Self::of_layers([flags, environment, of_file]).map_err(|wrong| failure_of(&wrong))
    }

    /// Loads the settings without flags, and returns the error of each wrong setting separately.
    pub(super) fn load_or_list(file: Option<&Path>) -> Result<Result<Self, Vec<String>>, Failure> {
        let layers = read_layers(file)?;
        Ok(layers.and_then(|(environment, of_file)| Self::of_layers([Layer::empty(), environment, of_file])))
    }

    /// Loads the settings of a command that writes test data. Only the flags select its databases. Also returns the other sources
    /// that select databases, which are ignored.
    pub(crate) fn load_with_databases_of_flags(
        flags: Layer,
        file: Option<&Path>,
    ) -> Result<(Self, Vec<&'static str>), Failure> {
        let (mut environment, mut of_file) = read_layers(file)?.map_err(|wrong| failure_of(&wrong))?;
        let mut left_out = Vec::new();
        for (source, layer) in [("the environment", &mut environment), ("the settings file", &mut of_file)] {
            if take_databases(layer) {
                left_out.push(source);
            }
        }
        let settings = Self::of_layers([flags, environment, of_file]).map_err(|wrong| failure_of(&wrong))?;
        Ok((settings, left_out))
    }

    fn of_layers([flags, environment, file]: [Layer; 3]) -> Result<Self, Vec<String>> {
        let sources = Self::builder().preloaded(flags).preloaded(environment).preloaded(file);
        let settings = sources.load().map_err(|error| vec![chain(&error)])?;
        let inconsistencies = settings.inconsistencies();
        if inconsistencies.is_empty() { Ok(settings) } else { Err(inconsistencies) }
    }

    /// Returns the inconsistencies between settings.
    fn inconsistencies(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self.storage.inconsistency().into_iter().collect();
        let (timeout, lease) =
            (self.payments.payment_timeout_seconds.get(), self.tasks.task_lease_seconds.get());
        if timeout >= lease {
            wrong.push(format!(
                "payment_timeout_seconds ({timeout}) must be less than task_lease_seconds ({lease}), otherwise another worker \
                 repeats a slow call before it is answered"
            ));
        }
        wrong
    }
}

/// Returns path and text of the settings file: of the named file, otherwise of the default file if it exists.
pub(crate) fn read_file(file: Option<&Path>) -> Result<Option<(PathBuf, String)>, Failure> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match file {
        Some(path) => named_file::read(path).map(Some),
        None => named_file::read_if_there(path),
    };
    let text = text.map_err(Failure::during("the settings"))?;
    Ok(text.map(|text| (path.to_owned(), text)))
}

/// Returns the settings of the environment and of the file, or all errors of both.
fn read_layers(file: Option<&Path>) -> Result<Result<(Layer, Layer), Vec<String>>, Failure> {
    let names: Vec<&str> = documentation::fields().map(|field| field.name).collect();
    let names = Names { known: &names, tables: &[] };
    let mut wrong = Vec::new();
    let mut of_file = Layer::empty();
    if let Some((path, text)) = read_file(file)? {
        match parse_each(&text, "setting", names, wrong::in_file) {
            Ok(layer) => of_file = layer,
            Err(found) => wrong.extend(found.into_iter().map(|text| format!("{}: {text}", path.display()))),
        }
    }
    wrong.extend(wrong::in_environment());
    if !wrong.is_empty() {
        return Ok(Err(wrong));
    }
    let environment = Layer::from_env().map_err(|error| vec![chain(&error)]);
    Ok(environment.map(|environment| (environment, of_file)))
}

/// Returns the failure of a command with these errors in its settings.
pub(super) fn failure_of(wrong: &[String]) -> Failure {
    // A single error stays on the line of the failure; several errors have a line each.
    let separator = if wrong.len() > 1 { "\n  " } else { " " };
    Failure::new(format!("wrong settings:{separator}{}", wrong.join(separator)))
}
