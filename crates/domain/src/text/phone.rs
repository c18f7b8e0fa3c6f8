//! Telephone numbers as people write them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{RawText, TextError, is_reading_stored, policy};
use crate::limits::{MAX_PHONE_LENGTH, MIN_PHONE_DIGITS};

/// Marks that a telephone number may contain, in addition to digits, spaces and letters (`ext. 5`).
const MARKS: &str = "+-()./#*,;:‐‑–";

/// A telephone number as its owner writes it. It keeps its spaces and marks, because only the owner knows how to dial
/// it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Phone(Arc<str>);

/// Reason why a text is not a telephone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// The text breaks a rule for text of one line.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text contains other characters, or too few digits.
    #[error(
        "must be a telephone number: at least {MIN_PHONE_DIGITS} digits, with spaces, letters (ext. 5) and the marks \
         + - ( ) . / # * , ; : between them"
    )]
    NotANumber,
}

impl Phone {
    /// Checks an input and returns it in the form in which it is stored.
    pub fn new(text: &str) -> Result<Self, PhoneError> {
        let text = policy::clean(text, MAX_PHONE_LENGTH, false)?;
        let text: String =
            text.chars().map(|character| if character.is_whitespace() { ' ' } else { character }).collect();
        let is_known = |character: char| {
            character.is_numeric()
                || character.is_ascii_alphabetic()
                || character == ' '
                || MARKS.contains(character)
        };
        let digits = text.chars().filter(|character| character.is_numeric()).count();
        if digits < MIN_PHONE_DIGITS || !text.chars().all(is_known) {
            return Err(PhoneError::NotANumber);
        }
        Ok(Self(text.into()))
    }

    /// Returns the number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl fmt::Debug for Phone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}
impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::<'de>::deserialize(deserializer)?;
        if is_reading_stored() {
            return Ok(Self((&*text).into()));
        }
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_they_are_written() {
        for number in
            ["112", "+44 161 496 0000", "(0161) 496-0000 ext. 5", "1-800-FLOWERS 1", "٠١٢٣٤٥", "030/1234#5"]
        {
            assert_eq!(Phone::new(number).unwrap().as_str(), number);
        }
        assert_eq!(Phone::new(" 030\u{a0}1234 ").unwrap().as_str(), "030 1234");
    }

    #[test]
    fn texts_that_are_not_numbers_are_refused() {
        for text in ["12", "call me", "030 1234 <b>", "030_1234", "０３０ 🍛 1"] {
            assert_eq!(Phone::new(text), Err(PhoneError::NotANumber), "{text}");
        }
        let line_break = TextError::LineBreak { character: '\n' };
        assert_eq!(Phone::new("030 1234\nNo charge"), Err(line_break.into()));
        assert_eq!(Phone::new(&"1".repeat(41)), Err(TextError::TooLong { max: 40 }.into()));
        let invisible = TextError::Invisible { character: '\u{200d}' };
        assert_eq!(Phone::new("030\u{200d}1234"), Err(invisible.into()));
    }
}
