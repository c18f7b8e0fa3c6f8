//! Paths of a database's files, and the opening of files with the right flags and owner.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    },
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

/// Opens a database that no process writes, ignoring its log, and without creating files beside it.
pub(crate) fn open_immutable(path: &Path) -> Result<Connection, rusqlite::Error> {
    let escaped: String = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                char::from(*byte).to_string()
            }
            byte => format!("%{byte:02x}"),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

/// Opens a file that only Dabba creates and writes. Refuses a link to another file: a privileged user's command in the directory
/// of another user must not write to a file that the other user chose.
pub(crate) fn open_own(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(O_NOFOLLOW).open(path).map_err(|error| {
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if is_link { io::Error::other("it is a symbolic link: remove it") } else { error }
    })?;
    if file.metadata()?.nlink() > 1 {
        return Err(io::Error::other("it has several names (hard links): remove it"));
    }
    Ok(file)
}

/// Makes opening a symbolic link fail.
#[expect(clippy::cast_possible_wrap, reason = "the flags of open(2) are an int")]
const O_NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// Changes the owner of a file that a privileged user created to the owner of another file, so that a server that runs as that
/// user can open it.
pub(crate) fn give_to_owner_of(model: &fs::Metadata, file: &File) -> io::Result<()> {
    let own = file.metadata()?;
    if own.uid() != PRIVILEGED || model.uid() == PRIVILEGED {
        return Ok(());
    }
    match fchown(file, Some(model.uid()), Some(model.gid())) {
        // A container may lack this right.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// The user id of the privileged user.
const PRIVILEGED: u32 = 0;

/// Returns the path of a file that `SQLite` or Dabba keeps beside a database.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}

/// Returns the directory of a file.
pub(crate) fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the path of the file itself, without symbolic links. `SQLite` keeps the log there. Opens nothing.
pub(crate) fn real_path(database: &Path) -> PathBuf {
    fs::canonicalize(database).unwrap_or_else(|_| database.to_owned())
}
