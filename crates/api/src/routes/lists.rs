//! Functions that all lists share.

use axum::{
    Json,
    http::HeaderValue,
    response::{IntoResponse as _, Response},
};
use dabba_store::PageSize;
use dabba_web::{extract::Cursor, headers};
use serde::Serialize;

/// Makes the response with a page of a list. The body states too whether entries may be missing.
pub(super) fn answer(body: impl Serialize, incomplete: bool) -> Response {
    let mut response = Json(body).into_response();
    if incomplete {
        response.headers_mut().insert(headers::INCOMPLETE.clone(), HeaderValue::from_static("true"));
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
