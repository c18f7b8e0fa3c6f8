//! Records the commit, the compiler and the target of the build for `dabba version`.

use std::{env, process::Command};

/// Value of a fact that the build cannot determine, such as the commit of a source archive.
const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-env-changed=DABBA_COMMIT");
    // Packagers who build without the repository set the commit in the environment.
    let commit = env::var("DABBA_COMMIT").ok().or_else(commit);
    println!("cargo::rustc-env=DABBA_BUILD_COMMIT={}", commit.as_deref().unwrap_or(UNKNOWN));
    let rustc = env::var("RUSTC").ok().and_then(|rustc| first_line(&rustc, &["--version"]));
    println!("cargo::rustc-env=DABBA_BUILD_RUSTC={}", rustc.as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rustc-env=DABBA_BUILD_TARGET={}", env::var("TARGET").as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rerun-if-changed=build.rs");
}

/// Returns the commit that is checked out. Cargo runs this script again when another commit is checked out.
fn commit() -> Option<String> {
    for file in ["HEAD", "logs/HEAD"] {
        let path = first_line("git", &["rev-parse", "--git-path", file])?;
        // Cargo runs the script on every build if it watches a file that does not exist.
        if std::path::Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    first_line("git", &["rev-parse", "HEAD"])
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.to_owned())
}
