//! Builds the web pages and writes the table of their files, `pages.rs`, which the crate includes.
//!
//! | module | what it does |
//! |---|---|
//! | `plan` | decides where the pages come from, and whether the build may go without them |
//! | `sources` | finds, watches and copies the sources |
//! | `npm` | installs the packages and builds the pages, if something changed |
//! | `embed` | checks and compresses the files, and writes the table |
//!
//! The modules do not print, and read no environment, so that `tests/build` can test them.

use std::{env, path::PathBuf, process::ExitCode};

#[path = "build/embed.rs"]
mod embed;
#[path = "build/npm.rs"]
mod npm;
#[path = "build/plan.rs"]
mod plan;
#[path = "build/sources.rs"]
mod sources;

use plan::{Plan, Report, Wanted};

/// Variable that builders of documentation set. They have no network, and nobody reads the pages.
const DOCS_VARIABLE: &str = "DOCS_RS";

fn main() -> ExitCode {
    for path in ["build.rs", "build"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for variable in [plan::BUILD_VARIABLE, plan::DIST_VARIABLE, DOCS_VARIABLE] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    match plan_of_environment().and_then(|plan| plan.run()) {
        Ok(Report { watched, warning }) => {
            for path in watched {
                println!("cargo::rerun-if-changed={}", path.display());
            }
            // Cargo ends a warning at the end of its line.
            for line in warning.iter().flat_map(|text| text.lines()) {
                println!("cargo::warning={line}");
            }
            ExitCode::SUCCESS
        }
        Err(text) => {
            for line in text.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Returns the plan that the environment of a build script asks for.
fn plan_of_environment() -> Result<Plan, String> {
    let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_cargo = |name: &str| path(name).ok_or_else(|| format!("cargo did not set {name}"));
    let wanted = match env::var_os(DOCS_VARIABLE) {
        Some(_) => Wanted::None,
        None => Wanted::read(env::var_os(plan::BUILD_VARIABLE).as_deref())?,
    };
    Ok(Plan {
        wanted,
        dist: path(plan::DIST_VARIABLE),
        // This crate is `crates/pages` of the repository.
        repository: of_cargo("CARGO_MANIFEST_DIR")?.ancestors().nth(2).map(PathBuf::from).unwrap_or_default(),
        out: of_cargo("OUT_DIR")?,
        tools: npm::Tools { node: "node".into(), npm: "npm".into() },
    })
}
