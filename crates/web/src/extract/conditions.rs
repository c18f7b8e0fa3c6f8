//! Conditional requests (RFC 9110, section 13): `If-Match`, `If-None-Match`, and their entity tags.

use std::fmt::{Display, Write as _};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};

use super::in_digits;
use crate::problem::{Problem, Result};

/// Maximum number of tags in one header.
const MAX_TAGS: usize = 32;
/// Length of the longest tag that Dabba writes, in bytes: three numbers of ten digits, two hyphens and two quotes.
const MAX_TAG_LENGTH: usize = 34;

/// Returns the entity tag of a version, a revision or another [`EntityTag`].
pub fn etag(version: impl EntityTag) -> HeaderValue {
    let mut tag = String::with_capacity(MAX_TAG_LENGTH);
    // Writing to a string cannot fail, and digits, hyphens and quotes are always valid in a header.
    let _ = write!(tag, "\"{version}\"");
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// A value that has an entity tag. `Display` writes the tag's text between the quotes.
pub trait EntityTag: Copy + Display {
    /// Reads the text between the quotes; returns `None` if the text is not a tag of this type.
    fn read(text: &str) -> Option<Self>;
}

impl EntityTag for u32 {
    fn read(text: &str) -> Option<Self> {
        in_digits(text)
    }
}

/// The versions that `If-Match` of a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch<T = u32> {
    /// The request has no `If-Match`.
    Absent,
    /// `*`: any version.
    Any,
    /// One of these versions. Weak tags, and tags that are not of a version, match nothing and are left out.
    OneOf(Vec<T>),
}

impl IfMatch {
    /// Returns the version that must be the current version; `None` for any version. If the header lists several
    /// versions, returns the current version if it is among them, otherwise the first one.
    pub fn expected(&self, current: u32) -> Option<u32> {
        /// Versions count from 1, so 0 is never the current version.
        const NEVER: u32 = 0;
        match self {
            Self::Absent | Self::Any => None,
            Self::OneOf(versions) if versions.contains(&current) => Some(current),
            Self::OneOf(versions) => Some(versions.first().copied().unwrap_or(NEVER)),
        }
    }

    /// Returns whether the header lists several versions, so that the expected version depends on the current one.
    pub const fn needs_current(&self) -> bool {
        matches!(self, Self::OneOf(versions) if versions.len() > 1)
    }

    /// Returns the versions of which one must be the current version; `None` for any version.
    pub fn into_versions(self) -> Option<Vec<u32>> {
        match self {
            Self::Absent | Self::Any => None,
            Self::OneOf(versions) => Some(versions),
        }
    }
}

impl<S: Send + Sync, T: EntityTag> FromRequestParts<S> for IfMatch<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let Some(tags) = read(&parts.headers, &header::IF_MATCH)? else { return Ok(Self::Absent) };
        Ok(match tags {
            Tags::Any => Self::Any,
            Tags::Listed(tags) => Self::OneOf(
                tags.into_iter().filter(|tag| !tag.weak).filter_map(|tag| T::read(&tag.opaque)).collect(),
            ),
        })
    }
}

/// The versions that the caller already has, from `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfNoneMatch(Option<Tags>);

impl IfNoneMatch {
    /// Returns whether the caller already has this version, so that the response needs no body.
    pub fn has<T: EntityTag + PartialEq>(&self, current: T) -> bool {
        match &self.0 {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Listed(tags)) => tags.iter().any(|tag| T::read(&tag.opaque) == Some(current)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        read(&parts.headers, &header::IF_NONE_MATCH).map(Self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    Listed(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    opaque: String,
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>> {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let joined =
        values.map(|value| value.to_str().ok()).collect::<Option<Vec<_>>>().map(|values| values.join(","));
    joined.and_then(|value| parse(&value)).map(Some).ok_or_else(|| {
        Problem::bad_parameter(
            name.as_str(),
            format_args!("must be * or at most {MAX_TAGS} entity tags in double quotes, separated by commas"),
        )
    })
}

fn parse(value: &str) -> Option<Tags> {
    let mut rest = value.trim();
    if rest == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    loop {
        // A list may have empty elements, but must have at least one element that is not empty (RFC 9110, section
        // 5.6.1).
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(Tags::Listed(tags));
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, behind) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push(Tag { weak, opaque: opaque.to_owned() });
        match behind.trim_start().strip_prefix(',') {
            _ if tags.len() > MAX_TAGS => return None,
            Some(next) => rest = next,
            None => return behind.trim_start().is_empty().then_some(Tags::Listed(tags)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(weak: bool, opaque: &str) -> Tag {
        Tag { weak, opaque: opaque.to_owned() }
    }

    #[test]
    fn lists_of_tags_are_read() {
        for (value, tags) in [
            ("*", Some(Tags::Any)),
            (" \"1\" ", Some(Tags::Listed(vec![tag(false, "1")]))),
            (
                "\"1\", W/\"2\",\"a,b\"",
                Some(Tags::Listed(vec![tag(false, "1"), tag(true, "2"), tag(false, "a,b")])),
            ),
            ("", None),
            ("1", None),
            ("\"1", None),
            ("\"1\" \"2\"", None),
            (",\"1\",, \"2\",", Some(Tags::Listed(vec![tag(false, "1"), tag(false, "2")]))),
            (",", None),
            ("\"1\", *", None),
        ] {
            assert_eq!(parse(value), tags, "{value}");
        }
    }

    #[test]
    fn only_tags_in_the_format_of_dabba_have_a_version() {
        for (opaque, version) in [("1", Some(1)), ("01", None), ("+1", None), ("", None), ("x", None)] {
            assert_eq!(u32::read(opaque), version, "{opaque}");
        }
    }

    #[test]
    fn the_expected_version_follows_from_the_listed_versions() {
        for (condition, expected) in [
            (IfMatch::<u32>::Absent, None),
            (IfMatch::Any, None),
            (IfMatch::OneOf(vec![2]), Some(2)),
            (IfMatch::OneOf(vec![]), Some(0)), // Matches nothing.
            (IfMatch::OneOf(vec![2, 3]), Some(3)),
            (IfMatch::OneOf(vec![2, 4]), Some(2)),
        ] {
            let is_list = matches!(&condition, IfMatch::OneOf(versions) if versions.len() > 1);
            assert_eq!(
                (condition.needs_current(), condition.expected(3)),
                (is_list, expected),
                "{condition:?}"
            );
        }
    }
}
