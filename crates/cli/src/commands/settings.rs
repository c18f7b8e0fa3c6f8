//! `dabba settings`

use crate::{failure::Failure, output, settings::template};

/// Prints a settings file to begin with.
pub(crate) fn run() -> Result<(), Failure> {
    output::line(template().trim_end())
}
