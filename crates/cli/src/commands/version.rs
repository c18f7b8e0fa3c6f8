//! `dabba version`

use std::env::consts::{ARCH, OS};

use crate::{failure::Failure, output};

/// Prints what this binary is.
pub(crate) fn run() -> Result<(), Failure> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    output::line(format_args!("dabba {} ({profile} build for {ARCH}-{OS})", env!("CARGO_PKG_VERSION")))
}
