//! JSON as it is written: checks whether a text is JSON, and reads its values one level at a time.
//!
//! The grammar (RFC 8259) allows values that the types of a program cannot hold: `1e400`, half of a surrogate pair, repeated
//! members, and any depth. They are JSON, so this module reads them as values, and the schema reports the problem of each at its
//! place. A number keeps its text, so that messages show it as written.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Error: a text is not JSON. States the place and what is expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// Line, from 1.
    line: usize,
    /// Column, from 1, in characters.
    column: usize,
    expected: &'static str,
}

impl fmt::Display for NotJson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, expected } = self;
        write!(formatter, "line {line}, column {column}: {expected}")
    }
}

impl std::error::Error for NotJson {}

/// Returns a document as it is written.
///
/// # Errors
///
/// If the bytes are not JSON in UTF-8.
pub fn parse(bytes: &[u8]) -> Result<&RawValue, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        // The bytes before the error are UTF-8.
        let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let (line, column) = (before.split('\n').count(), before.rsplit('\n').next().unwrap_or_default());
        NotJson { line, column: column.chars().count() + 1, expected: "expected UTF-8" }
    })?;
    serde_json::from_str(text).map_err(|error| not_json(text, &error))
}

fn not_json(text: &str, error: &serde_json::Error) -> NotJson {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    // The parser counts the column in bytes.
    let column = line[..line.floor_char_boundary(error.column())].chars().count();
    NotJson { line: error.line().max(1), column: column.max(1), expected: expected(error) }
}

/// The parser's texts for each violation of the grammar, and what the grammar expects instead. A test writes each of these
/// violations, so it fails if the parser's texts change.
const EXPECTATIONS: [(&str, &str); 13] = [
    ("EOF while parsing a value", "the text ends where a value is expected"),
    ("EOF while parsing a list", "the text ends within an array; expected , or ]"),
    ("EOF while parsing an object", "the text ends within an object; expected a member, , or }"),
    ("EOF while parsing a string", "the text ends within a string; expected a double quote"),
    ("expected `:`", "expected : after the name of a member"),
    ("expected `,` or `]`", "expected , or ] after an entry of an array"),
    ("expected `,` or `}`", "expected , or } after a member of an object"),
    ("expected ident", "expected true, false or null"),
    (
        "expected value",
        "expected a value: an object, an array, a string in double quotes, a number, true, false or null",
    ),
    (
        "invalid escape",
        "expected one of \" \\ / b f n r t after the backslash in a string, or u and four hexadecimal digits",
    ),
    (
        "invalid number",
        "expected a number such as 12, -3, 0.5 or 1e3, with a digit before and after the point and no leading zero",
    ),
    ("control character", "expected an escape such as \\n in place of a control character in a string"),
    ("key must be a string", "expected the name of a member in double quotes"),
];

fn expected(error: &serde_json::Error) -> &'static str {
    /// The document ends before the end of the text.
    const NOTHING: (&str, &str) = ("trailing characters", "expected nothing after the end of the document");
    let text = error.to_string();
    let mut known = EXPECTATIONS.iter().chain([&NOTHING]);
    known.find(|(start, _)| text.starts_with(start)).map_or("expected JSON", |(_, expected)| expected)
}

/// A value with its entries or members as they are written.
pub(super) enum Node<'a> {
    Null,
    Bool,
    /// The number as it is written.
    Number(&'a str),
    /// The text; `None` if it contains half of a surrogate pair, because such a text is not valid Unicode.
    Text(Option<String>),
    Array(Entries<'a>),
    Object(Members<'a>),
    /// An object with more than [`MAX_KEPT`] members, which no schema allows.
    Oversized,
}

/// Maximum number of entries of an array, and of members of an object, that are kept for validation. A face must allow
/// no more in a body. An invalid body of 4 MiB can have two million, and each needs at least 16 bytes.
pub const MAX_KEPT: usize = 5_000;

impl<'a> Node<'a> {
    pub(super) fn of(value: &'a RawValue) -> Self {
        let text = value.get();
        // A raw value is JSON, so reading it fails only if the grammar allows the value and the type does not.
        match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::Text(serde_json::from_str(text).ok()),
            Some(b'[') => Self::Array(serde_json::from_str(text).unwrap_or_default()),
            Some(b'{') => match serde_json::from_str(text).unwrap_or_default() {
                Members { is_oversized: true, .. } => Self::Oversized,
                members => Self::Object(members),
            },
            _ => Self::Number(text),
        }
    }
}

/// The first entries of an array.
#[derive(Default)]
pub(super) struct Entries<'a> {
    /// At most [`MAX_KEPT`] entries.
    pub(super) values: Vec<&'a RawValue>,
    /// Number of entries of the whole array.
    pub(super) count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Entries::default();
        while let Some(value) = access.next_element()? {
            entries.count += 1;
            if entries.count <= MAX_KEPT {
                entries.values.push(value);
            }
        }
        Ok(entries)
    }
}

/// The members of an object, by name. If a member is repeated, the first value is kept.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) values: BTreeMap<String, &'a RawValue>,
    /// Names of repeated members. Readers of JSON differ in which of the values they take.
    pub(super) repeated: BTreeSet<String>,
    /// Whether the object has more than [`MAX_KEPT`] names. Names above that are not in `values`.
    is_oversized: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = access.next_entry::<&RawValue, &RawValue>()? {
            // A name with half of a surrogate pair cannot be read. Its written text is used instead; it is no member's name.
            let text = name.get().trim_matches('"');
            let name = serde_json::from_str(name.get()).unwrap_or_else(|_| text.to_owned());
            let is_full = members.values.len() == MAX_KEPT;
            match members.values.entry(name) {
                Entry::Vacant(_) if is_full => members.is_oversized = true,
                Entry::Vacant(place) => _ = place.insert(value),
                Entry::Occupied(place) => _ = members.repeated.insert(place.key().clone()),
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &[u8]) -> String {
        parse(text).unwrap_err().to_string()
    }

    /// Proves for each violation of the grammar that the message states the place and what is expected there, without the
    /// parser's own words.
    #[test]
    fn each_violation_of_the_grammar_is_reported_with_its_place() {
        for (text, expected) in [
            ("", "line 1, column 1: the text ends where a value is expected"),
            ("[1", "line 1, column 2: the text ends within an array; expected , or ]"),
            ("{\"a\":1", "line 1, column 6: the text ends within an object; expected a member, , or }"),
            ("\"a", "line 1, column 2: the text ends within a string; expected a double quote"),
            ("{\n\"a\" 1}", "line 2, column 5: expected : after the name of a member"),
            ("[1 2]", "line 1, column 4: expected , or ] after an entry of an array"),
            ("{\"é\":1 2}", "line 1, column 8: expected , or } after a member of an object"),
            ("trap", "line 1, column 3: expected true, false or null"),
            (
                "[1,]",
                "line 1, column 4: expected a value: an object, an array, a string in double quotes, a number, true, \
                 false or null",
            ),
            (
                r#"["\x"]"#,
                "line 1, column 4: expected one of \" \\ / b f n r t after the backslash in a string, or u and four \
                 hexadecimal digits",
            ),
            (
                "01",
                "line 1, column 2: expected a number such as 12, -3, 0.5 or 1e3, with a digit before and after the point \
                 and no leading zero",
            ),
            (
                "\"a\nb\"",
                "line 1, column 2: expected an escape such as \\n in place of a control character in a string",
            ),
            ("{1:1}", "line 1, column 2: expected the name of a member in double quotes"),
            ("{\"a\":1,}", "line 1, column 8: expected the name of a member in double quotes"),
            ("1 x", "line 1, column 3: expected nothing after the end of the document"),
        ] {
            assert_eq!(refusal(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(refusal(b"{\n \"\xc3\xa9\xff"), "line 2, column 4: expected UTF-8");
    }

    /// Proves that every text that the grammar allows is accepted as JSON, also if no type can hold its values.
    #[test]
    fn every_text_that_the_grammar_allows_is_json() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for text in ["1e400", "-0", r#""\ud800""#, r#"{"a": 1, "a": 2}"#, r#"{"\udfff": 1}"#, &deep] {
            let value = parse(text.as_bytes()).unwrap();
            assert_eq!(value.get(), text);
            Node::of(value);
        }
        let Node::Object(members) = Node::of(parse(br#"{"b": 1, "a": [2], "b": 3}"#).unwrap()) else {
            panic!("the value must be an object");
        };
        let values: Vec<_> =
            members.values.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(values, [("a", "[2]"), ("b", "1")]);
        assert_eq!(members.repeated, BTreeSet::from(["b".to_owned()]));
    }

    /// Proves that entries and members above the limit are counted but not kept.
    #[test]
    fn the_number_of_kept_entries_is_limited() {
        let entries = |count: usize| {
            let text = format!("[{}0]", "0,".repeat(count - 1));
            match Node::of(parse(text.as_bytes()).unwrap()) {
                Node::Array(entries) => (entries.values.len(), entries.count),
                _ => panic!("the value must be an array"),
            }
        };
        assert_eq!(entries(MAX_KEPT), (MAX_KEPT, MAX_KEPT));
        assert_eq!(entries(MAX_KEPT + 2), (MAX_KEPT, MAX_KEPT + 2));
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|index| format!("\"{index}\": 0")).collect();
            format!("{{{}, \"0\": 1}}", members.join(","))
        };
        assert!(matches!(Node::of(parse(object(MAX_KEPT).as_bytes()).unwrap()), Node::Object(_)));
        assert!(matches!(Node::of(parse(object(MAX_KEPT + 1).as_bytes()).unwrap()), Node::Oversized));
    }
}
