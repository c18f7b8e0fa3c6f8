//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).
//!
//! The draft requires a string of RFC 8941, in double quotes. Most clients send the key without
//! quotes, so Dabba accepts both forms; both name the same key.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use dabba_store::IdempotencyKey;

use crate::{
    code, headers,
    problem::{Problem, Result},
};

/// A required key: an operation refuses a request without it.
#[derive(Clone, Debug)]
pub struct RequiredKey(pub IdempotencyKey);

/// An optional key.
#[derive(Clone, Debug)]
pub struct MaybeKey(pub Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for RequiredKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let missing = || {
            Problem::new(
                code::IDEMPOTENCY_KEY_MISSING,
                "This operation requires the header Idempotency-Key. Choose a new text for each intention, and \
                 send the same text with every retry.",
            )
        };
        read(&parts.headers)?.map(Self).ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MaybeKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        read(&parts.headers).map(Self)
    }
}

fn read(request: &HeaderMap) -> Result<Option<IdempotencyKey>> {
    let mut values = request.get_all(&headers::IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|_| values.next().is_none()).and_then(parse);
    key.map(Some).ok_or_else(|| {
        let detail = format!(
            "Idempotency-Key must be given once, as a string in double quotes or as printable ASCII without \
             spaces, quotes, commas or semicolons, of 1 to {} characters.",
            IdempotencyKey::MAX_LENGTH
        );
        Problem::new(code::IDEMPOTENCY_KEY_INVALID, detail)
    })
}

fn parse(value: &str) -> Option<IdempotencyKey> {
    let value = value.trim();
    match value.strip_prefix('"') {
        Some(quoted) => IdempotencyKey::new(&unquote(quoted)?).ok(),
        None if value.contains(['"', ' ', ',', ';']) => None,
        None => IdempotencyKey::new(value).ok(),
    }
}

/// Reads a quoted string whose opening quote is already removed. The closing quote must be the last
/// character, and only quotes and backslashes may be escaped.
fn unquote(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => text.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            character => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_have_quotes_or_not() {
        for (value, key) in [
            ("abc", Some("abc")),
            (" 8e03978e-40d5-43dd-bc93-6894a57f9324 ", Some("8e03978e-40d5-43dd-bc93-6894a57f9324")),
            ("\"abc\"", Some("abc")),
            ("\"a b, c\"", Some("a b, c")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            ("", None),
            ("\"\"", None),
            ("\"abc", None),
            ("abc\"", None),
            ("a b", None),
            ("a,b", None),
            (r#""a\nb""#, None),
            ("\"a\";b=1", None),
            ("\"a\", \"b\"", None),
        ] {
            assert_eq!(parse(value).as_ref().map(IdempotencyKey::as_str), key, "{value}");
        }
        assert!(parse(&"k".repeat(255)).is_some());
        assert!(parse(&"k".repeat(256)).is_none());
    }
}
