//! Problems of an input, each with its place. All problems are listed, not only the first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One problem of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputProblem {
    /// Place of the problem, as a JSON Pointer (RFC 6901) into the input: `/lines/0/quantity`.
    pub pointer: String,
    /// Description of the problem, for people.
    pub detail: String,
}

/// All problems of an input. As an error, it contains at least one problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(Vec<InputProblem>);

/// Returns the text for a range of whole numbers. All messages about number ranges use it.
pub fn whole_number(min: impl fmt::Display, max: impl fmt::Display) -> String {
    format!("a whole number from {min} to {max}")
}

/// Maximum number of characters of a wrong value in a message.
pub const MAX_SHOWN_CHARACTERS: usize = 64;

/// Returns the message about a text that is none of the allowed names, which are separated by commas. All messages about
/// lists of names use it.
pub fn one_of(names: impl fmt::Display, found: &str) -> String {
    format!("must be one of {names}, not {}", quoted(found))
}

/// Returns the message about a list with too few or too many entries. All messages about such lists use it.
pub fn entry_count(min: impl fmt::Display, max: impl fmt::Display, found: impl fmt::Display) -> String {
    format!("must have {min} to {max} entries, not {found}")
}

/// Returns a text in quotes, cut if it is long.
pub fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// Returns the beginning of a text, with an ellipsis if the text is cut.
pub fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(MAX_SHOWN_CHARACTERS).collect();
    let rest = if characters.next().is_some() { "…" } else { "" };
    shown + rest
}

impl Problems {
    /// Maximum number of problems listed. One more entry says that there are more problems; the others are dropped.
    pub const MAX_LISTED: usize = 100;

    /// Maximum length of a pointer in the text of all problems, in bytes, because the name of an unknown member may be
    /// long. Each problem still has its whole pointer.
    const MAX_SHOWN_POINTER: usize = 256;

    /// Returns an empty list of problems.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns a list with a single problem.
    pub fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(vec![InputProblem { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Adds a problem.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        let problem = match self.0.len() {
            ..Self::MAX_LISTED => InputProblem { pointer: pointer.into(), detail: detail.into() },
            Self::MAX_LISTED => {
                let detail =
                    format!("there are more problems; only the first {} are listed", Self::MAX_LISTED);
                InputProblem { pointer: String::new(), detail }
            }
            _ => return,
        };
        self.0.push(problem);
    }

    /// Returns whether the list is full. Further problems are dropped, so the caller can stop looking for problems.
    pub fn is_cut(&self) -> bool {
        self.0.len() > Self::MAX_LISTED
    }

    /// Returns the value of a check, or adds its error at `pointer`.
    pub fn check<T, E: fmt::Display>(
        &mut self,
        pointer: impl Into<String>,
        checked: Result<T, E>,
    ) -> Option<T> {
        checked.map_err(|error| self.add(pointer, error.to_string())).ok()
    }

    /// Returns `Ok` if there are no problems.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Returns whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the problems, in the order in which they were found.
    pub fn as_slice(&self) -> &[InputProblem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let pointer = if problem.pointer.is_empty() { "/" } else { &problem.pointer };
            let end = pointer.floor_char_boundary(Self::MAX_SHOWN_POINTER);
            let (shown, rest) = (&pointer[..end], if end < pointer.len() { "…" } else { "" });
            write!(formatter, "{separator}{shown}{rest}: {}", problem.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the text of all problems cuts a long pointer, such as that of an unknown member, and that the
    /// problem keeps the whole pointer.
    #[test]
    fn a_long_pointer_is_cut_in_the_text() {
        let problems = Problems::one(format!("/{}", "é".repeat(10_000)), "is unknown");
        assert_eq!(problems.as_slice()[0].pointer.len(), 20_001);
        assert_eq!(problems.to_string(), format!("/{}…: is unknown", "é".repeat(127)));
    }

    /// Proves that a truncated list ends with an entry that says so, and that a full list does not.
    #[test]
    fn a_truncated_list_says_so() {
        let problems_of = |count: usize| {
            let mut problems = Problems::new();
            (0..count).for_each(|index| problems.add(format!("/{index}"), "is wrong"));
            problems.0
        };
        let full = problems_of(Problems::MAX_LISTED);
        assert_eq!(full.last().unwrap().pointer, "/99");
        assert!(!Problems(full).is_cut());
        for count in [101, 102, 5_000] {
            let problems = problems_of(count);
            assert_eq!(problems.len(), Problems::MAX_LISTED + 1);
            assert!(Problems(problems.clone()).is_cut());
            assert!(
                problems[100].pointer.is_empty() && problems[100].detail.contains("more"),
                "{problems:?}"
            );
        }
    }
}
