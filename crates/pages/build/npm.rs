//! Installs the packages of the pages and builds them, in a directory below the target directory.
//!
//! Both steps store what they depend on in a stamp, and run again only if it has changed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use sha2::{Digest as _, Sha256};

use crate::sources::{Sources, hex};

/// Versions of Node that Vite supports, in words.
const SUPPORTED: &str = "20.19 or newer, except 21 and 22.0 to 22.11";
/// Number of lines of the output of npm that a message repeats.
const MAX_LINES: usize = 30;
/// Codes of npm for defects of the sources or of the registry's content. With any other code, npm could not get the
/// packages, as on a machine without a network.
const DEFECTS: [&str; 3] = ["EUSAGE", "EINTEGRITY", "EJSONPARSE"];
/// Arguments of the installation. Packages run no scripts. A machine without a registry learns it within seconds.
const INSTALL: [&str; 9] = [
    "ci",
    "--ignore-scripts",
    "--include=dev",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
];
/// Variable with the directory into which the build of `ui/` writes.
const OUT_VARIABLE: &str = "DABBA_UI_OUT";
/// Variables that change what the build of `ui/` makes.
const OTHER_VARIABLES: [&str; 2] = ["NODE_ENV", "DABBA_OPENAPI"];

/// Programs that build the pages: paths, or names that the system finds.
pub(crate) struct Tools {
    pub(crate) node: PathBuf,
    pub(crate) npm: PathBuf,
}

/// Reason why there are no pages.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This machine cannot build the pages.
    Absent {
        /// The reason, for builders.
        reason: String,
        /// The reason, for the page that takes the place of the pages. Contains nothing of the machine of the build.
        page: &'static str,
    },
    /// The pages have a defect.
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("reading the sources or writing below the target directory: {error}"))
    }
}

/// Builds the pages of a repository in a work directory. Returns the directory of the finished build.
pub(crate) fn build(tools: &Tools, repository: &Path, work: &Path) -> Result<PathBuf, Failure> {
    let sources = Sources::find(repository)?.ok_or_else(|| Failure::Absent {
        reason: "the directory ui/ with their sources is missing.".to_owned(),
        page: "their sources were missing when the server was built",
    })?;
    let node = supported_node(tools)?;
    fs::create_dir_all(work)?;
    // Builds of other profiles use the directory too. The lock ends with the file.
    let lock = File::create(work.join("lock"))?;
    lock.lock()?;

    let dist = work.join("dist");
    let stamp = Stamp { path: work.join("built"), value: format!("{} {node}", sources.digest(repository)?) };
    if stamp.is_current() && dist.is_dir() {
        return Ok(dist);
    }
    stamp.remove()?;
    let ui = sources.copy(repository, work)?;
    install(tools, &ui, &node, work)?;
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    let mut command = npm(tools, &ui);
    command.args(["run", "build"]).env(OUT_VARIABLE, &dist);
    // Variables of developers must not change the build.
    for variable in OTHER_VARIABLES {
        command.env_remove(variable);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(Failure::Broken(format!("npm run build failed:\n{}", end_of(&output))));
    }
    stamp.write()?;
    Ok(dist)
}

/// Installs the packages, unless those of the same lock file are there.
fn install(tools: &Tools, ui: &Path, node: &str, work: &Path) -> Result<(), Failure> {
    let mut hash = Sha256::new();
    for file in ["package.json", "package-lock.json"] {
        hash.update(fs::read(ui.join(file))?);
    }
    let stamp = Stamp { path: work.join("installed"), value: format!("{} {node}", hex(&hash.finalize())) };
    if stamp.is_current() && ui.join("node_modules").is_dir() {
        return Ok(());
    }
    stamp.remove()?;
    let output = npm(tools, ui).args(INSTALL).output()?;
    if output.status.success() {
        return Ok(stamp.write()?);
    }
    let text = end_of(&output);
    if DEFECTS.iter().any(|code| text.contains(&format!("code {code}"))) {
        return Err(Failure::Broken(format!("npm ci failed:\n{text}")));
    }
    Err(Failure::Absent {
        reason: format!("npm could not install their packages:\n{text}"),
        page: "npm could not install their packages when the server was built",
    })
}

/// Returns npm in the directory of the sources.
fn npm(tools: &Tools, ui: &Path) -> Command {
    let mut command = Command::new(&tools.npm);
    command.current_dir(ui).stdin(Stdio::null());
    command
}

/// Returns the version of Node. Fails if Node or npm is missing, or if Vite does not support the version.
fn supported_node(tools: &Tools) -> Result<String, Failure> {
    let node = version(&tools.node, "node")?;
    version(&tools.npm, "npm")?;
    if is_supported(&node) {
        return Ok(node);
    }
    Err(Failure::Absent {
        reason: format!("this is Node {node}. They need Node {SUPPORTED}."),
        page: "Node was too old when the server was built",
    })
}

/// Returns the version of a program.
fn version(program: &Path, name: &str) -> Result<String, Failure> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success()).ok_or_else(|| Failure::Absent {
        reason: format!("{name} is missing. They need Node {SUPPORTED}, with npm."),
        page: "Node or npm was missing when the server was built",
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns whether Vite supports a version of Node, such as `v20.19.0`.
pub(crate) fn is_supported(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    match major {
        20 => minor >= 19,
        22 => minor >= 12,
        _ => major > 22,
    }
}

/// Returns the last lines that a program printed.
fn end_of(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(MAX_LINES)..].join("\n")
}

/// A file with the value on which a finished step depended.
struct Stamp {
    path: PathBuf,
    value: String,
}

impl Stamp {
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|value| value == self.value)
    }

    /// Removes the file, so that an interrupted step is repeated.
    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write(&self) -> io::Result<()> {
        fs::write(&self.path, &self.value)
    }
}
