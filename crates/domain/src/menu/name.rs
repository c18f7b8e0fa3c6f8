//! Names of entries: how they are compared, and the part of an id that follows from a name.

use unicase::UniCase;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::text::Name;

/// Returns a name in the form in which names are compared: without differences of case (default case folding), of width
/// and other compatibility forms (NFKC), and of the amount of white space.
pub(super) fn compared_name(name: &str) -> String {
    let folded = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        // The order of steps in Unicode's compatibility caseless match (Unicode 16, D146).
        let canonical: String = name.nfd().collect();
        let folded: String = UniCase::unicode(canonical).to_folded_case().nfkc().collect();
        UniCase::unicode(folded).to_folded_case().nfkc().collect()
    };
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the readable part of a name for an id: the name in its compared form, decomposed and without accents.
pub(super) fn readable(name: &Name) -> String {
    searchable(name.as_str())
}

/// Returns a text in the form in which texts are searched: in the compared form of names, decomposed and without accents.
pub fn searchable(text: &str) -> String {
    compared_name(text).nfkd().filter(|character| !is_combining_mark(*character)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_width_and_spacing() {
        for (one, other) in [
            ("Café", "CAFE\u{301}"),
            ("Ramen", "ＲＡＭＥＮ"),
            ("カレー", "ｶﾚｰ"),
            ("Straße", "STRASSE"),
            ("σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("น้ำ", "น้\u{e4d}\u{e32}"),
            ("كباب", "\u{fedb}\u{fe92}\u{fe8e}\u{fe8f}"),
            ("Pad Thai", " pad\u{3000}\u{a0}thai\n"),
            ("½ Huhn", "1⁄2 huhn"),
            ("🍜 Ramen", "🍜  ramen"),
        ] {
            assert_eq!(compared_name(one), compared_name(other), "{one} and {other}");
        }
        for (one, other) in [
            ("Café", "Cafe"),
            ("ラーメン", "つけ麺"),
            ("قهوة", "شاي"),
            ("ผัดไทย", "ผัดซีอิ๊ว"),
            ("🍜", "🍣"),
            ("👨\u{200d}🍳", "👩\u{200d}🍳"),
            ("Pad Thai", "PadThai"),
            ("Dish 1", "Dish 2"),
        ] {
            assert_ne!(compared_name(one), compared_name(other), "{one} and {other}");
        }
    }
}
