//! What this binary is and of what it was made.

/// A build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    /// Version of Dabba.
    pub(crate) version: &'static str,
    /// The commit, or `unknown`.
    pub(crate) commit: &'static str,
    /// `debug` or `release`.
    pub(crate) profile: &'static str,
    /// Processor and system, as the compiler names them.
    pub(crate) target: &'static str,
    /// The compiler.
    pub(crate) rustc: &'static str,
}

/// This build.
pub(crate) const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("DABBA_BUILD_COMMIT"),
    profile: if cfg!(debug_assertions) { "debug" } else { "release" },
    target: env!("DABBA_BUILD_TARGET"),
    rustc: env!("DABBA_BUILD_RUSTC"),
};
