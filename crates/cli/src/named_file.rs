//! Reading of files that settings and options name, with messages for files that cannot be read.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::redaction::without_secrets;

/// Contents of files that can be read only once, such as the FIFO that a shell passes for `<(command)`.
static STREAMS: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// Returns the text of a file, or a sentence with the reason why the file cannot be read and with the remedy.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    read_once(path).map_err(|error| {
        let place = without_secrets(&path.to_string_lossy());
        format!("the file {place} cannot be read: {}", reason(&error))
    })
}

/// Returns whether a file exists, or a sentence with the reason why this cannot be determined, such as a directory without
/// permission to enter.
pub(crate) fn is_there(path: &Path) -> Result<bool, String> {
    path.try_exists().map_err(|error| {
        format!("the file {} cannot be found: {}", without_secrets(&path.to_string_lossy()), reason(&error))
    })
}

/// Reads a regular file every time, and any other file only the first time.
pub(crate) fn read_once(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.is_file() {
        return fs::read_to_string(path);
    }
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = streams.get(path) {
        return Ok(text.clone());
    }
    let text = fs::read_to_string(path)?;
    streams.insert(path.to_owned(), text.clone());
    Ok(text)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist; create it, or give another file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; let the user who runs this command, or its group, read the file and enter its directories"
                .to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory; give a file in it".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8; give another file".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that each read of a FIFO returns the same content, and each read of a regular file its current content.
    #[test]
    fn a_fifo_is_read_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, file) = (directory.path().join("fifo"), directory.path().join("file"));
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let writer = std::thread::spawn({
            let fifo = fifo.clone();
            move || fs::write(fifo, "content")
        });
        assert_eq!(read(&fifo).unwrap(), "content");
        writer.join().unwrap().unwrap();
        assert_eq!(read(&fifo).unwrap(), "content");
        for text in ["first", "second"] {
            fs::write(&file, text).unwrap();
            assert_eq!(read(&file).unwrap(), text);
        }
    }

    #[test]
    fn the_message_about_an_unreadable_file_states_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).unwrap_err().contains("it is a directory"));
        assert!(read(&directory.path().join("absent")).unwrap_err().contains("it does not exist"));
        fs::write(directory.path().join("binary"), [0xff]).unwrap();
        assert!(read(&directory.path().join("binary")).unwrap_err().contains("not text in UTF-8"));
        assert_eq!(is_there(&directory.path().join("absent")), Ok(false));
        let below_a_file = is_there(&directory.path().join("binary/dabba.db")).unwrap_err();
        assert!(below_a_file.contains("cannot be found: "), "{below_a_file}");
        let error = read(Path::new("mysql://u:hush")).unwrap_err();
        assert!(!error.contains("hush"), "{error}");
    }
}
