//! URLs of PostgreSQL databases.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use dabba_store_postgres::PostgresStore;
use serde::{Serialize, Serializer};

use super::super::values::{NOT_REPEATED, read_from_text};
use crate::{
    named_file,
    redaction::{place_of, without_secrets},
};

/// Location of a PostgreSQL database: a URL, or `file:` and the path of a file that contains the URL. The URL may contain a
/// password, so it is not shown whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl {
    url: String,
    file: Option<PathBuf>,
}

impl DatabaseUrl {
    /// Returns the whole URL, for connecting.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Returns the file that contains the URL; `None` if the URL was given directly.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns the text as it was given, for another process or file.
    pub(crate) fn as_given(&self) -> Cow<'_, str> {
        match &self.file {
            Some(file) => format!("{FILE_PREFIX}{}", file.display()).into(),
            None => self.url.as_str().into(),
        }
    }
}

/// Prefix of a text that names a file with a URL.
const FILE_PREFIX: &str = "file:";

/// Returns whether a text is the URL of a PostgreSQL database.
pub(crate) fn is_database_url(text: &str) -> bool {
    text.starts_with("postgresql://") || text.starts_with("postgres://")
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(FILE_PREFIX) else {
            if !is_database_url(text) {
                return Err(format!(
                    "must be a URL that begins with postgresql://, or file:PATH; {NOT_REPEATED}"
                ));
            }
            PostgresStore::check_url(text)?;
            return Ok(Self { url: text.to_owned(), file: None });
        };
        let file = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        let text = named_file::read(&file)?;
        let url = text.trim();
        let place = without_secrets(&file.to_string_lossy());
        if !is_database_url(url) || url.lines().count() != 1 {
            return Err(format!("the file {place} must contain one URL that begins with postgresql://"));
        }
        PostgresStore::check_url(url)
            .map_err(|why| format!("the URL in the file {place} cannot be used: {why}"))?;
        Ok(Self { url: url.to_owned(), file: Some(file) })
    }
}

read_from_text!(DatabaseUrl);

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_given())
    }
}

/// Shows host and database, without user, password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&place_of(&self.url))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_database_is_shown_without_its_password() {
        let text = "postgresql://user:p@ss@host:5432/db?password=secret";
        let url: DatabaseUrl = text.parse().unwrap();
        let shown = "postgresql://host:5432/db".to_owned();
        assert_eq!((url.to_string(), format!("{url:?}")), (shown.clone(), shown));
        assert_eq!((url.as_str(), &*url.as_given()), (text, text));
        let error = "mysql://user:secret@host/db".parse::<DatabaseUrl>().unwrap_err();
        assert!(error.contains("postgresql://") && !error.contains("secret"), "{error}");
    }

    /// Proves that a URL is read from a file and passed on as that file, and that the message about a wrong file names the file
    /// without its text.
    #[test]
    fn a_url_is_read_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("database");
        fs::write(&path, "postgresql://u:secret@host/db\n").unwrap();
        for prefix in ["file:", "file://"] {
            let url: DatabaseUrl = format!("{prefix}{}", path.display()).parse().unwrap();
            assert_eq!(url.as_str(), "postgresql://u:secret@host/db");
            assert_eq!(url.as_given(), format!("file:{}", path.display()));
            assert_eq!(url.file(), Some(path.as_path()));
        }
        for wrong in ["", "secret", "postgresql://u:secret@host/db\npostgresql://u:secret@host/db"] {
            fs::write(&path, wrong).unwrap();
            let error = format!("file:{}", path.display()).parse::<DatabaseUrl>().unwrap_err();
            assert!(error.contains("one URL") && !error.contains("secret"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        let error = format!("file:{}", path.display()).parse::<DatabaseUrl>().unwrap_err();
        assert!(error.contains("cannot be read") && error.contains(path.to_str().unwrap()), "{error}");
    }
}
