//! Why a command did not do what it was asked, in words for the person who asked.

use std::{error::Error, fmt, io};

use dabba_store::{StoreError, chain};

use crate::redaction::redacted;

/// Ends a command: printed to standard error, with the exit status of [`Failure::exit_status`].
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    kind: Kind,
}

/// What others have to know of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Plain,
    /// The reader of standard output has gone away.
    ReaderGone,
    /// Another process has the embedded database.
    InUse,
}

impl Failure {
    /// Exit status of a command that failed.
    const FAILED: u8 = 1;
    /// Exit status of a command whose output nobody reads to the end: what a shell reports for a program that SIGPIPE ended.
    const READER_GONE: u8 = 128 + 13;

    /// A failure with this text, without the passwords in it.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text: redacted(&text).into_owned(), kind: Kind::Plain }
    }

    /// A function that puts what was being done before an error's own text and those of its causes.
    pub(crate) fn during<E: Into<Box<dyn Error>>>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| {
            let error = error.into();
            // What an operator has to put right is said as it is: the kind of the error is for programs.
            let text = match error.downcast_ref::<StoreError>() {
                Some(StoreError::Unavailable(text) | StoreError::Unfit(text)) => text.clone(),
                _ => chain(&*error),
            };
            Self::new(format!("{what}: {text}"))
        }
    }

    /// Standard output could not be written to.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::ReaderGone } else { Kind::Plain };
        Self { text: format!("writing to standard output: {error}"), kind }
    }

    /// Another process has the embedded database.
    pub(crate) fn in_use(text: impl Into<String>) -> Self {
        Self { kind: Kind::InUse, ..Self::new(text) }
    }

    /// Whether another process has the embedded database.
    pub(crate) const fn is_in_use(&self) -> bool {
        matches!(self.kind, Kind::InUse)
    }

    /// The exit status of the process.
    pub(crate) const fn exit_status(&self) -> u8 {
        if self.is_silent() { Self::READER_GONE } else { Self::FAILED }
    }

    /// Whether there is nothing to say: the reader of the output has gone away, as `head` does when it has enough.
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
