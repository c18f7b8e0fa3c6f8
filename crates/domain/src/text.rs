//! Kinds of text that people write, and the rules for each kind.
//!
//! | kind | type | stored as |
//! |---|---|---|
//! | names, lines of an address, tags | [`Name`] | one line, 1 to 120 characters |
//! | external codes of menu entries | [`ExternalCode`] | one line, 1 to 64 characters |
//! | notes, descriptions, instructions, reasons | [`Note`] | lines separated by line feeds, 1 to 500 characters |
//! | telephone numbers | [`Phone`] | one line, 3 to 40 characters: digits, spaces, letters and marks |
//! | identifiers | [`Slug`] | lower-case ASCII letters, digits and hyphens |
//! | passwords | [`normalize_password`] | not stored; hashed in one normal form |
//!
//! Rules for names, notes and telephone numbers, applied in this order:
//!
//! 1. In a note, CR LF, CR, U+0085, U+2028 and U+2029 become a line feed (Unicode 16, section 5.8), and a tabulator
//!    becomes a space.
//! 2. The text is normalized to NFC (UAX 15), so that equal texts have equal bytes.
//! 3. Surrounding white space is removed.
//! 4. The text must contain a visible character.
//! 5. The characters are counted. One character for a reader may be several characters in Unicode.
//! 6. Refused are control characters, line breaks in text of one line, direction controls (`Bidi_Control`; UTR 36, UTS
//!    55), noncharacters, and characters without a shape of their own (`Default_Ignorable_Code_Point`, UAX 44, and the
//!    interlinear annotations). Such characters forge lines on a ticket and make two names look alike.
//! 7. Exceptions to rule 6, in names and notes: joiners (U+200C, U+200D) where a script or an emoji sequence needs them
//!    (RFC 5892, appendix A; UTS 51), and one variation selector after a visible character. Tag characters are refused,
//!    even in the flags of England, Scotland and Wales.
//!
//! **Stored documents** are read without these rules, so that text accepted by an earlier version stays readable. A
//! store reads its documents within [`read_stored`]. All other code that parses a text parses an input and checks it.

mod phone;
mod policy;

use std::{borrow::Cow, cell::Cell, fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::{MAX_EXTERNAL_CODE_LENGTH, MAX_NAME_LENGTH, MAX_SLUG_LENGTH, MAX_TEXT_LENGTH};

pub use phone::{Phone, PhoneError};

/// Text of 1 to `MAX` characters: on one line or, with `SEVERAL_LINES`, on any number of lines. See the rules in the
/// description of the module.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize, const SEVERAL_LINES: bool>(Arc<str>);

/// Name of a restaurant, an item or a person.
pub type Name = Text<MAX_NAME_LENGTH, false>;
/// Free text: a description, a note, an instruction.
pub type Note = Text<MAX_TEXT_LENGTH, true>;
/// Code of a category, an item, an option group or an option in another system, such as a point of sale.
pub type ExternalCode = Text<MAX_EXTERNAL_CODE_LENGTH, false>;

/// Reason why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text contains no visible character.
    #[error("must not be empty: it needs at least one visible character")]
    Empty,
    /// The text has more characters than allowed.
    #[error("must be at most {max} characters")]
    TooLong {
        /// Maximum number of characters.
        max: usize,
    },
    /// A text of one line contains a line break.
    #[error("must be one line: it must not contain the line break {}", CodePoint(*.character))]
    LineBreak {
        /// The line break.
        character: char,
    },
    /// The text contains a control character.
    #[error("must not contain the control character {}", CodePoint(*.character))]
    ControlCharacter {
        /// The control character.
        character: char,
    },
    /// The text contains a character that changes the direction of the text.
    #[error("must not contain {}, which changes the direction of the text", CodePoint(*.character))]
    DirectionControl {
        /// The character.
        character: char,
    },
    /// The text contains an invisible character that its script does not need.
    #[error("must not contain the invisible character {} at this place", CodePoint(*.character))]
    Invisible {
        /// The character.
        character: char,
    },
    /// The text contains a code point that Unicode reserves for internal use.
    #[error("must not contain {}, which is not a character", CodePoint(*.character))]
    NotACharacter {
        /// The code point.
        character: char,
    },
}

/// Writes a character in the form `U+202E`.
struct CodePoint(char);

impl fmt::Display for CodePoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "U+{:04X}", u32::from(self.0))
    }
}

impl<const MAX: usize, const SEVERAL_LINES: bool> Text<MAX, SEVERAL_LINES> {
    /// Checks an input and returns it in the form in which it is stored.
    pub fn new(text: &str) -> Result<Self, TextError> {
        policy::clean(text, MAX, SEVERAL_LINES).map(|text| Self(text.into()))
    }

    /// Returns a text from a store without a check. The text was checked when it was stored, under the rules of that
    /// time.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize, const SEVERAL_LINES: bool> fmt::Display for Text<MAX, SEVERAL_LINES> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl<const MAX: usize, const SEVERAL_LINES: bool> fmt::Debug for Text<MAX, SEVERAL_LINES> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}
impl<'de, const MAX: usize, const SEVERAL_LINES: bool> Deserialize<'de> for Text<MAX, SEVERAL_LINES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        if is_reading_stored() {
            Ok(Self::from_stored(&text))
        } else {
            Self::new(&text).map_err(de::Error::custom)
        }
    }
}

thread_local! {
    /// Whether this thread is reading a stored document.
    static READS_STORED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read`, during which texts are accepted without a check. Stores use it: their documents were checked when they
/// were written.
///
/// The types of orders, menus and events serve both inputs and storage, and serde gives a type no way to learn which of
/// the two it reads. So the reader sets a flag for its thread while it reads.
pub fn read_stored<T>(read: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            READS_STORED.set(self.0);
        }
    }
    let _restore = Restore(READS_STORED.replace(true));
    read()
}

fn is_reading_stored() -> bool {
    READS_STORED.get()
}

/// Returns a password in the form in which it is hashed (RFC 8265, profile `OpaqueString`, section 4.2.2): in NFC, with
/// every space replaced by the ASCII space. So two keyboards that write the same password in different forms produce
/// the same result. Case and width do not change.
pub fn normalize_password(password: &str) -> String {
    let is_space = |character: char| {
        character.is_whitespace() && !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}')
    };
    let spaces = password.chars().map(|character| if is_space(character) { ' ' } else { character });
    policy::nfc(spaces.collect())
}

/// Text in a document that is being parsed. Borrowed from the document, unless it is written with escapes. (A bare
/// `Cow` always copies.)
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct RawText<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for RawText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A short identifier within a menu that machines and people can read: `onion-bhaji-2-pcs`.
///
/// 1 to [`MAX_SLUG_LENGTH`] characters: lower-case letters, digits, and single hyphens between them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(Arc<str>);

/// The text is not a valid [`Slug`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_SLUG_LENGTH} lower-case letters, digits and single hyphens between them")]
pub struct SlugError;

impl Slug {
    /// Checks an identifier and returns it.
    pub fn new(text: &str) -> Result<Self, SlugError> {
        let well_formed = text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        if well_formed && text.len() <= MAX_SLUG_LENGTH { Ok(Self(text.into())) } else { Err(SlugError) }
    }

    /// Returns a text as an identifier without a check. The text comes from the code, or a store has checked it.
    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns an identifier that consists of a readable text, shortened if necessary, and a hash: `ramen-3f9k2m7q1x`.
    /// ASCII letters and digits of the text stay; the characters between them become one hyphen. If no character stays,
    /// the hash is the identifier.
    ///
    /// The hash must be 1 to [`MAX_SLUG_LENGTH`] lower-case letters and digits.
    pub(crate) fn generated(readable: &str, hash: &str) -> Self {
        let mut slug = String::with_capacity(MAX_SLUG_LENGTH);
        for character in readable.chars() {
            if slug.len() + 1 + hash.len() >= MAX_SLUG_LENGTH {
                break;
            }
            if character.is_ascii_alphanumeric() {
                slug.push(character.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        slug.push_str(hash);
        Self(slug.into())
    }

    /// Returns the identifier as text.
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
        assert_eq!(Text::<3, false>::new("  a é ").unwrap().as_str(), "a é");
        assert_eq!(Text::<3, false>::new(" \n\t "), Err(TextError::Empty));
        assert_eq!(Text::<3, false>::new("four"), Err(TextError::TooLong { max: 3 }));
        assert_eq!(Note::new("a\nb").unwrap().as_str(), "a\nb");
        assert_eq!(
            Note::new("a\u{0}b").unwrap_err().to_string(),
            "must not contain the control character U+0000"
        );
    }

    /// Proves that a text stored by an earlier version is read unchanged, and that inputs are checked again afterwards.
    #[test]
    fn a_stored_text_is_read_unchanged() {
        for text in ["line one\nline two", "\u{202e}5 £", "\u{200b}", "e\u{301}", " ", "a\r\nb", "tel: none"]
        {
            let json = serde_json::to_string(text).unwrap();
            let name: Name = read_stored(|| serde_json::from_str(&json)).unwrap();
            let note: Note = read_stored(|| serde_json::from_str(&json)).unwrap();
            let phone: Phone = read_stored(|| serde_json::from_str(&json)).unwrap();
            assert_eq!((name.as_str(), note.as_str(), phone.as_str()), (text, text, text));
            assert_eq!(serde_json::to_string(&name).unwrap(), json);
        }
        assert!(serde_json::from_str::<Name>(r#""\u200b""#).is_err());
        let failed: Result<Name, _> = read_stored(|| serde_json::from_str("5"));
        assert!(failed.is_err() && !is_reading_stored());
    }

    #[test]
    fn a_password_has_one_form() {
        assert_eq!(normalize_password("cafe\u{301} \u{a0}\u{3000}x"), "café   x");
        assert_eq!(normalize_password("Ⅳ ﬁ Ａ"), "Ⅳ ﬁ Ａ", "compatibility forms stay different");
        assert_eq!(normalize_password("correct horse"), "correct horse");
    }

    /// Proves that a text is read from every kind of document, and copied only if necessary.
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
    fn a_slug_is_generated_of_a_readable_text_and_a_hash() {
        for (readable, slug) in [
            ("Onion Bhaji (2 pcs)", "onion-bhaji-2-pcs-0123456789"),
            ("rosé", "ros-0123456789"),
            ("ラーメン", "0123456789"),
            ("  A & B ", "a-b-0123456789"),
        ] {
            assert_eq!(Slug::generated(readable, "0123456789").as_str(), slug);
        }
        let long = Slug::generated(&"ab".repeat(60), "0123456789");
        assert_eq!(long.as_str(), format!("{}a-0123456789", "ab".repeat(26)));
    }

    proptest! {
        /// Proves that the stored form of a text is a valid input with the same stored form. So a document as read can
        /// be written again.
        #[test]
        fn the_stored_form_of_a_text_is_stable(text in r"[\PC\pC]{0,40}") {
            if let Ok(name) = Name::new(&text) {
                prop_assert_eq!(Name::new(name.as_str()), Ok(name.clone()));
                prop_assert!(!name.as_str().chars().any(char::is_control));
            }
            if let Ok(note) = Note::new(&text) {
                prop_assert_eq!(Note::new(note.as_str()), Ok(note));
            }
            if let Ok(phone) = Phone::new(&text) {
                prop_assert_eq!(Phone::new(phone.as_str()), Ok(phone));
            }
            let password = normalize_password(&text);
            prop_assert_eq!(normalize_password(&password), password);
        }

        #[test]
        fn every_generated_slug_is_valid(readable in ".{0,200}", hash in "[a-z0-9]{1,64}") {
            let slug = Slug::generated(&readable, &hash);
            prop_assert!(Slug::new(slug.as_str()).is_ok(), "{slug}");
            prop_assert!(slug.as_str().ends_with(&hash));
        }
    }
}
