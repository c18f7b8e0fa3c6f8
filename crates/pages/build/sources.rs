//! Finds, watches and copies the sources of the pages.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Directory of the sources.
const UI: &str = "ui";
/// The description of the API, from which the build generates the types of its client.
const DESCRIPTION: &str = "docs/reference/openapi.json";
/// Directories of [`UI`] that are not sources: what npm and the build write there for developers of the pages, and the tests.
const EXCLUDED: [&str; 6] = ["node_modules", "dist", "coverage", "test-results", "tests", "src/generated"];
/// Part of the names of unit tests, which are beside what they test.
const UNIT_TEST: &str = ".test.";
/// The hidden file that belongs to the sources. Others, such as `.env`, are of one developer.
const NPM_SETTINGS: &str = ".npmrc";
/// Maximum number of files of the sources, so that a mistaken directory ends the build at once.
const MAX_SOURCES: usize = 5_000;

/// Paths of the sources, relative to the repository, in order.
pub(crate) struct Sources(Vec<PathBuf>);

impl Sources {
    /// Returns the sources of a repository; `None` if it has none, such as an archive of the crates alone.
    pub(crate) fn find(repository: &Path) -> io::Result<Option<Self>> {
        if !fs::exists(repository.join(UI).join("package-lock.json"))? {
            return Ok(None);
        }
        let mut found = vec![PathBuf::from(DESCRIPTION)];
        collect(repository, Path::new(UI), &mut found)?;
        found.sort();
        Ok(Some(Self(found)))
    }

    /// Returns a digest of the paths and the contents.
    pub(crate) fn digest(&self, repository: &Path) -> io::Result<String> {
        let Self(paths) = self;
        let mut hash = Sha256::new();
        for path in paths {
            let content = fs::read(repository.join(path))?;
            hash.update(path.as_os_str().as_encoded_bytes());
            // A path contains no zero, and the length separates a content from the next path.
            hash.update([0]);
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        Ok(hex(&hash.finalize()))
    }

    /// Makes a directory contain these sources and, of everything else in the directory of the sources, only the installed
    /// packages. Returns the directory of the sources in it.
    pub(crate) fn copy(&self, repository: &Path, to: &Path) -> io::Result<PathBuf> {
        let Self(paths) = self;
        let ui = to.join(UI);
        fs::create_dir_all(&ui)?;
        for entry in fs::read_dir(&ui)? {
            let entry = entry?;
            if entry.file_name() == "node_modules" {
                continue;
            }
            let remove = if entry.file_type()?.is_dir() { fs::remove_dir_all } else { fs::remove_file };
            remove(&entry.path())?;
        }
        for path in paths {
            let copy = to.join(path);
            if let Some(directory) = copy.parent() {
                fs::create_dir_all(directory)?;
            }
            // Not `fs::copy`, which keeps the mode: files of a read-only checkout could not be replaced.
            fs::write(&copy, fs::read(repository.join(path))?)?;
        }
        Ok(ui)
    }
}

/// Returns the digest as hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns whether a path, relative to the repository, belongs to the sources.
fn is_source(path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(UI) else { return false };
    let name = path.file_name().unwrap_or_default();
    let is_hidden = name.as_encoded_bytes().starts_with(b".") && name != NPM_SETTINGS;
    let is_test = name.to_str().is_some_and(|name| name.contains(UNIT_TEST));
    !is_hidden && !is_test && !EXCLUDED.iter().any(|excluded| inside == Path::new(excluded))
}

fn collect(repository: &Path, directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(repository.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if !is_source(&path) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(repository, &path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
        if found.len() > MAX_SOURCES {
            return Err(io::Error::other(format!("{UI}/ has more than {MAX_SOURCES} files")));
        }
    }
    Ok(())
}

/// Returns the paths that Cargo watches. Cargo watches everything in a directory, so a directory that also contains something
/// else is replaced by its entries. In such a directory, Cargo does not notice a new file before another source changes.
pub(crate) fn watched(repository: &Path) -> Vec<PathBuf> {
    let mut watched = vec![repository.join(DESCRIPTION)];
    watch(repository, Path::new(UI), &mut watched);
    watched.sort();
    // Cargo runs a build script each time if it watches a file that does not exist.
    watched.retain(|path| path.exists());
    watched
}

fn watch(repository: &Path, directory: &Path, watched: &mut Vec<PathBuf>) {
    let contains_others = EXCLUDED.iter().any(|excluded| {
        Path::new(UI).join(excluded).parent().is_some_and(|parent| parent.starts_with(directory))
    });
    let entries = fs::read_dir(repository.join(directory)).ok();
    let Some(entries) = entries.filter(|_| contains_others) else {
        watched.push(repository.join(directory));
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = directory.join(entry.file_name());
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match (is_source(&path), is_directory) {
            (true, true) => watch(repository, &path, watched),
            (true, false) => watched.push(repository.join(&path)),
            (false, _) => {}
        }
    }
}
