//! JSON Pointers (RFC 6901), which state the places of problems in an input.

use serde_path_to_error::{Path, Segment};

/// Returns the pointer to a member of the object at a pointer.
pub fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Returns the pointer to the place at which reading a document failed.
pub fn of_path(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => below(&pointer, key),
        Segment::Unknown => pointer,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Proves that a name with `/` or `~` is one segment of the pointer.
    #[test]
    fn names_are_escaped() {
        assert_eq!(below("/a", "b/~c"), "/a/b~1~0c");
        let mut document = serde_json::Deserializer::from_str(r#"{"b/~c": [1, "two"]}"#);
        let read: Result<BTreeMap<String, Vec<u8>>, _> = serde_path_to_error::deserialize(&mut document);
        assert_eq!(of_path(read.unwrap_err().path()), "/b~1~0c/1");
    }
}
