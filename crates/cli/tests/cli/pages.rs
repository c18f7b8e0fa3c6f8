//! The commands on the documentation pages, run unchanged.
//!
//! Each shell block has a comment before it: `<!-- run: NAME -->` or `<!-- not run: REASON -->`. A test below runs all blocks of
//! a page with the same name, in order, in one shell. A block of another language with a name is part of the run: SQL runs in the
//! database, and a block with `<!-- file: NAME -->` becomes a file in the directory.
//!
//! Placeholders for readers are replaced: hosts under `example` by databases of this process, addresses by those of the test's
//! servers, and directories of a real machine by directories of the test.

mod examples;
mod links;
mod runs;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use dabba_pg_cluster::Cluster;
use dabba_testkit::files_below;

/// A block of code on a page.
#[derive(Clone, Debug)]
struct Block {
    page: String,
    line: usize,
    language: String,
    text: String,
    marker: Marker,
}

/// The comment before a block.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Run(String),
    NotRun(String),
    File(String),
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the paths of all pages in the repository.
pub(crate) fn pages() -> Vec<String> {
    let below = files_below(&root().join("docs"));
    let below = below.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let below = below.map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
    ["README.md", "CONTRIBUTING.md"].map(str::to_owned).into_iter().chain(below).collect()
}

fn marker(line: &str) -> Marker {
    let Some(comment) = line.trim().strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
        return Marker::None;
    };
    match comment.split_once(": ") {
        Some(("run", name)) => Marker::Run(name.to_owned()),
        Some(("not run", reason)) => Marker::NotRun(reason.to_owned()),
        Some(("file", name)) => Marker::File(name.to_owned()),
        _ => Marker::None,
    }
}

/// Returns the blocks of a page, in order and without indentation.
fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let (mut blocks, mut before, mut lines) = (Vec::new(), Marker::None, text.lines().enumerate());
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = marker(line);
            }
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            text += line.get(indent..).unwrap_or_default();
            text.push('\n');
        }
        blocks.push(Block {
            page: page.to_owned(),
            line: number + 1,
            language: language.to_owned(),
            text,
            marker: std::mem::replace(&mut before, Marker::None),
        });
    }
    blocks
}

/// Every run of a page. A test below executes each of them.
const RUNS: [(&str, &str); 28] = [
    ("README.md", "walk"),
    ("README.md", "card"),
    ("README.md", "demo"),
    ("README.md", "import"),
    ("README.md", "postgres"),
    ("CONTRIBUTING.md", "openapi"),
    ("docs/tutorial/first-order.md", "serve"),
    ("docs/tutorial/first-order.md", "order"),
    ("docs/tutorial/first-order.md", "audit"),
    ("docs/tutorial/first-order.md", "again"),
    ("docs/guides/client.md", "client"),
    ("docs/guides/point-of-sale.md", "point-of-sale"),
    ("docs/guides/webhooks.md", "webhooks"),
    ("docs/guides/webhooks.md", "webhooks-end"),
    ("docs/guides/operator/webhooks.md", "webhooks"),
    ("docs/guides/operator/accounts.md", "first-admin"),
    ("docs/guides/operator/audit.md", "audit"),
    ("docs/guides/operator/embedded.md", "embedded"),
    ("docs/guides/operator/payments.md", "payments"),
    ("docs/guides/operator/postgresql.md", "postgres"),
    ("docs/guides/operator/production.md", "embedded"),
    ("docs/guides/operator/production.md", "roles"),
    ("docs/guides/operator/production.md", "tls"),
    ("docs/guides/operator/production.md", "tls-commands"),
    ("docs/guides/operator/sharding.md", "shards"),
    ("docs/guides/operator/upgrade.md", "upgrade"),
    ("docs/reference/api.md", "guide"),
    ("docs/reference/metrics.md", "metrics"),
];

/// Proves that every shell block of every page is run by a test or states the reason why it is not, and that every run has a
/// test.
#[test]
fn every_command_is_run_or_says_why_not() {
    let mut found = BTreeSet::new();
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let Block { page, line, language, text, marker } = &block;
        let is_shell = ["sh", "bash", "shell", "console"].contains(&language.as_str());
        let starts = ["dabba ", "cargo ", "curl ", "psql ", "systemctl ", "$ "];
        let looks_like_shell = text.lines().any(|line| starts.iter().any(|start| line.starts_with(start)));
        assert!(
            is_shell || !looks_like_shell || language == "json",
            "{page}:{line}: begin this block with ```sh"
        );
        match marker {
            Marker::Run(name) => {
                found.insert((page.clone(), name.clone()));
            }
            Marker::NotRun(reason) => {
                assert!(reason.len() >= 10, "{page}:{line}: {reason:?} is too short for a reason");
            }
            Marker::File(_) => {}
            Marker::None => assert!(
                !is_shell,
                "{page}:{line}: put <!-- run: NAME --> or <!-- not run: REASON --> before this block"
            ),
        }
    }
    let expected = RUNS.map(|(page, name)| (page.to_owned(), name.to_owned()));
    assert_eq!(found, BTreeSet::from(expected), "RUNS must list exactly the runs of the pages");
}

/// Shell functions for the runs: a command that serves is stopped as soon as it serves, and the user of the test takes the place of
/// all other users.
const PRELUDE: &str = r#"
shopt -s expand_aliases
systemctl() { :; }
chown() { :; }
runuser() {
    while [ "$1" != -- ]; do shift; done
    shift
    "$@"
}
cargo() {
    while [ "$1" != -- ]; do shift; done
    shift
    dabba "$@"
}
dabba() {
    case "$1" in
    serve | work | simulate-payments)
        if [ "$1" = simulate-payments ]; then set -- "$@" --listen 127.0.0.1:0; fi
        : >said
        command dabba "$@" >said &
        local pid=$!
        until [ -s said ] || ! kill -0 "$pid" 2>/dev/null; do read -rt 0.05 <> <(:) || true; done
        cat said
        kill -TERM "$pid"
        wait "$pid"
        ;;
    *) command dabba "$@" ;;
    esac
}
"#;

/// The environment of a run.
struct Place {
    directory: tempfile::TempDir,
    /// Texts of the page and their replacements.
    replaced: Vec<(String, String)>,
    /// Databases by the host that the page uses.
    hosts: BTreeMap<&'static str, String>,
    /// Whether URLs keep the user of the page.
    keeps_users: bool,
    variables: Vec<(&'static str, String)>,
    /// Variables that a run sets for the next run in this place, separated by spaces.
    kept: &'static str,
}

impl Place {
    /// Returns a new directory, with `dabba` on the PATH.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["bin", "var", "backup", "etc", "docs/reference"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_dabba"), directory.path().join("bin/dabba")).unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let replaced = [("/var/lib/dabba", "dabba-data"), ("/backup/dabba", "backup"), ("/etc/dabba", "etc")];
        let replaced = replaced.map(|(there, here)| (there.to_owned(), path(here))).to_vec();
        Self {
            directory,
            replaced,
            hosts: BTreeMap::new(),
            keeps_users: false,
            variables: Vec::new(),
            kept: "",
        }
    }

    /// Adds databases for these hosts, in the cluster of this process.
    fn with_databases(mut self, hosts: &[&'static str]) -> Self {
        let cluster = Cluster::shared().unwrap();
        self.hosts =
            hosts.iter().map(|host| (*host, cluster.url(&cluster.create_database().unwrap()))).collect();
        self
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("dabba-data")
    }

    /// Returns the text with all placeholders replaced.
    fn localized(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (there, here) in &self.replaced {
            text = text.replace(there, here);
        }
        let mut rest = text.as_str();
        let mut localized = String::new();
        while let Some(start) = rest.find("postgresql://") {
            let (before, url) = rest.split_at(start);
            let end = url.find(['\'', '"', ' ', '\n']).unwrap_or(url.len());
            let (url, behind) = url.split_at(end);
            localized += before;
            localized += &self.database(url).unwrap_or_else(|| url.to_owned());
            rest = behind;
        }
        localized + rest
    }

    /// Returns the database that replaces a URL of the page.
    fn database(&self, url: &str) -> Option<String> {
        let (user, rest) = url.strip_prefix("postgresql://")?.split_once('@')?;
        let host = rest.split(['/', ':']).next()?;
        let here = self.hosts.get(host.strip_suffix(".example")?)?;
        if !self.keeps_users {
            return Some(here.clone());
        }
        let (_, address) = here.split_once('@')?;
        Some(format!("postgresql://{user}@{address}"))
    }

    /// Runs the blocks of a page with this name. Returns the standard output.
    fn run(&self, page: &str, name: &str) -> String {
        let mut script = format!("{PRELUDE}\nif [ -e kept ]; then . ./kept; fi\n");
        let blocks = blocks(page);
        for block in &blocks {
            let text = self.localized(&block.text);
            match (&block.marker, block.language.as_str()) {
                (Marker::File(file), _) => fs::write(self.directory.path().join(file), text).unwrap(),
                (Marker::Run(of), "sql") if of == name => {
                    let database = if text.contains("CREATE DATABASE") { "postgres" } else { "dabba" };
                    let url = self.hosts["db"].replace("/dabba?", &format!("/{database}?"));
                    writeln!(script, "psql -qv ON_ERROR_STOP=1 '{url}' <<'END_OF_SQL'\n{text}END_OF_SQL")
                        .unwrap();
                }
                (Marker::Run(of), _) if of == name => script += &text,
                _ => {}
            }
        }
        if !self.kept.is_empty() {
            // A page without one of the variables sets the others.
            writeln!(script, "declare -p {} >kept 2>/dev/null || true", self.kept).unwrap();
        }
        self.run_script(&script)
    }

    fn run_script(&self, script: &str) -> String {
        let directory = self.directory.path();
        let path = format!("{}:{}", directory.join("bin").display(), std::env::var("PATH").unwrap());
        // A page that waits for an order would wait for ever if the order never gets there.
        let mut command = Command::new("timeout");
        command
            .args(["600", "bash", "-euo", "pipefail", "-c", script])
            .current_dir(directory)
            .env("PATH", path);
        for (variable, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DABBA_"))
        {
            command.env_remove(variable);
        }
        command.env("DABBA_LISTEN", "127.0.0.1:0").env("DABBA_LOG", "warn");
        let output = command.envs(self.variables.iter().map(|(name, value)| (name, value))).output().unwrap();
        let [text, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{script}\n{text}\n{errors}");
        text
    }
}
