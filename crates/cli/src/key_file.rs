//! Files with a key: named by a setting, or created in the data directory at the first start. Only their owner may read
//! the files that Dabba creates.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use dabba_engine::{Random, SystemRandom};

use crate::{failure::Failure, named_file};

/// Size of a generated key, in bytes.
const KEY_BYTES: usize = 32;
/// Mode with read and write access for the owner only.
const OWNER_ONLY: u32 = 0o600;

/// A file with a key, which may not exist yet.
pub(crate) struct KeyFile {
    /// The path.
    pub(crate) path: PathBuf,
    /// Whether a setting names the file. If not, Dabba creates it.
    is_named: bool,
    /// The kind of the key, for messages, such as "signing key".
    what: &'static str,
}

impl KeyFile {
    /// Returns the file that a setting names, otherwise the file with the default name in the data directory.
    pub(crate) fn new(named: Option<&PathBuf>, data: &Path, default_name: &str, what: &'static str) -> Self {
        let path = named.cloned().unwrap_or_else(|| data.join(default_name));
        Self { path, is_named: named.is_some(), what }
    }

    /// Returns whether [`KeyFile::make_if_missing`] creates the file.
    pub(crate) fn is_to_be_made(&self) -> Result<bool, Failure> {
        let is_there = || named_file::is_there(&self.path).map_err(Failure::during(self.what_in_messages()));
        Ok(!self.is_named && !is_there()?)
    }

    /// Creates the file with a new key if no setting names a file and the data directory has none. Returns whether it
    /// created the file.
    pub(crate) fn make_if_missing(&self) -> Result<bool, Failure> {
        let is_to_be_made = self.is_to_be_made()?;
        if is_to_be_made {
            let what = format!("creating the {} {}", self.what, self.path.display());
            make(&self.path).map_err(Failure::during(what))?;
            tracing::info!(path = %self.path.display(), "created a {}", self.what);
        }
        Ok(is_to_be_made)
    }

    /// Reads the file, and parses its text.
    pub(crate) fn read<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Failure> {
        let text = named_file::read(&self.path).map_err(Failure::during(self.what_in_messages()))?;
        let place = || format!("{} in {}", self.what_in_messages(), self.path.display());
        parse(&text).map_err(|error| Failure::new(format!("{}: {error}", place())))
    }

    fn what_in_messages(&self) -> String {
        format!("the {}", self.what)
    }
}

/// Creates the file atomically. Keeps a file that another process has created concurrently.
fn make(path: &Path) -> io::Result<()> {
    let mut text = String::with_capacity(KEY_BYTES * 2 + 1);
    for _ in 0..KEY_BYTES / 8 {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:016x}", SystemRandom.next_u64());
    }
    text.push('\n');
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // Unlike a rename, a link never replaces a key in use.
    let linked = match written.and_then(|()| fs::hard_link(&draft, path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    linked?;
    if let Some(directory) = path.parent() {
        // What the key signs or seals must not outlive the key after a power failure.
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Proves that a new key is private and complete, and that a key in use is never replaced.
    #[test]
    fn a_key_is_created_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signing-key");
        make(&path).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(first.trim().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        make(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first, "a key in use is never replaced");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    }
}
