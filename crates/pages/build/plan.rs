//! Decides where the pages come from, and whether the build may go without them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{
    embed,
    npm::{self, Failure, Tools},
    sources,
};

/// Variable that states whether the build needs the pages.
pub(crate) const BUILD_VARIABLE: &str = "DABBA_PAGES_BUILD";
/// Variable with the directory of a finished build of the pages, for packagers.
pub(crate) const DIST_VARIABLE: &str = "DABBA_PAGES_DIST";

/// Directory of a profile, below the target directory, with the directories of build scripts.
const SCRIPTS_DIRECTORY: &str = "build";
/// Maximum number of directories between that directory and the directory of one run of a build script.
const MAX_DEPTH: usize = 3;
/// Directory below the target directory with the packages of npm and the latest build. All profiles share it.
const WORK_DIRECTORY: &str = "dabba-pages";

/// Whether the build needs the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Without the pages, the build fails.
    Required,
    /// Without the pages, the build warns.
    Optional,
    /// The build leaves the pages out and runs no npm.
    None,
}

impl Wanted {
    /// Reads the value of [`BUILD_VARIABLE`].
    pub(crate) fn read(value: Option<&OsStr>) -> Result<Self, String> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(Self::Optional) };
        match value.to_str() {
            Some("required") => Ok(Self::Required),
            Some("optional") => Ok(Self::Optional),
            Some("none") => Ok(Self::None),
            _ => Err(format!("{BUILD_VARIABLE} must be required, optional or none, not {}", value.display())),
        }
    }
}

/// A build of the pages.
pub(crate) struct Plan {
    /// Whether the build needs the pages.
    pub(crate) wanted: Wanted,
    /// Directory of a finished build, which takes the place of the sources.
    pub(crate) dist: Option<PathBuf>,
    /// Root of the repository.
    pub(crate) repository: PathBuf,
    /// Directory for the table and the files that it includes.
    pub(crate) out: PathBuf,
    /// Programs that build the pages.
    pub(crate) tools: Tools,
}

/// Result of a build, for Cargo.
#[derive(Debug)]
pub(crate) struct Report {
    /// Files and directories whose changes cause another build.
    pub(crate) watched: Vec<PathBuf>,
    /// Why the pages are missing.
    pub(crate) warning: Option<String>,
}

impl Plan {
    /// Writes the table of the pages. Without the pages, and if the build may go without them, writes a table that states
    /// why they are missing.
    pub(crate) fn run(&self) -> Result<Report, String> {
        if let Some(dist) = &self.dist {
            return self.embed_finished(dist);
        }
        if self.wanted == Wanted::None {
            return self.go_without(
                &format!("the build left them out, as {BUILD_VARIABLE} demands"),
                vec![],
                None,
            );
        }
        let watched = sources::watched(&self.repository);
        match npm::build(&self.tools, &self.repository, &self.work_directory()) {
            Ok(dist) => {
                embed::embed(&dist, &self.out)?;
                Ok(Report { watched, warning: None })
            }
            Err(Failure::Broken(text)) => Err(format!("the web pages of ui/ do not build: {text}")),
            Err(Failure::Absent { reason, .. }) if self.wanted == Wanted::Required => {
                Err(format!("{BUILD_VARIABLE} is required, but the web pages are missing: {reason}"))
            }
            Err(Failure::Absent { reason, page }) => {
                let warning = format!(
                    "Dabba is built without its web pages: {reason}\n\
                     To build them, set {BUILD_VARIABLE}=required and build again. To build without them and without \
                     this warning, set {BUILD_VARIABLE}=none."
                );
                self.go_without(page, watched, Some(warning))
            }
        }
    }

    fn embed_finished(&self, dist: &Path) -> Result<Report, String> {
        // Cargo runs a build script in the directory of its crate, so a relative path would surprise.
        if !dist.is_absolute() || !dist.is_dir() {
            return Err(format!(
                "{DIST_VARIABLE} must be the absolute path of a directory, not {}",
                dist.display()
            ));
        }
        embed::embed(dist, &self.out).map_err(|text| format!("{DIST_VARIABLE}: {text}"))?;
        Ok(Report { watched: vec![dist.to_owned()], warning: None })
    }

    fn go_without(
        &self,
        reason: &str,
        watched: Vec<PathBuf>,
        warning: Option<String>,
    ) -> Result<Report, String> {
        embed::write_missing(reason, &self.out)?;
        Ok(Report { watched, warning })
    }

    /// Returns the directory that builds share: below the target directory, so that the checkout may be read-only, and
    /// outside the directory of one profile. If Cargo's layout is not the expected one, each build has its own.
    ///
    /// `CACHEDIR.TAG` does not mark the target directory reliably: Cargo writes it only into a directory that it creates.
    fn work_directory(&self) -> PathBuf {
        let mut parents = self.out.ancestors().take(MAX_DEPTH + 1);
        let scripts = parents.find(|directory| directory.file_name() == Some(OsStr::new(SCRIPTS_DIRECTORY)));
        let target = scripts.and_then(Path::parent).and_then(Path::parent);
        target.unwrap_or(&self.out).join(WORK_DIRECTORY)
    }
}
