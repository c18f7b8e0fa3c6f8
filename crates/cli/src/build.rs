//! Facts about the build of this binary.

/// Facts about a build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    /// Version of Dabba.
    pub(crate) version: &'static str,
    /// Commit, or `unknown`.
    pub(crate) commit: &'static str,
    /// `debug` or `release`.
    pub(crate) profile: &'static str,
    /// Processor and operating system, as the compiler names them.
    pub(crate) target: &'static str,
    /// Version of the compiler.
    pub(crate) rustc: &'static str,
}

/// Name of this build: the version and the commit.
pub(crate) const BUILD_NAME: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("DABBA_BUILD_COMMIT"));

/// This build.
pub(crate) const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("DABBA_BUILD_COMMIT"),
    profile: if cfg!(debug_assertions) { "debug" } else { "release" },
    target: env!("DABBA_BUILD_TARGET"),
    rustc: env!("DABBA_BUILD_RUSTC"),
};
