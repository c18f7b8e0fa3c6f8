//! Why a command did not do what it was asked, in words for the person who asked.

use std::{error::Error, fmt};

use dabba_store::chain;

/// Ends a command: printed to standard error, exit status 1.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A function that puts what was being done before an error's own text and those of its causes.
    pub(crate) fn during<E: Into<Box<dyn Error>>>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {}", chain(&*error.into())))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Failure {}
