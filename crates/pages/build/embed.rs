//! Checks and compresses the files of a finished build, and writes the table that the crate includes.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use brotli::enc::BrotliEncoderParams;
use sha2::{Digest as _, Sha256};

use crate::sources::hex;

/// The pages that a build must have.
pub(crate) const REQUIRED: [&str; 6] =
    ["console.html", "kitchen.html", "login.html", "order.html", "start.html", "tracking.html"];
/// Directory of the files with a hash in their names. Browsers keep them for a year.
const HASHED: &str = "assets";
/// Minimum length of a hash in a name.
const MIN_HASH_LENGTH: usize = 8;
/// Maximum number of files, and of their bytes: a mistaken directory must not become part of the binary.
const MAX_FILES: usize = 500;
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The table, in the directory of the build.
const TABLE: &str = "pages.rs";
/// The table's files, in the directory of the build.
const FILES: &str = "files";
/// Quality of the compression: the best. The build compresses once, and the server never does.
const QUALITY: i32 = 11;

/// A kind of file.
struct Kind {
    extension: &'static str,
    content_type: &'static str,
    /// Whether the content is not compressed already.
    is_compressible: bool,
}

const fn kind(extension: &'static str, content_type: &'static str, is_compressible: bool) -> Kind {
    Kind { extension, content_type, is_compressible }
}

/// The kinds of files that pages may have.
const KINDS: [Kind; 10] = [
    kind("css", "text/css; charset=utf-8", true),
    kind("html", "text/html; charset=utf-8", true),
    kind("ico", "image/x-icon", true),
    kind("js", "text/javascript; charset=utf-8", true),
    kind("json", "application/json", true),
    kind("png", "image/png", false),
    kind("svg", "image/svg+xml", true),
    kind("txt", "text/plain; charset=utf-8", true),
    kind("webmanifest", "application/manifest+json", true),
    kind("webp", "image/webp", false),
];

/// Embeds a finished build: writes its files, compressed and not, and the table into a directory.
pub(crate) fn embed(dist: &Path, out: &Path) -> Result<(), String> {
    let paths = paths_of(dist)?;
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|page| !paths.iter().any(|path| path == page)).collect();
    if !missing.is_empty() {
        return Err(format!("{} has no {}", dist.display(), missing.join(", ")));
    }
    let files = out.join(FILES);
    in_words(&files, fresh_directory(&files))?;
    let mut table = "Content::Built(&[\n".to_owned();
    for (index, path) in paths.iter().enumerate() {
        let kind = kind_of(path)?;
        if !is_name_lasting(path) {
            return Err(format!(
                "{path} has no hash in its name. Browsers keep the files of {HASHED}/ for a year, so a changed file \
                 needs another name"
            ));
        }
        let source = dist.join(path);
        let content = in_words(&source, fs::read(&source))?;
        let compressed = kind
            .is_compressible
            .then(|| compress(&content))
            .filter(|compressed| compressed.len() < content.len());
        let write = |name: String, bytes: &[u8]| {
            let file = files.join(name);
            in_words(&file, fs::write(&file, bytes))?;
            let text =
                file.to_str().ok_or_else(|| format!("{}: the path is not valid UTF-8", file.display()))?;
            Ok::<_, String>(format!("include_bytes!({text:?})"))
        };
        let identity = write(index.to_string(), &content)?;
        let brotli = match &compressed {
            Some(compressed) => format!("Some({})", write(format!("{index}.br"), compressed)?),
            None => "None".to_owned(),
        };
        // Groups of digits, as in code that people write.
        let digest: Vec<String> = Sha256::digest(&content)[..16].chunks(2).map(hex).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "    File {{ path: {path:?}, content_type: {:?}, digest: 0x{}, identity: {identity}, brotli: {brotli} }},",
            kind.content_type,
            digest.join("_")
        );
    }
    table.push_str("])\n");
    let file = out.join(TABLE);
    in_words(&file, fs::write(&file, table))
}

/// Writes a table without files, which states why they are missing.
pub(crate) fn write_missing(reason: &str, out: &Path) -> Result<(), String> {
    let file = out.join(TABLE);
    in_words(&file, fs::write(&file, format!("Content::Missing({reason:?})\n")))
}

fn in_words<T>(path: &Path, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}

fn fresh_directory(path: &Path) -> io::Result<()> {
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir_all(path)
}

/// Returns the paths of the files, relative to the build and in order. Source maps are left out.
fn paths_of(dist: &Path) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    let mut bytes = 0;
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let place = dist.join(&directory);
        for entry in in_words(&place, fs::read_dir(&place))? {
            let entry = in_words(&place, entry)?;
            let path = directory.join(entry.file_name());
            // Follows links: the files of some package managers are links.
            let metadata = in_words(&entry.path(), fs::metadata(entry.path()))?;
            if metadata.is_dir() {
                directories.push(path);
                continue;
            }
            let Some(path) = path.to_str().filter(|path| is_plain(path)) else {
                return Err(format!("{}: names may have letters, digits and -._ only", path.display()));
            };
            if extension_of(path) != "map" {
                bytes += metadata.len();
                paths.push(path.to_owned());
            }
            if paths.len() > MAX_FILES || directories.len() > MAX_FILES || bytes > MAX_BYTES {
                return Err(format!(
                    "{} has more than {MAX_FILES} files or {MAX_BYTES} bytes, so it is no build of the pages",
                    dist.display()
                ));
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// Returns whether a path is the same in a URL.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
}

fn extension_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn kind_of(path: &str) -> Result<&'static Kind, String> {
    let extension = extension_of(path);
    KINDS.iter().find(|kind| kind.extension == extension).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.extension).collect();
        format!(
            "{path}: the pages have no content type for this kind of file. Known are {}",
            known.join(", ")
        )
    })
}

/// Returns whether the name of a file changes with its content, or browsers ask for the file each time.
pub(crate) fn is_name_lasting(path: &str) -> bool {
    let Some(name) = path.strip_prefix(HASHED).and_then(|rest| rest.strip_prefix('/')) else { return true };
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.split_once('.').map_or(stem, |(stem, _)| stem);
    let is_hash = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    // The hash itself may contain a hyphen.
    stem.match_indices('-')
        .any(|(at, _)| stem.len() - at > MIN_HASH_LENGTH && stem[at..].bytes().all(is_hash))
}

/// Returns the content, compressed with Brotli.
fn compress(content: &[u8]) -> Vec<u8> {
    let parameters = BrotliEncoderParams { quality: QUALITY, size_hint: content.len(), ..Default::default() };
    let mut compressed = Vec::new();
    match brotli::BrotliCompress(&mut &*content, &mut compressed, &parameters) {
        Ok(_) => compressed,
        // Memory to memory: only a defect fails. Without a compressed form, the server sends the content as it is.
        Err(_) => content.to_vec(),
    }
}
