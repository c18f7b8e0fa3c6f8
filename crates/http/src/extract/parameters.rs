//! Parameters in the query.
//!
//! Unknown parameters are refused, and so are empty values: a filter with a slip in its name or without a value must not
//! answer with everything. A parameter with several values is given repeatedly, or once with the values separated by
//! commas, or both; the meaning is the same. A parameter with one value is given once.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use dabba_store::PageSize;

use super::Cursor;
use crate::problem::{Problem, Result};

/// The parameters of a request, as names and values.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Takes a parameter out, if it is there.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(index) = self.0.iter().position(|(given, _)| given == name) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(index);
        if self.0.iter().any(|(given, _)| given == name) {
            return Err(Problem::bad_parameter(name, "must be given once"));
        }
        read(name, &value, parse).map(Some)
    }

    /// Takes out all values of a parameter that may have several; none if the parameter is not there.
    pub(crate) fn take_list<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>> {
        let given: Vec<_> = self.0.extract_if(.., |(given, _)| given == name).collect();
        let values = given.iter().flat_map(|(_, values)| values.split(','));
        values.map(|value| read(name, value, &parse)).collect()
    }

    /// Takes the size of the page.
    pub(crate) fn take_limit(&mut self) -> Result<PageSize> {
        let limit = self.take("limit", |value| {
            let size = value.parse().ok().and_then(PageSize::new);
            size.ok_or_else(|| format!("must be a number from 1 to {}", PageSize::MAX))
        })?;
        Ok(limit.unwrap_or(PageSize::DEFAULT))
    }

    /// Takes the place behind which the page begins.
    pub(crate) fn take_cursor<T: Cursor>(&mut self) -> Result<Option<T>> {
        self.take("cursor", |value| {
            T::read(value).ok_or_else(|| "must be a next_cursor of this list".to_owned())
        })
    }
}

/// Number of characters of a wrong value that an error message repeats.
const MAX_SHOWN_CHARACTERS: usize = 64;

fn read<T>(name: &str, value: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T> {
    parse(value).map_err(|allowed| {
        let shown: String = value.chars().take(MAX_SHOWN_CHARACTERS).collect();
        Problem::bad_parameter(name, format_args!("{allowed}, not {shown:?}"))
    })
}

/// What a request asks for in its query.
pub(crate) trait FromParameters: Sized {
    /// Takes everything that is known out of the parameters.
    fn take_from(parameters: &mut Parameters) -> Result<Self>;
}

/// What a request asks for in its query, with nothing left over.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<S: Send + Sync, T: FromParameters> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Query(pairs) = Query::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_parameter("query", "must be names and values"))?;
        let mut parameters = Parameters(pairs);
        let query = T::take_from(&mut parameters)?;
        match parameters.0.first() {
            None => Ok(Self(query)),
            Some((name, _)) => Err(Problem::bad_parameter(name, "is not a parameter of this operation")),
        }
    }
}
