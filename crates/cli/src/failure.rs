//! Failures of commands, with a text for the operator.

use std::{error::Error, fmt, io};

use dabba_store::{StoreError, chain};

use crate::redaction::redacted;

/// The failure of a command. `main` prints it to standard error and ends with [`Failure::exit_status`].
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    kind: Kind,
}

/// Properties of a failure that callers distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No special property.
    Plain,
    /// The reader of standard output has closed it.
    ReaderGone,
    /// Another process uses the embedded database.
    InUse,
}

impl Failure {
    /// Exit status of a command that failed.
    const FAILED: u8 = 1;
    /// Exit status of a command whose reader closes standard output early: the status that a shell reports for a program that
    /// SIGPIPE ended.
    const READER_GONE: u8 = 128 + 13;

    /// Returns a failure with this text. Passwords in the text are hidden.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text: redacted(&text).into_owned(), kind: Kind::Plain }
    }

    /// Returns a function that turns an error into a failure. The text is what the command was doing, the error's text, and the
    /// texts of its causes.
    pub(crate) fn during<E: Into<Box<dyn Error>>>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| {
            let error = error.into();
            // These errors are for the operator, whose text needs no prefix with the kind of the error.
            let text = match error.downcast_ref::<StoreError>() {
                Some(StoreError::Unavailable(text) | StoreError::Unfit(text)) => text.clone(),
                _ => chain(&*error),
            };
            Self::new(format!("{what}: {text}"))
        }
    }

    /// Returns the failure of a write to standard output.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::ReaderGone } else { Kind::Plain };
        Self { text: format!("writing to standard output: {error}"), kind }
    }

    /// Returns the failure of a command that needs the embedded database while another process uses it.
    pub(crate) fn in_use(text: impl Into<String>) -> Self {
        Self { kind: Kind::InUse, ..Self::new(text) }
    }

    /// Returns whether another process uses the embedded database.
    pub(crate) const fn is_in_use(&self) -> bool {
        matches!(self.kind, Kind::InUse)
    }

    /// Returns the exit status of the process.
    pub(crate) const fn exit_status(&self) -> u8 {
        if self.is_silent() { Self::READER_GONE } else { Self::FAILED }
    }

    /// Returns whether nothing is to be printed: the reader has closed standard output, as `head` does.
    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.kind, Kind::ReaderGone)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Failure {}
