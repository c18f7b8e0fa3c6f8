//! The response with a file: its form, its tag, and how long browsers keep it.

use std::fmt;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use dabba_web::extract::{EntityTag, IfNoneMatch, etag};

use crate::{File, policy};

/// Directory of the files with a hash in their names: another content has another name.
pub(crate) const HASHED: &str = "assets/";
/// Name of Brotli as a content coding (RFC 7932).
const BROTLI: &str = "br";

/// Form of a file in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Brotli,
}

/// Tag of a form of a file. Each form has a tag of its own, because strong tags state that bodies are equal, byte by byte
/// (RFC 9110, section 8.8.1).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tag {
    digest: u128,
    coding: Coding,
}

/// Number of hexadecimal digits of a digest.
const DIGITS: usize = 32;

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.coding {
            Coding::Identity => "",
            Coding::Brotli => "-br",
        };
        write!(formatter, "{:0DIGITS$x}{form}", self.digest)
    }
}

impl EntityTag for Tag {
    fn read(text: &str) -> Option<Self> {
        let (digits, coding) = match text.strip_suffix("-br") {
            Some(digits) => (digits, Coding::Brotli),
            None => (text, Coding::Identity),
        };
        let is_digest =
            digits.len() == DIGITS && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let digest = u128::from_str_radix(digits, 16).ok().filter(|_| is_digest)?;
        Some(Self { digest, coding })
    }
}

/// Returns the response with a file, in the form that the request accepts; without a body if the caller has that form.
pub(crate) fn respond(file: &File, request: &HeaderMap, has: &IfNoneMatch) -> Response {
    let (coding, content) = match file.brotli {
        Some(compressed) if accepts_brotli(request) => (Coding::Brotli, compressed),
        _ => (Coding::Identity, file.identity),
    };
    let tag = Tag { digest: file.digest, coding };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    policy::protect(headers);
    headers.insert(header::ETAG, etag(tag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept(file)));
    if file.brotli.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if has.has(tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.len()));
    if coding == Coding::Brotli {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(BROTLI));
    }
    *response.body_mut() = Body::from(Bytes::from_static(content));
    response
}

/// Returns for how long browsers keep a file. They verify each page, and so find the files of a newer server.
fn kept(file: &File) -> &'static str {
    if file.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" }
}

/// Returns whether a request accepts Brotli, and prefers no other form (RFC 9110, section 12.5.3).
fn accepts_brotli(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut brotli, mut identity, mut others) = (None, None, None);
    for entry in values.flat_map(|value| value.split(',')) {
        let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let place = match name.trim() {
            name if name.eq_ignore_ascii_case(BROTLI) => &mut brotli,
            name if name.eq_ignore_ascii_case("identity") => &mut identity,
            "*" => &mut others,
            _ => continue,
        };
        *place = Some(weight(parameters));
    }
    let brotli = brotli.or(others).unwrap_or(0.0);
    brotli > 0.0 && brotli >= identity.unwrap_or(0.0)
}

/// Returns the weight in the parameters of an entry. A weight that is not valid is 0: the entry is not used.
fn weight(parameters: &str) -> f32 {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return 1.0;
    }
    let value = parameters.strip_prefix("q=").or_else(|| parameters.strip_prefix("Q="));
    let weight = value.and_then(|value| value.parse::<f32>().ok());
    weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_is_sent_only_if_it_is_accepted() {
        for (accepted, expected) in [
            ("br", true),
            ("gzip, deflate, br, zstd", true),
            ("gzip;q=1.0, BR;q=0.1", true),
            ("br ; q=0.5", true),
            ("*", true),
            ("gzip, *;q=0.1", true),
            ("br;q=0", false),
            ("br;q=0.000, *", false),
            ("*;q=0", false),
            ("identity, br;q=0.5", false),
            ("identity;q=0.5, br;q=0.5", true),
            ("gzip", false),
            ("", false),
            ("brotli", false),
            ("br;q=2", false),
            ("br;q=NaN", false),
            ("br;level=1", false),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(accepts_brotli(&headers), expected, "{accepted}");
        }
        assert!(!accepts_brotli(&HeaderMap::new()));
        let mut headers = HeaderMap::new();
        for coding in ["gzip", "br"] {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
        }
        assert!(accepts_brotli(&headers), "a header may be given in several lines");
    }

    #[test]
    fn a_tag_is_read_as_it_is_written() {
        for coding in [Coding::Identity, Coding::Brotli] {
            for digest in [0, 1, u128::MAX] {
                let tag = Tag { digest, coding };
                assert!(Tag::read(&tag.to_string()) == Some(tag), "{tag}");
            }
        }
        let digits = "0".repeat(DIGITS);
        for other in ["", "-br", "0", &digits[1..], &format!("+{}", &digits[1..]), &format!("{digits}-gz")] {
            assert!(Tag::read(other).is_none(), "{other}");
        }
        assert!(Tag::read(&"A".repeat(DIGITS)).is_none());
    }
}
