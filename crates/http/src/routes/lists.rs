//! Functions that all lists share.

use axum::{
    Json,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};
use dabba_store::PageSize;
use serde::Serialize;

use crate::extract::Cursor;

/// Marks a list in which entries may be missing because a shard did not answer in time. For software that reads headers only,
/// such as caches and monitoring. The body contains the mark, too.
static INCOMPLETE: HeaderName = HeaderName::from_static("dabba-incomplete");

/// Makes the response with a page of a list.
pub(super) fn answer(body: impl Serialize, incomplete: bool) -> Response {
    let mut response = Json(body).into_response();
    if incomplete {
        response.headers_mut().insert(INCOMPLETE.clone(), HeaderValue::from_static("true"));
    }
    response
}

/// Truncates entries that were read with [`PageSize::and_one_more`] to the page, and returns the cursor of the next page; `None`
/// on the last page.
pub(super) fn next_cursor<T, C: Cursor>(
    entries: &mut Vec<T>,
    limit: PageSize,
    position: impl FnOnce(&T) -> C,
) -> Option<String> {
    let size = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    if entries.len() <= size {
        return None;
    }
    entries.truncate(size);
    entries.last().map(|last| position(last).write())
}
