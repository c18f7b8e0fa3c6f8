//! Text that people write: trimmed, of bounded length, without control characters.

use std::{borrow::Cow, fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::{MAX_NAME_LENGTH, MAX_SLUG_LENGTH, MAX_TEXT_LENGTH};

/// Text of 1 to `MAX` characters, with no white space around it and no control characters in it
/// other than line feeds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(Arc<str>);

/// A name: of a restaurant, a dish, a person.
pub type Name = Text<MAX_NAME_LENGTH>;
/// Free text: a description, a note, an instruction.
pub type Note = Text<MAX_TEXT_LENGTH>;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// More characters than allowed.
    #[error("must be at most {max} characters")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A control character.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl<const MAX: usize> Text<MAX> {
    /// Trims and checks a text.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.chars().count() > MAX {
            return Err(TextError::TooLong { max: MAX });
        }
        if text.chars().any(|character| character.is_control() && character != '\n') {
            return Err(TextError::ControlCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}
impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// Text in a document that is about to be parsed: borrowed from the document, unless it is written with escapes. (A bare
/// `Cow` is always a copy.)
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct RawText<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for RawText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A short identifier within a menu, for machines and people: `onion-bhaji-2-pcs`.
///
/// Lower-case letters, digits and single hyphens between them, 1 to [`MAX_SLUG_LENGTH`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(Arc<str>);

/// A text that is not a [`Slug`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_SLUG_LENGTH} lower-case letters, digits and single hyphens between them")]
pub struct SlugError;

impl Slug {
    /// Checks an identifier.
    pub fn new(text: &str) -> Result<Self, SlugError> {
        let well_formed = text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        if well_formed && text.len() <= MAX_SLUG_LENGTH { Ok(Self(text.into())) } else { Err(SlugError) }
    }

    /// Makes an identifier from a name: letters and digits of ASCII stay, everything between them
    /// becomes one hyphen. A name with none of these becomes `x`.
    pub fn from_name(name: &str) -> Self {
        let mut slug = String::with_capacity(name.len());
        for character in name.chars() {
            if character.is_ascii_alphanumeric() {
                slug.push(character.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(MAX_SLUG_LENGTH);
        let slug = slug.trim_end_matches('-');
        Self(if slug.is_empty() { "x" } else { slug }.into())
    }

    /// This identifier with a number behind it, shortened where needed: `naan-2`.
    pub fn numbered(&self, number: usize) -> Self {
        let suffix = format!("-{number}");
        let stem_length = self.0.len().min(MAX_SLUG_LENGTH.saturating_sub(suffix.len()));
        Self(format!("{}{suffix}", self.0[..stem_length].trim_end_matches('-')).into())
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl fmt::Debug for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}
impl std::borrow::Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_trimmed_and_bounded() {
        assert_eq!(Text::<3>::new("  a é ").unwrap().as_str(), "a é");
        assert_eq!(Text::<3>::new(" \n\t "), Err(TextError::Empty));
        assert_eq!(Text::<3>::new("four"), Err(TextError::TooLong { max: 3 }));
        assert_eq!(Text::<9>::new("a\u{0}b"), Err(TextError::ControlCharacter));
        assert_eq!(Text::<9>::new("a\nb").unwrap().as_str(), "a\nb");
    }

    /// Proves that text is read from wherever a document comes, and copied only where it has to be.
    #[test]
    fn raw_text_is_borrowed_where_it_can_be() {
        let is_borrowed = |json| match serde_json::from_str::<RawText<'_>>(json).unwrap() {
            RawText(Cow::Borrowed(text)) => (text.to_owned(), true),
            RawText(Cow::Owned(text)) => (text, false),
        };
        assert_eq!(is_borrowed(r#""dal""#), ("dal".to_owned(), true));
        assert_eq!(is_borrowed(r#""d\u0061l""#), ("dal".to_owned(), false));
        assert_eq!(serde_json::from_str::<Slug>(r#""d\u0061l""#).unwrap().as_str(), "dal");
        assert_eq!(serde_json::from_value::<Slug>("dal".into()).unwrap().as_str(), "dal");
        assert_eq!(serde_json::from_reader::<_, Slug>(r#""dal""#.as_bytes()).unwrap().as_str(), "dal");
        let error = serde_json::from_str::<Slug>("5").unwrap_err().to_string();
        assert!(error.starts_with("invalid type: integer `5`, expected a string"), "{error}");
    }

    #[test]
    fn slugs_are_checked() {
        for good in ["a", "naan", "onion-bhaji-2-pcs", "7up"] {
            assert!(Slug::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "Naan", "a b", "é"] {
            assert_eq!(Slug::new(bad), Err(SlugError), "{bad}");
        }
    }

    #[test]
    fn a_name_becomes_a_slug() {
        for (name, slug) in [
            ("Onion Bhaji (2 pcs)", "onion-bhaji-2-pcs"),
            ("Rosé", "ros"),
            ("ラーメン", "x"),
            ("  A & B ", "a-b"),
        ] {
            assert_eq!(Slug::from_name(name).as_str(), slug);
        }
    }

    proptest! {
        #[test]
        fn every_name_becomes_a_valid_slug(name in ".{0,200}", number in 0_usize..10_000) {
            let slug = Slug::from_name(&name);
            prop_assert!(Slug::new(slug.as_str()).is_ok(), "{slug}");
            prop_assert!(Slug::new(slug.numbered(number).as_str()).is_ok());
        }
    }
}
