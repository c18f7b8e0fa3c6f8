//! The location of PostgreSQL's programs, and the user that runs them.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::ClusterError;

/// PostgreSQL's programs, and the user that runs them.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    bin: PathBuf,
    /// Set if this process runs as root.
    user: Option<User>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Installation {
    /// Finds the newest installed version.
    pub(crate) fn find() -> Result<Self, ClusterError> {
        let bin = find_bin().ok_or(ClusterError::NotInstalled)?;
        let user = if is_root() { Some(find_user().ok_or(ClusterError::NoUser)?) } else { None };
        Ok(Self { bin, user })
    }

    /// Directory of PostgreSQL's programs.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// Returns a command that runs as the server's user with an empty standard input.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).env_remove("PGOPTIONS").env_remove("PGDATA").env("LC_ALL", "C");
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Path of an initialized data directory from which later clusters are copied: `initdb` takes about one second
    /// of CPU time, a copy a tenth of that. The path is specific to the user and to the build of PostgreSQL.
    /// `None` if something else, or another user's directory, is at that path.
    pub(crate) fn cache(&self) -> Result<Option<PathBuf>, ClusterError> {
        let initdb = self.bin.join("initdb");
        let doing = || ClusterError::system(format!("reading the metadata of {}", initdb.display()));
        let built = fs::metadata(&initdb).map_err(doing())?.mtime();
        let uid = match self.user {
            Some(user) => user.uid,
            None => fs::metadata("/proc/self").map_err(doing())?.uid(),
        };
        let name = self.bin.to_string_lossy().replace('/', "-");
        let cache = PathBuf::from(format!("/tmp/dabba-pg-initialised{name}-{built}-{uid}"));
        let is_ours = fs::symlink_metadata(&cache).map_or(true, |found| found.uid() == uid && found.is_dir());
        Ok(is_ours.then_some(cache))
    }

    /// Runs one of PostgreSQL's programs to its end, and returns its standard output.
    pub(crate) fn run(
        &self,
        program: &str,
        arguments: &[&OsStr],
        directory: &Path,
    ) -> Result<String, ClusterError> {
        self.run_program(&self.bin.join(program).to_string_lossy(), arguments, directory)
    }

    /// Runs any program to its end, as [`Self::run`] does.
    pub(crate) fn run_program(
        &self,
        program: &str,
        arguments: &[&OsStr],
        directory: &Path,
    ) -> Result<String, ClusterError> {
        let output = self
            .command(program)
            .args(arguments)
            .current_dir(directory)
            .output()
            .map_err(ClusterError::system(format!("running {program}")))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(ClusterError::Program {
                program: program.to_owned(),
                output: format!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ),
            })
        }
    }

    /// Makes the server's user the owner of a file or directory.
    pub(crate) fn chown(&self, path: &Path) -> Result<(), ClusterError> {
        let Some(user) = self.user else { return Ok(()) };
        chown(path, Some(user.uid), Some(user.gid))
            .map_err(ClusterError::system(format!("changing the owner of {}", path.display())))
    }
}

fn find_bin() -> Option<PathBuf> {
    let has_server = |bin: &PathBuf| ["initdb", "postgres"].iter().all(|name| bin.join(name).is_file());
    if let Some(bin) = env::var_os("DABBA_PG_BIN") {
        return Some(PathBuf::from(bin)).filter(has_server);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| has_server(bin))
        .max()
        .map(|(_, bin)| bin)
        .or_else(|| env::split_paths(&env::var_os("PATH")?).find(has_server))
}

/// Returns whether this process runs as root: the owner of `/proc/self` is the user that runs the process.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn find_user() -> Option<User> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let line = accounts.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}
