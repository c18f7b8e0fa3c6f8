//! Extractors that read and check the parts of a request: caller, ids in the path, parameters,
//! headers, body, and cursors of lists.

mod body;
mod client;
mod conditions;
mod cursor;
mod idempotency;
mod parameters;
mod path;
mod principal;
mod session;
mod strict;

use std::str::FromStr;

pub use body::{JsonBody, MaybeJsonBody, read_bytes};
pub use conditions::{EntityTag, IfMatch, IfNoneMatch, etag};
pub use cursor::Cursor;
pub use idempotency::{MaybeKey, RequiredKey};
pub(crate) use parameters::refuse_query;
pub use parameters::{FromParameters, Parameters, QueryOf};
pub use path::InPath;
pub use principal::{
    Caller, CallerOrRevoked, CallerSession, KNOWN_CALLER_TIMEOUT, KnownCaller, MaybeCaller, credential_number,
};
pub use session::{CurrentSession, EndingSession, LoginRequest};

/// Reads a number in Dabba's only format: digits without a sign or leading zeros. Returns `None`
/// for other texts.
pub(crate) fn in_digits<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_format() {
        for (text, number) in [
            ("0", Some(0)),
            ("50", Some(50)),
            ("255", Some(255)),
            ("256", None),
            ("", None),
            ("+5", None),
            ("-0", None),
            ("05", None),
            ("5.0", None),
            (" 5", None),
            ("٥", None),
        ] {
            assert_eq!(in_digits::<u8>(text), number, "{text:?}");
        }
    }
}
