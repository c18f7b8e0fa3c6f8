//! The key that signs tokens, in a file that only its owner may read.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use dabba_engine::{Random, SystemRandom};
use dabba_web::SigningKey;

use crate::{failure::Failure, named_file, settings::Settings};

/// Size of a generated key, in bytes.
const KEY_BYTES: usize = SigningKey::MIN_BYTES;
/// Mode with read and write access for the owner only.
const OWNER_ONLY: u32 = 0o600;

/// Returns the path of the key file, which may not exist yet.
pub(crate) fn path(settings: &Settings) -> PathBuf {
    settings.tokens.signing_key_file.clone().unwrap_or_else(|| settings.storage.data.join("signing-key"))
}

/// Reads an existing or explicitly configured key, and changes nothing. Returns `None` where [`read_or_make`] creates
/// the key.
pub(crate) fn read_if_there(settings: &Settings) -> Result<Option<SigningKey>, Failure> {
    let path = path(settings);
    if is_to_be_made(settings, &path)? { Ok(None) } else { read(&path).map(Some) }
}

/// Reads the key. Creates it first if the settings name no file and the data directory has none.
pub(crate) fn read_or_make(settings: &Settings) -> Result<SigningKey, Failure> {
    let path = path(settings);
    if is_to_be_made(settings, &path)? {
        make(&path).map_err(Failure::during(format_args!("creating the signing key {}", path.display())))?;
        tracing::info!(path = %path.display(), "created a signing key");
    }
    read(&path)
}

fn is_to_be_made(settings: &Settings, path: &Path) -> Result<bool, Failure> {
    let is_there = || named_file::is_there(path).map_err(Failure::during("the signing key"));
    Ok(settings.tokens.signing_key_file.is_none() && !is_there()?)
}

/// Reads the key from a file.
pub(crate) fn read(path: &Path) -> Result<SigningKey, Failure> {
    let during = |error: &dyn std::fmt::Display| {
        Failure::new(format!("the signing key in {}: {error}", path.display()))
    };
    let text = named_file::read(path).map_err(Failure::during("the signing key"))?;
    let bytes = hex::decode(text.trim()).map_err(|_| {
        during(&format_args!(
            "the file must contain at least {} hexadecimal digits and nothing else",
            KEY_BYTES * 2
        ))
    })?;
    SigningKey::from_bytes(&bytes).map_err(|error| during(&error))
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
        fs::File::open(directory)?.sync_all()?; // Tokens must not outlive their key after a power failure.
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

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
        assert!(read(&path).is_ok());
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for right in ["0f".repeat(32), "0F".repeat(33), format!("\t{}\n", "aB".repeat(32))] {
            fs::write(&path, &right).unwrap();
            assert!(read(&path).is_ok(), "{right}");
        }
        let long = "0f".repeat(32);
        for wrong in [
            "",
            "abc",
            &"0f".repeat(31),
            &"zz".repeat(32),
            &"0f0".repeat(33),
            &format!("0x{long}"),
            &format!("{long}é"),
        ] {
            fs::write(&path, wrong).unwrap();
            assert!(read(&path).is_err(), "{wrong}");
        }
    }
}
