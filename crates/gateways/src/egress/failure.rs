//! Classes of failed requests, and texts for the log of attempts.

use std::{error::Error, io};

use dabba_engine::{EgressFailure, EgressFailureKind, EgressUrlError};
use dabba_store::chain;

use super::resolver::LookupError;

/// Maximum length of an excerpt of a body, or of the text of a failure, in bytes.
pub const MAX_EXCERPT_LENGTH: usize = 1_024;
/// Maximum number of causes of an error that are examined.
const MAX_CAUSES: usize = 16;
/// The characters that change the direction of the text after them (Unicode property `Bidi_Control`).
const DIRECTION_CONTROLS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

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
        let text = format!("the encrypted connection failed: {}", tls_text(found));
        return failure(EgressFailureKind::Tls, text);
    }
    if error.is_connect() {
        // The client does not tell in which of the two steps the time ran out.
        let late = "the server did not accept the connection, or did not complete the TLS handshake, in time";
        let reason = if error.is_timeout() { late.to_owned() } else { root_cause(&error) };
        return failure(EgressFailureKind::Connect, format!("cannot connect: {reason}"));
    }
    failure(EgressFailureKind::Protocol, format!("no valid response: {}", root_cause(&error)))
}

/// Returns a text for an error of TLS. The library's own texts about some certificates are names of its code.
fn tls_text(error: &rustls::Error) -> String {
    use rustls::CertificateError as Certificate;
    let rustls::Error::InvalidCertificate(certificate) = error else { return error.to_string() };
    let text = match certificate {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "the certificate has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        Certificate::Revoked => "the certificate is revoked",
        Certificate::UnknownIssuer => {
            "no trusted authority issued the certificate, or the server does not send the intermediate certificates"
        }
        Certificate::NotValidForName => "the certificate is not valid for the host",
        Certificate::BadEncoding | Certificate::BadSignature => "the certificate is damaged",
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "the certificate is not one for servers"
        }
        Certificate::NotValidForNameContext { .. } => return certificate.to_string(),
        Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is that of an authority, and not one for servers"
        }
        _ => "the certificate is not valid",
    };
    text.to_owned()
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

/// Returns the first characters of a text of others, without control characters and direction controls, with which a
/// text could disguise itself where it is shown.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(MAX_EXCERPT_LENGTH)];
    // The cut may split a character.
    let whole = match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => &cut[..error.valid_up_to()],
        _ => cut,
    };
    let text = String::from_utf8_lossy(whole).replace(is_hidden, " ");
    let end = text.floor_char_boundary(MAX_EXCERPT_LENGTH);
    text[..end].trim().to_owned()
}

fn is_hidden(character: char) -> bool {
    character.is_control() || DIRECTION_CONTROLS.contains(&character)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    /// Proves that texts about certificates contain no names of the library's code.
    #[test]
    fn texts_about_certificates_are_plain() {
        use rustls::{CertificateError, OtherError};
        let other =
            |text: &str| CertificateError::Other(OtherError(Arc::new(io::Error::other(text.to_owned()))));
        for (error, expected) in [
            (other("CaUsedAsEndEntity"), "the certificate is that of an authority, and not one for servers"),
            (other("MalformedExtensions"), "the certificate is not valid"),
            (CertificateError::Expired, "the certificate has expired"),
        ] {
            assert_eq!(tls_text(&rustls::Error::InvalidCertificate(error)), expected);
        }
        assert_eq!(tls_text(&rustls::Error::DecryptError), "cannot decrypt peer's message");
    }

    /// Proves that characters that change the direction of the text become spaces.
    #[test]
    fn an_excerpt_has_no_direction_controls() {
        for control in DIRECTION_CONTROLS {
            assert_eq!(excerpt(format!("a{control}b").as_bytes()), "a b", "{control:?}");
        }
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
