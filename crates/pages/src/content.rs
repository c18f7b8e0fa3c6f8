//! The files of the build, or the reason why they are missing.

/// A file of the pages.
#[derive(Clone, Copy)]
pub struct File {
    /// Path in the build, such as `kitchen.html` or `assets/kitchen-B4xqTz1a.js`.
    pub path: &'static str,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// First 128 bits of the SHA-256 digest of the content.
    pub digest: u128,
    /// The content.
    pub identity: &'static [u8],
    /// The content, compressed with Brotli, if that makes it smaller.
    pub brotli: Option<&'static [u8]>,
}

/// What there is to serve.
#[derive(Clone, Copy)]
pub enum Content {
    /// The files of a build.
    Built(&'static [File]),
    /// No file, and the reason.
    Missing(&'static str),
}

impl Content {
    /// The content that the build script embedded.
    pub const EMBEDDED: Self = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

    /// Returns whether there are pages.
    pub const fn is_built(&self) -> bool {
        matches!(self, Self::Built(_))
    }

    /// Returns the files.
    pub(crate) const fn files(&self) -> &'static [File] {
        match self {
            Self::Built(files) => files,
            Self::Missing(_) => &[],
        }
    }
}
