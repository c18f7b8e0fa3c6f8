//! Files that tests read: sources and pages of the repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns all files below a directory, sorted; the path itself if it is a file. Panics if the path does not exist.
pub fn files_below(path: &Path) -> Vec<PathBuf> {
    assert!(path.exists(), "{} does not exist", path.display());
    let (mut files, mut paths) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = paths.pop() {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        paths.extend(entries.map(|entry| entry.expect("an entry of a directory").path()));
    }
    files.sort();
    files
}

/// Returns the paths and contents of all Rust files below a directory, sorted by path.
pub fn sources_below(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut files = files_below(directory);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| match fs::read_to_string(&path) {
        Ok(source) => (path, source),
        Err(error) => panic!("{}: {error}", path.display()),
    };
    files.into_iter().map(read).collect()
}
