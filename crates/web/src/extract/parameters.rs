//! Parameters in the query.
//!
//! Unknown parameters and empty values are refused, because a filter with a misspelt name or without a value must not return
//! everything. A parameter with several values is repeated, or has its values separated by commas, or both; the meaning is the
//! same. A parameter with one value must be given once. A refusal lists every problem.

use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use dabba_domain::Problems;
use dabba_store::PageSize;
use percent_encoding::percent_decode_str;

use super::{Cursor, in_digits};
use crate::{
    problem::{Problem, Result},
    schema::{cut, quoted},
};

/// Parameters of a request, as names and values, and the problems of those already read.
#[derive(Debug)]
pub struct Parameters {
    given: Vec<(String, String)>,
    problems: Vec<(String, String)>,
    /// Names of the parameters that the operation knows.
    known: Vec<&'static str>,
}

impl Parameters {
    /// Removes a parameter and returns its value, if the request has it. A value that cannot be read becomes a problem.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.extract(name);
        match given.as_slice() {
            [] => None,
            [(_, value)] => self.read(name, value, parse),
            _ => {
                self.problems.push((name.to_owned(), "must be given once".to_owned()));
                None
            }
        }
    }

    /// Removes a parameter that may have several values and returns the values; empty if the request does not have it.
    pub fn take_list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let given = self.extract(name);
        let values = given.iter().flat_map(|(_, values)| values.split(','));
        values.filter_map(|value| self.read(name, value, &parse)).collect()
    }

    /// Removes a parameter that is `true` or `false`.
    pub fn take_bool(&mut self, name: &'static str) -> Option<bool> {
        self.take(name, |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    /// Removes `limit` and returns the size of the page.
    pub fn take_limit(&mut self) -> PageSize {
        let limit = self.take("limit", |value| {
            let size = in_digits(value).and_then(PageSize::new);
            size.ok_or_else(|| format!("must be a whole number from 1 to {} in digits", PageSize::MAX))
        });
        limit.unwrap_or(PageSize::DEFAULT)
    }

    /// Removes `cursor` and returns the position after which the page begins.
    pub fn take_cursor<T: Cursor>(&mut self) -> Option<T> {
        self.take("cursor", |value| {
            T::read(value).ok_or_else(|| "must be a next_cursor of this list".to_owned())
        })
    }

    /// Returns whether the request has a parameter that was not removed.
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given == name)
    }

    /// Refuses a parameter that does not fit the others.
    pub fn refuse(&mut self, name: &'static str, detail: impl Into<String>) {
        self.problems.push((name.to_owned(), detail.into()));
    }

    fn extract(&mut self, name: &'static str) -> Vec<(String, String)> {
        self.known.push(name);
        self.given.extract_if(.., |(given, _)| given == name).collect()
    }

    fn read<T>(
        &mut self,
        name: &str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let note = |allowed| {
            let problem = (name.to_owned(), format!("{allowed}, not {}", quoted(value)));
            // A list may contain the same wrong value several times.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        };
        parse(value).map_err(note).ok()
    }

    /// Returns all problems, including unknown parameters, as one refusal.
    fn finish(mut self) -> Result<()> {
        let allowed = || format!("is unknown; allowed are {}", self.known.join(", "));
        let unknown = self.given.iter().map(|(name, _)| (cut(name), allowed()));
        self.problems.extend(unknown);
        self.problems.truncate(Problems::MAX_LISTED);
        if self.problems.is_empty() { Ok(()) } else { Err(Problem::bad_parameters(&self.problems)) }
    }
}

/// Returns the names and values in the query of a request.
fn given(uri: &Uri) -> Result<Vec<(String, String)>> {
    // A parser replaces what is not UTF-8.
    let is_utf8 = percent_decode_str(uri.query().unwrap_or_default()).decode_utf8().is_ok();
    let given = Query::try_from_uri(uri).ok().filter(|_| is_utf8);
    given.map(|Query(given)| given).ok_or_else(|| {
        Problem::bad_parameter(
            "query",
            "must be names and values in UTF-8, percent-encoded, such as limit=50",
        )
    })
}

/// Refuses parameters in the query of an operation that has none.
pub(crate) fn refuse_query(uri: &Uri) -> Result<()> {
    let unknown = |(name, _): &(String, String)| {
        (cut(name), "is unknown; this operation has no parameters in the query".to_owned())
    };
    let problems: Vec<_> = given(uri)?.iter().take(Problems::MAX_LISTED).map(unknown).collect();
    if problems.is_empty() { Ok(()) } else { Err(Problem::bad_parameters(&problems)) }
}

/// A request's query as a type.
pub trait FromParameters: Sized {
    /// Removes every known parameter and returns the query. The result is not used if a parameter has a problem.
    fn take_from(parameters: &mut Parameters) -> Self;
}

/// A request's query in which all parameters are known and valid.
#[derive(Debug)]
pub struct QueryOf<T>(pub T);

impl<S: Send + Sync, T: FromParameters> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let mut parameters =
            Parameters { given: given(&parts.uri)?, problems: Vec::new(), known: Vec::new() };
        let query = T::take_from(&mut parameters);
        parameters.finish().map(|()| Self(query))
    }
}
