//! Warnings about files with secrets or personal data that other users of the machine may read.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    named_file, output,
    redaction::has_password,
    secrets_key,
    settings::{Settings, read_file},
    signing_key,
};

/// A file or directory that only its owner should be able to read.
struct Private {
    path: PathBuf,
    /// Content of the file, for the warning.
    what: &'static str,
}

/// Logs a warning for each secret of these settings that users other than its owner may read, with the command that changes the
/// mode. Ignores missing files.
pub(crate) fn warn(settings: &Settings, config: Option<&Path>) {
    for Private { path, what } in private(settings, config) {
        if let Some((mode, wanted)) = excess(&path) {
            tracing::warn!(
                path = %path.display(),
                mode = format!("{mode:03o}"),
                "users other than its owner may read {what}; run: chmod {wanted:o} {}",
                output::shell_word(&path)
            );
        }
    }
}

/// Returns the mode of a file that others may read, and the mode that the file should have. The group of another user's file may
/// read it, since the group may be the service's. When `root` runs a command, the same holds for files of `root` with another
/// group than `root`.
fn excess(path: &Path) -> Option<(u32, u32)> {
    let metadata = fs::metadata(path).ok()?;
    let is_for_service = metadata.uid() == 0 && metadata.gid() != 0;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw() && !is_for_service;
    let mode = metadata.permissions().mode() & 0o777;
    let (wanted, least) = match (is_own, metadata.is_dir()) {
        (true, true) => (0o700, 0o400),
        (true, false) => (0o600, 0o400),
        (false, true) => (0o750, 0o440),
        (false, false) => (0o640, 0o440),
    };
    let others = 0o077 & !wanted;
    (mode & others != 0).then_some((mode, mode & wanted | least))
}

fn private(settings: &Settings, config: Option<&Path>) -> Vec<Private> {
    let file = |path: &Path, what| Private { path: path.to_owned(), what };
    let mut private = vec![
        file(&settings.storage.data, "the data directory"),
        Private { path: signing_key::path(settings), what: "the signing key" },
        Private { path: secrets_key::path(settings), what: "the key of the secrets of webhook endpoints" },
        Private { path: settings.storage.embedded_database(), what: "the database file" },
        Private { path: settings.storage.data.join("demo.env"), what: "the demo's tokens" },
    ];
    for suffix in ["-wal", "-shm"] {
        let mut path = settings.storage.embedded_database().into_os_string();
        path.push(suffix);
        private.push(Private { path: path.into(), what: "the database file" });
    }
    let secrets = [
        (&settings.payments.payment_key_file, "the key for the payment provider"),
        (&settings.payments.payment_webhook_secret_file, "the secret of the payment provider's webhooks"),
    ];
    private.extend(secrets.into_iter().filter_map(|(path, what)| Some(file(path.as_deref()?, what))));
    let urls = [&settings.storage.database, &settings.storage.replica_database].into_iter().flatten();
    private.extend(urls.filter_map(|url| Some(file(url.file()?, "the URL of a database"))));
    if let Some(shards) = &settings.storage.shards
        && contains_password(shards)
    {
        private.push(file(shards, "the URLs of the shards, with passwords"));
    }
    if let Ok(Some((path, _))) = read_file(config)
        && contains_password(&path)
    {
        private.push(Private { path, what: "the settings, with a password" });
    }
    private
}

/// Returns whether a TOML file contains the URL of a database with a password.
fn contains_password(path: &Path) -> bool {
    let text = named_file::read(path).unwrap_or_default();
    text.lines().any(|line| {
        line.find("postgres").is_some_and(|at| {
            let url = line.get(at..).unwrap_or_default();
            has_password(url.split(['"', '\'']).next().unwrap_or_default())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_read_gets_a_stricter_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a secret");
        fs::write(&path, "").unwrap();
        for (mode, wanted) in
            [(0o644, Some(0o600)), (0o440, Some(0o400)), (0o620, Some(0o600)), (0o600, None), (0o400, None)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(excess(&path), wanted.map(|wanted| (mode, wanted)), "{mode:o}");
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(excess(directory.path()), Some((0o755, 0o700)));
        assert_eq!(excess(&directory.path().join("absent")), None);
        // Only root can change the owner of a file.
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
            for (mode, wanted) in [(0o640, None), (0o440, None), (0o644, Some(0o640)), (0o660, Some(0o640))] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(excess(&path), wanted.map(|wanted| (mode, wanted)), "{mode:o}");
            }
        }
    }

    #[test]
    fn a_password_in_a_file_is_detected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shards.toml");
        for (text, has) in [
            ("url = \"postgresql://u:secret@h/d\"", true),
            ("# none\nurl = 'postgres://h/d?password=secret'", true),
            ("url = \"postgresql://u@h/d\" # it is at h:5432", false),
            ("url = \"file:/run/secrets/database\"", false),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(contains_password(&path), has, "{text}");
        }
        assert!(!contains_password(&directory.path().join("absent")));
    }
}
