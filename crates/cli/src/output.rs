//! Standard output: the one place that writes to it.
//!
//! Standard output carries what a command was asked for and nothing else; logs and failures go to
//! standard error.

use std::io::Write as _;

use serde::Serialize;

use crate::failure::Failure;

/// Writes a line, at once and in one piece, so that who reads it has all of it. A reader that has gone
/// away (`dabba … | head`) ends the command.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let text = format!("{text}\n");
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::during("writing to standard output"))
}

/// Writes a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).map_err(Failure::during("writing JSON"))?)
}
