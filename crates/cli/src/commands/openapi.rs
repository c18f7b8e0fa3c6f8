//! `dabba openapi`

use crate::{failure::Failure, output};

/// Prints the API description.
pub(crate) fn run() -> Result<(), Failure> {
    output::line(dabba_api::openapi_json().trim_end())
}
