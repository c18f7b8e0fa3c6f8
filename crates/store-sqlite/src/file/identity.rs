//! The identity of a database file, and the generation that distinguishes its content.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, time::UNIX_EPOCH};

use crate::lock::header_at;

/// First 16 bytes of every `SQLite` database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Identity of a file, independent of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// Creation time in nanoseconds of Unix time, if the file system provides it. It distinguishes a new file that gets the inode
    /// of a removed file.
    born: Option<u128>,
}

impl Identity {
    /// Returns the identity of the file at a path; `None` if there is no file.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a text that distinguishes the file from every other file that is or was at its path, and, with its generation
    /// ([`generation_at`]), from the same file with other content. Unlike the identity, the text stays the same after a restart
    /// of the machine, which may number the devices differently.
    pub(crate) fn mark(self, generation: Option<Generation>) -> String {
        let generation = generation.map_or_else(|| "none".to_owned(), |generation| generation.to_string());
        match self.born {
            Some(born) => format!("inode {}, made at {born}, generation {generation}", self.inode),
            None => format!("inode {}, generation {generation}", self.inode),
        }
    }

    /// Returns the identity of the file that this metadata describes.
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Self { device: metadata.dev(), inode: metadata.ino(), born: born.map(|born| born.as_nanos()) }
    }
}

/// A random number in the header of a database file, `user_version`. It changes each time the database is opened to be served,
/// and is 0 in a backup. If another file was copied over the database file, the generation differs.
pub(crate) type Generation = i32;

/// Position of the generation in the header, in big-endian order. Source: the database file format of `SQLite`, section 1.3.14.
const GENERATION: std::ops::Range<usize> = 60..64;

/// Length of the verified part of the header, in bytes.
pub(crate) const HEADER: usize = GENERATION.end;

/// Returns the generation in a header; `None` if the file is not a database.
pub(crate) fn generation_in(header: &[u8; HEADER]) -> Option<Generation> {
    let generation = header[GENERATION].try_into().ok().map(Generation::from_be_bytes);
    generation.filter(|_| header.starts_with(MAGIC))
}

/// Returns the generation in the file at a path, ignoring its log; `None` if the file is not a database.
pub(crate) fn generation_at(path: &Path) -> Option<Generation> {
    header_at(path).as_ref().and_then(generation_in)
}

/// Returns the mark of the file at a path.
pub(crate) fn mark_at(path: &Path) -> io::Result<String> {
    Ok(Identity::of(&fs::metadata(path)?).mark(generation_at(path)))
}
