//! What is wrong with an input, and where: every problem at once, not the first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = InputProblem))]
pub struct Problem {
    /// Where, as a JSON Pointer (RFC 6901) into the input: `/lines/0/quantity`.
    pub pointer: String,
    /// What is wrong, for a person.
    pub detail: String,
}

/// All that is wrong with an input; at least one problem when used as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Most problems that one answer lists; what comes after is not collected.
    pub const MAX_LISTED: usize = 100;

    /// Nothing wrong so far.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A single problem.
    pub fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(vec![Problem { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Notes a problem.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < Self::MAX_LISTED {
            self.0.push(Problem { pointer: pointer.into(), detail: detail.into() });
        }
    }

    /// Takes the value of a check, or notes its error at `pointer`.
    pub fn check<T, E: fmt::Display>(
        &mut self,
        pointer: impl Into<String>,
        checked: Result<T, E>,
    ) -> Option<T> {
        checked.map_err(|error| self.add(pointer, error.to_string())).ok()
    }

    /// `Ok` when nothing is wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, in the order in which they were found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let pointer = if problem.pointer.is_empty() { "/" } else { &problem.pointer };
            write!(formatter, "{separator}{pointer}: {}", problem.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
