//! Marker of an embedded database that was copied to PostgreSQL.
//!
//! A server started on such a database by mistake, without `--database`, would accept orders that the copy lacks. So servers,
//! workers, imports and `dabba tasks` refuse the database. `dabba copy` writes the marker, and `dabba restore` removes it.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

fn mark_of(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(".copied");
    path.into()
}

/// Marks an embedded database as copied. The text of the marker states the target and the time.
pub(crate) fn mark(database: &Path, copied: &str) -> Result<(), Failure> {
    let mark = mark_of(database);
    let write = || {
        // A rename replaces a symbolic link, and does not follow it.
        let directory = mark.parent().unwrap_or(Path::new("."));
        let mut new = tempfile::Builder::new().tempfile_in(directory)?;
        // The user of the server must be able to read a marker that a privileged user wrote. The marker contains no secret.
        new.as_file().set_permissions(Permissions::from_mode(0o644))?;
        writeln!(new, "{copied}")?;
        new.as_file().sync_all()?;
        new.persist(&mark)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|error: io::Error| Failure::during(format_args!("writing {}", mark.display()))(error))
}

/// Removes the marker of a database that another database has replaced.
pub(crate) fn remove_mark(database: &Path) -> Result<(), Failure> {
    let mark = mark_of(database);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::during(format_args!("removing {}", mark.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Fails if the embedded database was copied.
pub(super) fn refuse(database: &Path) -> Result<(), Failure> {
    let mark = mark_of(database);
    let copied = match fs::read_to_string(&mark) {
        Ok(copied) => copied,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::during(format_args!("reading {}", mark.display()))(error)),
    };
    Err(Failure::new(format!(
        "{} {}: select that database with --database. The copy would lack all further writes to the embedded database; to \
         use the embedded database nevertheless, remove {}",
        database.display(),
        copied.trim(),
        mark.display()
    )))
}
