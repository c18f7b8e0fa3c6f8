//! What lists have in common that are gathered from all shards.

use axum::{
    Json,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};
use dabba_store::PageSize;
use serde::Serialize;

use crate::extract::Cursor;

/// Marks a list in which something may be missing because a shard did not answer in time: for those who
/// look at headers only, such as caches and measurements. The body says it, too.
static INCOMPLETE: HeaderName = HeaderName::from_static("dabba-incomplete");

/// The answer with a page of a list.
pub(super) fn answer(body: impl Serialize, incomplete: bool) -> Response {
    let mut response = Json(body).into_response();
    if incomplete {
        response.headers_mut().insert(INCOMPLETE.clone(), HeaderValue::from_static("true"));
    }
    response
}

/// Where the next page begins, when this one is full.
pub(super) fn next_cursor<T: Cursor>(length: usize, limit: PageSize, last: Option<T>) -> Option<String> {
    let is_full = u32::try_from(length) == Ok(limit.get());
    last.filter(|_| is_full).map(|last| last.write())
}
