//! Parameters in the query.
//!
//! Unknown parameters are refused, and so are empty values: a filter with a slip in its name or without a value must not
//! answer with everything. A parameter with several values is given repeatedly, or once with the values separated by
//! commas, or both; the meaning is the same. A parameter with one value is given once. Every problem is listed.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use dabba_domain::Problems;
use dabba_store::PageSize;

use super::{Cursor, in_digits};
use crate::{
    problem::{Problem, Result},
    schema::{cut, quoted},
};

/// The parameters of a request, as names and values, and what is wrong with those that were taken.
#[derive(Debug)]
pub(crate) struct Parameters {
    given: Vec<(String, String)>,
    problems: Vec<(String, String)>,
    /// The names that the operation knows.
    known: Vec<&'static str>,
}

impl Parameters {
    /// Takes a parameter out, if it is there. A value that cannot be read is noted as a problem.
    pub(crate) fn take<T>(
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

    /// Takes out all values of a parameter that may have several; none if the parameter is not there.
    pub(crate) fn take_list<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let given = self.extract(name);
        let values = given.iter().flat_map(|(_, values)| values.split(','));
        values.filter_map(|value| self.read(name, value, &parse)).collect()
    }

    /// Takes the size of the page.
    pub(crate) fn take_limit(&mut self) -> PageSize {
        let limit = self.take("limit", |value| {
            let size = in_digits(value).and_then(PageSize::new);
            size.ok_or_else(|| format!("must be a whole number from 1 to {} in digits", PageSize::MAX))
        });
        limit.unwrap_or(PageSize::DEFAULT)
    }

    /// Takes the place behind which the page begins.
    pub(crate) fn take_cursor<T: Cursor>(&mut self) -> Option<T> {
        self.take("cursor", |value| {
            T::read(value).ok_or_else(|| "must be a next_cursor of this list".to_owned())
        })
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
            self.problems.push((name.to_owned(), format!("{allowed}, not {}", quoted(value))));
        };
        parse(value).map_err(note).ok()
    }

    /// Returns every problem, unknown parameters among them, as one refusal.
    fn finish(mut self) -> Result<()> {
        let allowed = || format!("is unknown; allowed are {}", self.known.join(", "));
        let unknown = self.given.iter().map(|(name, _)| (cut(name), allowed()));
        self.problems.extend(unknown);
        self.problems.truncate(Problems::MAX_LISTED);
        Problem::bad_parameters(&self.problems)
    }
}

/// What a request asks for in its query.
pub(crate) trait FromParameters: Sized {
    /// Takes everything that is known out of the parameters. The result is not used if a parameter has a problem.
    fn take_from(parameters: &mut Parameters) -> Self;
}

/// What a request asks for in its query, with nothing left over.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<S: Send + Sync, T: FromParameters> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Query(given) = Query::from_request_parts(parts, state).await.map_err(|_| {
            Problem::bad_parameter(
                "query",
                "must be names and values in UTF-8, percent-encoded, such as limit=50",
            )
        })?;
        let mut parameters = Parameters { given, problems: Vec::new(), known: Vec::new() };
        let query = T::take_from(&mut parameters);
        parameters.finish().map(|()| Self(query))
    }
}
