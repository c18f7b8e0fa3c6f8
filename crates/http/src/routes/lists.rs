//! What lists have in common.

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

/// Cuts entries that were read with [`PageSize::and_one_more`] to the page, and returns where the next page begins; `None`
/// if nothing follows.
pub(super) fn next_cursor<T, C: Cursor>(
    entries: &mut Vec<T>,
    limit: PageSize,
    place: impl FnOnce(&T) -> C,
) -> Option<String> {
    let size = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    if entries.len() <= size {
        return None;
    }
    entries.truncate(size);
    entries.last().map(|last| place(last).write())
}
