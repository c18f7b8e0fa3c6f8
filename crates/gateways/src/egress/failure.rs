//! Classes of failed requests, and texts for the log of attempts.

use std::{error::Error, io};

use dabba_engine::{EgressFailure, EgressFailureKind, EgressUrlError};
use dabba_store::chain;

use super::resolver::LookupError;

/// Maximum length of an excerpt of a body, or of the text of a failure, in bytes.
pub const MAX_EXCERPT_LENGTH: usize = 1_024;
/// Maximum number of causes of an error that are examined.
const MAX_CAUSES: usize = 16;

/// Returns a failure before the head of the response.
pub(super) fn failure(kind: EgressFailureKind, text: impl AsRef<[u8]>) -> EgressFailure {
    EgressFailure { kind, status: None, text: excerpt(text.as_ref()) }
}

/// Returns the failure of a request whose URL the rules do not allow.
pub(super) fn refused(error: &EgressUrlError) -> EgressFailure {
    failure(EgressFailureKind::Refused, format!("the URL {error}"))
}

/// Classifies an error of the HTTP client.
pub(super) fn classify(error: reqwest::Error) -> EgressFailure {
    let error = error.without_url();
    if let Some(found) = find::<LookupError>(&error) {
        return match found {
            LookupError::Forbidden => failure(EgressFailureKind::Refused, found.to_string()),
            LookupError::Empty | LookupError::Failed(_) => failure(EgressFailureKind::Dns, chain(found)),
        };
    }
    if let Some(found) = find::<rustls::Error>(&error) {
        let text = format!("the encrypted connection failed: {found}");
        return failure(EgressFailureKind::Tls, text);
    }
    if error.is_connect() {
        let reason = if error.is_timeout() { "the timeout expired".to_owned() } else { root_cause(&error) };
        return failure(EgressFailureKind::Connect, format!("cannot connect: {reason}"));
    }
    failure(EgressFailureKind::Protocol, format!("no valid response: {}", root_cause(&error)))
}

/// Returns the text of the innermost cause: the outer texts describe the client's layers.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    for _ in 0..MAX_CAUSES {
        match cause.source() {
            Some(inner) => cause = inner,
            None => break,
        }
    }
    cause.to_string()
}

/// Returns the first cause of a type. An `io::Error` does not name the error that it contains as its source.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    for _ in 0..MAX_CAUSES {
        let error = cause?;
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Returns the first characters of a text of others, without control characters.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(MAX_EXCERPT_LENGTH)];
    // The cut may split a character.
    let whole = match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => &cut[..error.valid_up_to()],
        _ => cut,
    };
    let text = String::from_utf8_lossy(whole).replace(char::is_control, " ");
    let end = text.floor_char_boundary(MAX_EXCERPT_LENGTH);
    text[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Proves that a split character at the cut disappears, and that control characters become spaces.
    #[test]
    fn an_excerpt_has_whole_characters_and_no_control_characters() {
        assert_eq!(excerpt(b" a\r\n\x1b[31mb\0 "), "a   [31mb");
        assert_eq!(excerpt("é".repeat(600).as_bytes()), "é".repeat(512));
        assert_eq!(excerpt(format!("x{}", "é".repeat(600)).as_bytes()), format!("x{}", "é".repeat(511)));
        assert_eq!(excerpt(b"a\xffb"), "a\u{fffd}b");
    }

    proptest! {
        /// Proves the limits of an excerpt for any bytes.
        #[test]
        fn an_excerpt_is_limited(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            let text = excerpt(&bytes);
            prop_assert!(text.len() <= MAX_EXCERPT_LENGTH && !text.contains(char::is_control));
        }
    }
}
