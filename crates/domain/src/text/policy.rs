//! Rules that the kinds of text share: line breaks, normalization, and refused characters.

use std::borrow::Cow;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, JoiningType,
    },
};
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, char::is_combining_mark, is_nfc_quick};

use super::TextError;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// A symbol without any visible part.
const BLANK_BRAILLE_PATTERN: char = '\u{2800}';

/// Returns a text in its stored form (unified line breaks, NFC, trimmed), or the reason why it is refused.
pub(super) fn clean(text: &str, max: usize, several_lines: bool) -> Result<Cow<'_, str>, TextError> {
    // Most texts are one line of printable ASCII. For them only the length needs a check.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        let text = text.trim();
        return match text.len() {
            0 => Err(TextError::Empty),
            length if length > max => Err(TextError::TooLong { max }),
            _ => Ok(Cow::Borrowed(text)),
        };
    }
    let cleaned = normalized(text, several_lines);
    let cleaned = cleaned.trim();
    if !cleaned.chars().any(is_visible) {
        return Err(TextError::Empty);
    }
    if cleaned.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    check_characters(cleaned, several_lines)?;
    Ok(Cow::Owned(cleaned.to_owned()))
}

/// Returns a text in NFC. With several lines, every line break becomes a line feed and every tabulator a space.
fn normalized(text: &str, several_lines: bool) -> String {
    let text = if several_lines { with_line_feeds(text) } else { text.to_owned() };
    nfc(text)
}

/// Returns a text in Unicode Normalization Form C.
pub(super) fn nfc(text: String) -> String {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { text } else { text.nfc().collect() }
}

fn with_line_feeds(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let unified = text.chars().map(|character| match character {
        '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
        '\t' => ' ',
        other => other,
    });
    unified.collect()
}

fn check_characters(text: &str, several_lines: bool) -> Result<(), TextError> {
    for (position, character) in text.char_indices() {
        let before = &text[..position];
        let after = &text[position + character.len_utf8()..];
        match character {
            '\n' if several_lines => {}
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                return Err(TextError::LineBreak { character });
            }
            _ if character.is_control() => return Err(TextError::ControlCharacter { character }),
            _ if is_direction_control(character) => return Err(TextError::DirectionControl { character }),
            ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER if joins(character, before, after) => {}
            _ if is_variation_selector(character) && selects(before) => {}
            _ if is_unseen(character) => return Err(TextError::Invisible { character }),
            _ if is_noncharacter(character) => return Err(TextError::NotACharacter { character }),
            _ => {}
        }
    }
    Ok(())
}

/// Returns whether the character is visible by itself. A combining mark is visible only on another character.
fn is_visible(character: char) -> bool {
    has_shape(character) && !is_combining_mark(character)
}

fn has_shape(character: char) -> bool {
    !(character.is_whitespace() || character.is_control() || is_unseen(character) || is_blank(character))
}

/// Returns whether the character is a blank that Unicode does not count as white space: the empty braille pattern, the
/// filler of Khitan, the null notehead, and the format controls of Egyptian hieroglyphs.
const fn is_blank(character: char) -> bool {
    matches!(character, BLANK_BRAILLE_PATTERN | '\u{16fe4}' | '\u{1d159}' | '\u{13430}'..='\u{1343f}')
}

/// Returns whether the character has no shape of its own: format characters, fillers, tags, selectors, joiners.
fn is_unseen(character: char) -> bool {
    let annotations = '\u{fff9}'..='\u{fffb}';
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        || annotations.contains(&character)
}

/// Returns whether the character changes the direction of the text after it (Unicode property `Bidi_Control`).
const fn is_direction_control(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

const fn is_variation_selector(character: char) -> bool {
    matches!(
        character,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
    )
}

const fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || (character as u32) & 0xfffe == 0xfffe
}

/// Returns whether a variation selector after this text follows a character whose shape it can select.
fn selects(before: &str) -> bool {
    before.chars().next_back().is_some_and(has_shape)
}

/// Returns whether the script or emoji needs a joiner here: after or before a virama (RFC 5892, appendix A.1 and A.2,
/// and the Bengali ya-phala), after a letter of a joining script such as Arabic, or between two emoji (UTS 51).
fn joins(joiner: char, before: &str, after: &str) -> bool {
    let joining_type = |character| CodePointMapData::<JoiningType>::new().get(character);
    let is_virama = |character| {
        CodePointMapData::<CanonicalCombiningClass>::new().get(character) == CanonicalCombiningClass::Virama
    };
    let is_pictograph = |character| CodePointSetData::new::<ExtendedPictographic>().contains(character);
    let is_modifier = |character| CodePointSetData::new::<EmojiModifier>().contains(character);

    let mut previous = before.chars().rev().filter(|character| !is_variation_selector(*character));
    let Some(last) = previous.next() else { return false };
    let next = after.chars().next();
    if is_virama(last) {
        return true;
    }
    if joiner == ZERO_WIDTH_JOINER {
        let is_between_emoji = (is_pictograph(last) || is_modifier(last)) && next.is_some_and(is_pictograph);
        if is_between_emoji || next.is_some_and(is_virama) {
            return true;
        }
    }
    let base =
        std::iter::once(last).chain(previous).find(|mark| joining_type(*mark) != JoiningType::Transparent);
    base.is_some_and(|letter| {
        [JoiningType::DualJoining, JoiningType::LeftJoining, JoiningType::RightJoining]
            .contains(&joining_type(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_line(text: &str) -> Result<String, TextError> {
        clean(text, 120, false).map(Cow::into_owned)
    }

    fn several_lines(text: &str) -> Result<String, TextError> {
        clean(text, 500, true).map(Cow::into_owned)
    }

    #[test]
    fn line_breaks_of_notes_become_line_feeds() {
        for (given, kept) in [
            ("a\r\nb", "a\nb"),
            ("a\rb", "a\nb"),
            ("a\n\r\n\rb", "a\n\n\nb"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a\nb\nc\nd"),
            ("a\tb", "a b"),
            ("\r\na\r\n", "a"),
        ] {
            assert_eq!(several_lines(given).as_deref(), Ok(kept), "{given:?}");
        }
    }

    #[test]
    fn names_stay_on_one_line() {
        for character in ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'] {
            let refused = one_line(&format!("Asha{character}Free"));
            assert_eq!(refused, Err(TextError::LineBreak { character }));
        }
        assert_eq!(one_line("Asha\r\nFree"), Err(TextError::LineBreak { character: '\r' }));
        assert_eq!(one_line("\r\n Asha \n").as_deref(), Ok("Asha"), "surrounding white space is removed");
    }

    #[test]
    fn invisible_characters_are_refused_and_named() {
        for character in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}'] {
            let error = TextError::DirectionControl { character };
            assert_eq!(one_line(&format!("Dal{character} 5")), Err(error));
            assert_eq!(several_lines(&format!("Dal{character} 5")), Err(error));
        }
        for character in [
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{2060}',
            '\u{3164}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{e0041}',
            '\u{e0020}',
        ] {
            let error = TextError::Invisible { character };
            assert_eq!(one_line(&format!("Dal{character} 5")), Err(error));
            assert_eq!(one_line(&format!("{character}Dal")), Err(error));
            assert_eq!(one_line(&character.to_string()), Err(TextError::Empty));
        }
        assert_eq!(one_line("a\u{7}b"), Err(TextError::ControlCharacter { character: '\u{7}' }));
        assert_eq!(one_line("a\tb"), Err(TextError::ControlCharacter { character: '\t' }));
        assert_eq!(one_line("a\u{fffe}b"), Err(TextError::NotACharacter { character: '\u{fffe}' }));
        assert_eq!(
            one_line("Dal\u{202e}").unwrap_err().to_string(),
            "must not contain U+202E, which changes the direction of the text"
        );
    }

    #[test]
    fn a_text_without_visible_characters_is_empty() {
        for text in [
            "",
            " \n\t",
            "\u{301}\u{301}",
            "\u{1d159}",
            "\u{16fe4}\u{13430}",
            "\u{200b}\u{2060}",
            "\u{3164}\u{ffa0}",
            "\u{2800}",
            "\u{fe0f}",
            "\u{a0}\u{3000}",
        ] {
            assert_eq!(one_line(text), Err(TextError::Empty), "{text:?}");
            assert_eq!(several_lines(text), Err(TextError::Empty), "{text:?}");
        }
    }

    #[test]
    fn joiners_and_selectors_stay_where_writing_needs_them() {
        for text in [
            "می‌خواهم",     // Persian: ZWNJ between two letters.
            "کتاب‌ها",      // Persian: ZWNJ after a right-joining letter's neighbour.
            "ه‍",           // Arabic: ZWJ that keeps a letter's shape.
            "क्‍ष",          // Devanagari: ZWJ after a virama.
            "ක්‍රි",          // Sinhala: ZWJ after al-lakuna.
            "র‍্যাব",         // Bengali: ZWJ before a virama.
            "ന്‍",           // Malayalam: a chillu in its old spelling.
            "👩‍🍳 🏳️‍🌈 👩🏽‍🚒 ❤️‍🔥", // Emoji, with a selector and a skin tone.
            "☕\u{fe0f} 1\u{fe0f}\u{20e3}",
            "葛\u{e0100}城", // A variant of an ideograph.
            "ᠠ\u{180b}",     // A variant of a Mongolian letter.
        ] {
            let kept = one_line(text);
            assert_eq!(kept.as_deref(), Ok(&*text.nfc().collect::<String>()), "{text}");
        }
        // In other places, joiners and selectors only make two names look alike.
        for text in ["D\u{200d}al", "Dal\u{200c}", "ه\u{200c}\u{200c}ا", "👩\u{200d}", "👩\u{200d}a"] {
            assert!(matches!(one_line(text), Err(TextError::Invisible { .. })), "{text:?}");
        }
        for text in ["a\u{fe0f}\u{fe0f}", " \u{fe0f}a", "\u{fe0f}a"] {
            assert!(matches!(one_line(text), Err(TextError::Invisible { .. })), "{text:?}");
        }
    }

    #[test]
    fn length_is_counted_in_the_normal_form() {
        assert_eq!(clean("e\u{301}e\u{301}", 2, false).as_deref(), Ok("éé"));
        assert_eq!(clean("ééé", 2, false), Err(TextError::TooLong { max: 2 }));
    }
}
