//! The key that signs tokens.

use std::path::{Path, PathBuf};

use dabba_web::SigningKey;

use crate::{failure::Failure, key_file::KeyFile, settings::Settings};

/// Minimum number of hexadecimal digits of a key.
const MIN_DIGITS: usize = SigningKey::MIN_BYTES * 2;

fn file(settings: &Settings) -> KeyFile {
    KeyFile::new(
        settings.tokens.signing_key_file.as_ref(),
        &settings.storage.data,
        "signing-key",
        "signing key",
    )
}

/// Returns the path of the key file, which may not exist yet.
pub(crate) fn path(settings: &Settings) -> PathBuf {
    file(settings).path
}

/// Reads an existing or explicitly configured key, and changes nothing. Returns `None` where [`read_or_make`] creates
/// the key.
pub(crate) fn read_if_there(settings: &Settings) -> Result<Option<SigningKey>, Failure> {
    let file = file(settings);
    if file.is_to_be_made()? { Ok(None) } else { file.read(parse).map(Some) }
}

/// Reads the key. Creates it first if the settings name no file and the data directory has none.
pub(crate) fn read_or_make(settings: &Settings) -> Result<SigningKey, Failure> {
    let file = file(settings);
    file.make_if_missing()?;
    file.read(parse)
}

/// Reads the key from a file.
pub(crate) fn read(path: &Path) -> Result<SigningKey, Failure> {
    KeyFile::new(Some(&path.to_owned()), Path::new(""), "", "signing key").read(parse)
}

fn parse(text: &str) -> Result<SigningKey, String> {
    let bytes = hex::decode(text.trim()).map_err(|_| {
        format!("the file must contain at least {MIN_DIGITS} hexadecimal digits and nothing else")
    })?;
    SigningKey::from_bytes(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
