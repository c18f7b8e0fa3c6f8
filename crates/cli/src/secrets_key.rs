//! The keys that seal the secrets of webhook endpoints in the database.

use std::path::{Path, PathBuf};

use dabba_engine::sealing::SecretKeys;

use crate::{failure::Failure, key_file::KeyFile, settings::Settings};

fn file(settings: &Settings) -> KeyFile {
    let named = settings.events.secrets_key_file.as_ref();
    KeyFile::new(named, &settings.storage.data, "secrets-key", "secrets key")
}

/// Returns the path of the key file, which may not exist yet.
pub(crate) fn path(settings: &Settings) -> PathBuf {
    file(settings).path
}

/// Reads existing or explicitly configured keys, and changes nothing. Returns `None` where [`read_or_make`] creates a
/// key.
pub(crate) fn read_if_there(settings: &Settings) -> Result<Option<SecretKeys>, Failure> {
    let file = file(settings);
    if file.is_to_be_made()? { Ok(None) } else { file.read(parse).map(Some) }
}

/// Reads the keys. Creates a key first if the settings name no file and the data directory has none. Also returns
/// whether the key is new.
pub(crate) fn read_or_make(settings: &Settings) -> Result<(SecretKeys, bool), Failure> {
    let file = file(settings);
    let is_new = file.make_if_missing()?;
    Ok((file.read(parse)?, is_new))
}

/// Reads the keys from a file.
pub(crate) fn read(path: &Path) -> Result<SecretKeys, Failure> {
    KeyFile::new(Some(&path.to_owned()), Path::new(""), "", "secrets key").read(parse)
}

fn parse(text: &str) -> Result<SecretKeys, String> {
    SecretKeys::parse(text).map_err(|error| error.to_string())
}
